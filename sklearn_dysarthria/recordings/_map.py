"""Run a function over the rows of a table, and report every recording that it cannot use."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria._utils.progress import parallel_map
from sklearn_dysarthria._utils.rows import NewRows, new_rows
from sklearn_dysarthria._utils.workers import processes_open_our_files, works_in_this_process
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning
from sklearn_dysarthria.recordings._audio import describe_recording
from sklearn_dysarthria.recordings._table import (
    DistinctRows,
    Row,
    as_table,
    one_label_per_patient,
    patient_ids,
)
from sklearn_dysarthria.recordings._waveform import load_waveform

ONE_DEFAULT_FRAME = 2048 / 22050
"""Seconds in one frame of the default front end (``n_fft=2048`` at 22 050 Hz)."""


def _attempt(function: Callable[[Any], Any], item: tuple[Row, list[int]]) -> Any:
    """Return what a function makes of a row, or the error if it cannot be used."""
    row, _ = item
    try:
        return function(row)
    except RecordingError as error:
        return error


def _fill(
    function: Callable[[Any, np.ndarray], Any], out: NewRows, item: tuple[Row, list[int]]
) -> RecordingError | None:
    """Let a function write what it makes of a row where it belongs; return its error."""
    row, positions = item
    try:
        out.fill(positions, partial(function, row))
    except RecordingError as error:
        _put(out, positions, np.nan)
        return error
    return None


def _put(out: NewRows, positions: list[int], result: Any) -> RecordingError | None:
    """Write a result where it belongs, and NaN instead of an error, which is returned."""
    failed = _has_failed(result)
    for position in positions:
        out.put(position, np.nan if failed else result)
    return result if failed else None


def _has_failed(result: Any) -> bool:
    return isinstance(result, RecordingError)


def _map(
    attempt: Callable[[Any], Any],
    table: pd.DataFrame,
    *,
    on_error: str,
    put: Callable[[list[int], Any], Any] | None = None,
    **options: Any,
) -> list[Any]:
    """Do what :func:`map_recordings` does, with a function that returns errors.

    What `put` makes here of positions and result is kept instead of the result.
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f"on_error is {on_error!r}, not 'raise' or 'nan'.")
    rows = DistinctRows.of(table)
    # Errors travel as results in both modes, so that the one that is raised belongs to the first
    # bad row, whichever process was faster.
    results = parallel_map(
        attempt,
        rows,
        until=_has_failed if on_error == "raise" else None,
        take=None if put is None else lambda number, result: put(rows.positions[number], result),
        **options,
    )
    if len(results) == len(rows):  # else the work ended early
        results = rows.with_copies(results)
    failures = [result for result in results if _has_failed(result)]
    if failures and on_error == "raise":
        raise failures[0]
    if failures:
        _note_failures(table.index[[_has_failed(result) for result in results]])
        listed = "\n".join(dict.fromkeys(f"  {failure}" for failure in failures))
        warnings.warn(
            f"{len(failures)} of {len(results)} recordings cannot be used and become NaN:\n"
            f"{listed}",
            RecordingWarning,
            stacklevel=4,
        )
    return [None if _has_failed(result) else result for result in results]


def map_recordings(
    function: Callable[[Any], Any],
    X: Any,
    *,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
    desc: str = "recordings",
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
    return _map(
        partial(_attempt, function),
        as_table(X),
        on_error=on_error,
        n_jobs=n_jobs,
        verbose=verbose,
        desc=desc,
        prefer=prefer,
    )


def map_recordings_to_array(
    function: Callable[..., np.ndarray],
    X: Any,
    shape: Sequence[int],
    *,
    dtype: Any = np.float32,
    folder: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
    desc: str = "recordings",
) -> np.ndarray:
    """Apply a function that computes an array to every row of the table.

    As :func:`map_recordings`, for results that are large: whoever computes one, this process or
    another one on this computer, writes it where it belongs.  Only from elsewhere (the workers of a
    cluster, or a system without files in memory) are results sent and copied.

    Parameters
    ----------
    function : callable
        Takes a row, and writes its result to the array that it gets as a second argument
        (C-contiguous, of the given shape and type) or, without one, returns it; picklable when
        ``n_jobs`` asks for several processes.
    X : table of recordings
        See the module's description.
    shape : sequence of int
        Shape of one result.
    dtype : dtype, default=float32
        Type of the results, which must have a NaN.
    folder : str or path, optional
        Folder on a disk for an array that shall not be in memory.
    on_error : {"raise", "nan"}
        With ``"nan"`` a row that raises :class:`RecordingError` becomes NaN, and one
        :class:`RecordingWarning` lists all such rows.
    n_jobs, verbose, desc
        See :func:`sklearn_dysarthria._utils.progress.parallel_map`.

    Returns
    -------
    ndarray of shape (n_recordings, *shape)
        A read-only :class:`numpy.memmap` with `folder`.

    Raises
    ------
    RecordingError
        A row cannot be used, and ``on_error`` is ``"raise"``; the error of the first such row.
    OSError
        `folder` cannot be written, or has no room for the array.
    ValueError
        ``on_error`` is neither of the two.
    """
    table = as_table(X)
    here = works_in_this_process(n_jobs)
    elsewhere = not here and processes_open_our_files()
    out = new_rows(folder, (len(table), *shape), dtype, for_processes=elsewhere)
    with closing(out):
        reach = here or elsewhere
        _map(
            partial(_fill, function, out) if reach else partial(_attempt, function),
            table,
            put=None if reach else partial(_put, out),
            on_error=on_error,
            n_jobs=n_jobs,
            verbose=verbose,
            desc=desc,
        )
        return out.finish()


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
