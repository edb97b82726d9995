"""Run a function over items in worker processes, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs

_ITEMS_PER_PROCESS = 16


@contextmanager
def _bar(total: int, desc: str, verbose: int) -> Iterator[Callable[[], Any]]:
    """Yield what advances the bar by one."""
    if not verbose:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=desc, leave=verbose > 1) as bar:
        yield bar.update


def progress_bar(iterable: Iterable[Any], *, total: int, desc: str, verbose: int) -> Iterator[Any]:
    """Pass an iterable on, with a bar on standard error when ``verbose`` is positive."""
    with _bar(total, desc, verbose) as advance:
        for item in iterable:
            yield item
            advance()


def parallel_map(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    n_jobs: int | None,
    verbose: int,
    desc: str,
    until: Callable[[Any], bool] | None = None,
) -> list[Any]:
    """Apply ``function`` to every item and return the results in order.

    Parameters
    ----------
    function : callable
        Must be picklable when ``n_jobs`` asks for more than one process.
    items : sequence
        The arguments, one per call.
    n_jobs : int or None
        As in scikit-learn: None means 1 unless inside a ``joblib.parallel_config`` context.
    verbose : int
        0 is silent, 1 shows a bar while it runs, 2 leaves it on the screen.
    desc : str
        Label of the bar.
    until : callable, optional
        Ends the work early, soon after a result for which it is true.

    Returns
    -------
    list
        One result per item; only those of the first items if the work ended early.
    """
    done: list[Any] = []
    # Blocks, so that ending early means not starting the next one: closing a running generator
    # instead would leave joblib's threads to complain about results that nobody reads.
    processes = effective_n_jobs(n_jobs)
    block = 1 if processes == 1 else _ITEMS_PER_PROCESS * processes
    size = block if until is not None else max(1, len(items))
    with _bar(len(items), desc, verbose) as advance:
        for start in range(0, len(items), size):
            calls = (delayed(function)(item) for item in items[start : start + size])
            for result in Parallel(n_jobs=n_jobs, return_as="generator")(calls):
                done.append(result)
                advance()
            if until is not None and any(map(until, done[start:])):
                break
    return done
