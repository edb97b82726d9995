"""Segments of recordings as a table file spells them."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np
import pandas as pd

SEGMENTS = "segments"
"""Column with the parts of recordings that count."""


def as_segments(cells: pd.Series) -> pd.Series:
    """Return lists of (start, end) in seconds.

    Parameters
    ----------
    cells : Series
        Text such as ``"[(0.5, 1.2), (1.5, 2)]"`` or ``"[[0.5, 1.2]]"``, lists as Parquet keeps
        them, or nothing.

    Returns
    -------
    Series
        A list per row; None for the whole recording.

    Raises
    ------
    ValueError
        See `no_segments`.
    """
    return pd.Series([_segments(cell) for cell in cells], index=cells.index, dtype=object)


def no_segments(cells: pd.Series) -> list[Any]:
    """Return the rows that `as_segments` does not understand.

    Parameters
    ----------
    cells : Series
        Cells of the column.

    Returns
    -------
    list
        Index labels.
    """
    rows = []
    for row, cell in cells.items():
        try:
            _segments(cell)
        except ValueError:
            rows.append(row)
    return rows


def _segments(cell: Any) -> list[tuple[float, float]] | None:
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None
    if isinstance(cell, str):
        try:
            cell = ast.literal_eval(cell)  # literals only: nothing in the file is run
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ValueError(f"{cell!r} is no list.") from None
    if not isinstance(cell, (list, tuple, np.ndarray)):
        raise ValueError(f"{cell!r} is no list.")
    return [_pair(part) for part in cell]


def _pair(part: Any) -> tuple[float, float]:
    if not isinstance(part, (list, tuple, np.ndarray)) or len(part) != 2:
        raise ValueError(f"{part!r} is no pair.")
    if not all(isinstance(x, (int, float, np.number)) and not isinstance(x, bool) for x in part):
        raise ValueError(f"{part!r} are no seconds.")
    start, end = map(float, part)
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise ValueError(f"{part!r} does not end after it starts.")
    return start, end
