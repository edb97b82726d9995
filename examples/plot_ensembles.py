"""
=================================
Ensembles, of seeds and of models
=================================

A network trained twice gives two answers: initial weights, order of batches and noise come from a
seed.  On a few dozen patients the seed can matter more than the method.
:class:`~sklearn_dysarthria.SeedEnsembleClassifier` averages it away and tells how much there was;
scikit-learn's :class:`~sklearn.ensemble.VotingClassifier` and
:class:`~sklearn.ensemble.StackingClassifier` combine different models.
"""

# %%
# One network, several seeds
# --------------------------
#
# A frozen backbone turns images into vectors, and a small head whose weights a hypernetwork
# generates learns on them.  (The backbone here has *random* weights and is small; this page is
# about ensembles.)  The images and vectors are computed once, outside of what is repeated:
# the ensemble is the last step.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dysarthria import (
    Backbone,
    BackboneEmbeddings,
    EGeMAPSFeatures,
    HyperHead,
    HyperLinearClassifier,
    LogMelDeltaImages,
    PatientVotingClassifier,
    SeedEnsembleClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)

X, y = make_dysarthric_speech(
    n_patients=32, difficulty="medium", duration=(1.0, 1.5), random_state=0
)
cache = tempfile.TemporaryDirectory()
front_end = [
    (
        "images",
        LogMelDeltaImages(
            sample_rate=16000,
            n_fft=1024,
            hop_length=256,
            n_mels=64,
            image_size=32,
            cache=cache.name,
        ),
    ),
    ("embed", BackboneEmbeddings(Backbone("convnext_femto", weights=None), random_state=0)),
    ("scale", StandardScaler()),
]
head = HyperLinearClassifier(max_epochs=8, lr=5e-4, head=HyperHead(n_contexts=8))
ensemble = SeedEnsembleClassifier(head, n_estimators=8, random_state=0)
network = Pipeline([*front_end, ("classify", ensemble)])

folds = StratifiedPatientKFold(4, random_state=0)
train, test = next(folds.split(X, y))
model = PatientVotingClassifier(network, voting="soft").fit(X.iloc[train], y[train])

# %%
# How far the members are apart
# -----------------------------
#
# Every parameter ``random_state`` inside a member is set from the ensemble's own, so that the
# whole is repeatable.  ``predict_spread`` is the standard deviation of the members'
# probabilities.  It shows what depends on the seed, not what depends on who happened to be in the
# training set: a small spread is no proof of a good model.

fitted = model.estimator_
vectors = fitted[:-1].transform(X.iloc[test])
each = np.array([member.predict_proba(vectors)[:, 1] for member in fitted[-1].estimators_])
mean, spread = fitted[-1].predict_proba(vectors)[:, 1], fitted[-1].predict_spread(vectors)[:, 1]
order = np.argsort(mean)
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(each[:, order].T, ".", color="0.7")
ax.errorbar(range(len(order)), mean[order], spread[order], fmt="o", color="C0", capsize=3)
ax.axhline(0.5, color="grey", linestyle=":")
ax.set(
    xlabel="recordings of the test fold",
    ylabel="probability of dysarthria",
    ylim=(0, 1),
    title="Eight seeds (grey), their mean and spread",
)

# %%
# Single seeds against their mean
# -------------------------------
#
# The same comparison over the folds.  The ensemble is not always better than the luckiest seed;
# nobody knows beforehand which one that is.

scoring = patient_scorer("roc_auc")
single = []
for seed in range(4):
    one = Pipeline([*front_end, ("classify", head)]).set_params(classify__random_state=seed)
    voted = PatientVotingClassifier(one, voting="soft")
    single.append(cross_val_score(voted, X, y, cv=folds, scoring=scoring).mean())
together = cross_val_score(
    PatientVotingClassifier(network, voting="soft"), X, y, cv=folds, scoring=scoring
).mean()
print(f"single seeds: {np.round(single, 2)}, eight together: {together:.2f}")

# %%
# Different models together
# -------------------------
#
# The members of scikit-learn's ensembles may begin with the table of recordings, each with
# features of its own.  A stack learns how far to trust each of them from folds inside the
# training set, and ``cv`` says which: give it folds of *patients*.  A number would split
# recordings, and draws a :class:`~sklearn_dysarthria.exceptions.PatientLeakWarning` inside
# :class:`~sklearn_dysarthria.PatientVotingClassifier`.

baseline = make_pipeline(
    EGeMAPSFeatures(cache=cache.name), StandardScaler(), LogisticRegression(C=0.01)
)
one_seed = Pipeline([*front_end, ("classify", head)]).set_params(classify__random_state=0)
members = [("egemaps", baseline), ("network", one_seed)]
ensembles = {
    "eGeMAPS alone": baseline,
    "mean of both": VotingClassifier(members, voting="soft"),
    "stacked": StackingClassifier(
        members, LogisticRegression(), cv=StratifiedPatientKFold(3, random_state=0)
    ),
}
for name, recording_model in ensembles.items():
    voted = PatientVotingClassifier(recording_model, voting="soft")
    scores = cross_val_score(voted, X, y, cv=folds, scoring=scoring)
    print(f"{name}: {scores.mean():.2f} (folds: {np.round(scores, 2)})")

# %%
# Two things to know.  Members that stop early need the patients, which scikit-learn's ensembles
# hand on only with ``sklearn.set_config(enable_metadata_routing=True)``; ``SeedEnsembleClassifier``
# does so always.  And no ensemble is better than its members on principle: here a backbone that
# was never trained drags the baseline down, and the stack limits the damage.

cache.cleanup()
