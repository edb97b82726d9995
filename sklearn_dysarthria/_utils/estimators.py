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


class DictParameters(BaseEstimator):
    """Base whose ``get_params`` and ``set_params`` include the entries of dictionaries.

    scikit-learn does so for lists of named estimators only.  A subclass lists its dictionaries in
    ``_dict_parameters``; entry ``phonation`` of ``task_estimators`` is then called
    ``task_estimators__phonation``, and a parameter of an estimator there
    ``task_estimators__phonation__C``, in searches too.
    """

    _dict_parameters: tuple[str, ...] = ()

    def get_params(self, deep=True):
        """Get the parameters.

        Parameters
        ----------
        deep : bool, default=True
            Include the entries of dictionaries, and the parameters of estimators inside.

        Returns
        -------
        dict
            Values by name.
        """
        found = super().get_params(deep=deep)
        for parameter in self._dict_parameters if deep else ():
            entries = found[parameter]
            if not isinstance(entries, dict):
                continue
            for name, value in entries.items():
                found[f"{parameter}__{name}"] = value
                if hasattr(value, "get_params") and not isinstance(value, type):
                    for inner, inner_value in value.get_params(deep=True).items():
                        found[f"{parameter}__{name}__{inner}"] = inner_value
        return found

    def set_params(self, **params):
        """Set parameters, named as `get_params` names them.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            There is no such parameter, or no such entry of a dictionary.
        """
        inside = {name: _split(name, self._dict_parameters) for name in params}
        super().set_params(**{name: params[name] for name in params if inside[name] is None})
        # Whole entries first: a search may replace an estimator and set its parameters at once.
        ordered = sorted((where, name) for name, where in inside.items() if where is not None)
        for (parameter, rest), name in sorted(ordered, key=lambda item: "__" in item[0][1]):
            self._set_inside(parameter, rest, params[name])
        return self

    def _set_inside(self, parameter: str, rest: str, value: Any) -> None:
        entries = getattr(self, parameter)
        known = entries if isinstance(entries, dict) else {}
        entry, inner = rest, ""
        while entry not in known and "__" in entry:
            entry, _, last = entry.rpartition("__")
            inner = f"{last}__{inner}" if inner else last
        if entry not in known:
            raise ValueError(
                f"Invalid parameter {parameter}__{rest} for {type(self).__name__}: {parameter} "
                f"has no entry {rest!r}; it has {sorted(known)}."
            )
        if inner:
            known[entry].set_params(**{inner: value})
        else:
            # A new dictionary: the caller's, and those of clones, stay as they are.
            setattr(self, parameter, {**known, entry: value})


def _split(name: str, parameters: tuple[str, ...]) -> tuple[str, str] | None:
    parameter, _, rest = name.partition("__")
    return (parameter, rest) if rest and parameter in parameters else None
