"""Labels and patients as they come in: one-dimensional, nothing missing, one type."""

from __future__ import annotations

from numbers import Real
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y

from sklearn_dysarthria.exceptions import PatientError


def check_labels(y: Any) -> np.ndarray:
    """Return labels that can be sorted; numbers kept as objects become numbers.

    ValueError for a missing label, and for labels that are of several types or no classes.
    """
    if not isinstance(y, np.ndarray) or y.dtype.kind == "O":
        # Before any conversion, which would turn NaN among strings into the label "nan".
        _check_none_missing(y, "y", ValueError)
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1:
        # numpy would make strings of all of them.
        _raise_for_several_types(y)
    y = _check_y(y, multi_output=False)
    if y.dtype.kind == "O":
        if all(isinstance(label, Real) for label in y):
            y = np.array(y.tolist())
        elif not all(isinstance(label, str) for label in y):
            _raise_for_several_types(y)
    check_classification_targets(y)
    return y


def _raise_for_several_types(y: Any) -> NoReturn:
    types = sorted({type(label).__name__ for label in y})
    raise ValueError(
        f"Unknown label type: y holds objects of type {', '.join(types)}; labels must be all "
        "numbers or all strings."
    )


def check_patients(groups: Any) -> np.ndarray:
    """Return patients of any hashable types as an array; PatientError if one is missing."""
    _check_none_missing(groups, "groups", PatientError)
    if isinstance(groups, (list, tuple)):
        # As objects: 1 and "1" are two patients, and numpy would make strings of both.
        groups = np.array(groups, dtype=object)
    return column_or_1d(groups)


def _check_none_missing(values: Any, name: str, error: type[ValueError]) -> None:
    missing = pd.isna(np.asarray(values, dtype=object))
    if missing.ndim and missing.any():
        rows = np.unique(np.nonzero(missing)[0]).tolist()
        raise error(f"Input {name} contains NaN or None in rows {rows}.")
