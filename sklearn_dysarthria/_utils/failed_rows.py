"""Rows that are NaN, which is how transformers mark a recording that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.validation import _num_samples

from sklearn_dysarthria._utils.memory_maps import chunks


def failed_rows(X: Any) -> np.ndarray:
    """Return which rows hold nothing but NaN.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Features, images, or a structured array of both.

    Returns
    -------
    ndarray of shape (n_samples,), dtype bool
        True where the row is wholly NaN; for a structured array, where any of its fields is.
    """
    if issparse(X):
        return np.zeros(X.shape[0], dtype=bool)  # a row of NaN is not sparse
    X = np.asarray(X)
    if X.dtype.names:
        return np.any([failed_rows(X[name]) for name in X.dtype.names], axis=0)
    failed = np.zeros(_num_samples(X), dtype=bool)
    if X.dtype.kind not in "fO" or not X.size:
        return failed
    # The first value already rules most rows out, so that images are not scanned whole, nor
    # copied to be flattened.
    firsts = X[(slice(None), *(0,) * (X.ndim - 1))]
    for part in chunks(X):
        for row in part.start + np.flatnonzero(pd.isna(firsts[part])):
            failed[row] = np.all(pd.isna(X[row]))
    return failed


def partly_invalid_rows(array: np.ndarray) -> np.ndarray:
    """Return which rows hold NaN or infinity without being NaN throughout.

    `array` has the shape (n_samples, ...), and may be memory-mapped.
    """
    # The sum of a row is finite exactly if the row is (float64 cannot overflow here), which avoids
    # a boolean copy of all the images.
    axes = tuple(range(1, array.ndim))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = [array[part].sum(axis=axes, dtype=np.float64) for part in chunks(array)]
    return ~np.isfinite(np.concatenate(sums)) & ~failed_rows(array)
