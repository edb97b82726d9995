"""Which frequency band each recording is analysed in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from sklearn_dysarthria.exceptions import BandwidthWarning, RecordingError, UnknownTaskError
from sklearn_dysarthria.recordings import as_table, describe_recording


def task_group(task: str) -> str:
    """Return the group of a task: its leading lower-case letters.

    Parameters
    ----------
    task : str
        Such as ``"phonationA"``.

    Returns
    -------
    str
        Such as ``"phonation"``.
    """
    match = re.match(r"[a-z_]+", task)
    return match.group() if match else task


def band_of(
    row: Any, freq_ranges: Mapping[str, tuple[float, float]] | None, default: tuple[float, float]
) -> tuple[float, float]:
    """Return ``(fmin, fmax)`` in Hz for a row.

    Parameters
    ----------
    row : Series or mapping
        A row of the table of recordings.
    freq_ranges : mapping of str to (float, float), or None
        Band by task name, or by group of tasks; an exact name wins.
    default : (float, float)
        The band when ``freq_ranges`` is None.

    Returns
    -------
    (float, float)
        Lowest and highest frequency in Hz.

    Raises
    ------
    UnknownTaskError
        Neither the row's task nor its group is in ``freq_ranges``.
    """
    if freq_ranges is None:
        return default
    task = row.get("task")
    for name in (task, task_group(task) if isinstance(task, str) else None):
        if name in freq_ranges:
            low, high = freq_ranges[name]
            return float(low), float(high)
    raise UnknownTaskError(
        f"task {task!r} has no frequency range; known are {sorted(freq_ranges)}.",
        row=getattr(row, "name", None),
    )


def warn_about_empty_bands(X: Any, band: Callable[[Any], tuple[float, float]]) -> None:
    """Warn once if some recordings were made at too low a rate for their band.

    Parameters
    ----------
    X : table of recordings
        Only headers are read.
    band : callable
        Takes a row, returns ``(fmin, fmax)`` in Hz.
    """
    table = as_table(X)
    rates = []
    for i in range(len(table)):
        row = table.iloc[i]
        try:
            rate, highest = describe_recording(row).sample_rate, band(row)[1]
        except RecordingError:
            continue  # transform reports it
        if highest > rate / 2:
            rates.append(rate)
    if rates:
        warnings.warn(
            f"{len(rates)} of {len(table)} recordings hold nothing in the upper part of the "
            f"analysed band: the slowest was recorded at {min(rates):g} Hz and ends at "
            f"{min(rates) / 2:g} Hz. Lower fmax or freq_ranges, unless this is wanted.",
            BandwidthWarning,
            stacklevel=3,
        )
