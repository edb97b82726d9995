"""Lists inside messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def listed(items: Iterable[Any], limit: int = 5) -> str:
    """Return the first few items as text, and the number of the others.

    Parameters
    ----------
    items : iterable
        What to list, in this order.
    limit : int, default=5
        Items to spell out.

    Returns
    -------
    str
        Items separated by commas; with more than `limit` items, ``"a, b and 7 more"``.
    """
    names = list(map(str, items))
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
