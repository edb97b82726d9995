from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sklearn_dysarthria import (
    BackboneClassifier,
    ConvNeXtSeverityClassifier,
    HyperAlexNetClassifier,
)

TINY = {"weights": None, "batch_size": 8, "max_epochs": 2, "lr": 1e-3, "random_state": 0}
HEAD = {"embedding_dim": 16, "hidden_dim": 8, "context_dim": 4, "n_contexts": 3}


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
        return self.estimator(**TINY | self.arguments | changes)

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
    "alexnet-noise": ImageCase(HyperAlexNetClassifier, HEAD),
    "alexnet-data": ImageCase(HyperAlexNetClassifier, HEAD | {"context": "data"}, structured=True),
    "alexnet-dense": ImageCase(HyperAlexNetClassifier, HEAD | {"head": "dense"}),
    "convnext": ImageCase(ConvNeXtSeverityClassifier, {"variant": "femto"}),
    "backbone": ImageCase(BackboneClassifier, {"backbone": "convnext_femto"}),
}


@pytest.fixture
def femto_alexnet(monkeypatch):
    """Put a small backbone under HyperAlexNetClassifier: AlexNet's 57 million weights are slow."""
    original = HyperAlexNetClassifier._module

    def module(self, arrays, n_classes, seed):
        network, arguments = original(self, arrays, n_classes, seed)
        return network, arguments | {"backbone": "convnext_femto"}

    monkeypatch.setattr(HyperAlexNetClassifier, "_module", module)


@pytest.fixture(params=CASES)
def case(request, femto_alexnet):
    return CASES[request.param]


@pytest.fixture
def noise_case(femto_alexnet):
    return CASES["alexnet-noise"]


@pytest.fixture
def convnext():
    return CASES["convnext"]


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
