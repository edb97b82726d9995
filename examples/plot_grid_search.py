"""
=================================
Search parameters, by patient
=================================

Recordings, features and classifier form one scikit-learn Pipeline, so that
:class:`~sklearn.model_selection.GridSearchCV` can search all of it: the C of the baseline as well
as the representation that a network looks at.  Two things need care.  The folds must keep every
patient on one side, and the score must count patients.  And the best score of a search is not an
estimate of anything: it was chosen for being the best.
"""

# %%
# Recordings, folds, score
# ------------------------
#
# :class:`~sklearn_dysarthria.StratifiedPatientKFold` reads column ``patient`` of the table, so
# that no ``groups`` have to be passed around.  :func:`~sklearn_dysarthria.patient_scorer` turns
# any scikit-learn metric into one over patients.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    Backbone,
    BackboneEmbeddings,
    HyperLinearClassifier,
    LogMelDeltaImages,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    egemaps_svm_pipeline,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(n_patients=24, difficulty="medium", random_state=0)
folds = StratifiedPatientKFold(4, random_state=0)
scoring = patient_scorer("balanced_accuracy")
for train, test in folds.split(X, y):
    shared = set(X["patient"].iloc[train]) & set(X["patient"].iloc[test])
    print(f"{len(train)} and {len(test)} recordings, patients on both sides: {len(shared)}")

# %%
# The baseline: how much to penalise
# ----------------------------------
#
# ``cache`` keeps the features of each recording in a folder, keyed by the audio's content and the
# parameters, so that folds and grid points share them: each recording goes through openSMILE
# once.  ``Pipeline(memory=...)`` could not do that, because every fold is another input to it.
#
# A parameter is addressed through the names of the steps.  ``estimator`` is what the vote wraps,
# ``classify`` the step, and the inner ``estimator`` the SVM inside
# :class:`~sklearn_dysarthria.SkipFailedRows`.

cache = tempfile.TemporaryDirectory()
baseline = PatientVotingClassifier(egemaps_svm_pipeline(cache=cache.name), voting="soft")
C = np.logspace(-2, 3, 6)
search = GridSearchCV(baseline, {"estimator__classify__estimator__C": C}, cv=folds, scoring=scoring)
search.fit(X, y)
found = pd.DataFrame(search.cv_results_)

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(C, found[[f"split{i}_test_score" for i in range(4)]], color="0.8", marker=".")
ax.plot(C, found["mean_test_score"], color="C0", marker="o", label="mean over folds")
ax.plot([], [], color="0.8", marker=".", label="one fold")
ax.axhline(0.5, color="grey", linestyle=":", label="chance")
ax.set(
    xscale="log",
    xlabel="C of the SVM",
    ylabel="balanced accuracy\n(patients)",
    title="eGeMAPS and an RBF SVM",
)
ax.legend(fontsize=9)

# %%
# The folds differ far more than the values of C do.  That is what a few dozen patients look like,
# and a reason not to believe a small difference between two settings.
#
# A number that may be reported
# -----------------------------
#
# The best score of the search is optimistic, since the same patients chose C.  An honest figure
# puts the whole search inside an outer cross-validation.  Nothing about patients has to be passed
# to the inner one either.

print(f"best score of the search: {search.best_score_:.2f}")
outer = StratifiedPatientKFold(3, random_state=1)
inner = GridSearchCV(
    baseline,
    {"estimator__classify__estimator__C": [0.1, 1, 10]},
    cv=StratifiedPatientKFold(3, random_state=0),
    scoring=scoring,
)
nested = cross_val_score(inner, X, y, cv=outer, scoring=scoring)
print(f"nested cross-validation:  {nested.mean():.2f} (folds: {np.round(nested, 2)})")

# %%
# The representation and the head, in one grid
# --------------------------------------------
#
# A frozen backbone turns images into vectors once, and a small head learns on them.  That makes a
# search over the front end affordable without a GPU.  Here the backbone is a small ConvNeXt with
# *random* weights, which are fixed by ``random_state``: enough to show the search, and no match
# for a pretrained one (``BackboneEmbeddings("alexnet")``, which downloads its weights).
#
# Images are cached like features.  The grid holds parameters of two steps, and every combination
# is trained on the same folds.

network = Pipeline(
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
        ("embed", BackboneEmbeddings(Backbone("convnext_femto", weights=None), random_state=0)),
        ("scale", StandardScaler()),
        ("classify", HyperLinearClassifier(max_epochs=40, random_state=0)),
    ]
)
grid = {
    "estimator__images__representation": ["logmel", "mfcc"],
    "estimator__classify__lr": [1e-4, 1e-3, 1e-2],
}
image_search = GridSearchCV(
    PatientVotingClassifier(network, voting="soft"), grid, cv=folds, scoring=scoring
)
image_search.fit(X, y)
scores = pd.DataFrame(image_search.cv_results_).pivot(
    index="param_estimator__images__representation",
    columns="param_estimator__classify__lr",
    values="mean_test_score",
)

fig, ax = plt.subplots(figsize=(5.4, 2.8), layout="constrained")
drawn = ax.imshow(scores, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
for (i, j), score in np.ndenumerate(scores.to_numpy()):
    ax.text(j, i, f"{score:.2f}", ha="center", va="center")
ax.set_xticks(range(scores.shape[1]), [f"{lr:g}" for lr in scores.columns])
ax.set_yticks(range(scores.shape[0]), scores.index)
ax.set(xlabel="learning rate of the head", ylabel="representation")
ax.set_title("Random ConvNeXt and a generated head", fontsize=11)
fig.colorbar(drawn, label="balanced accuracy\n(patients)")

# %%
# White is chance.  With few patients and a backbone that was never trained, a score on either
# side of it is no news.
#
# A search is a model like any other: ``image_search.best_estimator_`` is fitted on all of ``X``
# with the best parameters, goes from recordings to decisions about patients, and shows how they
# came about.

print(image_search.best_params_)
image_search.best_estimator_.predict_patients(X).head().round(2)

# %%
# These are training patients: the table shows its shape, and its probabilities are not to be
# believed.

cache.cleanup()
