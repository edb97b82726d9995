"""Forked workers: joblib's backend "multiprocessing"."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MARK = "mark" + ".forks"


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot fork")
@pytest.mark.timeout(590)
def test_what_forks_works_in_a_process_without_other_threads():
    # A fork copies locks, but not the threads that hold them: beside the threads that other tests
    # leave behind (torch, loky, xdist), the forked workers now and then wait for ever.  Those
    # that are about torch's threads come last, for they leave some behind.
    files = [path for path in HERE.rglob("test_*.py") if MARK in path.read_text(encoding="utf-8")]
    assert files
    said = "".join(run(files, *which) for which in [("not oversubscribe",), ("oversubscribe",)])
    passed = set(re.findall(r"(\S+)::\S+ PASSED", said))
    assert {HERE.parent / name for name in passed} == set(files), said


def run(files, which):
    command = [sys.executable, "-m", "pytest", "-v", "-m", "forks", "-k", which, "--timeout=60"]
    process = subprocess.Popen(
        [*command, "-p", "no:xdist", "-p", "no:cacheprovider", *map(str, files)],
        cwd=HERE.parent,  # from where workers import the tests' functions
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=280)
    except subprocess.TimeoutExpired as error:
        raise AssertionError((error.stdout or b"").decode()) from error
    finally:
        with contextlib.suppress(ProcessLookupError):  # workers that hang outlive their parent
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    return said
