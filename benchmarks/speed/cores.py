"""Two jobs against one, on the transformers of recordings.

    OMP_NUM_THREADS=1 python benchmarks/speed/cores.py [synthetic|minsk2020]

Target: ``n_jobs=2`` is at least 0.9 times as fast as two bare threads, with the numbers of
``n_jobs=1``.  One job works for about 2 s, on recordings that are repeated as often as that takes.
Two bare threads, which each do half of the recordings and return nothing, show what the machine can
give; they are measured in the same rounds.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from side_by_side import in_turns, keep, ratio, table, verdict  # isort: skip  (pins the threads)

import numpy as np
import pandas as pd

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    EnergyVAD,
    LogMelDeltaImages,
    fetch_minsk2020_als,
    make_dysarthric_speech,
)

TARGET, SECONDS = 0.9, 2.0
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


@contextmanager
def two_threads(make: Callable[..., Any], X: pd.DataFrame) -> Iterator[Callable[[], None]]:
    """Yield what makes two waiting threads transform half of the recordings each."""
    works = [partial(make(n_jobs=1).fit(X).transform, half) for half in (X[::2], X[1::2])]
    with ThreadPoolExecutor(2) as pool:

        def run() -> None:
            for done in [pool.submit(work) for work in works]:
                done.result()

        yield run


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
            assert_same(expected, two.transform(X))
            with two_threads(make, X) as bare:
                seconds = in_turns(
                    {
                        "one": lambda one=one, X=X: one.transform(X),
                        "two": lambda two=two, X=X: two.transform(X),
                        "bare": bare,
                    },
                    rounds=5,
                )
            found, possible = ratio(seconds, "one", "two"), ratio(seconds, "one", "bare")
            rows.append(
                (
                    name,
                    len(X),
                    f"{1e3 * seconds['one'].median() / len(X):.2f} ms",
                    f"{seconds['one'].median():.1f} s",
                    f"**{found:.2f}×**",
                    f"{possible:.2f}×",
                    verdict(f"at least {TARGET} of two bare threads", found >= TARGET * possible),
                )
            )
    columns = ["", "recordings", "one job, each", "one job, all", "`n_jobs=2`"]
    text = table([*columns, "two bare threads", "target"], rows)
    keep(
        f"cores_{corpus}",
        'Two jobs against one, the same numbers.  "Two bare threads" is what this machine gives to '
        f"two halves of the work without any exchange.\n\n{text}",
    )


if __name__ == "__main__":
    main()
