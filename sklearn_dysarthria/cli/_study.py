"""A study: a TOML file whose tables are parameters, and what the command line changes in it."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import typer

from sklearn_dysarthria.cli._checks import StudyError, check_values, did_you_mean

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")
_CORPUS_FOLDERS = ("data_home", "root", "folder")
_PARAMS = "params"


@dataclass(frozen=True)
class ModelSettings:
    """Table ``[model]``."""

    name: str | None = None
    preset: str = "quick"
    random_state: int = 0
    voting: dict[str, Any] = field(default_factory=dict)
    params: list[dict[str, Any]] = field(default_factory=list)
    """Layers of nested tables; a later one wins."""


@dataclass(frozen=True)
class Evaluation:
    """Table ``[evaluation]``."""

    n_splits: int = 5
    n_repeats: int = 1
    positive: str | int | float | bool | None = None
    confidence: float = 0.95
    n_resamples: int = 1000
    random_state: int = 0
    scoring: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse numbers out of their range before any corpus is read."""
        least = {"n_splits": 2, "n_repeats": 1, "n_resamples": 1, "random_state": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value < lowest:
                raise StudyError(f"evaluation.{name} must be {lowest} or more, not {value!r}.")
        if not 0 < self.confidence < 1:
            raise StudyError(
                f"evaluation.confidence must be between 0 and 1, not {self.confidence!r}."
            )


@dataclass(frozen=True)
class Run:
    """Table ``[run]``: how to compute, without influence on the results."""

    cache: str | None = None
    n_jobs: int | None = None
    on_error: Literal["raise", "nan"] = "raise"

    def __post_init__(self) -> None:
        """Refuse no processes at all."""
        if self.n_jobs == 0:
            raise StudyError("run.n_jobs must be 1 or more, or -1 for all cores, not 0.")


@dataclass(frozen=True)
class Study:
    """A checked study; what its corpus and model accept is checked where those are known."""

    corpus: dict[str, Any]
    model: ModelSettings
    evaluation: Evaluation
    run: Run
    source: str | None = None
    """The file it was read from."""

    def settings(self) -> dict[str, Any]:
        """Return everything that determines results, as plain values."""
        model = {name: getattr(self.model, name) for name in _hints(ModelSettings)}
        evaluation = {name: getattr(self.evaluation, name) for name in _hints(Evaluation)}
        return {"corpus": self.corpus, "model": model, "evaluation": evaluation}

    def sha256(self) -> str:
        """Return the SHA-256 of the settings, whatever the layout of the file."""
        text = json.dumps(self.settings(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


_TABLES = {"corpus": None, "model": ModelSettings, "evaluation": Evaluation, "run": Run}


def _hints(table: type) -> dict[str, Any]:
    hints = typing.get_type_hints(table)
    return {entry.name: hints[entry.name] for entry in fields(table)}


def read_study(
    inputs: Sequence[str],
    assignments: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Study:
    """Read a study from what stands on the command line.

    Parameters
    ----------
    inputs : sequence of str
        At most one study file (``.toml``) and at most one corpus, which replaces the file's.
    assignments : sequence of str
        ``name=value`` with a dotted name.
    options : mapping of str to object, optional
        Values of other options by dotted name; None means that the option was not given.

    Returns
    -------
    Study
        Checked as far as it can be without its corpus and its model.

    Raises
    ------
    StudyError
        The file cannot be read, or holds an unknown or wrong entry.
    typer.BadParameter
        Two files or two corpora are named, or an assignment has no name.
    """
    files = [text for text in inputs if text.lower().endswith(".toml")]
    corpora = [text for text in inputs if text not in files]
    if len(files) > 1 or len(corpora) > 1:
        raise typer.BadParameter(f"give one study file and one corpus at most, not {list(inputs)}.")
    raw = _read(Path(files[0])) if files else {}
    layers = _params_of(raw)
    if corpora:
        raw["corpus"] = _replaced(raw.get("corpus", {}), corpora[0])
    given = {name: value for name, value in (options or {}).items() if value is not None}
    for name, value in [*given.items(), *map(_assignment, assignments)]:
        _assign(raw, layers, name, value)
    unknown = [name for name in raw if name not in _TABLES]
    if unknown:
        raise StudyError(f"Unknown table [{unknown[0]}].{did_you_mean(unknown[0], _TABLES)}")
    checked: dict[str, Any] = {}
    for name, table in _TABLES.items():
        content = raw.get(name, {})
        if not isinstance(content, dict):
            raise StudyError(f"{name} must be a table, [{name}], not {content!r}.")
        if table is None:
            checked[name] = content
            continue
        if table is ModelSettings and layers:
            content = {**content, _PARAMS: layers}
        checked[name] = table(**check_values(name, content, _hints(table)))
    return Study(**checked, source=files[0] if files else None)


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
    """Tell whether a corpus is named by the file that lists its recordings."""
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
    if head not in _TABLES or not path:
        known = [f"{table}.…" for table in _TABLES]
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
