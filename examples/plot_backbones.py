"""
=====================================
Any backbone, by name
=====================================

The same recipe trains AlexNet, the sizes of ConvNeXt, the vision transformer that was the SAND
challenge's baseline, and any other classification network of torchvision, or of timm where it is
installed.  The name is a parameter, and so is how much of the network is trained.

.. note::

   All weights are random here, since nothing is downloaded when this page is built.  With
   ``weights="IMAGENET1K_V1"`` torchvision's pretrained weights are fetched on first use.
"""

# %%
# Networks and their sizes
# ------------------------
#
# On torch's "meta" device a network has shapes and no numbers, so that even the large ones are
# looked at in no time.

import tempfile

import matplotlib.pyplot as plt
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_dysarthria import (
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    LogMelDeltaImages,
    PatientVotingClassifier,
    compare,
    make_dysarthric_speech,
)
from sklearn_dysarthria.nn import build_backbone, count_parameters, list_backbones

names = [
    "alexnet",
    "convnext_femto",
    "convnext_tiny",
    "convnext_base",
    "vit_b_16",
    "resnet18",
    "efficientnet_b0",
    "mobilenet_v3_small",
]
with torch.device("meta"):
    networks = {name: build_backbone(name) for name in names}
print(len(list_backbones()), "names are known without timm")
pd.DataFrame(
    {
        "millions of parameters": {n: count_parameters(b) / 1e6 for n, b in networks.items()},
        "embedding": {n: b.out_features for n, b in networks.items()},
        "parts that can be frozen": {n: len(b.stages) for n, b in networks.items()},
    }
).round(1)

# %%
# One Pipeline for all of them
# ----------------------------
#
# The networks below are the small ones of the table, or are made small: ``depth`` of a
# :class:`~sklearn_dysarthria.Backbone` keeps the first stages only, of which a ConvNeXt's stem is
# one, and ``width`` multiplies the channels.

X, y = make_dysarthric_speech(n_patients=16, difficulty="easy", random_state=0)
cache = tempfile.TemporaryDirectory()
images = LogMelDeltaImages(
    sample_rate=16000, n_fft=1024, hop_length=256, n_mels=64, image_size=64, cache=cache.name
)
pipeline = Pipeline(
    [
        ("images", images),
        (
            "classify",
            BackboneClassifier(
                Backbone("convnext_femto", weights=None), max_epochs=8, random_state=0
            ),
        ),
    ]
)
variants = {
    "small ConvNeXt": {},
    "its stem and two groups": {"depth": 3},
    "twice as wide": {"width": 2.0},
    "MobileNet v3": {"name": "mobilenet_v3_small"},
    "narrow AlexNet": {"name": "alexnet", "width": 0.25},
}
models = {
    name: clone(pipeline).set_params(
        **{f"classify__backbone__{key}": v for key, v in params.items()}
    )
    for name, params in variants.items()
}
result = compare(
    X,
    y,
    methods={n: PatientVotingClassifier(m, voting="soft") for n, m in models.items()},
    n_splits=2,
    n_resamples=200,
    random_state=0,
)
result.table[["balanced accuracy", "AUC"]]

# %%
# Freezing
# --------
#
# ``freeze`` counts the parts of the network, from the images on, that keep their weights; ``"all"``
# trains nothing but the last layer.  With pretrained weights and few patients that is often the
# better choice.

fig, ax = plt.subplots(figsize=(5.6, 3), layout="constrained")
pictures = images.fit_transform(X)
for frozen in [None, 2, 4, "all"]:
    model = clone(pipeline["classify"]).set_params(backbone__freeze=frozen).fit(pictures, y)
    trained = count_parameters(model.net_.module_, trainable_only=True)
    ax.plot(model.history_["train_loss"], marker=".", label=f"{frozen}: {trained:,} trained")
ax.set(xlabel="epoch", ylabel="training loss")
ax.legend(title="freeze", fontsize=8)

# %%
# A network can also be a plain transformer in front of any scikit-learn classifier:

resnet = Backbone("resnet18", weights=None)
vectors = BackboneEmbeddings(resnet, random_state=0).fit_transform(pictures)
print(vectors.shape)
cache.cleanup()
