"""Names that are imported on first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, exports: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Build the ``__getattr__``, ``__dir__`` and ``__all__`` of a lazily loaded package.

    Parameters
    ----------
    package : str
        Full name of the package.
    exports : mapping of str to sequence of str
        Submodule name to the public names it defines.

    Returns
    -------
    getter, lister, names : tuple
        To be assigned to ``__getattr__``, ``__dir__`` and ``__all__``.
    """
    home_of = {name: module for module, names in exports.items() for name in names}
    public = sorted(home_of)

    def getter(name: str) -> Any:
        if name in home_of:
            value = getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in exports:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def lister() -> list[str]:
        return sorted({*public, *exports, *vars(sys.modules[package])})

    return getter, lister, public
