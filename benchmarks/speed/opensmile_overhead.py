"""EGeMAPSFeatures against the bare openSMILE library, on the same recordings.

    OMP_NUM_THREADS=1 python benchmarks/speed/opensmile_overhead.py [synthetic|minsk2020]

Target: at most 3 % over the library.  Bare is the loop that a user would write, over files
(``soundfile.read``, ``Smile.process_signal``, ``to_numpy``) and over samples that are decoded
already (the last two).  Ours does the same from the same files or arrays, with its checks of the
recordings.  One thread, no cache; both give the same numbers to the last bit.
"""

from __future__ import annotations

import argparse
import tempfile

from side_by_side import in_turns, keep, ratio, table  # isort: skip  (pins the threads)

import numpy as np
import opensmile
import pandas as pd
import soundfile

from sklearn_dysarthria import EGeMAPSFeatures, fetch_minsk2020_als, make_dysarthric_speech

N_RECORDINGS = 6


def recordings(corpus: str, folder: str) -> pd.DataFrame:
    """Return a few recordings in files."""
    if corpus == "minsk2020":
        return fetch_minsk2020_als().data.iloc[:N_RECORDINGS].reset_index(drop=True)
    X, _ = make_dysarthric_speech(n_patients=N_RECORDINGS, folder=folder, random_state=0)
    return X.iloc[:N_RECORDINGS].reset_index(drop=True)


def main() -> None:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "corpus", nargs="?", choices=["synthetic", "minsk2020"], default="synthetic"
    )
    corpus = parser.parse_args().corpus
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    with tempfile.TemporaryDirectory() as folder:
        files = recordings(corpus, folder)
        decoded = [soundfile.read(path, dtype="float32") for path in files["audio"]]
        arrays = pd.DataFrame(decoded, columns=["audio", "sample_rate"])

        def bare_files() -> np.ndarray:
            read = (soundfile.read(path, dtype="float32") for path in files["audio"])
            return np.concatenate([smile.process_signal(*sound).to_numpy() for sound in read])

        def bare_samples() -> np.ndarray:
            return np.concatenate([smile.process_signal(*sound).to_numpy() for sound in decoded])

        ours = EGeMAPSFeatures().fit(files)
        for X, bare in ((files, bare_files), (arrays, bare_samples)):
            np.testing.assert_array_equal(ours.transform(X), bare())
        seconds = in_turns(
            {
                "bare, files": bare_files,
                "ours, files": lambda: ours.transform(files),
                "bare, samples": bare_samples,
                "ours, samples": lambda: ours.transform(arrays),
            },
            rounds=9,
        )
    duration = sum(len(samples) / rate for samples, rate in decoded)
    rows = [
        (
            what,
            f"{1e3 * seconds[f'bare, {what}'].median() / N_RECORDINGS:.1f} ms",
            f"{1e3 * seconds[f'ours, {what}'].median() / N_RECORDINGS:.1f} ms",
            f"**{100 * (ratio(seconds, f'ours, {what}', f'bare, {what}') - 1):+.1f} %**",
        )
        for what in ("files", "samples")
    ]
    keep(
        f"opensmile_overhead_{corpus}",
        "`EGeMAPSFeatures` over the bare library (target: at most 3 %), the same numbers; "
        f"{N_RECORDINGS} recordings, {duration:.0f} s in all.\n\n"
        + table(["from", "bare, each", "ours, each", "ours over bare"], rows),
    )


if __name__ == "__main__":
    main()
