"""
===================================================
A model for each task, and how much each one counts
===================================================

A sustained vowel and a repeated syllable show different things: one the steadiness of the voice,
the other the speed and precision of the articulators.  One model for both has to ignore what they
do not share.  :class:`~sklearn_dysarthria.PatientVotingClassifier` takes a model per task, learns
inside the training fold how much each task is worth, and may decline to decide about a patient.
"""

# %%
# Recordings and tasks
# --------------------
#
# Every synthetic speaker sustains vowels and repeats syllables.  A task belongs to a *group*, the
# lower-case letters that its name begins with: what is said about ``phonation`` holds for
# ``phonationA`` and ``phonationI``, unless they are named themselves.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(
    n_patients=30,
    tasks=("phonationA", "phonationI", "rhythmPA"),
    difficulty="hard",
    duration=(1.0, 1.5),
    random_state=0,
)
print(X.groupby("task")["patient"].nunique())

# %%
# One model, or one for each group
# --------------------------------
#
# ``task_estimators`` maps tasks or groups to models; each is fitted on its own recordings only.
# Where it names only some of the tasks, ``estimator`` takes the others.

cache = tempfile.TemporaryDirectory()


def features_to_classes():
    """EGeMAPS, standardised, into a logistic regression."""
    return make_pipeline(
        EGeMAPSFeatures(cache=cache.name),
        StandardScaler(),
        LogisticRegression(C=0.01, class_weight="balanced"),
    )


def by_task(voting):
    """One model for vowels and one for syllables."""
    models = {"phonation": features_to_classes(), "rhythm": features_to_classes()}
    return PatientVotingClassifier(task_estimators=models, voting=voting, cv=3)


models = {"one model, soft": PatientVotingClassifier(features_to_classes(), voting="soft")}
models |= {f"per task, {voting}": by_task(voting) for voting in ("soft", "weighted", "stacked")}
folds = StratifiedPatientKFold(3, random_state=0)
scoring = {name: patient_scorer(name) for name in ("balanced_accuracy", "roc_auc")}
rows = {}
for name, model in models.items():
    result = cross_validate(model, X, y, cv=folds, scoring=scoring, return_estimator=True)
    rows[name] = {score: result[f"test_{score}"].mean() for score in scoring}
    models[name] = result["estimator"]
pd.DataFrame(rows).T.round(2)

# %%
# ``"soft"`` averages the probabilities of all recordings.  ``"weighted"`` averages within each
# task first and then over the tasks, by weights; ``"stacked"`` gives the tasks' averages to a
# small classifier of patients.  Both learn from models that were fitted on *other* training
# patients (``cv=3`` inner folds), since a model's opinion of those it was trained on says nothing
# about its worth.  With thirty patients the differences are noise; the intervals of
# :func:`~sklearn_dysarthria.patient_bootstrap` would show it.
#
# What a weighted vote found each task to be worth, in every fold:

weights = pd.DataFrame([model.task_weights_ for model in models["per task, weighted"]])
fig, ax = plt.subplots(figsize=(5.4, 2.8), layout="constrained")
ax.bar(weights.columns, weights.mean(), color="0.85")
for number, fold in weights.iterrows():
    ax.plot(weights.columns, fold, "o", label=f"fold {number + 1}")
ax.set(ylabel="weight", title="Excess over chance on patients not trained on")
ax.legend(fontsize=9)

# %%
# A task whose decisions are no better than chance weighs nothing.  Weights can also be given,
# ``task_weights={"phonation": 1, "rhythm": 2}``, and everything inside has a name, so that a
# search reaches it:

grid = {
    "task_estimators__rhythm__logisticregression__C": [0.001, 0.1],
    "voting": ["soft", "weighted"],
}
search = GridSearchCV(by_task("soft"), grid, cv=folds, scoring=patient_scorer("roc_auc"))
print(search.fit(X, y).best_params_)

# %%
# Not deciding
# ------------
#
# A screening may send the doubtful cases to an expert.  Below ``abstain_below``, the confidence
# being the probability of the predicted class (its share of votes after a hard vote), ``predict``
# answers ``abstain_label``.  ``predict_patients`` shows the decision, the confidence and whether
# the model abstained.

model = by_task("soft").set_params(abstain_below=0.6, abstain_label=-1)
train, test = next(folds.split(X, y))
model.fit(X.iloc[train], y[train])
model.predict_patients(X.iloc[test]).head().round(2)

# %%
# ``patient_scorer`` knows two figures for such models: ``"coverage"``, the share of patients who
# get an answer, and ``"selective_accuracy"``, the accuracy among these.

for name in ("coverage", "selective_accuracy"):
    print(f"{name}: {patient_scorer(name)(model, X.iloc[test], y[test]):.2f}")

# %%
# The demand does not change the fit, so that the decisions of one cross-validation tell about all
# demands.

parts = []
for train, test in folds.split(X, y):
    decided = by_task("soft").fit(X.iloc[train], y[train]).predict_patients(X.iloc[test])
    parts.append(
        decided.assign(truth=pd.Series(y[test], X["patient"].iloc[test]).groupby(level=0).first())
    )
decided = pd.concat(parts)
right = decided["prediction"] == decided["truth"]
demands = np.linspace(0.5, decided["confidence"].max(), 20)
answered = [decided["confidence"] >= demand for demand in demands]
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ax.plot(demands, [kept.mean() for kept in answered], label="coverage")
ax.plot(demands, [right[kept].mean() for kept in answered], label="selective accuracy")
ax.set(xlabel="least confidence", ylabel="share of patients", ylim=(0, 1.05))
ax.legend(fontsize=9)

# %%
# Both belong together: an accuracy without its coverage says nothing.  And the demand is a
# parameter like any other; one that was chosen by looking at this curve has been chosen on the
# test patients.

cache.cleanup()
