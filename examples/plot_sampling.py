"""
========================================
Rare classes: which rows to repeat
========================================

Few patients are severely ill, and a model that never names the rare classes can still be right
most of the time.  One remedy is to show the rare classes more often.  This page compares three
ways, as steps of one Pipeline: the multipliers of the ConvNeXt entry to the SAND challenge, random
over-sampling, and SMOTE, which makes new feature vectors up.

All of it must happen inside the training fold.  A row that is repeated *before* the split is in
training and test at once, and the score is that of a memory test.

.. note::

   The speakers are synthetic, and few.  The page shows the mechanics, and says nothing about which
   sampler is best.
"""

# %%
# Imbalanced classes
# ------------------
#
# Five ordered classes as in SAND, where 1 is severe and 5 is healthy: the labels go from healthy
# to severe, with a share of patients for each.

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline as SamplingPipeline
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, recall_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dysarthria import (
    EarlyStopping,
    HyperLinearClassifier,
    LogMelDeltaImages,
    PatientVotingClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
)

X, y = make_dysarthric_speech(
    n_patients=60,
    classes=[5, 4, 3, 2, 1],
    weights=[0.42, 0.26, 0.14, 0.1, 0.08],
    difficulty="easy",
    duration=(1.0, 1.5),
    random_state=0,
)
print("patients:", dict(sorted(Counter(y[~X["patient"].duplicated()].tolist()).items())))

# %%
# A sampler of recordings
# -----------------------
#
# :class:`~sklearn_dysarthria.RecordingOverSampler` repeats rows of whatever it is given: tables of
# recordings, lists of paths, images, features.  With ``multipliers`` each row of a class occurs
# that often, and nothing is random; with ``sampling_strategy`` it means what it means in
# imbalanced-learn.  Copies of a row share its samples.

sand = {1: 21, 2: 5, 3: 2}
repeated, labels = RecordingOverSampler(multipliers=sand).fit_resample(X, y)
print("recordings:", dict(sorted(Counter(y.tolist()).items())))
print("repeated:  ", dict(sorted(Counter(labels.tolist()).items())))

# %%
# SAND's multipliers were made for its own proportions, and turn these upside down.  A mapping that
# suits the corpus at hand is a parameter like any other, and ``"auto"`` makes all classes as
# frequent as the most frequent.
#
# One Pipeline, four samplers
# ---------------------------
#
# The features are mean and standard deviation over time of mel bands.  They are the same for every
# fold, so that they are computed once, and the table carries them as columns beside the patients.
# What *learns* — the scaler, the sampler, the classifier — stays in the Pipeline, that of
# imbalanced-learn, which skips samplers in prediction.

images = LogMelDeltaImages(
    sample_rate=16000,
    n_fft=512,
    hop_length=256,
    n_mels=16,
    image_size=(16, 64),
    normalize=None,
).fit_transform(X)
moments = np.concatenate([images.mean(axis=3), images.std(axis=3)], axis=2).reshape(len(X), -1)
names = [f"f{i}" for i in range(moments.shape[1])]
table = X[["audio", "sample_rate", "patient", "task"]].join(
    pd.DataFrame(moments, columns=names, index=X.index)
)


def chosen(recordings):
    """Return the columns that hold features."""
    return recordings[names].to_numpy()


samplers = {
    "none": "passthrough",
    "SAND's multipliers": RecordingOverSampler(multipliers=sand),
    "own multipliers": RecordingOverSampler(multipliers={1: 5, 2: 4, 3: 3, 4: 2}),
    "random": RandomOverSampler(random_state=0),
    "SMOTE": SMOTE(k_neighbors=3, random_state=0),
}
model = PatientVotingClassifier(
    SamplingPipeline(
        [
            ("features", FunctionTransformer(chosen)),
            ("scale", StandardScaler()),
            ("sample", "passthrough"),
            ("classify", LogisticRegression(C=0.01, max_iter=2000)),
        ]
    ),
    voting="soft",
)

# %%
# Recall, class by class
# ----------------------
#
# Every patient is decided about once, by a model that knows nothing of that patient.  The sampler
# has seen the training fold only: a vector that SMOTE made up lies between two *training*
# recordings.

folds = StratifiedPatientKFold(4, random_state=0)
first = ~table["patient"].duplicated().to_numpy()  # all rows of a patient get one answer
decisions = {
    name: cross_val_predict(model.set_params(estimator__sample=sampler), table, y, cv=folds)[first]
    for name, sampler in samplers.items()
}
truth = y[first]
recalls = pd.DataFrame(
    {name: recall_score(truth, decided, average=None) for name, decided in decisions.items()},
    index=pd.Index(np.unique(y), name="class"),
)

fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
recalls.plot.bar(ax=ax, rot=0, width=0.8)
counts = Counter(truth.tolist())
ax.set_xticks(range(5), [f"{label}\n({counts[label]} patients)" for label in recalls.index])
ax.set(xlabel="severity, from severe to healthy", ylabel="recall (patients)")
ax.legend(fontsize=8, ncols=3)
recalls.T.assign(mean=recalls.mean()).round(2)

# %%
# Where the decisions went
# ------------------------

fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, name in zip(axes, ("none", "SAND's multipliers", "SMOTE"), strict=True):
    ConfusionMatrixDisplay.from_predictions(
        truth, decisions[name], ax=ax, colorbar=False, cmap="Blues"
    )
    ax.set_title(name)

# %%
# Repeating a class makes a model name it more often: recall moves from the frequent classes to the
# rare ones, and too large a multiplier moves too much: SAND's leave the classes between the severe
# and the healthy ones hardly any decisions here.  With five patients in a class, one patient is a
# fifth of its recall.
#
# A fold with fewer than ``k_neighbors + 1`` rows in a class stops SMOTE with an error.  And half of
# its new vectors may lie between two recordings of one patient, which is little news.
#
# Early stopping behind a sampler
# -------------------------------
#
# Early stopping holds out whole patients of the training fold, and so it has to know the patients
# of its rows.  A sampler in a Pipeline changes the rows, and the patients do not follow.
# :class:`~sklearn_dysarthria.ResampledClassifier` resamples rows, labels and patients together.

network = HyperLinearClassifier(
    lr=1e-3, max_epochs=30, early_stopping=EarlyStopping(patience=5), random_state=0
)
stopped = PatientVotingClassifier(
    Pipeline(
        [
            ("features", FunctionTransformer(chosen)),
            ("scale", StandardScaler()),
            ("classify", ResampledClassifier(samplers["own multipliers"], network)),
        ]
    )
)
train, test = next(folds.split(table, y))
inner = stopped.fit(table.iloc[train], y[train]).estimator_["classify"].estimator_
print(f"stopped after {inner.n_iter_} epochs")
print("held out:", *sorted(inner.validation_patients_))
print(
    "of them in the test fold:", len({*inner.validation_patients_} & {*table["patient"].iloc[test]})
)

# %%
# Vectors that SMOTE makes up are of no patient, and a classifier that stops early raises an error.
# For networks there is a simpler way as well: ``oversample={1: 5, 2: 4}`` of the package's own
# image classifiers repeats rows without holding them in memory twice.
