"""How often the work moves from one file of the package to another.

Run from the repository's root::

    python benchmarks/speed/file_changes.py
    python benchmarks/speed/file_changes.py --pairs 15    # and between which files it moves most

A change of file is a call, in the main thread, of a function of the package that stands in another
file than the function of the package called before it.  The work is done once before it is
counted, so that imports, compiled loops and caches of the process are not part of it.  A reader who
follows the work with a debugger goes through so many changes; the figure depends on the code alone,
not on the machine.

Targets: at most 1,000 for a comparison of one network on 8 patients in 2 folds, from the table to
the table of results; and `predict --on-error nan` moves no more often than `predict` by more than a
tenth.
"""

from __future__ import annotations

from side_by_side import keep, table, verdict  # isort: skip  (pins the threads)

import argparse
import contextlib
import io
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sklearn_dysarthria
from sklearn_dysarthria import cli, compare, make_dysarthric_speech

PACKAGE = str(Path(sklearn_dysarthria.__file__).parent)
COMPARISON_TARGET, PREDICTION_TARGET = 1000, 1.1
N_PATIENTS, N_JUDGED = 8, 6


def changes_of_file(run: Callable[[], Any]) -> Counter[tuple[str, str]]:
    """Run twice, and count the changes of the second time by pairs of files."""
    run()
    found: Counter[tuple[str, str]] = Counter()
    last = ""

    def on_event(frame: Any, event: str, _: Any) -> None:
        nonlocal last
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(PACKAGE) and name != last:
            found[Path(last).name, Path(name).name] += 1
            last = name

    sys.setprofile(on_event)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def comparison() -> Callable[[], Any]:
    """Return a comparison of one network."""
    X, y = make_dysarthric_speech(N_PATIENTS, duration=0.5, sample_rate=8000, random_state=0)
    options = {"preset": "quick", "n_splits": 2, "n_resamples": 10}
    return lambda: compare(X, y, methods=["hyper-alexnet"], **options)


def predictions(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the judging of recordings by a trained network, with either answer to failures."""
    X, y = make_dysarthric_speech(
        N_PATIENTS, duration=0.5, sample_rate=8000, folder=folder / "wav", random_state=0
    )
    labels = np.where(y == 1, "ALS", "HC")
    X[["audio", "patient", "task"]].assign(label=labels).to_csv(folder / "table.csv", index=False)
    model = str(folder / "net.model")
    settings = ["corpus.target=label", "model.name=hyper-alexnet"]
    settings += ["model.params.classify.max_epochs=1"]
    assignments = [part for setting in settings for part in ("--set", setting)]
    _program("train", str(folder / "table.csv"), "--output", model, *assignments)
    judged = [*X["audio"].iloc[:N_JUDGED]]
    return {
        "predict": lambda: _program("predict", model, *judged),
        "predict --on-error nan": lambda: _program("predict", model, *judged, "--on-error", "nan"),
    }


def _program(*arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.app([*arguments, "--quiet"], standalone_mode=False)


def main() -> None:
    """Count and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=0, help="most frequent pairs of files")
    pairs = parser.parse_args().pairs
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        works = {f"compare, {N_PATIENTS} patients, 2 folds, one network": comparison()}
        works |= predictions(Path(folder))
        found = {name: changes_of_file(work) for name, work in works.items()}
    counts = {name: counter.total() for name, counter in found.items()}
    in_comparison, once, twice = counts.values()
    verdicts = [
        verdict(f"compare: at most {COMPARISON_TARGET}", in_comparison <= COMPARISON_TARGET),
        verdict(
            f"--on-error nan: at most {PREDICTION_TARGET} times predict",
            twice <= PREDICTION_TARGET * once,
        ),
    ]
    rows = [(name, f"**{count}**") for name, count in counts.items()]
    parts = [table(["work", "changes of file"], rows), ". ".join(verdicts) + "."]
    for name, counter in found.items() if pairs else ():
        most = [(*pair, count) for pair, count in counter.most_common(pairs)]
        parts.append(f"{name}:\n\n" + table(["from", "to", "changes"], most))
    keep("file_changes", "\n\n".join(parts), packages=("scikit-learn", "torch", "skorch"))


if __name__ == "__main__":
    main()
