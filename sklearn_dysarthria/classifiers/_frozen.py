"""What frozen stages make of images, kept by the images' content and the stages' weights."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import nn

from sklearn_dysarthria._utils.memory_maps import drop_pages
from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria._utils.rows import new_rows
from sklearn_dysarthria.nn import Backbone
from sklearn_dysarthria.recordings import ArrayStore, entry_key

RECIPE = 1
"""To be raised whenever the same weights make something else of the same image."""

LARGEST_IN_MEMORY = 512 * 2**20
"""Bytes of frozen output from which on it goes to a temporary file."""

BATCH = 16
"""Images per forward pass."""

BLOCK = 64
"""Images whose maps are collected for the layers without convolutions: AlexNet's first one has 38
million weights, and takes a third of the time for 64 images that it takes for four times 16."""


class FrozenPart:
    """The frozen stages of a backbone, applied to arrays of images.

    Parameters
    ----------
    backbone : Backbone
        Where ``is_separable``.
    device : str
        Where it is.
    autocast : torch.dtype or None
        Type to compute in, as in training; None is that of the weights.
    store : ArrayStore or None
        Where results are kept and looked up.
    batch_size : int, default=16
        Images per forward pass through convolutions.

    Notes
    -----
    Kernels round differently for another number of rows: what is made of an image depends, by
    rounding (1e-6 of the largest output in single precision), on which others are computed with
    it, and so on which are already in the store.
    """

    def __init__(
        self,
        backbone: Backbone,
        device: str,
        autocast: torch.dtype | None = None,
        store: ArrayStore | None = None,
        batch_size: int = BATCH,
    ) -> None:
        self.backbone = backbone
        self.device = device
        self.autocast = autocast
        self.store = store
        self.batch_size = batch_size

    def output_shape(self, image_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the frozen output of one image."""
        if self.backbone.is_wholly_frozen:
            return (self.backbone.out_features,)
        with torch.no_grad():
            image = torch.zeros((1, *image_shape), device=self.device)
            return tuple(self.backbone.apply_frozen(image).shape[1:])

    def __call__(self, images: np.ndarray, rows: np.ndarray, verbose: int = 0) -> np.ndarray:
        """Compute the frozen output of some images.

        Parameters
        ----------
        images : ndarray of shape (n_samples, 3, height, width), dtype float32
            May be a memory map.
        rows : ndarray of int of shape (n_rows,)
            Which images.
        verbose : int, default=0
            1 shows a progress bar.

        Returns
        -------
        ndarray of shape (n_rows, ...), dtype float32
            A memory map of a temporary file if it is larger than ``LARGEST_IN_MEMORY``.
        """
        shape = (len(rows), *self.output_shape(images.shape[1:]))
        is_large = 4 * int(np.prod(shape, dtype=np.int64)) > LARGEST_IN_MEMORY
        out = new_rows(tempfile.gettempdir() if is_large else None, shape, np.float32)
        block = max(BLOCK, self.batch_size)
        starts = range(0, len(rows), block)
        settings = self._settings() if self.store is not None else {}
        for start in progress_bar(
            starts, total=len(starts), desc=self.backbone.name, verbose=verbose
        ):
            batch = images[rows[start : start + block]]
            outputs = (
                self._apply(batch)
                if self.store is None
                else self._kept(self.store, batch, settings)
            )
            for position, row in enumerate(outputs, start):
                out.put(position, row)
            drop_pages(images)
        return out.finish()

    def _kept(
        self, store: ArrayStore, images: np.ndarray, settings: Mapping[str, Any]
    ) -> list[np.ndarray]:
        """Look outputs up, and compute and keep those that are missing."""
        keys = [entry_key(_digest_of_image(image), settings) for image in images]
        found = {key: output for key in keys if (output := store.get(key)) is not None}
        if not found.keys() >= set(keys):
            # One process at a time, and for one batch only: others may be about to compute the
            # same images, in batches that begin elsewhere.
            with store.computing(entry_key("", settings)):
                missing = {}
                for position, key in enumerate(keys):
                    if key not in found and key not in missing:
                        output = store.get(key)
                        if output is None:
                            missing[key] = position
                        else:
                            found[key] = output
                if missing:
                    outputs = self._apply(images[list(missing.values())])
                    for key, output in zip(missing, outputs, strict=True):
                        store.put(key, output)
                        found[key] = output
        return [found[key] for key in keys]

    def _apply(self, images: np.ndarray) -> np.ndarray:
        cast = nullcontext()
        if self.autocast is not None:
            cast = torch.autocast(torch.device(self.device).type, dtype=self.autocast)  # type: ignore[assignment]
        # Convolutions on a CPU are a quarter faster on images whose channels are neighbours.
        with torch.no_grad(), cast:
            maps = [
                self.backbone.apply_frozen_to_images(
                    batch.to(self.device, memory_format=torch.channels_last)
                )
                for batch in torch.from_numpy(images).split(self.batch_size)
            ]
            output = self.backbone.apply_frozen_to_maps(torch.cat(maps))
        return output.float().contiguous().cpu().numpy()

    def _settings(self) -> dict[str, Any]:
        """Say everything but the image that determines the output."""
        packages = ["torch", "torchvision"]
        if self.backbone.name.startswith("timm/"):
            packages.append("timm")
        return {
            "recipe": RECIPE,
            "versions": {package: version(package) for package in packages},
            "network": _digest_of_frozen(self.backbone),
            "device": torch.device(self.device).type,
            "autocast": str(self.autocast),
        }


