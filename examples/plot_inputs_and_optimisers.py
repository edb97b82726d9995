"""
=====================================================
Input, context size and optimiser as one grid
=====================================================

Three ablations of the hypernetwork paper are searches over parameters of one Pipeline: what the
image holds, how large the context of the hypernetwork is, and how the weights are learned.  Folds,
score and caching are the same for all three.

.. note::

   AlexNet has a quarter of its channels and *random* weights here, the images are small, and there
   are few patients.  The page shows how such a grid is written; its scores are close to noise.
"""

# %%
# One Pipeline
# ------------

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_dysarthria import (
    Backbone,
    HyperAlexNetClassifier,
    HyperHead,
    LogMelDeltaImages,
    PatientVotingClassifier,
    Schedule,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(n_patients=20, difficulty="easy", random_state=0)
cache = tempfile.TemporaryDirectory()
pipeline = Pipeline(
    [
        (
            "images",
            LogMelDeltaImages(
                sample_rate=16000,
                n_fft=1024,
                hop_length=256,
                n_mels=64,
                image_size=64,
                cache=cache.name,
            ),
        ),
        (
            "classify",
            HyperAlexNetClassifier(
                backbone=Backbone("alexnet", weights=None, width=0.25),
                head=HyperHead(),
                lr=1e-3,
                max_epochs=8,
                random_state=0,
            ),
        ),
    ]
)


def search(grid):
    """Try every combination on the same two folds of patients."""
    searched = GridSearchCV(
        PatientVotingClassifier(pipeline, voting="soft"),
        {f"estimator__{name}": values for name, values in grid.items()},
        cv=StratifiedPatientKFold(2, random_state=0),
        scoring=patient_scorer("roc_auc"),
        refit=False,
    )
    found = pd.DataFrame(searched.fit(X, y).cv_results_)
    return found.rename(columns=lambda name: name.replace("param_estimator__", ""))


# %%
# What the image holds
# --------------------
#
# ``representation`` is the log-mel spectrogram or its cepstral coefficients, and ``channels``
# chooses among the static part, Δ and ΔΔ.  A backbone takes three channels; a name that is repeated
# fills them from fewer.

channels = {
    "static, Δ, ΔΔ": ("static", "delta", "delta2"),
    "static": ("static",) * 3,
    "Δ": ("delta",) * 3,
    "static, Δ": ("static", "delta", "delta"),
}
inputs = search(
    {
        "images__representation": ["logmel", "mfcc"],
        "images__channels": list(channels.values()),
    }
)
names = {held: name for name, held in channels.items()}
inputs["channels"] = [names[tuple(held)] for held in inputs["images__channels"]]
inputs.pivot(index="channels", columns="images__representation", values="mean_test_score").loc[
    list(channels)
].round(2)

# %%
# The size of the context
# -----------------------
#
# A larger context C makes a larger hypernetwork, whatever it does to the score.

sizes = [32, 64, 128, 256]
contexts = search({"classify__head__context_dim": sizes})
images = pipeline["images"].fit_transform(X)
fitted = [
    HyperAlexNetClassifier(
        backbone=Backbone("alexnet", weights=None, width=0.25),
        head=HyperHead(context_dim=size),
        max_epochs=1,
        random_state=0,
    ).fit(images, y)
    for size in sizes
]
parameters = np.array([model.n_head_parameters_ for model in fitted])

fig, score = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
score.plot(sizes, contexts[["split0_test_score", "split1_test_score"]], ".", color="0.7")
score.plot(sizes, contexts["mean_test_score"], "o-", color="C0")
score.axhline(0.5, color="grey", linestyle=":")
score.set_xscale("log", base=2)
score.set_xticks(sizes, [str(size) for size in sizes])
score.set(xlabel="size of the context C", ylabel="AUC (patients)", ylim=(0, 1.02))
count = score.twinx()
count.plot(sizes, parameters / 1e6, "s--", color="C1")
count.set_ylabel("parameters of the hypernetwork\n(millions)", color="C1")
count.set_ylim(0)

# %%
# Optimiser and schedule
# ----------------------
#
# ``lr_schedule`` moves the learning rate over the epochs; the ``warmup_epochs`` of a
# :class:`~sklearn_dysarthria.Schedule` raise it to its value first.  Stochastic gradient descent
# wants a larger rate than Adam, so that the grid is a list of two.

learned = pd.concat(
    [
        search(
            {
                "classify__optimizer": optimizers,
                "classify__lr": [lr],
                "classify__lr_schedule": [None, "cosine", "one_cycle"],
            }
        )
        for optimizers, lr in [(["adam", "adamw"], 1e-3), (["sgd"], 1e-2)]
    ]
)
learned["schedule"] = learned["classify__lr_schedule"].fillna("constant")
learned.pivot(index="classify__optimizer", columns="schedule", values="mean_test_score").round(2)

# %%
# ``history_`` holds the rate of every epoch:

fig, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
for schedule in ["cosine", "linear", "step", "exponential", "one_cycle"]:
    warmup_epochs = 0 if schedule == "one_cycle" else 2
    model = HyperAlexNetClassifier(
        backbone=Backbone("alexnet", weights=None, width=0.25),
        lr=1e-3,
        lr_schedule=Schedule(schedule, warmup_epochs=warmup_epochs),
        max_epochs=12,
        random_state=0,
    ).fit(images[:16], y[:16])
    ax.plot(model.history_["lr"], marker=".", label=schedule)
ax.set(xlabel="epoch", ylabel="learning rate")
ax.legend(fontsize=8)

# %%
cache.cleanup()
