"""Training behind a wholly frozen backbone, which runs once per image instead of once per epoch.

A frozen backbone f stays in evaluation mode, so that it makes the same of the same image in every
epoch.  As long as no batch is augmented or mixed, an epoch over images x is one over the features
f(x), with the same batches, losses and gradients of the head, and the same random numbers, none of
which f draws.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria.classifiers._net import Rows, TrainingNet, resolve_autocast
from sklearn_dysarthria.nn import Backbone
from sklearn_dysarthria.recordings import ArrayStore, entry_key, open_store

RECIPE = 2
"""To be raised whenever the same weights make something else of the same image."""

BATCH = 32
"""Images per forward pass."""


@dataclass(eq=False)
class FrozenFeatures:
    """What a frozen backbone makes of arrays of images, computed or looked up.

    The backbone is in evaluation mode on `device`, and computes in the type `autocast`, as in
    training, or in that of its weights.  `store` keeps features by the image's content and the
    backbone's weights.

    Kernels round differently for another number of rows: the features of an image depend, by
    rounding (1e-6 of the largest one in single precision), on which others are computed with it,
    and so on which are already in the store.
    """

    backbone: Backbone
    device: str
    autocast: torch.dtype | None = None
    store: ArrayStore | None = None
    batch_size: int = BATCH

    def __call__(self, images: np.ndarray, rows: np.ndarray, verbose: int = 0) -> np.ndarray:
        """Return the float32 features, of shape (n_rows, out_features), of the chosen images.

        `images` are float32 of shape (n_samples, 3, height, width), and may be a memory map.
        """
        features = np.empty((len(rows), self.backbone.out_features), dtype=np.float32)
        starts = range(0, len(rows), self.batch_size)
        for start in progress_bar(
            starts, total=len(starts), desc=self.backbone.name, verbose=verbose
        ):
            part = slice(start, start + self.batch_size)
            batch = np.ascontiguousarray(images[rows[part]])
            features[part] = self._compute(batch) if self.store is None else self._look_up(batch)
        return features

    def _look_up(self, images: np.ndarray) -> list[np.ndarray]:
        """Read features from the store; compute and keep those that are missing."""
        store: Any = self.store
        keys = [entry_key(_digest_of_image(image), self._settings) for image in images]
        found = {key: store.get(key) for key in keys}
        if any(features is None for features in found.values()):
            # One process at a time, and for one batch only: others may be about to compute the
            # same images, in batches that begin elsewhere.
            with store.computing(entry_key("", self._settings)):
                found = {
                    key: store.get(key) if features is None else features
                    for key, features in found.items()
                }
                missing = [key for key, features in found.items() if features is None]
                if missing:
                    computed = self._compute(images[[keys.index(key) for key in missing]])
                    for key, features in zip(missing, computed, strict=True):
                        store.put(key, features)
                        found[key] = features
        return [found[key] for key in keys]

    def _compute(self, images: np.ndarray) -> np.ndarray:
        cast: Any = nullcontext()
        if self.autocast is not None:
            cast = torch.autocast(torch.device(self.device).type, dtype=self.autocast)
        # Convolutions on a CPU are a quarter faster on images whose channels are neighbours.
        layout = torch.channels_last
        with torch.no_grad(), cast:
            features = self.backbone(torch.from_numpy(images).to(self.device, memory_format=layout))
        return features.float().cpu().numpy()

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """Everything but the image that determines its features."""
        packages = ["torch", "torchvision"]
        if self.backbone.name.startswith("timm/"):
            packages.append("timm")
        return {
            "recipe": RECIPE,
            "versions": {package: version(package) for package in packages},
            "network": _modules_of(self.backbone),
            "weights": _digest_of_weights(self.backbone),
            "device": torch.device(self.device).type,
            "autocast": str(self.autocast),
        }


def _digest_of_weights(backbone: Backbone) -> str:
    """Return a digest of a backbone's weights and buffers; that of AlexNet takes 0.1 s."""
    digest = hashlib.sha256()
    for path, tensor in backbone.network.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(repr((path, str(values.dtype), tuple(values.shape))).encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _modules_of(backbone: Backbone) -> str:
    """Return a digest of what a backbone's modules are, and of their plain settings."""
    digest = hashlib.sha256(backbone.name.encode())
    for path, part in backbone.network.named_modules():
        settings = sorted(
            (key, value)
            for key, value in vars(part).items()
            if key != "training" and isinstance(value, (bool, int, float, str, tuple))
        )
        digest.update(repr((path, type(part).__qualname__, settings)).encode())
    return digest.hexdigest()


def _digest_of_image(image: np.ndarray) -> str:
    digest = hashlib.sha256(repr((image.dtype.str, image.shape)).encode())
    digest.update(image.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class SkipFrozen:
    """Replaces the images of a training by the features that a wholly frozen backbone makes.

    These are kept in `cache`, see :func:`open_store`.
    """

    def __init__(self, cache: Any, verbose: int) -> None:
        self.cache = cache
        self.verbose = verbose
        self._backbone: Backbone | None = None

    def __call__(
        self, net: TrainingNet, train: Rows, valid: Rows | None
    ) -> tuple[Rows, Rows | None]:
        """Return the same rows of an initialized net with ``features`` in place of ``X``.

        Those of training and of inner validation are of the same arrays; features are computed once
        per row.  The rows are unchanged if no backbone of the network is wholly frozen.
        """
        backbone = _wholly_frozen_backbone(net.module_)
        if backbone is None:
            return train, valid
        compute = FrozenFeatures(
            backbone,
            net.device,
            resolve_autocast(net.mixed_precision, net.device),
            open_store(self.cache),
        )
        indices = [rows.indices for rows in (train, valid) if rows is not None]
        used = np.unique(np.concatenate(indices))
        arrays = dict(train.arrays)
        images = arrays.pop("X")
        features = np.zeros((len(images), backbone.out_features), dtype=np.float32)
        features[used] = compute(images, used, self.verbose)
        self._backbone, self._checksums = backbone, _checksums(backbone)
        self._learnable = list(backbone.parameters())  # listed once: looked at in every step
        arrays["features"] = features
        known = None if valid is None else replace(valid, arrays=arrays)
        return replace(train, arrays=arrays), known

    def check_frozen(self) -> None:
        """Raise ValueError if a callback has let the backbone learn; cheap enough for any step."""
        if self._backbone is not None and (
            not self._backbone.is_wholly_frozen
            or any(weight.requires_grad for weight in self._learnable)
        ):
            raise ValueError(_CHANGED.format("let weights of the frozen backbone learn"))

    def check_weights(self) -> None:
        """Raise ValueError if the backbone is not as it was when its features were computed."""
        self.check_frozen()
        if self._backbone is not None and _checksums(self._backbone) != self._checksums:
            raise ValueError(_CHANGED.format("changed weights of the frozen backbone"))


_CHANGED = (
    "A callback {}, whose features were computed once, before training. Set freeze=None, or a "
    "number of stages that leaves one to learn; the network then runs whole in every epoch."
)


def _checksums(backbone: Backbone) -> list[Any]:
    """Return numbers that change when weights do; those of AlexNet take 0.05 s."""
    tensors = [tensor.cpu() for tensor in backbone.state_dict().values()]
    return [(torch.hash_tensor(tensor).item(), str(tensor.sum().item())) for tensor in tensors]


def _wholly_frozen_backbone(module: nn.Module) -> Backbone | None:
    """Return the backbone of a network, also within an ordinal one, if no stage of it learns."""
    network = getattr(module, "network", module)  # of OrdinalNetwork
    backbone = getattr(network, "backbone", None)
    return backbone if isinstance(backbone, Backbone) and backbone.is_wholly_frozen else None
