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
def parameters_of(name: str) -> dict[str, Any]:
    """Return the parameters of a public function, or of a class's ``__init__``, of the package.

    By name, each with its type as a TOML file has it; Any where there is no annotation.
    """
    definition = _definition_of(name)
    if isinstance(definition, ast.ClassDef):
        definition = _named(definition.body, "__init__")
    assert isinstance(definition, ast.FunctionDef)
    parts = definition.args
    # The types are expressions of this package's own source.
    return {
        part.arg: Any if part.annotation is None else eval(ast.unparse(part.annotation), {**_NAMES})
        for part in [*parts.posonlyargs, *parts.args, *parts.kwonlyargs]
        if part.arg != "self"
    }


def _definition_of(name: str) -> ast.FunctionDef | ast.ClassDef:
    pattern = re.compile(rf"^(?:def|class) {name}\b", re.MULTILINE)
    for path in sorted(Path(sklearn_dysarthria.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if pattern.search(text):
            return _named(ast.parse(text).body, name)
    raise ImportError(f"The source of {name} is not installed: install the package again.")


def _named(body: list[ast.stmt], name: str) -> ast.FunctionDef | ast.ClassDef:
    return next(
        part
        for part in body
        if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and part.name == name
    )
