"""
==============================================
The two published systems as Pipelines
==============================================

:func:`~sklearn_dysarthria.hyper_alexnet_pipeline` and
:func:`~sklearn_dysarthria.sand_convnext_pipeline` build the hypernetwork paper's system and the
ConvNeXt entry to the SAND challenge, whole.  Both are ordinary Pipelines: every parameter has a
name, and can be changed, searched or replaced.
"""

# %%
# As published
# ------------
#
# Building costs nothing; weights are fetched when such a Pipeline is fitted.

import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sklearn_dysarthria import (
    PatientVotingClassifier,
    StratifiedPatientKFold,
    hyper_alexnet_pipeline,
    make_dysarthric_speech,
    sand_convnext_pipeline,
)

sand_convnext_pipeline(preset="paper")

# %%
# The parameters of both, side by side.  What the hypernetwork paper leaves open is marked as
# inferred in the reference of :class:`~sklearn_dysarthria.HyperAlexNetClassifier`.

systems = {
    "hypernetwork paper": hyper_alexnet_pipeline(preset="paper"),
    "SAND entry": sand_convnext_pipeline(preset="paper"),
}
interesting = [
    *("images__n_mels", "images__freq_ranges", "images__image_size"),
    *("classify__backbone__name", "classify__backbone__weights", "classify__loss"),
    *("classify__class_weight", "classify__optimizer", "classify__lr", "classify__lr_schedule"),
    *("classify__max_epochs", "classify__augment"),
]
pd.DataFrame(
    {name: {key: str(p.get_params()[key]) for key in interesting} for name, p in systems.items()}
)

# %%
# At a size for two processor cores
# ---------------------------------
#
# ``preset="quick"`` is the same with small images and a small network from random weights.  Any
# parameter goes in by name.  ``oversample="sand"`` repeats SAND's rare classes as the entry did,
# and a dict those of any other corpus:

X, y = make_dysarthric_speech(n_patients=24, classes=[5, 4, 3], difficulty="easy", random_state=0)
entry = sand_convnext_pipeline(
    preset="quick",
    oversample={3: 2},
    classify__max_epochs=10,
    classify__random_state=0,
)
model = PatientVotingClassifier(entry, voting="hard")
train, test = next(StratifiedPatientKFold(3, random_state=0).split(X, y))
model.fit(X.iloc[train], y[train])
model.predict_patients(X.iloc[test]).round(2)

# %%
# One object, from path to decision
# ---------------------------------
#
# What was saved is what predicts.  Training and prediction cannot use different images, since both
# go through the fitted front end in the file.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.joblib")
    joblib.dump(model, path)
    restored = joblib.load(path)

front_end = Pipeline(model.estimator_.steps[:-1])
again = Pipeline(restored.estimator_.steps[:-1])
same_images = np.array_equal(front_end.transform(X), again.transform(X))
same_answers = np.array_equal(
    model.predict_proba(X.iloc[test]), restored.predict_proba(X.iloc[test])
)
print("the same images:", same_images)
print("the same probabilities:", same_answers)
