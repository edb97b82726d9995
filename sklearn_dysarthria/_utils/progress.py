"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def progress_bar(iterable: Iterable[Any], *, total: int, desc: str, verbose: int) -> Iterable[Any]:
    """Return an iterable, which shows a bar on standard error if that is asked for.

    Parameters
    ----------
    iterable : iterable
        Its items are yielded.
    total : int
        How many there will be.
    desc : str
        Label of the bar.
    verbose : int
        0 is silent, 1 shows a bar while it runs, 2 leaves it on the screen.
    """
    return _with_bar(iterable, total, desc, verbose) if verbose else iterable


def _with_bar(iterable: Iterable[Any], total: int, desc: str, verbose: int) -> Iterator[Any]:
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=desc, leave=verbose > 1) as bar:
        for item in iterable:
            yield item
            bar.update()
