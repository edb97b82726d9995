"""Run a function over items, here or in workers, with a progress bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from threading import Event
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs

from sklearn_dysarthria._utils.shared_results import ResultFiles, pack
from sklearn_dysarthria._utils.workers import (
    limited_threads,
    one_by_one,
    processes_open_our_files,
    threads_per_worker,
    works_alone,
)

_LARGEST_CHUNK = 32


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


def _chunks(items: Sequence[Any], workers: int) -> Iterator[Sequence[Any]]:
    """Cut the items into tasks: large ones first, single items last, so that all end together."""
    start = 0
    while start < len(items):
        size = (len(items) - start) // (2 * workers)
        stop = start + min(max(size, 1), _LARGEST_CHUNK)
        yield items[start:stop]
        start = stop


def _work_through(
    function: Callable[[Any], Any], chunk: Iterable[Any], threads: int | None, path: str | None
) -> Any:
    """Do one task; its results go to the file at ``path`` if there is one."""
    if path is not None:
        # joblib takes a worker that grows by 300 MB after its first task for a leaking one, and
        # replaces it with a warning.  torch is that large, and one of the next steps imports it.
        import torch  # noqa: F401
    results = []
    for item in chunk:
        with nullcontext() if threads is None else limited_threads(threads):
            results.append(function(item))
    return results if path is None else pack(results, path)


def _results_of_workers(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    n_jobs: int | None,
    prefer: str | None,
) -> Generator[Any]:
    """Yield the results in order; closed early, finish what is under way and start nothing new."""
    workers = effective_n_jobs(n_jobs)
    threads = threads_per_worker(prefer, workers)
    files = ResultFiles() if processes_open_our_files(prefer) else None
    lent: deque[int] = deque()
    ending = Event()

    def tasks() -> Iterator[Any]:
        for chunk in _chunks(items, workers):
            if ending.is_set():
                return
            path = None
            if files is not None:
                lent.append(files.lend())
                path = files.path(lent[-1])
            yield delayed(_work_through)(function, chunk, threads, path)

    parallel = Parallel(workers, prefer=prefer, return_as=one_by_one(prefer), batch_size=1)
    with nullcontext() if files is None else closing(files):
        answers = parallel(tasks())
        try:
            for answer in answers:
                if files is None:
                    yield from answer
                else:
                    yield from files.unpack(lent.popleft(), answer)
        finally:
            # Closing joblib's generator instead would make it complain about results nobody reads.
            # Ctrl-C in a terminal reaches the workers too, so that their interrupts come up here.
            ending.set()
            with suppress(Exception):
                deque(answers, maxlen=0)


def parallel_map(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    n_jobs: int | None,
    verbose: int,
    desc: str,
    until: Callable[[Any], bool] | None = None,
    take: Callable[[int, Any], Any] | None = None,
    prefer: str | None = None,
) -> list[Any]:
    """Apply ``function`` to every item and return the results in order.

    Parameters
    ----------
    function : callable
        Must be picklable when ``n_jobs`` asks for more than one process.
    items : sequence
        The arguments, one per call.  Slices of it are what goes to a worker.
    n_jobs : int or None
        As in scikit-learn: None means 1 unless inside a ``joblib.parallel_config`` context.  Inside
        the work of another :class:`joblib.Parallel`, or a task on a Dask cluster, the caller does
        the work itself, whatever is given.
    verbose : int
        0 is silent, 1 shows a bar while it runs, 2 leaves it on the screen.
    desc : str
        Label of the bar.
    until : callable, optional
        Ends the work early, soon after a result for which it is true.
    take : callable, optional
        Called here with position and result, in order, as soon as the result is there; what it
        returns is kept instead, so that large results need not all be held.
    prefer : {"processes", "threads"}, optional
        As for :class:`joblib.Parallel`; a backend that the user has chosen comes first.

    Returns
    -------
    list
        One result per item; only those of the first items if the work ended early.
    """
    done: list[Any] = []
    results: Generator[Any]
    if works_alone(n_jobs):
        results = (function(item) for item in items)
    else:
        results = _results_of_workers(function, items, n_jobs=n_jobs, prefer=prefer)
    with closing(results), _bar(len(items), desc, verbose) as advance:
        for result in results:
            ends = until is not None and until(result)
            done.append(result if take is None else take(len(done), result))
            advance()
            if ends:
                break
    return done
