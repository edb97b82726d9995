"""From wav files to finished images, against the same recipe in librosa and in torchaudio.

Run from the top of the checkout, on the real vowels or on synthetic speech::

    python benchmarks/speed/front_end.py minsk2020
    python benchmarks/speed/front_end.py synthetic
    python benchmarks/speed/front_end.py kinds

The floor is what no implementation of the recipe can do without: decoding, resampling by soxr, and
torch's short-time Fourier transform, in single precision, of the same samples.  Targets, on one
thread: 4 times the speed of librosa, 2.2 times that of torchaudio, within 1.25 times the floor; the
same with the bands and the voice activity detection of the ConvNeXt entry to SAND (the vowels
hold no pause to cut, the synthetic recordings do; the floor cuts nothing).  That our images are
librosa's is checked first.  torchaudio's steps are the same in kind only: its resampling filter is
another, and so are its derivatives.

Results are dropped, ours after 32 recordings, so that none waits for memory that was never used
before.  Then they are all kept in one array, ours by a single call, the others' written there one
by one: on a virtual machine whose host takes back what is free, the first touch of 0.6 MB has taken
from 0.1 to 1.5 ms.

``kinds`` takes synthetic speech in other kinds of files, with the settings of the hypernetwork
paper.  No target: what all must do anyway, which is decoding compressed or wide samples, brings the
ratios closer to 1, and what the floor does not do at all, which is making an image, counts for more
in a short recording or one that needs no resampling.
"""

import argparse
import tempfile
from collections import deque
from functools import partial
from pathlib import Path

import side_by_side  # first: it pins the threads
import librosa
import numpy as np
import soundfile
import soxr
import torch
import torchaudio
from side_by_side import in_turns, keep, ratio, table, verdict

from sklearn_dysarthria import (
    EnergyVAD,
    LogMelDeltaImages,
    fetch_minsk2020_als,
    make_dysarthric_speech,
)

torch.set_num_threads(side_by_side.THREADS)

RATE, N_FFT, HOP, SIZE = 22050, 2048, 512, (224, 224)
SETTINGS = {
    "hypernetwork paper": {"n_mels": 224, "fmin": 0.0, "fmax": RATE / 2, "vad": False},
    "SAND entry": {"n_mels": 256, "fmin": 50.0, "fmax": 4000.0, "vad": True},
}
AT_ONCE = 32
OURS = "LogMelDeltaImages"
KINDS = {
    "16 bits, 8 kHz": (8000, 1, "wav", "PCM_16", 3),
    "16 bits, 16 kHz": (16000, 1, "wav", "PCM_16", 3),
    "16 bits, 16 kHz, 1 s": (16000, 1, "wav", "PCM_16", 1),
    "16 bits, 16 kHz, 20 s": (16000, 1, "wav", "PCM_16", 20),
    "16 bits, 22.05 kHz": (RATE, 1, "wav", "PCM_16", 3),
    "16 bits, 44.1 kHz": (44100, 1, "wav", "PCM_16", 3),
    "32-bit floats, 16 kHz": (16000, 1, "wav", "FLOAT", 3),
    "24 bits, 44.1 kHz, stereo": (44100, 2, "wav", "PCM_24", 3),
    "FLAC, 16 bits, 16 kHz": (16000, 1, "flac", "PCM_16", 3),
}
"""Sampling rate in Hz, channels, container, samples, and seconds of kinds of files."""
TARGETS = {"librosa": 4.0, "torchaudio": 2.2, "floor": 0.8}  # 0.8 is 1 / 1.25


def decoded(path):
    samples, rate = soundfile.read(path, dtype="float32")
    return (samples.mean(axis=1) if samples.ndim == 2 else samples), rate


def floor(path, **_):
    samples, rate = decoded(path)
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE, quality="HQ")
    torch.stft(
        torch.from_numpy(samples),
        N_FFT,
        HOP,
        window=_HANN,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )


_HANN = torch.hann_window(N_FFT)


def with_librosa(path, n_mels, fmin, fmax, vad):
    samples, rate = decoded(path)
    samples = librosa.resample(samples, orig_sr=rate, target_sr=RATE, res_type="soxr_hq")
    if vad:
        samples, _ = librosa.effects.trim(samples, top_db=30)
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=n_mels, fmin=fmin, fmax=fmax
    )
    level = librosa.power_to_db(power, ref=np.max, top_db=80)
    image = np.stack([level, librosa.feature.delta(level), librosa.feature.delta(level, order=2)])
    return _resized(torch.from_numpy(image)).numpy()


def _resized(image):
    return torch.nn.functional.interpolate(
        image[None], SIZE, mode="bilinear", antialias=True, align_corners=False
    )[0]


class WithTorchaudio:
    """The steps of the recipe as torchaudio's modules, built once."""

    def __init__(self, n_mels, fmin, fmax, vad):
        self.vad = vad
        self.resample = {
            rate: torchaudio.transforms.Resample(rate, RATE)
            for rate in (8000, 16000, RATE, 44100, 48000)
        }
        self.mel = torchaudio.transforms.MelSpectrogram(
            RATE,
            N_FFT,
            hop_length=HOP,
            f_min=fmin,
            f_max=fmax,
            n_mels=n_mels,
            norm="slaney",
            mel_scale="slaney",
            pad_mode="constant",
        )
        self.decibels = torchaudio.transforms.AmplitudeToDB("power", top_db=80)
        self.delta = torchaudio.transforms.ComputeDeltas(9)

    def __call__(self, path):
        samples, rate = decoded(path)
        samples = self.resample[rate](torch.from_numpy(samples))
        if self.vad:
            samples = torch.from_numpy(librosa.effects.trim(samples.numpy(), top_db=30)[0])
        level = self.decibels(self.mel(samples))
        level = level - level.max()
        slope = self.delta(level)
        return _resized(torch.stack([level, slope, self.delta(slope)])).numpy()


