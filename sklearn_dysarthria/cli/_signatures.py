"""Parameters of the package's functions and classes, read from their source.

To import a loader or a classifier takes seconds; a misspelt name in a study is found in less.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import Strict

import sklearn_dysarthria
from sklearn_dysarthria.exceptions import MissingFileError


class _Text:
    """Paths are text in a study."""

    def __class_getitem__(cls, _: Any) -> type:
        return str


class _Tuple:
    """Tuples are lists in a study."""

    def __class_getitem__(cls, items: Any) -> Any:
        return Annotated[tuple[items], Strict(False)]


# What names in annotations mean for values of a TOML file.
_NAMES = {
    "Any": Any,
    "Literal": Literal,
    "Mapping": dict,
    "Path": str,
    "Sequence": list,
    "os": SimpleNamespace(PathLike=_Text),
    "tuple": _Tuple,
}


@functools.cache
def parameters_of(name: str) -> dict[str, tuple[Any, bool]]:
    """Return the parameters of a function, or of a class's ``__init__``.

    Parameters
    ----------
    name : str
        Of a public function or class of the package that is defined at the top of its module.

    Returns
    -------
    dict of str to (type, bool)
        By name: its annotation as values of a TOML file have it, Any where there is none; and
        whether it has to be given.
    """
    definition = _definition_of(name)
    if isinstance(definition, ast.ClassDef):
        (definition,) = (
            part
            for part in definition.body
            if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        )
    assert isinstance(definition, ast.FunctionDef)
    signature = definition.args
    positional = [*signature.posonlyargs, *signature.args]
    n_required = len(positional) - len(signature.defaults)
    given = [*((a, i < n_required) for i, a in enumerate(positional))]
    given += [
        (a, d is None) for a, d in zip(signature.kwonlyargs, signature.kw_defaults, strict=True)
    ]
    return {a.arg: (_type_of(a.annotation), required) for a, required in given if a.arg != "self"}


def _definition_of(name: str) -> ast.stmt:
    pattern = re.compile(rf"^(?:def|class) {name}\b", re.MULTILINE)
    for folder in sklearn_dysarthria.__path__:
        for path in sorted(Path(folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if pattern.search(text):
                return next(
                    part
                    for part in ast.parse(text).body
                    if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and part.name == name
                )
    raise MissingFileError(f"the source of {name} is not installed.", remedy="Install it.")


def _type_of(annotation: ast.expr | None) -> Any:
    if annotation is None:
        return Any
    return eval(ast.unparse(annotation), {**_NAMES})
