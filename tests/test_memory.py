"""How much memory the work takes, each time in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is measured on Linux"
)

MEASURE = """
import gc, json, re, sys
import numpy as np, pandas as pd, torch
from pathlib import Path
from sklearn_dysarthria import (
    Backbone, BackboneClassifier, LogMelDeltaImages, RecordingOverSampler, ResampledClassifier)

torch.set_num_threads(1)
settings = json.loads(sys.argv[1])


def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def work(n_rows):
    audio = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    X = pd.DataFrame({"audio": pd.Series([audio] * n_rows, dtype=object), "sample_rate": 8000})
    y = np.where(np.arange(n_rows) % 10, "many", "few")
    images = LogMelDeltaImages(
        sample_rate=8000, n_fft=256, hop_length=128, n_mels=32, image_size=96,
        mmap_folder=settings["folder"],
    ).fit_transform(X)
    net = BackboneClassifier(
        Backbone("alexnet", weights=None, width=0.05), max_epochs=1, batch_size=8, device="cpu",
        random_state=0, oversample=settings.get("oversample"))
    if settings.get("resample"):
        net = ResampledClassifier(RecordingOverSampler(multipliers=settings["resample"]), net)
    net.fit(images, y).predict_proba(images)
    return images.nbytes


work(16)  # what the libraries take once
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = status("VmRSS")
array = work(settings["n_rows"])
print(json.dumps({"array": array, "grown": status("VmHWM") - before}))
"""


def measure(folder, n_rows=600, **settings):
    """Bytes of the images, and by how much the peak exceeds what was there before them."""
    arguments = {"folder": folder and str(folder), "n_rows": n_rows} | settings
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", name="held")
def measured_in_memory():
    return measure(None)


def test_images_on_a_disk_are_never_held_as_a_whole(held, tmp_path):
    assert held["grown"] > 0.9 * held["array"]  # so the measure sees an array that is held
    streamed = measure(tmp_path)
    assert streamed["array"] == held["array"]
    assert streamed["grown"] < 0.5 * held["array"], streamed


@pytest.mark.parametrize("way", ["oversample", "resample"])
def test_oversampling_costs_no_memory(held, way):
    often = measure(None, **{way: {"few": 21}})  # copies would be twice the images
    assert often["grown"] - held["grown"] < 0.15 * held["array"], (held, often)
