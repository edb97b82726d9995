"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def progress_bar(iterable: Iterable[Any], *, total: int, desc: str, verbose: int) -> Iterable[Any]:
    """Return an iterable, with a bar on standard error if `verbose` is 1, which stays there with 2.

    `total` is the number of items, `desc` the label of the bar.
    """
    return _with_bar(iterable, total, desc, verbose) if verbose else iterable


def _with_bar(iterable: Iterable[Any], total: int, desc: str, verbose: int) -> Iterator[Any]:
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=desc, leave=verbose > 1) as bar:
        for item in iterable:
            yield item
            bar.update()
