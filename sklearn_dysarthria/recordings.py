"""The table of recordings, and the one way from a row of it to samples.

A table of recordings is a :class:`pandas.DataFrame` with one row per recording and the columns

``audio``
    a path, or a one-dimensional float array;
``sample_rate`` (Hz)
    required for array rows; for files it is optional and must agree with the file;
``patient``, ``task``
    whom and what was recorded; optional until something needs them;
``segments``
    list of ``(start, end)`` in seconds, or None for the whole recording.

Other columns travel along untouched.  A list, a one-dimensional object array or a Series of
paths is accepted wherever neither patient nor task is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria._recorded import RecordingInfo, describe_recording
from sklearn_dysarthria._table import (
    Row,
    as_table,
    column,
    one_label_per_patient,
    patient_ids,
    rows_of,
)
from sklearn_dysarthria._utils.progress import parallel_map
from sklearn_dysarthria._waveform import load_waveform, segments_of
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning

__all__ = [
    "ONE_DEFAULT_FRAME",
    "RecordingInfo",
    "as_table",
    "check_recordings",
    "column",
    "describe_recording",
    "load_waveform",
    "map_recordings",
    "noted_failures",
    "one_label_per_patient",
    "patient_ids",
    "segments_of",
]

ONE_DEFAULT_FRAME = 2048 / 22050
"""Seconds in one frame of the default front end (``n_fft=2048`` at 22 050 Hz)."""


def _attempt(function: Callable[[Any], Any], row: Any) -> Any:
    try:
        return function(row)
    except RecordingError as error:
        return error


def _has_failed(result: Any) -> bool:
    return isinstance(result, RecordingError)


def _distinct(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of rows without their copies, and for every row the number of its."""
    if table.index.is_unique:
        return np.arange(len(table)), np.arange(len(table))
    # Copies share the objects in their cells.  Equal arrays are not looked for: that costs more.
    cells = [
        [id(cell) for cell in column] if column.dtype == object else pd.factorize(column)[0]
        for column in (table.iloc[:, i] for i in range(table.shape[1]))
    ]
    keys = pd.DataFrame(dict(enumerate([pd.factorize(table.index)[0], *cells])))
    copy_of = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    return np.unique(copy_of, return_index=True)[1], copy_of


def _positions(copy_of: np.ndarray) -> list[np.ndarray]:
    """Return where the copies of each row are."""
    order = np.argsort(copy_of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(copy_of[order])) + 1)


class _Rows(Sequence[Any]):
    """The rows of a table, each made when it is asked for: slices travel as one table."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, which: Any) -> Any:
        rows = self.table.iloc[which]
        return _Rows(rows) if isinstance(which, slice) else rows

    def __iter__(self) -> Iterator[Row]:
        return rows_of(self.table)


def _hand_on(
    into: Callable[[int, Any], Any], positions: list[np.ndarray], number: int, result: Any
) -> Any:
    if _has_failed(result):
        return result
    for position in positions[number]:
        into(int(position), result)
    return None


def map_recordings(
    function: Callable[[Any], Any],
    X: Any,
    *,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
    desc: str = "recordings",
    into: Callable[[int, Any], Any] | None = None,
    prefer: str | None = None,
) -> list[Any]:
    """Apply a function to every row of the table.

    Rows that a sampler repeated, which agree in their label and in every cell, are computed once.

    Parameters
    ----------
    function : callable
        Takes a row (cells by column, and its label as ``name``); picklable when ``n_jobs`` asks for
        several processes.
    X : table of recordings
        See the module's description.
    on_error : {"raise", "nan"}
        With ``"nan"`` a row that raises :class:`RecordingError` yields None, and one
        :class:`RecordingWarning` lists all such rows.
    n_jobs, verbose, desc, prefer
        See :func:`sklearn_dysarthria._utils.progress.parallel_map`.
    into : callable, optional
        Called with position and result of every row that does not fail, as soon as the result
        is there; None takes its place in the list, so that large results need not all be held.

    Returns
    -------
    list
        One result per row.

    Raises
    ------
    RecordingError
        A row cannot be used, and ``on_error`` is ``"raise"``; the error of the first such row.
    ValueError
        ``on_error`` is neither of the two.
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f"on_error is {on_error!r}, not 'raise' or 'nan'.")
    table = as_table(X)
    first, copy_of = _distinct(table)
    rows = _Rows(table.iloc[first])
    take = None if into is None else partial(_hand_on, into, _positions(copy_of))
    # Errors travel as results in both modes, so that the one that is raised belongs to the first
    # bad row, whichever process was faster.
    results = parallel_map(
        partial(_attempt, function),
        rows,
        n_jobs=n_jobs,
        verbose=verbose,
        desc=desc,
        until=_has_failed if on_error == "raise" else None,
        take=take,
        prefer=prefer,
    )
    if len(results) == len(rows):  # else the work ended early
        results = [results[number] for number in copy_of]
    failures = [result for result in results if _has_failed(result)]
    if failures and on_error == "raise":
        raise failures[0]
    if failures:
        _note_failures(table.index[[_has_failed(result) for result in results]])
        listed = "\n".join(f"  {failure}" for failure in failures)
        warnings.warn(
            f"{len(failures)} of {len(results)} recordings cannot be used and become NaN:\n"
            f"{listed}",
            RecordingWarning,
            stacklevel=3,
        )
    return [None if _has_failed(result) else result for result in results]


