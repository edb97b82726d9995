"""Forked workers: joblib's backend "multiprocessing"."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FILES = [
    str(HERE / name) for name in ("test_rows.py", "test_progress.py", "report/test_compare.py")
]


def test_what_forks_works_in_a_process_without_other_threads():
    # A fork copies locks, but not the threads that hold them: beside the threads that other tests
    # leave behind (torch, loky, xdist), the forked workers now and then wait for ever.
    environ = {name: os.environ[name] for name in os.environ if "PYTEST" not in name}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "forks", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", *FILES],
        cwd=HERE.parent,  # from where workers import the tests' functions
        env={**environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) >= 30, run.stdout
