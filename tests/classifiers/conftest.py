from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_dysarthria import (
    Augment,
    Backbone,
    BackboneClassifier,
    ConvNeXtSeverityClassifier,
    CrossEntropy,
    FocalLoss,
    HyperAlexNetClassifier,
    HyperHead,
)

# AlexNet's 57 million weights are slow: HyperAlexNetClassifier gets a small backbone too.
TINY = {
    "backbone": Backbone("convnext_femto", weights=None),
    "augment": Augment(),
    "loss": CrossEntropy(),
    "batch_size": 8,
    "max_epochs": 2,
    "lr": 1e-3,
    "random_state": 0,
}
HEAD = HyperHead(hidden_dim=8, context_dim=4, n_contexts=3)
DATA_HEAD = HyperHead(context="data", hidden_dim=8)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@dataclass
class ImageCase:
    """A classifier of images and the form of X that it takes."""

    estimator: type
    arguments: dict[str, Any]
    structured: bool = False

    def model(self, **changes):
        """Make the classifier; changes such as ``augment__rotation`` reach into its objects."""
        return self.estimator(**TINY | self.arguments).set_params(**changes)

    def wrap(self, images):
        """Bring images into the form that ImagesWithContext gives them, where that is asked."""
        if not self.structured:
            return images
        images = np.asarray(images)
        n_context = 5
        layout = [("image", images.dtype, images.shape[1:]), ("context", "f4", (n_context,))]
        out = np.empty(len(images), dtype=layout)
        out["image"] = images
        # A function of the image alone, so that it moves with its row.
        out["context"] = images[:, 0, 0, :n_context]
        return out


CASES = {
    "alexnet-noise": ImageCase(HyperAlexNetClassifier, {"head": HEAD, "embedding_dim": 16}),
    "alexnet-data": ImageCase(
        HyperAlexNetClassifier, {"head": DATA_HEAD, "embedding_dim": 16}, structured=True
    ),
    "alexnet-dense": ImageCase(HyperAlexNetClassifier, {"head": "dense", "embedding_dim": 16}),
    "convnext": ImageCase(
        ConvNeXtSeverityClassifier, {"loss": FocalLoss(), "augment": Augment(spec=0.7)}
    ),
    "backbone": ImageCase(BackboneClassifier, {}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def noise_case():
    return CASES["alexnet-noise"]


@pytest.fixture
def convnext():
    return CASES["convnext"]


@pytest.fixture
def watch():
    """A callback that notes what a network is trained on: one to put among `callbacks`."""

    class Watch(Callback):
        # Of the class, because classifiers copy their callbacks.
        datasets: ClassVar[dict[str, Any]] = {}
        batches: ClassVar[list[Any]] = []

        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            self.datasets.update(train=dataset_train, valid=dataset_valid)

        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                self.batches.append(batch)

        def rows(self, part):
            """Numbers of the rows of a part, "train" or "valid"."""
            return np.asarray(self.datasets[part].indices)

        @property
        def sizes(self):
            return [len(labels) for _, labels in self.batches]

    return Watch()


@pytest.fixture(scope="session")
def make_images():
    """Images whose class shows in which half of them is bright."""

    def make(n=24, size=32, n_classes=2, seed=0, labels=None):
        rng = np.random.default_rng(seed)
        codes = np.arange(n) % n_classes
        images = rng.normal(size=(n, 3, size, size)).astype(np.float32)
        band = size // n_classes
        for image, code in zip(images, codes, strict=True):
            image[:, code * band : (code + 1) * band] += 2
        return images, codes if labels is None else np.asarray(labels)[codes]

    return make
