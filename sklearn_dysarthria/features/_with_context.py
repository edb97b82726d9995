"""An image and a feature vector for every recording, in one array."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.estimators import NoOutputContainer, forget_fit
from sklearn_dysarthria._utils.memory_maps import chunks
from sklearn_dysarthria._utils.rows import RowsOnDisk
from sklearn_dysarthria.recordings import as_table


def _side_by_side(images: Any, context: Any, mmap_folder: Any) -> np.ndarray:
    """Put images and context vectors into one structured array."""
    images = np.asarray(images, dtype=np.float32)
    context = np.asarray(context, dtype=np.float32)
    if context.ndim != 2:
        raise ValueError(f"context yields an array of shape {context.shape}, not a row each.")
    layout = [("image", "f4", images.shape[1:]), ("context", "f4", context.shape[1:])]
    both = np.empty(len(images) if mmap_folder is None else (), dtype=layout)
    if mmap_folder is None:
        both["image"], both["context"] = images, context
        return both
    out = RowsOnDisk(mmap_folder, (len(images),), layout)
    for part in chunks(images):
        for row in range(*part.indices(len(images))):
            both["image"], both["context"] = images[row], context[row]
            out[row] = both
    return out.finish()


class ImagesWithContext(  # type: ignore[call-arg]
    NoOutputContainer, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Give each recording an image and a context vector.

    Feeds :class:`~sklearn_dysarthria.HyperAlexNetClassifier` with ``context="data"``.  Both
    transformers are fitted here, hence inside the fold: a scaler in `context` sees training
    recordings only.

    Parameters
    ----------
    images : estimator
        Transformer from recordings to images, usually
        :class:`~sklearn_dysarthria.LogMelDeltaImages`.
    context : estimator
        Transformer from recordings to vectors, usually
        ``make_pipeline(EGeMAPSFeatures(), StandardScaler())``.
    mmap_folder : str or path, optional
        Folder on a disk where images and vectors are put side by side, instead of in memory; the
        result is then a read-only memory map, as of
        :class:`~sklearn_dysarthria.LogMelDeltaImages` with `mmap_folder`, which `images` needs
        itself for its own array not to be in memory.

    Attributes
    ----------
    images_, context_ : estimator
        The fitted transformers.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_dysarthria import (
    ...     EGeMAPSFeatures, ImagesWithContext, LogMelDeltaImages, make_dysarthric_speech)
    >>> X, y = make_dysarthric_speech(n_patients=2, random_state=0)
    >>> both = ImagesWithContext(
    ...     LogMelDeltaImages(sample_rate=16000, image_size=64, n_mels=64),
    ...     make_pipeline(EGeMAPSFeatures(), StandardScaler()),
    ... ).fit_transform(X)
    >>> both["image"].shape, both["context"].shape
    ((4, 3, 64, 64), (4, 88))
    """

    _parameter_constraints = {
        "images": [HasMethods(["fit", "transform"])],
        "context": [HasMethods(["fit", "transform"])],
        "mmap_folder": [str, PathLike, None],
    }

    def __init__(self, images, context, *, mmap_folder=None):
        self.images = images
        self.context = context
        self.mmap_folder = mmap_folder

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit both transformers.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.
        y : array-like of shape (n_recordings,), optional
            Passed to both.

        Returns
        -------
        self
        """
        forget_fit(self)
        table = as_table(X)
        images = clone(self.images).fit(table, y)
        self.context_ = clone(self.context).fit(table, y)
        self.images_ = images  # last, since it makes the estimator a fitted one
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None):
        """Fit both transformers and compute image and context.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.
        y : array-like of shape (n_recordings,), optional
            Passed to both.

        Returns
        -------
        structured ndarray of shape (n_recordings,)
            As :meth:`transform` returns it.
        """
        forget_fit(self)
        table = as_table(X)
        of_images, of_context = clone(self.images), clone(self.context)
        images = of_images.fit_transform(table, y)
        context = of_context.fit_transform(table, y)
        both = _side_by_side(images, context, self.mmap_folder)
        self.context_ = of_context
        self.images_ = of_images  # last, since it makes the estimator a fitted one
        return both

    def transform(self, X):
        """Compute image and context of every recording.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        structured ndarray of shape (n_recordings,)
            Field ``"image"`` of shape (n_channels, height, width) and field ``"context"`` of
            shape (n_features,), both float32.

        Raises
        ------
        NotFittedError
            `fit` has not been called.
        """
        check_is_fitted(self)
        table = as_table(X)
        images, context = self.images_.transform(table), self.context_.transform(table)
        return _side_by_side(images, context, self.mmap_folder)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "images_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags
