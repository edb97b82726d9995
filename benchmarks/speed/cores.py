"""Two jobs against one, on the transformers of recordings.

    OMP_NUM_THREADS=1 python benchmarks/speed/cores.py [synthetic|minsk2020]

Target: ``n_jobs=2`` is at least 1.8 times as fast as ``n_jobs=1`` once its workers run, with the
same numbers.  One job works for about 2 s, on recordings that are repeated as often as that
takes.  Starting the workers (new processes that import the package) happens once, and is told
apart: the first call in a new pool.

What the machine can give at all is measured in the same rounds: two processes that were forked
beforehand, each doing half of the recordings and returning nothing.  Where these stay below the
target, so must ``n_jobs=2``.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from side_by_side import in_turns, keep, ratio, table, verdict  # isort: skip  (pins the threads)

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

TARGET, SECONDS = 1.8, 2.0
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


def enough(make: Callable[..., Any], X: pd.DataFrame) -> pd.DataFrame:
    """Repeat recordings, or leave some out, until they keep one job busy for long enough."""
    n = 16
    while True:
        # A new index: copies under one label would be computed once.
        repeated = X.iloc[np.arange(n) % len(X)].reset_index(drop=True)
        transformer = make(n_jobs=1).fit(repeated)
        if n == 16:
            transformer.transform(repeated)  # warm
        start = time.perf_counter()
        transformer.transform(repeated)
        took = time.perf_counter() - start
        if took >= SECONDS:
            return repeated
        n = 2 * math.ceil(1.2 * n * SECONDS / took / 2)  # two equal halves


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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "corpus", nargs="?", choices=["synthetic", "minsk2020"], default="synthetic"
    )
    corpus = parser.parse_args().corpus
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        all_of_them = recordings(corpus, folder)
        for name, make in TRANSFORMERS.items():
            X = enough(make, all_of_them)
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
            found = ratio(seconds, "one", "two")
            rows.append(
                (
                    name,
                    len(X),
                    f"{1e3 * seconds['one'].median() / len(X):.2f} ms",
                    f"{seconds['one'].median():.1f} s",
                    f"**{found:.2f}×**",
                    verdict(f"at least {TARGET}×", found >= TARGET),
                    f"{ratio(seconds, 'one', 'forked'):.2f}×",
                    f"{first - steady:.1f} s",
                )
            )
    columns = ["", "recordings", "one job, each", "one job, all", "`n_jobs=2`", "target"]
    columns.append("two bare processes")
    text = table([*columns, "start of the workers, once"], rows)
    keep(
        f"cores_{corpus}",
        'Two jobs against one, the same numbers.  "Two bare processes" is what this '
        f"machine gives to two halves of the work without any exchange.\n\n{text}",
    )


if __name__ == "__main__":
    main()