class FrozenState:
    """Tells whether frozen stages are still as they were when this was made.

    A callback may let them learn again, freeze others, or load other weights.

    Parameters
    ----------
    backbone : Backbone
        The network; it is not kept alive by this.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = ref(backbone)
        self._tensors = [
            ref(tensor)
            for module in backbone.frozen_modules()
            for tensor in (*module.parameters(), *module.buffers())
        ]
        self._versions = self._seen()

    def still_holds(self) -> bool:
        """Compare; costs microseconds, so that every batch can ask."""
        return self._seen() == self._versions

    def _seen(self) -> list[Any]:
        tensors = (reference() for reference in self._tensors)
        seen = [None if t is None else (t._version, t.requires_grad) for t in tensors]
        return [getattr(self._backbone(), "n_frozen", None), *seen]


def digest_of_modules(name: str, modules: Sequence[nn.Module]) -> str:
    """Return a digest of the weights and the plain settings of some modules.

    Parameters
    ----------
    name : str
        What they are part of.
    modules : sequence of torch.nn.Module
        In the order in which they are applied.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    digest = hashlib.sha256(name.encode())
    for number, module in enumerate(modules):
        for path, part in module.named_modules():
            settings = {
                key: value
                for key, value in vars(part).items()
                if key not in _NO_SETTINGS and isinstance(value, (bool, int, float, str, tuple))
            }
            told = (number, path, type(part).__qualname__, sorted(settings.items()))
            digest.update(repr(told).encode())
        for path, tensor in module.state_dict().items():
            values = tensor.detach().cpu().contiguous()
            digest.update(repr((number, path, str(values.dtype), tuple(values.shape))).encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


_digests: WeakKeyDictionary[Backbone, tuple[FrozenState, str]] = WeakKeyDictionary()


def _digest_of_frozen(backbone: Backbone) -> str:
    """Return the digest of the frozen modules; it is computed again when they have changed.

    That of AlexNet takes 0.1 s, as long as ten images.
    """
    state, digest = _digests.get(backbone, (None, ""))
    if state is None or not state.still_holds():
        digest = digest_of_modules(backbone.name, backbone.frozen_modules())
        _digests[backbone] = FrozenState(backbone), digest
    return digest


# How many stages are frozen says which modules these are, and changes nothing in them.
_NO_SETTINGS = frozenset({"training", "n_frozen", "stage_names", "_never_learn"})


def _digest_of_image(image: np.ndarray) -> str:
    digest = hashlib.sha256(repr((image.dtype.str, image.shape)).encode())
    digest.update(np.ascontiguousarray(image).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
