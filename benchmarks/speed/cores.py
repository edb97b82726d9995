"""Two jobs against one, on the transformers of recordings.

    OMP_NUM_THREADS=1 python benchmarks/speed/cores.py [synthetic|minsk2020]

Target: ``n_jobs=2`` is at least 1.8 times as fast as ``n_jobs=1`` once its workers run, for
images and for openSMILE features, with the same numbers.  Starting the workers (new processes that
import the package) happens once, and is told apart: the first call in a new pool.

What the machine can give at all is measured in the same rounds: two processes that were forked
beforehand, each doing half of the recordings and returning nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from side_by_side import in_turns, keep, ratio, table  # isort: skip  (pins the threads)

import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    EnergyVAD,
    LogMelDeltaImages,
    fetch_minsk2020_als,
    make_dysarthric_speech,
)

REPEATS = {"images": 4, "openSMILE": 0.125, "voice activity": 6}
"""How often each of 128 recordings is used: a round of about a second with one job."""
TRANSFORMERS: dict[str, Callable[..., Any]] = {
    "images": LogMelDeltaImages,
    "openSMILE": EGeMAPSFeatures,
    "voice activity": EnergyVAD,
}


def recordings(corpus: str, folder: str) -> pd.DataFrame:
    """Return 128 recordings in files."""
    if corpus == "minsk2020":
        X = fetch_minsk2020_als().data
    else:
        X, _ = make_dysarthric_speech(
            n_patients=64, duration=(4, 8), sample_rate=44100, folder=folder, random_state=0
        )
    return X.iloc[:128]


def _work(transform: Callable[[], Any], orders: Any, reports: Any) -> None:
    while orders.recv():
        transform()
        reports.send(True)


@contextmanager
def two_forks(make: Callable[..., Any], X: pd.DataFrame) -> Iterator[Callable[[], None]]:
    """Yield what makes two waiting processes transform half of the recordings each."""
    context = get_context("fork")
    ends = []
    for half in (X.iloc[::2], X.iloc[1::2]):
        orders, reports = context.Pipe(), context.Pipe()
        work = partial(make(n_jobs=1).fit(half).transform, half)
        context.Process(target=_work, args=(work, orders[1], reports[0]), daemon=True).start()
        ends.append((orders[0], reports[1]))

    def run() -> None:
        for order, _ in ends:
            order.send(True)
        for _, report in ends:
            report.recv()

    yield run
    for order, _ in ends:
        order.send(False)


def assert_same(one: Any, two: Any) -> None:
    """Raise unless both jobs gave exactly the same."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, two)
    else:
        np.testing.assert_array_equal(one, two)


def main() -> None:
    """Measure and keep the result."""
    corpus = sys.argv[1] if len(sys.argv) > 1 else "synthetic"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        all_of_them = recordings(corpus, folder)
        for name, make in TRANSFORMERS.items():
            n = int(len(all_of_them) * REPEATS[name])
            # A new index: copies under one label would be computed once.
            X = all_of_them.iloc[np.arange(n) % len(all_of_them)].reset_index(drop=True)
            one, two = make(n_jobs=1).fit(X), make(n_jobs=2).fit(X)
            expected = one.transform(X)
            get_reusable_executor().shutdown(wait=True)
            start = time.perf_counter()
            assert_same(expected, two.transform(X))
            first = time.perf_counter() - start
            with two_forks(make, X) as forked:
                seconds = in_turns(
                    {
                        "one": lambda one=one, X=X: one.transform(X),
                        "two": lambda two=two, X=X: two.transform(X),
                        "forked": forked,
                    },
                    rounds=5,
                )
            steady = float(seconds["two"].median())
            rows.append(
                (
                    name,
                    n,
                    f"{1e3 * seconds['one'].median() / n:.2f} ms",
                    f"**{ratio(seconds, 'one', 'two'):.2f}×**",
                    f"{ratio(seconds, 'one', 'forked'):.2f}×",
                    f"{first - steady:.1f} s",
                )
            )
    columns = ["", "recordings", "one job, each", "`n_jobs=2`", "two bare processes"]
    text = table([*columns, "start of the workers, once"], rows)
    keep(
        f"cores_{corpus}",
        'Two jobs against one (target 1.8×), the same numbers.  "Two bare processes" is what this '
        f"machine gives to two halves of the work without any exchange.\n\n{text}",
    )


if __name__ == "__main__":
    main()
