"""Time contestants in turns and keep what came out, with the machine and the versions.

Import this module first: it pins the threads of the numerical libraries, which read the
environment when they are loaded.
"""

from __future__ import annotations

import os

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = str(THREADS)

import gc
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

RESULTS = Path(__file__).resolve().parents[1] / "results" / "speed"
PACKAGES = (
    "numpy",
    "scikit-learn",
    "torch",
    "torchaudio",
    "librosa",
    "soxr",
    "opensmile",
    "skorch",
)


def in_turns(
    contestants: Mapping[str, Callable[[], Any]], *, rounds: int = 7, warm_up: int = 1
) -> pd.DataFrame:
    """Run every contestant once per round, in an order that rotates from round to round.

    Parameters
    ----------
    contestants : mapping of str to callable
        What is timed, by name.
    rounds : int, default=7
        Rounds that count.
    warm_up : int, default=1
        Rounds before those.

    Returns
    -------
    DataFrame of shape (rounds, n_contestants)
        Seconds.
    """
    names = list(contestants)
    seconds = []
    for number in range(-warm_up, rounds):
        turn = number % len(names)
        taken = {}
        for name in names[turn:] + names[:turn]:
            gc.collect()
            start = time.perf_counter()
            contestants[name]()
            taken[name] = time.perf_counter() - start
        if number >= 0:
            seconds.append(taken)
    return pd.DataFrame(seconds)[names]


def ratio(seconds: pd.DataFrame, slow: str, fast: str) -> float:
    """Return how many times as long one contestant took: the median over the rounds."""
    return float((seconds[slow] / seconds[fast]).median())


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def verdict(target: str, met: bool) -> str:
    """Say whether a target was reached."""
    return f"{target}: {'met' if met else 'missed'}"


def keep(name: str, text: str, *, packages: Sequence[str] = PACKAGES) -> None:
    """Print a result, and write it with the command, the machine and the versions.

    Parameters
    ----------
    name : str
        Stem of the file under ``benchmarks/results/speed``.
    text : str
        Markdown: what was measured, against which target.
    packages : sequence of str
        Distributions whose versions matter.
    """
    script = Path(sys.argv[0]).resolve().relative_to(RESULTS.parents[2])
    command = " ".join(["python", str(script), *sys.argv[1:]])
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    told = (
        f"`{command}`\n\n{text.strip()}\n\n"
        f"{THREADS} thread(s) of {os.cpu_count()} cores, {_processor()}; "
        f"Python {platform.python_version()}, {versions}; "
        f"{platform.system()} {platform.machine()}.\n"
    )
    print(told)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(told, encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
