"""Run a function over items in worker processes, with a progress bar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from joblib import Parallel, delayed


def progress_bar(iterable: Iterable[Any], *, total: int, desc: str, verbose: int) -> Iterable[Any]:
    """Wrap an iterable in a tqdm bar on standard error when ``verbose`` is positive."""
    if not verbose:
        return iterable
    from tqdm.auto import tqdm

    return tqdm(iterable, total=total, desc=desc, leave=verbose > 1)


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
        Ends the work early, at the first result (in the order of the items) for which it is true.

    Returns
    -------
    list
        One result per item, up to and including the one that ended the work.
    """
    results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(function)(i) for i in items)
    done = []
    for result in progress_bar(results, total=len(items), desc=desc, verbose=verbose):
        done.append(result)
        if until is not None and until(result):
            with warnings.catch_warnings():
                # joblib warns about results that nobody will read; here that is the point.
                warnings.simplefilter("ignore")
                results.close()
            break
    return done
