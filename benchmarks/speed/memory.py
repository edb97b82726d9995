"""Peak memory: over-sampling, and ten thousand recordings whose images lie on the disk.

Run from the top of the checkout, with 10 GB free in the folder for temporary files, which must be
on a disk (``TMPDIR``), not a ``tmpfs``::

    python benchmarks/speed/memory.py
    python benchmarks/speed/memory.py --recordings 100 300 1000    # a shorter one

Every measurement is a process of its own, and its peak is the kernel's (``VmHWM``: the most that
was resident at once, libraries and pages of files included).

Targets: repeating a class 21 times adds less than 5 % to the peak of the same fit without; 10,000
recordings of 4 s, whose waveforms and images would be about 10 GB, pass VAD, images and a fit with
a peak below 3 GB, in a time per recording that does not depend on their number (the largest at
most 1.25 times the smallest).  What writing as many images takes by itself, on this disk and with
this system's memory for files, stands beside it.
"""

from __future__ import annotations

import side_by_side  # isort: skip - first: it pins the threads

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

RATE, SECONDS = 22050, 4
IMAGE = (3, 224, 224)
SHARES = {1: 0.02, 2: 0.08, 3: 0.19, 4: 0.28, 5: 0.43}
"""How often each class of the SAND challenge occurs, roughly."""
TIMES = {1: 21, 2: 5, 3: 2}
ROUTES = {
    "none": "none",
    "oversample": '`sand_convnext_pipeline(oversample="sand")`',
    "resampled": "`ResampledClassifier(RecordingOverSampler(…), classifier)`",
    "sampler": "`RecordingOverSampler` before the images",
    "none, on disk": "none",
    "oversample, on disk": '`sand_convnext_pipeline(oversample="sand")`',
    "sampler, on disk": "`RecordingOverSampler` before the images",
}
"""Ways to over-sample; "on disk" is with ``mmap_folder``, and compared with its own "none"."""
MOST_ADDED, MOST_BYTES, MOST_UNEVEN = 0.05, 3e9, 1.25


def write_recordings(folder: Path, number: int) -> None:
    """Write noisy vowels of changing pitch with silence around them, all of them different."""
    rng = np.random.default_rng(0)
    t = np.arange(RATE * SECONDS) / RATE
    envelope = np.interp(t, [0, 0.2, 0.3, 3.5, 3.7, SECONDS], [0, 0, 1, 1, 0, 0])
    vowels = []
    for pitch in rng.uniform(90, 260, size=200):
        phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.03 * np.sin(2 * np.pi * 5 * t))) / RATE
        partials = (np.sin(k * phase) / k * (k * pitch < RATE / 2) for k in range(1, 20))
        vowels.append((0.2 * envelope * sum(partials)).astype(np.float32))
    for i in range(number):
        noise = rng.standard_normal(len(t), dtype=np.float32)
        samples = vowels[i % len(vowels)] + 10 ** rng.uniform(-5, -3) * noise
        soundfile.write(folder / f"{i:05}.wav", samples, RATE, subtype="PCM_16")


def recordings(folder: Path, number: int) -> tuple[pd.DataFrame, np.ndarray]:
    paths = [str(folder / f"{i:05}.wav") for i in range(number)]
    y = np.random.default_rng(1).choice(list(SHARES), size=number, p=list(SHARES.values()))
    y[: len(SHARES)] = list(SHARES)  # however few there are
    return pd.DataFrame({"audio": paths, "task": "phonationA"}), y


def peak() -> int:
    """Return the most bytes that this process has had resident so far."""
    facts = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", facts)[1]) * 1024  # type: ignore[index]


# ------------------------------------------------------------------ what the processes measure


def fit_with(route: str, folder: Path, number: int) -> dict[str, Any]:
    """Fit the SAND system, its network small, with its classes over-sampled in one of the ways."""
    from imblearn.pipeline import Pipeline as SamplingPipeline

    from sklearn_dysarthria import (
        RecordingOverSampler,
        ResampledClassifier,
        sand_convnext_pipeline,
    )

    small = {"backbone__name": "convnext_femto", "backbone__weights": None}
    small |= {"backbone__width": 0.25, "max_epochs": 1}
    model = sand_convnext_pipeline(
        oversample="sand" if route.startswith("oversample") else None,
        **{f"classify__{name}": value for name, value in small.items()},
        classify__random_state=0,
        classify__device="cpu",
    )
    sampler = RecordingOverSampler(multipliers=TIMES)
    if route == "resampled":
        model.set_params(classify=ResampledClassifier(sampler, model["classify"]))
    elif route.startswith("sampler"):
        model = SamplingPipeline([("sample", sampler), *model.steps])
    if route.endswith("on disk"):
        model.set_params(images__mmap_folder=folder)
    X, y = recordings(folder, number)
    model.fit(X, y)
    repeated = {} if route.startswith("none") else TIMES
    return {"peak": peak(), "rows": sum(repeated.get(label, 1) for label in y)}


