"""Run a function over the rows of a table, and report every recording that it cannot use."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria._utils.parallel import parallel_map, works_in_this_process
from sklearn_dysarthria._utils.rows import RowsOnDisk
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning
from sklearn_dysarthria.recordings._table import Row, as_table, distinct_rows


def map_recordings(
    function: Callable[[Any], Any],
    X: Any,
    *,
    on_error: str = "raise",
    n_jobs: int | None = None,
    verbose: int = 0,
    desc: str = "recordings",
) -> list[Any]:
    """Apply a function to every row of the table.

    Rows that a sampler repeated, which agree in their label and in every cell, are computed once.

    Parameters
    ----------
    function : callable
        Takes a row (cells by column, and its label as ``name``); called in several threads if
        ``n_jobs`` asks for them, and picklable if a :func:`joblib.parallel_config` context chooses
        processes.
    X : table of recordings
        See the module's description.
    on_error : {"raise", "nan"}
        With ``"nan"`` a row that raises :class:`RecordingError` yields None, and one
        :class:`RecordingWarning` lists all such rows.
    n_jobs, verbose, desc
        See :func:`sklearn_dysarthria._utils.parallel.parallel_map`.

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

    As :func:`map_recordings`, for results that are large: each thread writes them where they
    belong.  From other processes they are sent and copied.

    Parameters
    ----------
    function : callable
        Takes a row, and writes its result to the array that it gets as a second argument
        (C-contiguous, of the given shape and type) or, without one, returns it.
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
        See :func:`sklearn_dysarthria._utils.parallel.parallel_map`.

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
    whole = (len(table), *shape)
    here = works_in_this_process(n_jobs, _PREFER)
    with ExitStack() as stack:
        out: np.ndarray | RowsOnDisk
        if folder is None:
            out = np.empty(whole, dtype)
        else:
            out = stack.enter_context(closing(RowsOnDisk(folder, whole, dtype)))
        _map(
            partial(_fill, function, out) if here else partial(_attempt, function),
            table,
            put=None if here else partial(_put, out),
            on_error=on_error,
            n_jobs=n_jobs,
            verbose=verbose,
            desc=desc,
        )
        return out if isinstance(out, np.ndarray) else out.finish()


_PREFER = "threads"  # decoding, resampling, kernels, FFTs and openSMILE release Python's lock


def _attempt(function: Callable[[Any], Any], item: tuple[Row, list[int]]) -> Any:
    """Return a function's result for a row, or the error if the row cannot be used."""
    row, _ = item
    try:
        return function(row)
    except RecordingError as error:
        return error


def _fill(
    function: Callable[[Any, np.ndarray], Any],
    out: np.ndarray | RowsOnDisk,
    item: tuple[Row, list[int]],
) -> RecordingError | None:
    """Let a function write its result for a row where it belongs; return its error."""
    row, positions = item
    if isinstance(out, np.ndarray):
        result, others = out[positions[0], ...], positions[1:]
    else:
        result, others = np.empty(out.shape[1:], out.dtype), positions
    try:
        function(row, result)
    except RecordingError as error:
        return _put(out, positions, error)
    for position in others:
        out[position] = result
    return None


def _put(out: np.ndarray | RowsOnDisk, positions: list[int], result: Any) -> RecordingError | None:
    """Write a result where it belongs, and NaN instead of an error, which is returned."""
    failed = isinstance(result, RecordingError)
    for position in positions:
        out[position] = np.nan if failed else result
    return result if failed else None


def _map(
    attempt: Callable[[Any], Any],
    table: pd.DataFrame,
    *,
    on_error: str,
    put: Callable[[list[int], Any], Any] | None = None,
    **options: Any,
) -> list[Any]:
    """Do what :func:`map_recordings` does, with a function that returns errors.

    If `put` is given, it is called with positions and result, and what it returns is kept instead
    of the result.
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f"on_error is {on_error!r}, not 'raise' or 'nan'.")
    rows = distinct_rows(table)
    # Errors travel as results in both modes, so that the one that is raised belongs to the first
    # bad row, whichever worker was faster.
    answers = parallel_map(
        attempt,
        rows,
        until=RecordingError if on_error == "raise" else None,
        take=None if put is None else lambda number, result: put(rows[number][1], result),
        prefer=_PREFER,
        **options,
    )
    results: list[Any] = [None] * len(table)
    for (_, positions), answer in zip(rows, answers, strict=False):  # the work may have ended early
        for position in positions:
            results[position] = answer
    failures = [result for result in results if isinstance(result, RecordingError)]
    if failures and on_error == "raise":
        raise failures[0]
    if failures:
        note_failures(table.index[[isinstance(result, RecordingError) for result in results]])
        listed = "\n".join(dict.fromkeys(f"  {failure}" for failure in failures))
        warnings.warn(
            f"{len(failures)} of {len(results)} recordings cannot be used and become NaN:\n"
            f"{listed}",
            RecordingWarning,
            stacklevel=4,
        )
    return [None if isinstance(result, RecordingError) else result for result in results]


_noted: ContextVar[set[Any] | None] = ContextVar("noted_failures", default=None)


def note_failures(labels: Any) -> None:
    """Report rows that become NaN to the :func:`noted_failures` around the call, if there is one.

    Parameters
    ----------
    labels : iterable
        Their index labels.
    """
    noted = _noted.get()
    if noted is not None:
        noted.update(labels)


@contextmanager
def noted_failures() -> Iterator[set[Any]]:
    """Collect the index labels of rows that become NaN inside the block.

    A model that wraps others can thus identify a failed recording even where an imputer behind the
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
