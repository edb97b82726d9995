"""What the classifiers of images share on top of :class:`TorchClassifier`."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_dysarthria._utils.failed_rows import partly_invalid_rows
from sklearn_dysarthria.classifiers._base import Arrays, TorchClassifier
from sklearn_dysarthria.classifiers._frozen import SkipFrozen
from sklearn_dysarthria.classifiers._net import Rows


class ImageClassifier(TorchClassifier):
    """Base of classifiers of images of shape (n_samples, 3, height, width)."""

    _uses_context = False
    image_shape_: tuple[int, ...]
    n_context_features_: int
    cache: Any

    def _check_input(self, X: Any, *, reset: bool) -> Arrays:
        X = np.asarray(X)
        names = X.dtype.names or ()
        if self._uses_context and "context" not in names:
            raise ValueError(
                'context="data" needs a vector beside each image: X must be the output of '
                "ImagesWithContext."
            )
        images = X["image"] if "image" in names else X
        arrays = {"X": check_images(self, images, shape=None if reset else self.image_shape_)}
        if reset:
            self.image_shape_ = images.shape[1:]
        if self._uses_context:
            context = _finite_or_failed(X["context"], "context")
            if context.ndim != 2 or (not reset and context.shape[1] != self.n_context_features_):
                expected = "n_features" if reset else self.n_context_features_
                raise ValueError(
                    f"context must have shape (n_samples, {expected}), got {context.shape}."
                )
            arrays["context"] = context
            if reset:
                self.n_context_features_ = context.shape[1]
        return arrays

    def _skip_frozen(self) -> SkipFrozen | None:
        augment = self._augment()
        if augment.of_images() or augment.of_batches():
            return None  # the frozen stages see other images in every epoch
        return SkipFrozen(self.cache, self.verbose)

    def _looked_up(self, rows: Rows) -> Rows:
        skip = None if self.cache is None else self._skip_frozen()
        return rows if skip is None else skip(self.net_, rows, None)[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags


def check_images(estimator: Any, X: Any, *, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return images as float32 of shape (n_samples, 3, height, width), X itself if it is that.

    ValueError if they cannot be read so, are of another shape than `shape`, that of the images in
    the fit, or none at all; and for NaN and infinity inside an image.
    """
    name = type(estimator).__name__
    images = np.asarray(X)
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} needs numeric images of shape (n_samples, 3, height, width), as "
            f"LogMelDeltaImages makes them; got shape {images.shape} and type {images.dtype}."
        )
    if not len(images):
        raise ValueError(f"{name} got 0 images; a minimum of 1 is required.")
    if shape is not None and images.shape[1:] != shape:
        raise ValueError(f"images have shape {images.shape[1:]}, but {name} was fitted on {shape}.")
    return _finite_or_failed(images, "X")


def _finite_or_failed(array: np.ndarray, name: str) -> np.ndarray:
    """Return float32 rows that are finite throughout or NaN throughout; anything else raises."""
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.asarray(array, dtype=np.float32)
    invalid = partly_invalid_rows(array)
    if invalid.any():
        raise ValueError(
            f"{name} contains NaN or infinity inside rows {np.flatnonzero(invalid).tolist()}."
        )
    return array
