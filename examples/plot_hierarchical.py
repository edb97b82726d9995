"""
======================================
Healthy or patient first, then how bad
======================================

Severity grades are steps of one scale.  "Healthy" is no step of it: a patient whose speech is not
affected yet sounds like a healthy speaker, and differs in having the disease.  A classifier of
five classes in a row has to put healthy speakers at one end of that scale.
:class:`~sklearn_dysarthria.HierarchicalClassifier` asks two questions instead, and metrics for
ordered classes tell how far off the answers are, not only how often.
"""

# %%
# Graded recordings
# -----------------
#
# The labels are those of SAND: 1 to 4 are patients from severe to no dysarthria, 5 is healthy.
# (The synthetic speakers differ in one latent severity, so that for them healthy *is* a step; with
# real patients that is the open question.)

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    HierarchicalClassifier,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    mae_in_classes,
    make_dysarthric_speech,
    patient_bootstrap,
    patient_scorer,
    quadratic_kappa,
    within_one_class,
)

CLASSES = [1, 2, 3, 4, 5]
X, y = make_dysarthric_speech(
    n_patients=50,
    classes=CLASSES[::-1],  # the healthy ones come first there
    difficulty="medium",
    duration=(1.0, 1.5),
    random_state=0,
)
print(pd.Series(y, X["patient"]).groupby(level=0).first().value_counts().sort_index())

# %%
# Two questions
# -------------
#
# The detector learns healthy (0) against patient (1) from everybody, the grader the grades from
# patients alone.  Both are any classifier, two different ones if need be; the whole is the last
# step of a Pipeline, so that both see the same features, which are computed once.

cache = tempfile.TemporaryDirectory()
logistic = LogisticRegression(C=0.02, class_weight="balanced")


def voted(classifier):
    """EGeMAPS into a classifier, and a vote of each patient's recordings."""
    steps = [
        ("features", EGeMAPSFeatures(cache=cache.name)),
        ("scale", StandardScaler()),
        ("classify", classifier),
    ]
    return PatientVotingClassifier(Pipeline(steps), voting="hard")


models = {
    "five classes in a row": voted(logistic),
    "healthy first": voted(HierarchicalClassifier(logistic, healthy=5, threshold=0.5)),
}
folds = StratifiedPatientKFold(5, random_state=0)
predicted = {name: cross_val_predict(model, X, y, cv=folds) for name, model in models.items()}

# %%
# How far off
# -----------
#
# Quadratic kappa counts a mistake by the square of its distance in classes, the mean absolute
# error by the distance itself; "within one class" asks only for the neighbourhood.  All of them
# take the order from the numbers, or from ``classes``, which also counts the steps that nobody
# happens to be on.  :func:`~sklearn_dysarthria.patient_bootstrap` puts an interval beside each.

first = ~X["patient"].duplicated().to_numpy()  # all recordings of a patient have one answer


def ordinal_metrics(truth, answers):
    """Three metrics at once, so that the bootstrap draws the same patients for all."""
    metrics = (quadratic_kappa, mae_in_classes, within_one_class)
    return np.array([metric(truth, answers, CLASSES) for metric in metrics])


rows = {}
for name, answers in predicted.items():
    value, low, high = patient_bootstrap(
        ordinal_metrics, y[first], answers[first], n_resamples=500, random_state=0
    )
    rows[name] = [f"{v:.2f} [{a:.2f}, {b:.2f}]" for v, a, b in zip(value, low, high, strict=True)]
pd.DataFrame(
    rows, index=["quadratic kappa", "mean error in classes", "within one class"]
).transpose()

# %%
# Always answering with the class in the middle would have kappa 0, a mean error of 1.2 classes and
# 60 % within one class: the last figure is easily high and should not stand alone.

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained")
for ax, (name, answers) in zip(axes, predicted.items(), strict=True):
    ConfusionMatrixDisplay.from_predictions(
        y[first], answers[first], labels=CLASSES, ax=ax, colorbar=False, cmap="Blues"
    )
    ax.set_title(name, fontsize=11)

# %%
# The threshold of the first question
# -----------------------------------
#
# ``threshold`` is the probability of being a patient from which on a speaker is graded.  It is a
# parameter, and the metrics are scores by name, so that a search over patients can choose it.

grid = {"estimator__classify__threshold": [0.3, 0.5, 0.7]}
search = GridSearchCV(
    models["healthy first"], grid, cv=folds, scoring=patient_scorer("quadratic_kappa")
).fit(X, y)
found = pd.DataFrame(search.cv_results_)
found[["param_estimator__classify__threshold", "mean_test_score", "std_test_score"]].round(2)

# %%
# ``predict_proba`` gives P(healthy) and P(patient) · P(grade | patient).  Its largest entry need
# not be the decision: somebody who probably is a patient, of an uncertain grade, may have no single
# entry above that of healthy.  The vote above counts the recordings' decisions; ``voting="soft"``
# averages these probabilities and then asks the same two questions.

search.best_estimator_.predict_patients(X).filter(regex="prediction|votes|proba").head().round(2)

# %%
# The networks take the place of the logistic regression without a change:
# ``HierarchicalClassifier(ConvNeXtSeverityClassifier(), healthy=5)`` behind
# :class:`~sklearn_dysarthria.LogMelDeltaImages`, or another network for each question.

cache.cleanup()
