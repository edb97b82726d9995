"""
=============================================
Why fusing tasks can do worse than one task
=============================================

A patient is recorded in several tasks, and a network that sees all of them should know more than
one that sees a single vowel.  The hypernetwork paper found the opposite: fusion did worse than the
best task alone.  :class:`~sklearn_dysarthria.TaskFusionClassifier` makes it possible to ask why.
It fuses the embeddings of a patient's recordings in one of four ways, and tells afterwards how
much each task weighs and what it changes.

.. note::

   The speech is synthetic, the networks are small perceptrons on eGeMAPS features, and there are
   40 patients.  The example shows how to look, not what holds for real patients.
"""

# %%
# A task that spoils it
# ---------------------
#
# Every speaker holds an /a/ and repeats /ta/.  Suppose that /ta/ was recorded with a bad
# microphone: its noise is three times as strong as the speech.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    StratifiedPatientKFold,
    TaskFusionClassifier,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(
    n_patients=40,
    tasks=["phonationA", "rhythmTA"],
    difficulty="hard",
    duration=(1.5, 2.0),
    random_state=0,
)
rng = np.random.default_rng(0)
for row in X.index[X["task"] == "rhythmTA"]:
    speech = X.at[row, "audio"]
    noise = 3 * speech.std() * rng.normal(size=len(speech))
    X.at[row, "audio"] = (speech + noise).astype("float32")

# %%
# The same network on one task and on both
# ----------------------------------------
#
# ``tasks`` of one name is the same network on that task alone, so that nothing else differs.
# ``task_dropout`` withholds a task now and then in training.  The network then copes with
# patients who lack one, and with our taking tasks away below.

scratch = tempfile.TemporaryDirectory()
model = TaskFusionClassifier(
    make_pipeline(EGeMAPSFeatures(cache=scratch.name), StandardScaler()),
    head="dense",
    embedding_dim=16,
    fusion_dim=16,
    task_dropout=0.2,
    lr=3e-3,
    max_epochs=15,
    random_state=0,
)
variants = {
    "/a/ alone": clone(model).set_params(tasks=["phonationA"]),
    "/ta/ alone": clone(model).set_params(tasks=["rhythmTA"]),
    "both, concat": clone(model).set_params(fusion="concat"),
    "both, gmu": clone(model).set_params(fusion="gmu"),
}

# %%
# All variants are scored on the same patients, in three repetitions of a cross-validation that
# keeps every patient on one side:

scores, fits = {}, {}
for name, variant in variants.items():
    rows = np.flatnonzero(X["task"].isin(variant.tasks or X["task"].unique()))
    for repeat in range(3):
        result = cross_validate(
            variant,
            X.iloc[rows],
            y[rows],
            cv=StratifiedPatientKFold(4, random_state=repeat),
            scoring=patient_scorer("roc_auc"),
            return_estimator=True,
            return_indices=True,
        )
        scores[name, repeat] = result["test_score"].mean()
        fits[name, repeat] = result
scores = pd.Series(scores).unstack()
scores.assign(mean=scores.mean(axis=1)).round(2)

# %%
# The noisy /ta/ is useless by itself.  Beside /a/ it lowers the mean score: the network has to find
# out from 30 patients what to ignore.  The gated unit, which can turn a task down as a whole, loses
# less here than the concatenation.  Differences of this size are within the scatter of so few
# patients, which is one more reason to look inside.
#
# Asking the fusion
# -----------------
#
# ``task_weights`` tells which share of the fused vector comes from which task, patient by
# patient; for the gated unit it is the mean of the task's gates.  ``task_contributions``, which
# works with any fusion, tells how the probability of dysarthria changes when a task is withheld.
# Both are asked about patients that the network was not trained on.


def on_test_patients(name, question):
    """Ask each fold's network about its test patients."""
    result = fits[name, 0]
    folds = zip(result["estimator"], result["indices"]["test"], strict=True)
    return pd.concat([getattr(network, question)(X.iloc[test]) for network, test in folds])


weights = on_test_patients("both, gmu", "task_weights")
contributions = {
    name: on_test_patients(name, "task_contributions") for name in ("both, concat", "both, gmu")
}
pd.DataFrame(
    {
        "mean gate": weights.mean(),
        "mean |contribution|, gmu": contributions["both, gmu"].abs().mean(),
        "mean |contribution|, concat": contributions["both, concat"].abs().mean(),
    }
).round(2)

# %%
# As a figure.  A contribution helps when it is positive for patients with dysarthria and negative
# for the healthy; one that points anywhere is noise that the fusion lets through.

dysarthric = pd.Series(y, index=X["patient"]).groupby(level=0).first() == 1
names = {"phonationA": "/a/", "rhythmTA": "/ta/, noisy"}
fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")

for position, name in enumerate(variants):
    axes[0].plot(np.repeat(position, 3), scores.loc[name], "o", color="C0", alpha=0.6)
    axes[0].plot(position, scores.loc[name].mean(), "_", color="black", markersize=22)
axes[0].axhline(0.5, color="grey", linestyle=":")
axes[0].set_xticks(range(len(variants)), [name.replace(" ", "\n") for name in variants])
axes[0].set(ylabel="AUC over test patients", title="Scores of three repetitions")

axes[1].hist([weights[task] for task in names], bins=np.linspace(0, 1, 21), label=names.values())
axes[1].set(
    xlim=(0, 1), xlabel="mean gate of the task", ylabel="test patients", title="Weights (gmu)"
)
axes[1].legend(fontsize=9)

for position, table in enumerate(contributions.values()):
    for shift, task in enumerate(names):
        helps = table[task].where(dysarthric.loc[table.index], -table[task])
        place = 3 * position + shift
        axes[2].boxplot(helps, positions=[place], widths=0.6, showfliers=False)
axes[2].axhline(0, color="grey", linestyle=":")
labels = [f"{task}\n{name.split()[-1]}" for name in contributions for task in ("/a/", "/ta/")]
axes[2].set_xticks([0, 1, 3, 4], labels)
axes[2].set(ylabel="change towards the true class", title="Contributions")

# %%
# The gates turn the noisy task down but not off, and what it contributes helps nobody on average.
# On a real corpus the same three panels separate the reasons for which a fusion may fail: a task
# without information (its score alone is at chance), a fusion that does not find out (the weights
# stay even), or one that learned the training patients by heart (contributions that are large on
# them and point nowhere on new ones).  The first asks for other tasks, ``tasks=[...]``; the others
# for a smaller ``fusion_dim``, more ``weight_decay`` and ``task_dropout``, or more patients.

scratch.cleanup()
