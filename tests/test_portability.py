"""Recordings on systems that lack what only POSIX has, simulated in a process of their own."""

import os
import subprocess
import sys

import pytest

WITHOUT_POSIX = """
import mmap, os, sys
import joblib, numba, numpy as np, pandas as pd, sklearn, soxr, torch  # which may use it
import joblib.externals.loky

for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "memfd_create", "posix_fallocate", "pread", "pwrite"):
    if hasattr(os, name):
        delattr(os, name)
if hasattr(mmap, "MADV_DONTNEED"):
    del mmap.MADV_DONTNEED

from sklearn.dummy import DummyClassifier
from sklearn_dysarthria import EnergyVAD, LogMelDeltaImages, SkipFailedRows

audio = list(np.random.default_rng(0).uniform(-1, 1, (6, 4000)))
X = pd.DataFrame({"audio": audio, "sample_rate": 8000})
small = dict(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16, image_size=16)
folder = sys.argv[1]
expected = LogMelDeltaImages(**small).fit_transform(X)
for _ in range(2):
    vad = EnergyVAD(sample_rate=8000, cache=folder + "/cache", n_jobs=2).fit_transform(X)
    images = LogMelDeltaImages(
        **small, cache=folder + "/cache", mmap_folder=folder + "/images", n_jobs=2
    ).fit_transform(X)
    np.testing.assert_array_equal(images, expected)
    SkipFailedRows(DummyClassifier()).fit(images, [0, 1] * 3)  # reads them part by part
    np.testing.assert_array_equal(images, expected)
    assert os.listdir(folder + "/images")
    del images
    assert not os.listdir(folder + "/images")
"""


def test_images_need_nothing_of_posix(tmp_path):
    run(WITHOUT_POSIX, tmp_path)
    kept = [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 62]
    assert len(kept) == 12


STARTED = """
import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn_dysarthria import LogMelDeltaImages

audio = list(np.random.default_rng(0).uniform(-1, 1, (6, 4000)))
X = pd.DataFrame({"audio": audio, "sample_rate": 8000})
images = LogMelDeltaImages(sample_rate=8000, n_fft=256, hop_length=128, n_mels=16, image_size=16)
with parallel_config("multiprocessing", n_jobs=2):
    found = images.fit_transform(X)  # before this process has threads of its own
np.testing.assert_array_equal(found, images.fit_transform(X))
"""


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            "fork",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
        ),
        "spawn",
    ],
)
def test_processes_however_they_are_started_give_the_same_numbers(method):
    run(STARTED, JOBLIB_START_METHOD=method)


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
