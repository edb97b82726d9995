"""Compare the methods on a corpus and keep the result.

Run from the top of the checkout::

    python benchmarks/compare_corpora.py synthetic
    python benchmarks/compare_corpora.py minsk2020 --repeats 5

Minsk2020 is looked for (and downloaded to) where :func:`fetch_minsk2020_als` keeps it; point
``SKLEARN_DYSARTHRIA_DATA`` to a folder that has it.  All other options are those of
``sklearn-dysarthria compare``.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scikit-learn", "torch", "torchvision", "skorch", "librosa", "opensmile")


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    corpus, options = sys.argv[1], sys.argv[2:]
    folder = RESULTS / Path(corpus).stem
    program = [sys.executable, "-m", "sklearn_dysarthria.cli", "compare", corpus]
    began = time.perf_counter()
    subprocess.run([*program, *options, "--output", str(folder)], check=True)
    minutes = (time.perf_counter() - began) / 60
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    command = " ".join(["python benchmarks/compare_corpora.py", corpus, *options])
    (folder / "run.md").write_text(
        f"`{command}`\n\n"
        f"{minutes:.1f} minutes; Python {platform.python_version()}, {versions}; "
        f"{platform.system()} {platform.machine()}.\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
