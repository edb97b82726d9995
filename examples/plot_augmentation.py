"""
=============================================
Augmenting batches, and images at prediction
=============================================

Every image classifier can change its training batches: mask them, flip, rotate, jitter or mix
them.  Each is one parameter, and none is applied at prediction unless test-time augmentation asks
for it.  These methods come from photographs, and a spectrogram is none: this page shows what they
do to it.
"""

# %%
# What they look like
# -------------------
#
# The classifiers apply plain torch modules, which can be called directly.  Only the first channel,
# the log-mel spectrogram, is drawn.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_dysarthria import (
    Augment,
    Backbone,
    BackboneClassifier,
    LogMelDeltaImages,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    make_dysarthric_speech,
    patient_scorer,
)
from sklearn_dysarthria.nn import BatchMixing, ImageAugment, SpecAugment

X, y = make_dysarthric_speech(n_patients=16, difficulty="easy", random_state=0)
front_end = LogMelDeltaImages(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=64, image_size=64
)
images = front_end.fit_transform(X)
pair = torch.from_numpy(images[X["task"] == "rhythmPA"][:2])
labels = torch.tensor([0, 1])

torch.manual_seed(1)
shown = {
    "as it is": pair,
    "spec_augment": SpecAugment(probability=1)(pair),
    "horizontal_flip": ImageAugment(horizontal_flip=1)(pair),
    "vertical_flip": ImageAugment(vertical_flip=1)(pair),
    "rotation=15": ImageAugment(rotation=15)(pair),
    "color_jitter=0.4": ImageAugment(color_jitter=0.4)(pair),
    "mixup": BatchMixing(mixup=1.0)({"X": pair}, labels)[0]["X"],
    "cutmix": BatchMixing(cutmix=1.0)({"X": pair}, labels)[0]["X"],
}
fig, axes = plt.subplots(2, 4, figsize=(8, 4.2), layout="constrained")
for ax, (name, batch) in zip(axes.flat, shown.items(), strict=True):
    ax.imshow(batch[0, 0], origin="lower", aspect="auto")
    ax.set_title(name, fontsize=9)
    ax.set_axis_off()

# %%
# Masks hide some moments and some frequencies under the mean of the image.  A horizontal
# flip plays the recording backwards, so that a stop's burst comes after its vowel; a vertical one
# puts the formants upside down; a rotation makes every steady tone glide.  No speaker can do that,
# and whether it helps nevertheless is a matter of measurement.  :doc:`/models` says more of each.
#
# A grid over augmentations
# -------------------------

network = Pipeline(
    [
        ("images", front_end),
        (
            "classify",
            BackboneClassifier(
                Backbone("convnext_femto", weights=None),
                augment=Augment(),
                lr=1e-3,
                max_epochs=10,
                random_state=0,
            ),
        ),
    ]
)
grid = [
    {"estimator__classify__augment__spec": [0.0, 0.7]},
    {"estimator__classify__augment__horizontal_flip": [0.5]},
    {"estimator__classify__augment__rotation": [10]},
    {"estimator__classify__augment__color_jitter": [0.2]},
    {"estimator__classify__augment__mixup": [0.4]},
    {"estimator__classify__augment__cutmix": [1.0]},
]
search = GridSearchCV(
    PatientVotingClassifier(network, voting="soft"),
    grid,
    cv=StratifiedPatientKFold(2, random_state=0),
    scoring=patient_scorer("roc_auc"),
)
found = pd.DataFrame(search.fit(X, y).cv_results_)
names = [
    ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in params.items())
    for params in found["params"]
]
pd.Series(found["mean_test_score"].to_numpy(), index=names, name="AUC (patients)").round(2)

# %%
# Two folds of sixteen patients do not rank anything; the code would be the same for a corpus that
# does.
#
# At prediction
# -------------
#
# ``n_views`` averages the probabilities of the image itself and of augmented views.  The views
# are the same for every image and every call, so that a prediction can be repeated, and does not
# depend on which other recordings are predicted with it.

classifier = BackboneClassifier(
    Backbone("convnext_femto", weights=None),
    augment=Augment(spec=0.7, n_views=8),
    lr=1e-3,
    max_epochs=10,
    random_state=0,
).fit(images, y)
averaged = classifier.predict_proba(images)
print("the same twice:", np.array_equal(averaged, classifier.predict_proba(images)))

plain = classifier.set_params(augment__n_views=1).predict_proba(images)
fig, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
ax.plot([0, 1], [0, 1], color="0.8")
ax.scatter(plain[:, 1], averaged[:, 1], c=y, cmap="coolwarm", s=18)
ax.set(xlabel="probability from the image", ylabel="mean over 8 views")
