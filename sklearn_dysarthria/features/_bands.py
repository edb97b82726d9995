"""Which frequency band each recording is analysed in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import BandwidthWarning, RecordingError, UnknownTaskError
from sklearn_dysarthria.recordings import as_table, describe_recording
from sklearn_dysarthria.recordings._audio import _where
from sklearn_dysarthria.recordings._table import rows_of


def check_freq_ranges(freq_ranges: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Return the bands by task, once it is certain that they are pairs of numbers.

    Parameters
    ----------
    freq_ranges : mapping of str to (float, float), or None
        Band by task name, or by group of tasks.

    Returns
    -------
    dict of str to (float, float)
        The same; empty for None.

    Raises
    ------
    ValueError
        A task is no string, or a band no pair of numbers.
    """
    bands = {}
    for task, band in (freq_ranges or {}).items():
        pair = () if isinstance(band, str) or not isinstance(band, Iterable) else tuple(band)
        numbers = [isinstance(x, Real) and not isinstance(x, bool) for x in pair]
        if not isinstance(task, str) or numbers != [True, True]:
            raise ValueError(
                f"freq_ranges has {task!r}: {band!r}, but must map names of tasks to (fmin, fmax) "
                "in Hz."
            )
        bands[task] = (float(pair[0]), float(pair[1]))
    return bands


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
    name = name_for_task(task, freq_ranges)
    if name is not None:
        low, high = freq_ranges[name]
        return float(low), float(high)
    raise UnknownTaskError(
        f"task {task!r} has no frequency range; known are {sorted(freq_ranges)}.",
        **_where(row),
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
    for row in rows_of(table):
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
            stacklevel=4,  # whoever called fit, past scikit-learn's wrapper of it
        )
