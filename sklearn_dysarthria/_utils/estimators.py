"""Base classes of the estimators that take a table of recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, InvalidParameterError


class RecordingTransformer(TransformerMixin, BaseEstimator):
    """Stateless transformer of recordings: tags, and stricter parameters.

    A table of recordings holds paths or arrays of samples, not numbers, so scikit-learn's checks
    of two-dimensional input do not apply.
    """

    def _validate_params(self) -> None:
        super()._validate_params()
        # bool is an int to Python and to scikit-learn, but True is no number of samples.
        for name, allowed in self._parameter_constraints.items():
            value = getattr(self, name)
            numeric = any(isinstance(constraint, Interval) for constraint in allowed)
            if numeric and isinstance(value, (bool, np.bool_)):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number. "
                    f"Got {value!r} instead."
                )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags


class NoOutputContainer:
    """A ``set_output`` that accepts every choice and changes nothing.

    For transformers whose output is neither two-dimensional nor a plain array, so that
    ``Pipeline.set_output`` still works.  Declare the class with ``auto_wrap_output_keys=None``.
    """

    def set_output(self, *, transform: str | None = None) -> Any:
        """Do nothing: the output is not a two-dimensional array.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None
            Ignored.

        Returns
        -------
        self
        """
        return self


def forget_fit(estimator: Any) -> None:
    """Delete the fitted attributes, so that a fit that fails leaves nothing of an earlier one."""
    for name in [name for name in vars(estimator) if name.endswith("_")]:
        delattr(estimator, name)
