"""
==========================
Ablations are parameters
==========================

The hypernetwork paper gives AlexNet a classification layer whose weights another network
generates from noise.  Does that help?  And would an ordinary layer, a hypernetwork that looks at
the recording's eGeMAPS features, or cepstral coefficients instead of the log-mel spectrogram do
as well?  Each of these is one parameter of the same Pipeline, so that the variants differ in
nothing else and can be compared on the same folds.

.. note::

   The backbone below has *random* weights and stays frozen, the images are small, and training
   lasts a few epochs.  That shows the mechanics in a minute on one processor core.  It neither
   confirms nor contradicts the published figures.
"""

# %%
# A backbone from a file
# ----------------------
#
# ``weights`` takes the name of published weights or a file, which must hold every tensor of the
# backbone under torchvision's name.  Here the file is made on the spot: random values of a
# variance that carries some signal through all layers, so that a frozen AlexNet gives the head
# something to work with.  A file with pretrained weights is used in the same way, and needs no
# network.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    Backbone,
    EGeMAPSFeatures,
    HyperAlexNetClassifier,
    HyperHead,
    ImagesWithContext,
    LogMelDeltaImages,
    PatientVotingClassifier,
    compare,
    make_dysarthric_speech,
)
from sklearn_dysarthria.nn import build_backbone

scratch = tempfile.TemporaryDirectory()
weights = Path(scratch.name, "alexnet.pt")
torch.manual_seed(0)
tensors = build_backbone("alexnet").torchvision_state_dict()
for name, tensor in tensors.items():
    if name.endswith("weight"):
        torch.nn.init.kaiming_normal_(tensor, nonlinearity="linear")
    else:
        torch.nn.init.zeros_(tensor)
torch.save(tensors, weights)

# %%
# The variants
# ------------

N_PATIENTS, EPOCHS = 18, 12
X, y = make_dysarthric_speech(n_patients=N_PATIENTS, difficulty="easy", random_state=0)

cache = Path(scratch.name, "cache")
images = LogMelDeltaImages(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=64, image_size=64, cache=cache
)
published = Pipeline(
    [
        ("images", images),
        (
            "classify",
            HyperAlexNetClassifier(
                backbone=Backbone("alexnet", weights=weights, freeze="all"),
                head=HyperHead(),
                max_epochs=EPOCHS,
                random_state=0,
            ),
        ),
    ]
)

# %%
# ``head="dense"`` replaces the generated layer by an ordinary one, ``representation="mfcc"`` the
# spectrogram by cepstral coefficients:

dense = clone(published).set_params(classify__head="dense")
mfcc = clone(published).set_params(images__representation="mfcc")

# %%
# ``HyperHead(context="data")`` feeds the hypernetwork with a vector per recording instead of noise.
# :class:`~sklearn_dysarthria.ImagesWithContext` computes both; its scaler is fitted inside the
# training fold, like everything else that learns.

context = make_pipeline(EGeMAPSFeatures(cache=cache), StandardScaler())
conditioned = Pipeline(
    [
        ("images", ImagesWithContext(images, context)),
        ("classify", clone(published["classify"]).set_params(head__context="data")),
    ]
)
variants = {
    "noise (published)": published,
    "dense head": dense,
    "eGeMAPS context": conditioned,
    "noise, MFCC": mfcc,
}

# %%
# The same patients, the same folds
# ---------------------------------

result = compare(
    X,
    y,
    methods={name: PatientVotingClassifier(v, voting="soft") for name, v in variants.items()},
    n_splits=2,
    n_resamples=500,
    random_state=0,
)
result.table[["balanced accuracy", "AUC"]].rename_axis(None)

# %%
# As a figure: the point is the value over patients, the bar its interval, and the shaded band
# the range of 95 % of random guessers.

accuracy = result.scores.query("metric == 'balanced accuracy'").set_index("method")
chance = accuracy.loc["chance"]
shown = accuracy.loc[list(variants)][::-1]
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
ax.axvspan(chance["low"], chance["high"], color="0.9", label="chance")
ax.errorbar(
    shown["value"],
    shown.index,
    xerr=[shown["value"] - shown["low"], shown["high"] - shown["value"]],
    fmt="o",
    capsize=4,
)
ax.set(xlim=(0, 1.02), ylim=(-0.5, len(shown) - 0.5), xlabel="balanced accuracy (patients)")
ax.legend(loc="lower left", fontsize=9)

# %%
# With so few patients the intervals are wide, and the networks are hardly trained.  A claim that a
# head is better needs a real corpus, pretrained weights, and repeated folds; the code stays the
# same.
#
# Learning curves
# ---------------
#
# ``history_`` is a table with one row per epoch; here, of the variants fitted to all recordings.
# Every batch is trained under another draw of C, which makes the loss of a head generated from
# noise less steady than that of a dense one.

fig, ax = plt.subplots(figsize=(7.4, 3.6), layout="constrained")
fitted = {name: clone(variant).fit(X, y) for name, variant in variants.items()}
for name, variant in fitted.items():
    ax.plot(variant["classify"].history_["train_loss"], marker=".", label=name)
ax.axhline(np.log(2), color="grey", linestyle=":", label="guessing")
ax.set(xlabel="epoch", ylabel="training loss (cross entropy)")
fig.legend(loc="outside right center", fontsize=9)

# %%
# What noise in the head means at prediction
# ------------------------------------------
#
# During training, C is drawn afresh for every batch.  At prediction the logits are averaged over
# ``n_contexts`` draws that ``random_state`` fixed, so that an answer can be repeated:

head = fitted["noise (published)"]["classify"]
pictures = images.fit_transform(X)
once, again = head.predict_proba(pictures), head.predict_proba(pictures)
print("the same answer twice:", np.array_equal(once, again))

# %%
# ``predict_uncertainty`` tells how much the draws disagree: the standard deviation of each logit
# over them.  It speaks of the noise in the head only, and is no measure of how well a patient of
# another clinic would be recognised.

spread = head.predict_uncertainty(pictures)[:, 1]
probability = once[:, 1]
fig, ax = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
for label, name in enumerate(["healthy", "dysarthric"]):
    ax.scatter(probability[y == label], spread[y == label], label=name, alpha=0.8)
ax.set(
    xlabel="probability of dysarthria (training recordings)",
    ylabel="standard deviation of its logit\nover the draws of C",
)
ax.legend(fontsize=9)

# %%
scratch.cleanup()
