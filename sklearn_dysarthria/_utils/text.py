"""Lists inside messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def listed(items: Iterable[Any], limit: int = 5) -> str:
    """Return the first few items as text, and the number of the others: ``"a, b and 7 more"``."""
    names = list(map(str, items))
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
