"""A study: a TOML file whose tables are parameters, and what the command line changes in it."""

from __future__ import annotations

import difflib
import os
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
_CORPUS_FOLDERS = ("data_home", "root", "folder")
_PARAMS = "params"


class StudyError(ValueError):
    """A study file, or an assignment on the command line, cannot be used."""


class Table(BaseModel):
    """A table of a study: unknown keys are errors, types are exact, "none" stands for None."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _none_where_allowed(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        optional = [
            name
            for name, field in cls.model_fields.items()
            if type(None) in typing.get_args(field.annotation)
        ]
        return {n: None if is_none(v) and n in optional else v for n, v in given.items()}


class ModelSettings(Table):
    """Table ``[model]``."""

    name: str | None = None
    preset: str = "quick"
    random_state: int = 0
    voting: dict[str, Any] = {}
    params: list[dict[str, Any]] = []
    """Layers of nested tables; a later one wins."""


def _between_0_and_1(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError("between 0 and 1")
    return value


def _number_of_workers(value: int | None) -> int | None:
    if value == 0:
        raise ValueError("1 or more, or -1 for all cores")
    return value


class Evaluation(Table):
    """Table ``[evaluation]``."""

    n_splits: Annotated[int, Field(ge=2)] = 5
    n_repeats: Annotated[int, Field(ge=1)] = 1
    positive: str | int | float | bool | None = None
    confidence: Annotated[float, AfterValidator(_between_0_and_1)] = 0.95
    n_resamples: Annotated[int, Field(ge=1)] = 1000
    random_state: Annotated[int, Field(ge=0)] = 0
    scoring: str | list[str] = []


class Run(Table):
    """Table ``[run]``: how to compute, without influence on the results."""

    cache: str | None = None
    n_jobs: Annotated[int | None, AfterValidator(_number_of_workers)] = None
    on_error: Literal["raise", "nan"] = "raise"


class Study(Table):
    """A study; what its corpus and model accept is checked where those are known."""

    corpus: dict[str, Any] = {}
    model: ModelSettings = ModelSettings()
    evaluation: Evaluation = Evaluation()
    run: Run = Run()
    _source: str | None = PrivateAttr(None)

    @property
    def source(self) -> str | None:
        """The file it was read from."""
        return self._source

    def settings(self) -> dict[str, Any]:
        """Return everything that determines results, as plain values."""
        return self.model_dump(exclude={"run"})


def is_none(value: Any) -> bool:
    """Return whether a value is the text that stands for None, which TOML does not have."""
    return isinstance(value, str) and value.lower() == "none"


def entries_of(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every entry of nested tables."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from entries_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def did_you_mean(name: str, known: Iterable[str], *, listed: bool = True) -> str:
    """Return the sentence, after a space, that helps after an unknown name; it may be empty.

    With `listed` it lists all known names if none is close.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(map(repr, close))}?"
    return f" Known are {', '.join(known)}." if listed and known else ""


def validated(table: type[Table], given: Mapping[str, Any], *where: str, title: str = "") -> Any:
    """Return a table of a study, whose names, types and ranges are checked.

    `where` are the names of the tables that it is in, and of itself; none for the whole study.
    `title` is what an error message adds to them.  Raises a StudyError that names the entry.
    """
    try:
        return table.model_validate(given)
    except ValidationError as error:
        raise StudyError(_sentence(error, table, given, where, title)) from None


def _sentence(
    invalid: ValidationError, table: type[Table], given: Any, where: tuple[str, ...], title: str
) -> str:
    """Say what is wrong first: an unknown name, or else the first wrong value."""
    errors = invalid.errors()
    error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    owner, name, outer = table, "", list(where)
    for part in error["loc"]:
        name, given = str(part), given.get(part)
        inner = getattr(owner.model_fields.get(name), "annotation", None)
        if not (isinstance(inner, type) and issubclass(inner, Table)) or not isinstance(
            given, dict
        ):
            break
        outer.append(name)
        owner = inner
    if error["type"] == "extra_forbidden":
        what = f"key {name!r} in [{'.'.join(outer)}{title}]" if outer else f"table [{name}]"
        return f"Unknown {what}.{did_you_mean(name, owner.model_fields)}"
    dotted = ".".join([*outer, name])
    wanted = _in_words(owner.model_json_schema()["properties"][name])
    if error["type"] == "greater_than_equal":
        wanted = f"{error['ctx']['ge']} or more"
    elif error["type"] == "value_error":
        wanted = str(error["ctx"]["error"])
    elif not outer:
        wanted = f"a table, [{name}]"
    return f"{dotted} must be {wanted}, not {given!r}."


_WORDS = {
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "null": '"none"',
    "object": "a table",
}
_PLURAL = {"an integer": "integers", "a number": "numbers", "a table": "tables"}


