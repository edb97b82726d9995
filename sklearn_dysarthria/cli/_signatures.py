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
        (definition,) = (
            part
            for part in definition.body
            if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        )
    assert isinstance(definition, ast.FunctionDef)
    parts = definition.args
    parameters = [*parts.posonlyargs, *parts.args, *parts.kwonlyargs]
    return {part.arg: _type_of(part.annotation) for part in parameters if part.arg != "self"}


def _definition_of(name: str) -> ast.FunctionDef | ast.ClassDef:
    pattern = re.compile(rf"^(?:def|class) {name}\b", re.MULTILINE)
    for path in sorted(Path(sklearn_dysarthria.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if pattern.search(text):
            return next(
                part
                for part in ast.parse(text).body
                if isinstance(part, (ast.FunctionDef, ast.ClassDef)) and part.name == name
            )
    raise ImportError(f"The source of {name} is not installed: install the package again.")


def _type_of(annotation: ast.expr | None) -> Any:
    if annotation is None:
        return Any
    return eval(ast.unparse(annotation), {**_NAMES})
