"""
===========================================
Search an architecture
===========================================

How deep and wide should the backbone be, how large the embedding, how deep and wide the
hypernetwork?  All of these are parameters, so that any search over parameters is a search over
architectures: here scikit-learn's successive halving, and Optuna.

.. note::

   The networks are tiny and start from random weights, the patients are few, and the space has a
   handful of points.  The page shows how such a search is written, not which architecture is best.
"""

# %%
# The space
# ---------
#
# ``depth`` of a :class:`~sklearn_dysarthria.Backbone` keeps that many of AlexNet's leading stages,
# ``width`` multiplies its channels.

import tempfile

import matplotlib.pyplot as plt
import optuna
import pandas as pd
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from sklearn_dysarthria import (
    Backbone,
    HyperAlexNetClassifier,
    HyperHead,
    LogMelDeltaImages,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(n_patients=20, difficulty="easy", random_state=0)
cache = tempfile.TemporaryDirectory()
images = LogMelDeltaImages(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=64, image_size=64, cache=cache.name
)
network = HyperAlexNetClassifier(
    backbone=Backbone("alexnet", weights=None),
    head=HyperHead(),
    lr=1e-3,
    max_epochs=8,
    random_state=0,
)
model = PatientVotingClassifier(
    Pipeline([("images", images), ("classify", network)]), voting="soft"
)
space = {
    "estimator__classify__backbone__depth": [2, 3, 5],
    "estimator__classify__backbone__width": [0.125, 0.25],
    "estimator__classify__embedding_dim": [32, 128, 768],
    "estimator__classify__head__n_hidden_layers": [1, 2],
    "estimator__classify__head__hidden_dim": [64, 256],
}
folds = StratifiedPatientKFold(2, random_state=0)
scoring = patient_scorer("roc_auc")

# %%
# Successive halving
# ------------------
#
# Many candidates train for few epochs; the better half trains for longer.  The resource is the
# number of epochs: halving the number of recordings would tear patients apart.

halving = HalvingRandomSearchCV(
    model,
    space,
    resource="estimator__classify__max_epochs",
    n_candidates=8,
    min_resources=2,
    max_resources=8,
    factor=2,
    cv=folds,
    scoring=scoring,
    random_state=0,
    refit=False,
)
halving.fit(X, y)
found = pd.DataFrame(halving.cv_results_)

fig, ax = plt.subplots(figsize=(5.4, 3.2), layout="constrained")
for iteration, tried in found.groupby("iter"):
    ax.plot([iteration] * len(tried), tried["mean_test_score"], "o", alpha=0.6)
ax.set_xticks(range(halving.n_iterations_))
ax.set_xticklabels(
    [
        f"{n} candidates\n{r} epochs"
        for n, r in zip(halving.n_candidates_, halving.n_resources_, strict=True)
    ]
)
ax.set(ylabel="AUC (patients)")

# %%
# Optuna
# ------
#
# Optuna, an optional extra of the installation named ``search``, proposes each architecture from
# the scores of the earlier ones.  It needs a function from a trial to a score, which is one call of
# :func:`~sklearn.model_selection.cross_val_score`.


def score(trial):
    """Cross-validate the architecture that a trial proposes."""
    chosen = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
    proposed = clone(model).set_params(**chosen)
    return cross_val_score(proposed, X, y, cv=folds, scoring=scoring).mean()


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(score, n_trials=10)
best = {name.rpartition("__")[2]: value for name, value in study.best_params.items()}
print(best)

# %%
trials = study.trials_dataframe()
fig, ax = plt.subplots(figsize=(5.4, 3), layout="constrained")
ax.plot(trials["number"], trials["value"], "o", color="0.6", label="trial")
ax.plot(trials["number"], trials["value"].cummax(), drawstyle="steps-post", label="best so far")
ax.set(xlabel="trial", ylabel="AUC (patients)")
ax.legend(fontsize=8)

# %%
# The best score of either search is optimistic, since these patients chose the architecture.  For a
# number to report, put the search inside an outer cross-validation, as in
# :doc:`/auto_examples/plot_grid_search`.

cache.cleanup()
