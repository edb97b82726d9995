"""
=============================================
Severity: ordered classes and their losses
=============================================

"Dysarthria or not" is one question, how severe it is another.  Severity has an order: to take a
severe patient for a healthy one is a graver mistake than to take them for a moderate one.  Cross
entropy does not know that.  Ordinal losses do, and so do ordinal scores.
"""

# %%
# Four grades
# -----------
#
# Grades are numbers, since their order matters: 0 is healthy, 3 severe.  Few patients are severe.

import tempfile

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    HyperLinearClassifier,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(
    n_patients=48,
    classes=[0, 1, 2, 3],
    weights=[0.4, 0.25, 0.2, 0.15],
    difficulty="easy",
    random_state=0,
)
print(pd.Series(y, index=X["patient"]).groupby(level=0).first().value_counts().sort_index())

# %%
# Losses and class weights are parameters
# ---------------------------------------
#
# ``"coral"``, ``"corn"`` and ``"cumulative_link"`` ask "worse than this grade?" for every grade
# but the last; they differ in how these questions share their weights.  ``class_weight`` may follow
# the number of recordings (``"balanced"``), its square root, or the effective number of samples.
# The same parameters are those of :class:`~sklearn_dysarthria.HyperAlexNetClassifier` and of the
# other networks; features instead of images make this page fast.
#
# Networks with an ordinal loss answer with the median class, and so does the vote, on the mean of
# the recordings' probabilities.

cache = tempfile.TemporaryDirectory()
published = PatientVotingClassifier(
    make_pipeline(
        EGeMAPSFeatures(cache=cache.name),
        StandardScaler(),
        HyperLinearClassifier(max_epochs=40, lr=3e-4, random_state=0),
    ),
    voting="soft",
)
losses = ["cross_entropy", "focal", "coral", "corn", "cumulative_link"]
weights = [None, "balanced", "inverse_sqrt", "effective_number"]

# %%
# Scores that know the order
# --------------------------
#
# The quadratic kappa counts how far off a decision is; so does the mean absolute error in classes,
# which scikit-learn wants negative so that greater is better.  All of them count patients.

names = ["balanced_accuracy", "quadratic_kappa", "neg_mae_classes", "within_one_class"]
scoring = {name: patient_scorer(name) for name in names}
folds = StratifiedPatientKFold(3, random_state=0)


def scored(**params):
    """Cross-validate with these parameters of the classifier."""
    model = clone(published).set_params(
        **{f"estimator__hyperlinearclassifier__{name}": value for name, value in params.items()}
    )
    found = cross_validate(model, X, y, cv=folds, scoring=scoring)
    return {name: found[f"test_{name}"].mean() for name in names}


pd.DataFrame({loss: scored(loss=loss) for loss in losses}).T.round(2)

# %%
# With class weights:

pd.DataFrame({str(w): scored(loss="coral", class_weight=w) for w in weights}).T.round(2)

# %%
# Where the mistakes are
# ----------------------
#
# Rows are patients' true grades.  The mistakes of an ordinal loss stay nearer the diagonal, or they
# do not: with a dozen patients per grade the picture changes with the seed.

first = X.groupby("patient", sort=False).head(1).index
fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained")
for ax, loss in zip(axes, ["cross_entropy", "coral"], strict=True):
    model = clone(published).set_params(estimator__hyperlinearclassifier__loss=loss)
    predicted = cross_val_predict(model, X, y, cv=folds)
    ConfusionMatrixDisplay.from_predictions(y[first], predicted[first], ax=ax, colorbar=False)
    ax.set_title(loss)

# %%
cache.cleanup()
