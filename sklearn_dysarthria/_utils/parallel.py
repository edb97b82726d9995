"""Run a function over items, here or in workers."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from functools import lru_cache
from threading import Event
from typing import Any

from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from joblib.parallel import (
    LokyBackend,
    MultiprocessingBackend,
    SequentialBackend,
    ThreadingBackend,
    get_active_backend,
)
from threadpoolctl import ThreadpoolController

from sklearn_dysarthria._utils.progress import progress_bar

_LARGEST_CHUNK = 32
# Compared by type: Ray's backend derives from the multiprocessing one and may work anywhere.
_ON_THIS_COMPUTER = (LokyBackend, MultiprocessingBackend, ThreadingBackend, SequentialBackend)


def works_alone(n_jobs: int | None) -> bool:
    """Return whether the caller does all the work itself.

    That is so with one worker, and inside the work of another :class:`joblib.Parallel`, whose
    workers already have the cores: numbers of jobs do not multiply.
    """
    backend, _ = get_active_backend()
    if _in_dask_task() or (backend.nesting_level or 0) > 0:
        return True
    return type(backend) in _ON_THIS_COMPUTER and effective_n_jobs(n_jobs) == 1


def _in_dask_task() -> bool:
    """Return whether a worker of a Dask cluster runs this.

    joblib would hand every item back to the cluster, even with ``n_jobs=1``; but the cluster's
    cores are busy with tasks like the one that asks.
    """
    utils = sys.modules.get("distributed.utils")
    return utils is not None and hasattr(utils.thread_state, "execution_state")


def works_in_this_process(n_jobs: int | None, prefer: str | None = None) -> bool:
    """Return whether all the work is done in this process, in whichever thread."""
    return works_alone(n_jobs) or type(get_active_backend(prefer)[0]) is ThreadingBackend


def one_by_one(prefer: str | None = None) -> str:
    """Return the ``return_as`` that gives results as early as the backend can, in order."""
    return "generator" if get_active_backend(prefer)[0].supports_return_generator else "list"


def parallel_map(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    n_jobs: int | None,
    verbose: int,
    desc: str,
    until: type | None = None,
    take: Callable[[int, Any], Any] | None = None,
    prefer: str | None = None,
) -> list[Any]:
    """Apply ``function`` to every item and return the results in order.

    Parameters
    ----------
    function : callable
        Must be picklable if the work is done in processes.
    items : sequence
        The arguments, one per call.  Workers get slices of it.
    n_jobs : int or None
        As in scikit-learn: None means 1 unless inside a ``joblib.parallel_config`` context.  Inside
        the work of another :class:`joblib.Parallel`, or a task on a Dask cluster, the caller does
        the work itself, and this is ignored.
    verbose : int
        0 is silent, 1 shows a bar while it runs, 2 leaves it on the screen.
    desc : str
        Label of the bar.
    until : type, optional
        Ends the work early, soon after a result of this type.
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
    bar = progress_bar(results, total=len(items), desc=desc, verbose=verbose)
    with closing(results), closing(bar):  # type: ignore[type-var]
        for result in bar:
            done.append(result if take is None else take(len(done), result))
            if until is not None and isinstance(result, until):
                break
    return done


def _results_of_workers(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    n_jobs: int | None,
    prefer: str | None,
) -> Generator[Any]:
    """Yield the results in order; closed early, finish what is under way and start nothing new."""
    workers = effective_n_jobs(n_jobs)
    threads = _threads_per_worker(prefer, workers)
    ending = Event()

    def tasks() -> Iterator[Any]:
        for chunk in _chunks(items, workers):
            if ending.is_set():
                return
            yield delayed(_work_through)(function, chunk, threads)

    answers = iter(
        Parallel(workers, prefer=prefer, return_as=one_by_one(prefer), batch_size=1)(tasks())
    )
    try:
        for answer in answers:
            yield from answer
    finally:
        # Closing joblib's generator instead would make it complain about results that are not read.
        # Ctrl-C in a terminal reaches workers too, so that their interrupts come up here.
        ending.set()
        with suppress(Exception):
            deque(answers, maxlen=0)


def _chunks(items: Sequence[Any], workers: int) -> Iterator[Sequence[Any]]:
    """Cut the items into tasks: large ones first, single items last, so that all end together."""
    start = 0
    while start < len(items):
        size = (len(items) - start) // (2 * workers)
        stop = start + min(max(size, 1), _LARGEST_CHUNK)
        yield items[start:stop]
        start = stop


def _work_through(
    function: Callable[[Any], Any], chunk: Iterable[Any], threads: int | None
) -> list[Any]:
    """Do one task."""
    results = []
    for item in chunk:
        with nullcontext() if threads is None else _limited_threads(threads):
            results.append(function(item))
    return results


def _threads_per_worker(prefer: str | None, workers: int) -> int | None:
    """Return how many threads a worker may use; None where the cluster decides."""
    if type(get_active_backend(prefer)[0]) not in _ON_THIS_COMPUTER:
        return None
    return max(1, cpu_count() // workers)


@lru_cache(maxsize=2)
def _openmp_libraries(with_torch: bool) -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


def _limited_threads(threads: int) -> AbstractContextManager[Any]:
    """Limit OpenMP, with which torch computes, in the calling thread and for the block only.

    joblib tells processes that it starts by their environment, which neither threads nor forked
    processes read.  A lower limit that is set already stays.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()  # a new thread first takes over torch's own setting
    libraries = _openmp_libraries(torch is not None)
    lowest = min((library["num_threads"] for library in libraries.info()), default=threads)
    return libraries.limit(limits=min(threads, lowest))
