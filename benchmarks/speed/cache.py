"""How long a second pass over the same recordings takes, with a cache in a folder.

Run from the top of the checkout, on the real vowels or on synthetic speech::

    python benchmarks/speed/cache.py minsk2020
    python benchmarks/speed/cache.py synthetic

Three passes of each transformer: without a cache; the first with an empty folder, which computes
and writes; the second, which finds everything.  The second is timed in the process of the first,
as in a search over settings, and as a new process has it, which must read and hash every file
again.  Targets: the second pass takes at most 1/50 of the first for openSMILE features and at most
1/5 for images.  That all passes give the same numbers is checked.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import side_by_side  # first: it pins the threads

# isort: split
import numpy as np
import pandas as pd
import soundfile
import torch
from side_by_side import in_turns, keep, ratio, table, verdict

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    EnergyVAD,
    LogMelDeltaImages,
    fetch_minsk2020_als,
    make_dysarthric_speech,
)
from sklearn_dysarthria.recordings import _audio
from sklearn_dysarthria.features import _spectrogram  # noqa: F401  (not to be timed)

torch.set_num_threads(side_by_side.THREADS)

STEPS = {
    "images": (LogMelDeltaImages, 5),
    "openSMILE features": (EGeMAPSFeatures, 50),
    "voice activity": (EnergyVAD, None),
}
ROUNDS = 5
FORGOTTEN = ("_digests", "_headers")


def numbers(result):
    if isinstance(result, pd.DataFrame):
        return np.concatenate([np.array(cell) for cell in result["segments"]])
    return np.asarray(result)


def forget():
    """Forget what the process knows of the files, as if it were new."""
    for name in FORGOTTEN:
        setattr(_audio, name, _audio.FileMemo(size=50_000))


def run(make, paths, cache, *, empty=False, new=False):
    if empty:
        cache = tempfile.mkdtemp(dir=cache)
    if empty or new:
        forget()
    return make(cache=cache).transform(paths)


def in_a_new_process(name, paths, cache):
    """Return the seconds of a pass in a process of its own, without its start."""
    command = [sys.executable, __file__, "--child", json.dumps([name, paths, str(cache)])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(name, paths, cache):
    start = time.perf_counter()
    STEPS[name][0](cache=cache).transform(paths)
    print(time.perf_counter() - start)


def measured(name, paths, folder):
    make, target = STEPS[name]
    # Each first pass has a folder of its own.
    folder.mkdir()
    ways = {
        "none": partial(run, make, paths, None),
        "first": partial(run, make, paths, folder, empty=True),
        "second": partial(run, make, paths, folder / "second"),
        "second, new": partial(run, make, paths, folder / "second", new=True),
    }
    results = {way: numbers(compute()) for way, compute in ways.items()}
    results["from the cache"] = numbers(ways["second"]())
    for way, result in results.items():
        assert np.array_equal(result, results["none"]), (name, way)
    seconds = in_turns(ways, rounds=ROUNDS)
    started = [in_a_new_process(name, paths, folder / "second") for _ in range(3)]
    each = 1000 * seconds.median() / len(paths)
    each["new process"] = 1000 * float(np.median(started)) / len(paths)
    of_the_second = {
        "same process": ratio(seconds, "first", "second"),
        "nothing known": ratio(seconds, "first", "second, new"),
        "new process": float(each["first"] / each["new process"]),
    }
    size = sum(file.stat().st_size for file in (folder / "second").rglob("*") if file.is_file())
    return [
        name,
        *(f"{taken:.2f}" for taken in each),
        *(f"{times:.1f}" for times in of_the_second.values()),
        ""
        if target is None
        else "; ".join(
            verdict(f"{way} at least {target}", times >= target)
            for way, times in of_the_second.items()
        ),
        f"{size / len(paths) / 1000:.1f}",
    ]


def recordings(corpus, folder):
    if corpus == "minsk2020":
        X, _ = fetch_minsk2020_als(return_X_y=True)
        return [str(path) for path in X["audio"]]
    X, _ = make_dysarthric_speech(n_patients=64, random_state=0)
    paths = []
    for i, (audio, rate) in enumerate(zip(X["audio"], X["sample_rate"], strict=True)):
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], audio, int(rate))
    time.sleep(3)  # files that were changed just now are hashed each time
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", nargs="?", choices=["minsk2020", "synthetic"])
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child)
        return
    if args.corpus is None:
        parser.error("which recordings?")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = recordings(args.corpus, folder)
        used = {
            "images": paths[:48],
            # All: a new process first imports openSMILE, which takes as long as a few recordings.
            "openSMILE features": paths,
            "voice activity": paths[:32],
        }
        rows = [measured(step, used[step], folder / step) for step in STEPS]
        known = [soundfile.info(path) for path in paths[:48]]
        size = np.mean([Path(path).stat().st_size for path in paths[:48]])
    text = f"""
Milliseconds per recording, and how many times as long as the second pass the first one takes
(medians of {ROUNDS} rounds in turns). {args.corpus}: {len(used["images"])} recordings
({len(paths)} for openSMILE, 32 for voice activity) of {np.mean([k.duration for k in known]):.1f} s,
{known[0].samplerate} Hz and {size / 1000:.0f} kB on average; all passes gave the same numbers.

{
        table(
            [
                "",
                "no cache",
                "first pass",
                "second pass",
                "second, nothing known of the files",
                "second, in a new process",
                "first / second",
                "first / second, nothing known",
                "first / second, new process",
                "target",
                "kB kept",
            ],
            rows,
        )
    }

"Nothing known of the files" is a second pass that must read and hash every file again, as a new
process must; the column beside it is one, its imports done (median of 3 processes).
"""
    keep(f"cache_{args.corpus}", text)


if __name__ == "__main__":
    main()
