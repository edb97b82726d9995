"""Strict checks of what a study file says: names, and types by annotation."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any


class StudyError(ValueError):
    """A study file, or an assignment on the command line, cannot be used."""


def did_you_mean(name: str, known: Iterable[str], *, listed: bool = True) -> str:
    """Return the sentence that helps after a name that nobody knows.

    Parameters
    ----------
    name : str
        What was written.
    known : iterable of str
        What could have been.
    listed : bool, default=True
        List all known names where none is close.

    Returns
    -------
    str
        Begins with a space, or is empty.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(map(repr, close))}?"
    return f" Known are {', '.join(known)}." if listed and known else ""


def check_values(where: str, given: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keys and values of one table.

    Parameters
    ----------
    where : str
        The table, as the reader knows it: ``"corpus"``.
    given : mapping
        Its content.
    hints : mapping of str to type
        Known keys, and the annotation that each value must fit.

    Returns
    -------
    dict
        The content, with None for the text "none" where None is allowed.

    Raises
    ------
    StudyError
        A key is unknown, or a value is of another type; the message names the key.
    """
    checked = {}
    for name, value in given.items():
        if name not in hints:
            raise StudyError(f"Unknown key {name!r} in [{where}].{did_you_mean(name, hints)}")
        hint = hints[name]
        if is_none(value) and fits(None, hint):
            value = None
        if not fits(value, hint):
            raise StudyError(f"{where}.{name} must be {spelled(hint)}, not {value!r}.")
        checked[name] = value
    return checked


def is_none(value: Any) -> bool:
    """Tell the text that stands for None, which TOML does not have."""
    return isinstance(value, str) and value.lower() == "none"


def fits(value: Any, hint: Any) -> bool:
    """Tell whether a value out of a TOML file can pass for this annotation.

    Parameters
    ----------
    value : object
        Text, number, truth value, list, table or None.
    hint : type
        An annotation; what is not understood is left to the function that gets the value.

    Returns
    -------
    bool
        Lists pass for sequences and tuples, text for paths, integers for floats.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin in (None, type(None)):
        return value is None
    if origin is bool:
        return isinstance(value, bool)
    if origin in (int, float):
        wanted = int if origin is int else Real
        return isinstance(value, wanted) and not isinstance(value, bool)
    if not isinstance(origin, type):
        return True
    if origin is str or issubclass(origin, Path) or origin.__name__ == "PathLike":
        return isinstance(value, str)
    if issubclass(origin, Mapping):
        return isinstance(value, dict)
    if issubclass(origin, Sequence):
        return _fits_list(value, origin, arguments)
    return True


def _fits_list(value: Any, origin: type, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, list):
        return False
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return not arguments or all(fits(item, arguments[0]) for item in value)


_SPELLED = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    type(None): '"none"',
}


def spelled(hint: Any) -> str:
    """Say in words what an annotation asks for.

    Parameters
    ----------
    hint : type
        An annotation.

    Returns
    -------
    str
        Such as ``"an integer or text"``.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(spelled, arguments)))
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin in _SPELLED:
        return _SPELLED[origin]
    if isinstance(origin, type) and (issubclass(origin, Path) or origin.__name__ == "PathLike"):
        return "text"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table"
    return f"a list of {spelled(arguments[0])}" if arguments else "a list"