def ours(n_mels, fmin, fmax, vad):
    return LogMelDeltaImages(
        sample_rate=RATE,
        n_fft=N_FFT,
        hop_length=HOP,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        image_size=SIZE,
        normalize=None,
        vad=EnergyVAD() if vad else None,
    )


def wav_files(corpus, folder):
    if corpus == "minsk2020":
        return [str(path) for path in fetch_minsk2020_als().data["audio"]]
    recordings, _ = make_dysarthric_speech(32, random_state=0)
    paths = []
    for number, row in enumerate(recordings.itertuples()):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], row.audio, int(row.sample_rate), subtype="PCM_16")
    return paths


def drop(results):
    """Compute results and keep none."""
    deque(results, maxlen=0)


def keep_all(results, number):
    """Compute results and keep all."""
    array = np.empty((number, 3, *SIZE), dtype=np.float32)
    for image, result in zip(array, results, strict=True):
        image[...] = result
    return array


def difference_to_librosa(images, paths, setting):
    """Return the largest in dB, which must be as promised."""
    from_librosa = np.stack([with_librosa(path, **setting) for path in paths])
    difference = float(np.abs(images - from_librosa).max())
    assert difference <= 0.01, f"{difference} dB away from librosa"
    return difference


def compare(name, paths, rounds):
    setting = SETTINGS[name]
    transformer = ours(**setting)
    torchaudio_image = WithTorchaudio(**setting)

    contestants = {
        "librosa": lambda path: with_librosa(path, **setting),
        "torchaudio": torchaudio_image,
    }
    dropped = {
        "floor": lambda: [floor(path, **setting) for path in paths],
        OURS: ours_in_batches(transformer, paths),
    }
    kept = {OURS: lambda: transformer.fit_transform(paths)}
    for name_of, image in contestants.items():
        dropped[name_of] = partial(lambda image: drop(map(image, paths)), image)
        kept[name_of] = partial(lambda image: keep_all(map(image, paths), len(paths)), image)
    difference = difference_to_librosa(transformer.fit_transform(paths), paths, setting)
    tables = []
    for made in (dropped, kept):
        seconds = in_turns(made, rounds=rounds)
        rows = []
        for name_of, times in seconds.items():
            against_ours = ratio(seconds, name_of, OURS)
            met = ""
            if name_of in TARGETS:
                target = TARGETS[name_of]
                met = verdict(f"at least {target:g}", against_ours >= target)
            spent = f"{1e3 * times.median() / len(paths):.2f}"
            rows.append([name_of, spent, f"{against_ours:.2f}", met])
        tables.append(table(["", "ms per recording", "times as long as ours", "target"], rows))
    return (
        f"## {name}\n\nResults dropped:\n\n{tables[0]}\n\n"
        f"All results kept in one array:\n\n{tables[1]}\n\n"
        f"Largest difference between our images and librosa's: {difference:.1e} dB."
    )


def ours_in_batches(transformer, paths):
    batches = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    return lambda: drop(transformer.fit_transform(batch) for batch in batches)


def write_kind(folder, kind):
    """Write synthetic speech, repeated or cut to the wanted length."""
    rate, n_channels, container, subtype, seconds = KINDS[kind]
    recordings, _ = make_dysarthric_speech(AT_ONCE // 2, random_state=0)
    paths = []
    for number, row in enumerate(recordings.itertuples()):
        samples = np.resize(row.audio, seconds * int(row.sample_rate))
        samples = soxr.resample(samples, row.sample_rate, rate, quality="HQ").clip(-1, 1)
        paths.append(str(folder / f"{rate}-{subtype}-{seconds}-{number}.{container}"))
        soundfile.write(paths[-1], np.stack([samples] * n_channels, axis=1), rate, subtype=subtype)
    return paths


def compare_kind(paths, rounds):
    setting = SETTINGS["hypernetwork paper"]
    transformer, torchaudio_image = ours(**setting), WithTorchaudio(**setting)
    difference = difference_to_librosa(transformer.fit_transform(paths), paths, setting)
    seconds = in_turns(
        {
            "floor": lambda: [floor(path) for path in paths],
            "librosa": lambda: drop(with_librosa(path, **setting) for path in paths),
            "torchaudio": lambda: drop(map(torchaudio_image, paths)),
            OURS: ours_in_batches(transformer, paths),
        },
        rounds=rounds,
    )
    spent = 1e3 * seconds[OURS].median() / len(paths)
    ratios = [f"{ratio(seconds, name, OURS):.2f}" for name in TARGETS]
    return [f"{spent:.2f}", *ratios, f"{difference:.1e}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", choices=["minsk2020", "synthetic", "kinds"])
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    if chosen.corpus == "kinds":
        with tempfile.TemporaryDirectory() as folder:
            rows = [
                [kind, *compare_kind(write_kind(Path(folder), kind), chosen.rounds)]
                for kind in KINDS
            ]
        columns = ["", "ours, ms", *(f"{name} / ours" for name in TARGETS), "dB from librosa"]
        heading = (
            f"{AT_ONCE} recordings of synthetic speech, of 3 s if nothing else is said; medians of "
            f"{chosen.rounds} interleaved rounds."
        )
        keep("front_end_kinds", f"{heading}\n\n{table(columns, rows)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = wav_files(chosen.corpus, Path(folder))
        texts = [compare(name, paths, chosen.rounds) for name in SETTINGS]
    heading = f"{len(paths)} recordings, medians of {chosen.rounds} interleaved rounds."
    keep(f"front_end_{chosen.corpus}", "\n\n".join([heading, *texts]))


if __name__ == "__main__":
    main()