_noted: ContextVar[set[Any] | None] = ContextVar("noted_failures", default=None)


def _note_failures(labels: Any) -> None:
    noted = _noted.get()
    if noted is not None:
        noted.update(labels)


@contextmanager
def noted_failures() -> Iterator[set[Any]]:
    """Collect the index labels of rows that become NaN inside the block.

    A model that wraps others can thus tell a failed recording even where an imputer behind the
    transformer hides it.  Work in other processes is not seen.

    Yields
    ------
    set
        Index labels, complete when the block ends.
    """
    labels: set[Any] = set()
    token = _noted.set(labels)
    try:
        yield labels
    finally:
        _noted.reset(token)


def _inspect(row: Any, min_duration: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"ok": False, "error": None, "message": None}
    facts |= {"sample_rate": np.nan, "n_channels": pd.NA, "duration": np.nan}
    try:
        info = describe_recording(row)
        facts |= {"sample_rate": info.sample_rate, "n_channels": info.n_channels}
        facts["duration"] = info.duration
        load_waveform(row, min_duration=min_duration)
        facts["ok"] = True
    except RecordingError as error:
        facts |= {"error": type(error).__name__, "message": str(error)}
    return facts


def check_recordings(
    X: Any,
    y: Any = None,
    *,
    min_duration: float = ONE_DEFAULT_FRAME,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every recording once and tell which can be used.

    Parameters
    ----------
    X : table of recordings
        See the module's description.
    y : array-like of shape (n_recordings,), optional
        Labels; checked to be one per patient when ``X`` has a column ``patient``.
    min_duration : float, default=2048/22050
        Seconds below which a recording counts as too short: one frame of the default front end.
    n_jobs : int, optional
        Processes to read with.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    clean : pandas.DataFrame
        The table without its unusable rows.
    report : pandas.DataFrame
        One row per row of ``X``, in its order and with its index: ``ok`` (so that
        ``y[report["ok"]]`` goes with ``clean``), ``error`` (class name) and ``message``,
        ``sample_rate`` (Hz), ``n_channels`` and ``duration`` (s) as recorded.

    Raises
    ------
    PatientError
        A patient's rows carry different labels.
    MissingColumnError
        ``y`` is given, and column ``patient`` lacks a value.
    ValueError
        ``y`` has another length than ``X``.
    """
    table = as_table(X)
    if y is not None and len(y) != len(table):
        raise ValueError(f"y has {len(y)} labels for {len(table)} recordings.")
    if y is not None and "patient" in table.columns:
        one_label_per_patient(patient_ids(table), y)
    facts = map_recordings(
        partial(_inspect, min_duration=min_duration),
        table,
        n_jobs=n_jobs,
        verbose=verbose,
        desc="checking recordings",
    )
    columns = ["ok", "error", "message", "sample_rate", "n_channels", "duration"]
    report = pd.DataFrame(facts, index=table.index, columns=columns)
    report["ok"] = report["ok"].astype(bool)
    return table[report["ok"].to_numpy()], report
