"""What the classifiers of images share on top of :class:`TorchClassifier`."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_dysarthria._utils.failed_rows import partly_invalid_rows
from sklearn_dysarthria.classifiers._base import LOSS_CONSTRAINTS, Arrays, TorchClassifier
from sklearn_dysarthria.classifiers._frozen_rows import SkipFrozen
from sklearn_dysarthria.classifiers._net import Rows
from sklearn_dysarthria.nn import SpecAugment
from sklearn_dysarthria.nn._augment import Augmentation
from sklearn_dysarthria.nn._image_augment import AugmentChain, ImageAugment
from sklearn_dysarthria.nn._mixing import BatchMixing


class ImageClassifier(TorchClassifier):
    """Base of classifiers of images of shape (n_samples, 3, height, width)."""

    _parameter_constraints: dict[str, Any] = {
        **TorchClassifier._parameter_constraints,
        **LOSS_CONSTRAINTS,
        "weights": [str, PathLike, None],  # the loader knows which names exist
        "freeze": [Interval(Integral, 0, None, closed="left"), StrOptions({"all"}), None],
        "oversample": [Mapping, None],
        "spec_augment": [Interval(Real, 0, 1, closed="both")],
        "spec_augment_width": [Interval(Real, 0, 1, closed="right")],
        "spec_augment_masks": [Interval(Integral, 1, None, closed="left")],
        "horizontal_flip": [Interval(Real, 0, 1, closed="both")],
        "vertical_flip": [Interval(Real, 0, 1, closed="both")],
        "rotation": [Interval(Real, 0, 180, closed="both")],
        "color_jitter": [Interval(Real, 0, 1, closed="both"), tuple, list],
        "translation": [Interval(Real, 0, 1, closed="both")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "cutmix": [Interval(Real, 0, None, closed="left")],
        "n_tta": [Interval(Integral, 1, None, closed="left")],
        "mixed_precision": ["boolean", StrOptions({"auto"})],
        "cache": "no_validation",  # open_store knows what it may be
    }

    _uses_context = False
    _skips_frozen = True  # False computes the same, slowly
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

    def _repetitions(self) -> Mapping[Any, int] | None:
        return self.oversample

    def _augmentation(self) -> Augmentation | None:
        augmentations: list[Augmentation] = []
        image_augment = ImageAugment(
            self.horizontal_flip,
            self.vertical_flip,
            self.rotation,
            self.color_jitter,
            self.translation,
        )
        if not image_augment.is_off:
            augmentations.append(image_augment)
        if self.spec_augment:  # last, so that no mask is turned or moved
            augmentations.append(
                SpecAugment(
                    self.spec_augment,
                    self.spec_augment_width,
                    self.spec_augment_width,
                    self.spec_augment_masks,
                    self.spec_augment_masks,
                )
            )
        return AugmentChain(*augmentations) if augmentations else None

    def _mixing(self) -> BatchMixing | None:
        return BatchMixing(self.mixup, self.cutmix) if self.mixup or self.cutmix else None

    def _skip_frozen(self) -> SkipFrozen | None:
        if not self._skips_frozen or self._augmentation() or self._mixing():
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
    """Validate an array of images.

    Parameters
    ----------
    estimator : estimator
        Named in error messages.
    X : array-like of shape (n_samples, 3, height, width)
        Images.
    shape : tuple of int, optional
        Shape of the images that `estimator` was fitted on.

    Returns
    -------
    ndarray of shape (n_samples, 3, height, width), dtype float32
        ``X`` itself where it already is one.

    Raises
    ------
    ValueError
        Another shape or type, no samples, or NaN and infinity inside an image.
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
