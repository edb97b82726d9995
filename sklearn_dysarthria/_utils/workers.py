"""How many workers there are, and how many threads each may use."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from joblib import cpu_count, effective_n_jobs
from joblib.parallel import (
    LokyBackend,
    MultiprocessingBackend,
    SequentialBackend,
    ThreadingBackend,
    get_active_backend,
)
from threadpoolctl import ThreadpoolController

HAS_MEMORY_FILES = hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")
"""Whether there are files in memory only, and other processes can open them (Linux)."""

# Compared by type: Ray's backend derives from the multiprocessing one and is anywhere.
_PROCESSES_HERE = (LokyBackend, MultiprocessingBackend)
_JOBLIBS_OWN = (*_PROCESSES_HERE, ThreadingBackend, SequentialBackend)


def _in_dask_task() -> bool:
    """Tell whether a worker of a Dask cluster is running this.

    joblib would hand every item back to the cluster, whatever ``n_jobs`` says; but the cluster's
    cores are busy with tasks like the one that asks.
    """
    utils = sys.modules.get("distributed.utils")
    return utils is not None and hasattr(utils.thread_state, "execution_state")


def works_alone(n_jobs: int | None) -> bool:
    """Tell whether the caller does all the work itself.

    That is so with one worker, and inside the work of another :class:`joblib.Parallel`, whose
    workers already have the cores: numbers of jobs do not multiply.
    """
    backend, _ = get_active_backend()
    if _in_dask_task() or (backend.nesting_level or 0) > 0:
        return True
    return type(backend) in _JOBLIBS_OWN and effective_n_jobs(n_jobs) == 1


def works_in_this_process(n_jobs: int | None) -> bool:
    """Tell whether all the work is done in this process, in whichever thread."""
    return works_alone(n_jobs) or type(get_active_backend()[0]) is ThreadingBackend


def processes_open_our_files(prefer: str | None = None) -> bool:
    """Tell whether joblib would work in other processes that can open what this one has open."""
    return HAS_MEMORY_FILES and type(get_active_backend(prefer)[0]) in _PROCESSES_HERE


def one_by_one(prefer: str | None = None) -> str:
    """Return the ``return_as`` that gives results as early as the backend can, in order."""
    return "generator" if get_active_backend(prefer)[0].supports_return_generator else "list"


def threads_per_worker(prefer: str | None, workers: int) -> int | None:
    """Return how many threads a worker may use; None where that is the cluster's affair."""
    if type(get_active_backend(prefer)[0]) not in _JOBLIBS_OWN:
        return None
    return max(1, cpu_count() // workers)


@lru_cache(maxsize=2)
def _openmp_libraries(with_torch: bool) -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")


def limited_threads(threads: int) -> AbstractContextManager[Any]:
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