def _in_words(schema: dict[str, Any]) -> str:
    """Say in words what a JSON schema asks for, such as "an integer or text"."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_in_words, schema["anyOf"])))
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if schema.get("type") == "array":
        item = _in_words((schema.get("prefixItems") or [schema.get("items", {})])[0])
        return f"a list of {_PLURAL.get(item, item)}" if item else "a list"
    return _WORDS.get(schema.get("type", ""), "")


def read_study(
    inputs: Sequence[str] | None,
    assignments: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Study:
    """Read a study from what stands on the command line.

    `inputs` are at most one study file (``.toml``) and at most one corpus, which replaces the
    file's.  `assignments` are ``name=value`` with a dotted name; `options` are values of other
    options by dotted name, None for an option that was not given.  The study is checked as far as
    it can be without its corpus and its model: a StudyError says that the file cannot be read, or
    holds an unknown or wrong entry.
    """
    inputs = inputs or []
    files = [text for text in inputs if text.lower().endswith(".toml")]
    corpora = [text for text in inputs if text not in files]
    if len(files) > 1 or len(corpora) > 1:
        raise typer.BadParameter(f"give one study file and one corpus at most, not {list(inputs)}.")
    raw = _read(Path(files[0])) if files else {}
    layers = _params_of(raw)
    if corpora:
        raw["corpus"] = _replaced(raw.get("corpus", {}), corpora[0])
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for name, value in [*given.items(), *map(_assignment, assignments or [])]:
        _assign(raw, layers, name, value)
    model = raw.setdefault("model", {})
    if layers and isinstance(model, dict):
        model[_PARAMS] = layers
    study = validated(Study, raw)
    study._source = files[0] if files else None
    return study


def _params_of(raw: dict[str, Any]) -> list[dict[str, Any]]:
    model = raw.get("model")
    if not isinstance(model, dict) or _PARAMS not in model:
        return []
    params = model.pop(_PARAMS)
    if not isinstance(params, dict):
        raise StudyError(f"model.params must be a table, [model.params], not {params!r}.")
    return [params]


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"There is no study file {str(path)!r}.") from None
    except UnicodeDecodeError:
        raise StudyError(f"{path} is not text in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path} is not TOML: {error}.") from None
    _anchor(raw, path.absolute().parent)
    return raw


def _anchor(raw: dict[str, Any], folder: Path) -> None:
    """Let paths in a study file start at the folder that it is in."""

    def absolute(table: Any, name: str) -> None:
        if isinstance(table, dict) and isinstance(table.get(name), str):
            table[name] = os.path.abspath(folder / os.path.expanduser(table[name]))

    corpus, run = raw.get("corpus"), raw.get("run")
    if isinstance(corpus, dict):
        if is_table_file(corpus.get("name")):
            absolute(corpus, "name")
        for name in _CORPUS_FOLDERS:
            absolute(corpus, name)
    if isinstance(run, dict) and str(run.get("cache")).lower() != "none":
        absolute(run, "cache")
    model = raw.get("model")
    if isinstance(model, dict):
        _anchor_weights(model.get(_PARAMS), folder)


def _anchor_weights(params: Any, folder: Path) -> None:
    """Weights are torchvision's name or a file: what lies beside the study is a file."""
    for name, value in params.items() if isinstance(params, dict) else ():
        if isinstance(value, dict):
            _anchor_weights(value, folder)
        elif name.split("__")[-1] == "weights" and isinstance(value, str):
            beside = folder / os.path.expanduser(value)
            params[name] = os.path.abspath(beside) if beside.is_file() else value


def is_table_file(name: Any) -> bool:
    """Return whether a corpus is named by the file that lists its recordings."""
    return isinstance(name, str) and Path(name).suffix.lower() in TABLE_SUFFIXES


def _replaced(corpus: Any, name: str) -> dict[str, Any]:
    """Name another corpus; the file's other keys stay if they are for its kind."""
    old = corpus.get("name") if isinstance(corpus, dict) else None
    same_kind = old == name or (is_table_file(old) and is_table_file(name))
    return {**corpus, "name": name} if same_kind else {"name": name}


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, written = text.partition("=")
    if not equals or not all(part.strip() for part in name.split(".")):
        raise typer.BadParameter(
            f"--set {text!r} is not name=value, such as --set evaluation.n_splits=10."
        )
    try:
        content = tomllib.loads(f"value = {written}")
    except tomllib.TOMLDecodeError:
        content = {}
    # More than one entry: the text had lines of its own.
    value = content["value"] if list(content) == ["value"] else written.strip()
    return ".".join(part.strip() for part in name.split(".")), value


def _assign(raw: dict[str, Any], layers: list[dict[str, Any]], dotted: str, value: Any) -> None:
    head, *path = dotted.split(".")
    if head not in Study.model_fields or not path:
        known = [f"{table}.…" for table in Study.model_fields]
        raise StudyError(
            f"--set {dotted}=… must name an entry of a table: {', '.join(known)}; parameters of "
            "the model are model.params.…"
        )
    if [head, *path[:1]] == ["model", _PARAMS]:
        if len(path) == 1:
            raise StudyError("--set model.params.NAME=… needs the name of a parameter.")
        for part in reversed(path[1:]):
            value = {part: value}
        layers.append(value)
        return
    table = raw.setdefault(head, {})
    for part in path[:-1]:
        table = table.setdefault(part, {}) if isinstance(table, dict) else table
    if not isinstance(table, dict):
        raise StudyError(f"{dotted} cannot be set: {'.'.join([head, *path[:-1]])} is no table.")
    table[path[-1]] = value