def whole_way(folder: Path, number: int) -> dict[str, Any]:
    """Take recordings through VAD, images and a fit, with the images on the disk."""
    from sklearn_dysarthria import Backbone, BackboneClassifier, EnergyVAD, LogMelDeltaImages

    steps = {"VAD": EnergyVAD(), "images": LogMelDeltaImages(mmap_folder=folder)}
    network = BackboneClassifier(
        Backbone("alexnet", weights=None, width=0.125),
        max_epochs=1,
        random_state=0,
        device="cpu",
    )
    X, y = recordings(folder, number)
    network.fit(steps["images"].fit_transform(steps["VAD"].fit_transform(X[:32])), y[:32])  # warm
    seconds = {}
    computed = time.process_time()
    for name, step in steps.items():
        start = time.perf_counter()
        X = step.fit_transform(X)
        seconds[name] = time.perf_counter() - start
    start = time.perf_counter()
    network.fit(X, y)
    seconds["fit"] = time.perf_counter() - start
    computed = time.process_time() - computed
    assert X.shape == (number, *IMAGE)
    assert np.isfinite(network.history_["train_loss"]).all()
    return {"peak": peak(), "seconds": seconds, "computed": computed}


def write_alone(folder: Path, number: int) -> dict[str, Any]:
    """Write as many images to a file, without computing anything."""
    image = np.random.default_rng(0).random(IMAGE, dtype=np.float32).tobytes()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        start = time.perf_counter()
        for _ in range(number):
            file.write(image)
        return {"seconds": time.perf_counter() - start}


# ---------------------------------------------------------------------------------- the report


def measured(*arguments: Any) -> dict[str, Any]:
    """Run this script in a new process that does one measurement."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def check_same_images(folder: Path) -> None:
    from sklearn_dysarthria import LogMelDeltaImages

    X, _ = recordings(folder, 8)
    on_disk = LogMelDeltaImages(mmap_folder=folder).fit_transform(X)
    np.testing.assert_array_equal(on_disk, LogMelDeltaImages().fit_transform(X))


def over_sampling(folder: Path, number: int) -> str:
    found = {route: measured(route, folder, number) for route in ROUTES}
    rows = []
    for route, text in ROUTES.items():
        where = "on the disk" if route.endswith("on disk") else "in memory"
        row = [where, text, found[route]["rows"], f"{found[route]['peak'] / 2**20:.0f} MiB"]
        if not route.startswith("none"):
            without = "none, on disk" if route.endswith("on disk") else "none"
            added = found[route]["peak"] / found[without]["peak"] - 1
            row += [f"{100 * added:+.1f} %", side_by_side.verdict("below +5 %", added < MOST_ADDED)]
        rows.append([*row, "", ""][:6])
    columns = ["images", "over-sampling", "rows trained on", "peak"]
    columns += ["more than without, images at the same place", "target"]
    return (
        f"## Over-sampling\n\nPeak of a fit of the SAND system (a small ConvNeXt) on {number} "
        f"recordings, whose images take {number * np.prod(IMAGE) * 4 / 2**20:.0f} MiB, with "
        f"classes repeated {TIMES}.\n\n{side_by_side.table(columns, rows)}"
    )


def many_recordings(folder: Path, numbers: list[int]) -> str:
    rows = []
    spent_on_each = []
    for number in [*numbers, numbers[0]]:  # and back, should the machine be unsteady
        written = 1000 * measured("write alone", folder, number)["seconds"] / number
        found = measured("whole way", folder, number)
        each = {name: 1000 * spent / number for name, spent in found["seconds"].items()}
        spent_on_each.append(sum(each.values()))
        together = number * (RATE * SECONDS + np.prod(IMAGE)) * 4
        rows.append(
            [
                number,
                f"{together / 1e9:.2f} GB",
                f"{found['peak'] / 1e9:.2f} GB",
                side_by_side.verdict("below 3 GB", found["peak"] < MOST_BYTES),
                *[f"{spent:.2f} ms" for spent in each.values()],
                f"{spent_on_each[-1]:.2f} ms",
                f"{1000 * found['computed'] / number:.2f} ms",
                f"{written:.2f} ms",
            ]
        )
    columns = ["recordings", "waveforms and images", "peak", "target", "VAD", "images", "fit"]
    columns += ["all", "all, processor", "writing such images alone"]
    uneven = max(spent_on_each) / min(spent_on_each)
    linear = side_by_side.verdict(f"at most {MOST_UNEVEN:g}", uneven <= MOST_UNEVEN)
    return (
        f"## Many recordings\n\nwav files of {SECONDS} s → VAD → images on the disk → one epoch of "
        "a small AlexNet.  Times are per recording, by the clock and last by the processor.\n\n"
        f"{side_by_side.table(columns, rows)}\n\n"
        f'Time per recording ("all"), the largest over the smallest: {uneven:.2f} ({linear}).'
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, folder, number = arguments.measure
        measure = {"whole way": whole_way, "write alone": write_alone}.get(
            what, partial(fit_with, what)
        )
        print(json.dumps(measure(Path(folder), int(number))))
        return
    most = max(arguments.recordings)
    needed = most * (RATE * SECONDS * 2 + np.prod(IMAGE) * 4) * 1.1
    with tempfile.TemporaryDirectory() as name:
        if shutil.disk_usage(name).free < needed:
            sys.exit(f"{name} has less than the {needed / 1e9:.1f} GB that this needs.")
        folder = Path(name)
        write_recordings(folder, most)
        check_same_images(folder)
        text = over_sampling(folder, min(arguments.recordings) // 2)
        text += "\n\n" + many_recordings(folder, arguments.recordings)
    side_by_side.keep("memory", text)


if __name__ == "__main__":
    main()
