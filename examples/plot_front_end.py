"""
=====================================
From a recording to an image, by step
=====================================

The networks of this package look at speech as an image: a log-mel spectrogram with its first and
second time derivative, Δ and ΔΔ, as three channels.  This page follows one healthy and one
dysarthric synthetic speaker from the waveform to that image, through a sustained vowel
(phonation) and a repeated syllable (rhythm).
"""

# %%
# Two speakers, two tasks
# -----------------------
#
# The speakers are drawn until there is a healthy and a dysarthric man on the same device, so
# that the differences below are not those between two microphones.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from sklearn_dysarthria import (
    EnergyVAD,
    LogMelDeltaImages,
    load_waveform,
    make_dysarthric_speech,
)

X, y = make_dysarthric_speech(
    n_patients=16, tasks=("phonationA", "rhythmPA"), difficulty="easy", random_state=3
)
pairs = X.assign(label=y).query("sex == 'M'").groupby("device")["label"].nunique()
device = pairs[pairs == 2].index[0]
candidates = X[(X["device"] == device) & (X["sex"] == "M")]
speakers = {}
for label, name in enumerate(["healthy", "dysarthric"]):
    speakers[name] = candidates[y[candidates.index] == label]["patient"].iloc[0]
X = X[X["patient"].isin(speakers.values())].reset_index(drop=True)
X[["patient", "task", "sex", "age", "device"]]

# %%
# Voice activity
# --------------
#
# A recording begins and ends with silence, whose length says something about who pressed the
# button and nothing about the voice.  :class:`~sklearn_dysarthria.EnergyVAD` marks what lies
# within ``top_db`` decibels of the loudest frame.  It never changes samples: it writes a column
# ``segments``, in seconds, and every later step keeps to it.

marked = EnergyVAD(sample_rate=16000, frame_length=1024, hop_length=256).fit_transform(X)
for row in marked.itertuples():
    listed = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in row.segments)
    print(f"{row.patient} {row.task}: {listed}")


def recording(table, name, task):
    """Return the row of one speaker's recording."""
    return table[(table["patient"] == speakers[name]) & (table["task"] == task)].iloc[0]


tasks = {"phonationA": "sustained /a/", "rhythmPA": "repeated /pa/"}
fig, axes = plt.subplots(2, 2, figsize=(10, 4.2), sharex=True, layout="constrained")
for panels, (task, spoken) in zip(axes, tasks.items(), strict=True):
    for ax, name in zip(panels, speakers, strict=True):
        row = recording(marked, name, task)
        samples = np.asarray(row["audio"])
        seconds = np.arange(len(samples)) / row["sample_rate"]
        ax.plot(seconds, samples / np.abs(samples).max(), linewidth=0.4)
        for start, end in row["segments"]:
            ax.axvspan(start, end, color="C1", alpha=0.2, linewidth=0)
        ax.set_title(f"{name}, {spoken}", fontsize=10)
        ax.set_ylim(-1.05, 1.05)
        ax.set_yticks([])
for ax in axes[-1]:
    ax.set_xlabel("time (s)")
fig.suptitle("Waveform (scaled to its peak) and what EnergyVAD keeps (shaded)")

# %%
# In the dysarthric speaker's repetitions, the syllables follow each other more slowly and less
# regularly.  With ``mode="trim"``, the default, the pauses between them stay in: rhythm is what
# the task is about.  ``mode="split"`` would cut them out.
#
# :func:`~sklearn_dysarthria.load_waveform` is the one way from a row to samples, and cuts the
# segments:

row = recording(marked, "healthy", "rhythmPA")
print(f"recorded: {len(row['audio']) / row['sample_rate']:.2f} s")
print(f"kept:     {len(load_waveform(row, 16000)) / 16000:.2f} s")

# %%
# Log-mel, Δ and ΔΔ
# -----------------
#
# ``normalize=None`` leaves decibels, to be looked at; networks get the default,
# ``normalize="imagenet"``.  The frequency range goes by task, as in the SAND challenge entry: up
# to 4 kHz for phonation, up to 6 kHz for syllables, where the bursts of stops are.

front_end = LogMelDeltaImages(
    sample_rate=16000,
    n_fft=1024,
    hop_length=128,
    n_mels=96,
    freq_ranges={"phonation": (50, 4000), "rhythm": (100, 6000)},
    image_size=(96, 256),
    normalize=None,
)
images = front_end.fit_transform(marked)
print(images.shape, images.dtype)

# %%
# Row 0 of an image is the lowest mel band, column 0 the first frame.  Time is stretched so that
# each recording fills its image.

channels = {
    "log-mel (dB)": {"vmin": -80, "vmax": 0, "cmap": "magma"},
    "Δ (dB per frame)": {"vmin": -4, "vmax": 4, "cmap": "RdBu_r"},
    "ΔΔ (dB per frame²)": {"vmin": -1, "vmax": 1, "cmap": "RdBu_r"},
}


def show(task, spoken):
    """Draw both speakers' images of one task."""
    fig, axes = plt.subplots(2, 3, figsize=(11, 4.6), sharey=True, layout="constrained")
    for panels, name in zip(axes, speakers, strict=True):
        row = recording(marked, name, task)
        duration = sum(end - start for start, end in row["segments"])
        image = images[row.name]
        for ax, channel, (title, look) in zip(panels, image, channels.items(), strict=True):
            extent = (0, duration, 0, front_end.n_mels)
            drawn = ax.imshow(channel, origin="lower", aspect="auto", extent=extent, **look)
            ax.set_title(f"{name}: {title}", fontsize=10)
            fig.colorbar(drawn, ax=ax, shrink=0.9)
        panels[0].set_ylabel("mel band")
    for ax in axes[-1]:
        ax.set_xlabel("time within the segments (s)")
    fig.suptitle(f"{spoken}, task {task}")


show("phonationA", "Sustained /a/")

# %%
# In the vowel, horizontal stripes are harmonics and formants.  Noise fills the gaps between the
# harmonics, tremor and drift bend them, and both appear in Δ as alternating colours.

show("rhythmPA", "Repeated /pa/")

# %%
# In the syllables, each vertical edge is a closure or a release.  Δ turns them into pairs of
# rise and fall, so that the rate and the regularity of the syllables can be read off the middle
# column.
#
# What the network gets
# ---------------------
#
# ``normalize="imagenet"`` rescales every channel of every recording to [0, 1] and standardises it
# with ImageNet's mean and standard deviation.  Nothing is learned from other recordings, so a
# test recording cannot influence a training one.

ready = front_end.set_params(normalize="imagenet").fit_transform(marked)
for channel, name in enumerate(channels):
    values = ready[:, channel]
    print(f"{name:20s} {values.min():6.2f} to {values.max():5.2f}")

# %%
# A band that the recordings cannot fill
# --------------------------------------
#
# Corpora recorded at 8 kHz hold nothing above 4 kHz.  Resampling them to a higher rate does not
# bring it back, and a network may learn the empty band as a mark of the corpus.  ``fit`` says so
# once:

telephone, _ = make_dysarthric_speech(n_patients=2, sample_rate=8000, random_state=0)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    front_end.fit(telephone)
print(f"{caught[0].category.__name__}: {caught[0].message}")
