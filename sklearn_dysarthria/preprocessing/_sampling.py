"""Over-sampling of whole rows of any kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_sampling_strategy, check_target_type
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing, check_random_state, indexable
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, _num_samples

from sklearn_dysarthria._utils.estimators import forget_fit

_BOOLEANS = (bool, np.bool_)

MOST_ROWS = 10**8
"""More rows than this are a typing error, and their positions alone fill the memory."""


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, _BOOLEANS) and int(value) >= least


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


class RecordingOverSampler(BaseOverSampler):
    """Repeat rows of rare classes: recordings, images, features or any others.

    A sampler with the interface of imbalanced-learn [1]_, to be used as a step of
    :class:`imblearn.pipeline.Pipeline`, which resamples in training and never in prediction.
    Unlike :class:`imblearn.over_sampling.RandomOverSampler` it also takes lists and Series of
    paths, images and structured arrays; it can repeat each class a given number of times; and
    rows of a table keep their labels.

    Parameters
    ----------
    multipliers : mapping of label to int, optional
        How often every row of a class occurs in the result, such as ``{1: 21, 2: 5, 3: 2}``;
        classes that are not named stay as they are.  Nothing is random then.
    sampling_strategy : float, str, mapping or callable, default="auto"
        Without `multipliers`, how many rows each class is to have, in the sense of
        imbalanced-learn.  The rows to be added are drawn with replacement.

        - ``"auto"`` or ``"not majority"``: every class as many as the largest; ``"minority"``:
          the smallest class only; ``"not minority"`` and ``"all"`` as named.
        - A number in (0, 1], for two classes: rows of the smaller over rows of the larger.
        - A mapping of labels to numbers of rows after resampling.
        - A function from the labels to such a mapping.
    random_state : int, RandomState or None, default=None
        Determines which rows are drawn.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_samples_new,)
        Position in `X` of every row of the result.
    sampling_strategy_ : dict
        Number of rows that each class gains.
    n_features_in_ : int
        Number of columns, for tables and two-dimensional arrays.
    feature_names_in_ : ndarray of str
        Names of the columns, for tables.

    See Also
    --------
    HyperAlexNetClassifier : Repeats classes by itself (``oversample=``), at no cost in memory
        and together with early stopping on patients.

    Notes
    -----
    With `multipliers` the copies of a row follow one another, as they do in the classifiers'
    ``oversample``.  With `sampling_strategy` all original rows come first, then those drawn; the
    same rows are drawn as by :class:`imblearn.over_sampling.RandomOverSampler` with the same
    seed.

    Rows of a DataFrame or Series keep their labels, so that labels occur several times and a
    message about a recording names the row that it came from.

    Costs: before a transformer, repeated rows of a table take next to no memory and are computed
    once, but its result holds each of their images or vectors as often as it is repeated; images
    are better written to a disk then
    (:class:`~sklearn_dysarthria.LogMelDeltaImages`, ``mmap_folder=``).  Behind it, the rows of its
    array are copied.  Neither happens with the classifiers' ``oversample``, nor in a
    :class:`~sklearn_dysarthria.ResampledClassifier` around one of them.

    References
    ----------
    .. [1] G. Lemaître, F. Nogueira, C. K. Aridas, "Imbalanced-learn: A Python Toolbox to Tackle
       the Curse of Imbalanced Datasets in Machine Learning", Journal of Machine Learning Research
       18(17) (2017), 1-5.

    Examples
    --------
    >>> from sklearn_dysarthria import RecordingOverSampler
    >>> paths, severity = ["a.wav", "b.wav", "c.wav"], [1, 2, 5]
    >>> RecordingOverSampler(multipliers={1: 3, 2: 2}).fit_resample(paths, severity)
    (['a.wav', 'a.wav', 'a.wav', 'b.wav', 'b.wav', 'c.wav'], [1, 1, 1, 2, 2, 5])
    """

    _parameter_constraints = {
        **BaseOverSampler._parameter_constraints,
        "multipliers": [Mapping, None],
    }

    def __init__(
        self,
        *,
        multipliers: Mapping[Any, int] | None = None,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.multipliers = multipliers
        self.random_state = random_state

    def _validate_params(self) -> None:
        super()._validate_params()
        strategy = self.sampling_strategy
        if isinstance(strategy, _BOOLEANS):  # an int to Python, and hence a ratio
            raise InvalidParameterError(
                f"The 'sampling_strategy' parameter of {type(self).__name__} must be a ratio, a "
                f"name, a mapping or a function. Got {strategy!r} instead."
            )
        if self.multipliers is not None and not (isinstance(strategy, str) and strategy == "auto"):
            raise InvalidParameterError(
                f"The parameters 'multipliers' and 'sampling_strategy' of {type(self).__name__} "
                "exclude each other. Give one of them."
            )
        for name in ("multipliers", "sampling_strategy"):
            value, least = getattr(self, name), int(name == "multipliers")
            for label, times in value.items() if isinstance(value, Mapping) else ():
                if not _is_count(times, least):
                    raise InvalidParameterError(
                        f"{name}[{_plain(label)!r}]={times!r} must be an integer of {least} or "
                        "more."
                    )

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any) -> RecordingOverSampler:
        """Check the parameters against the labels; `fit_resample` is what a sampler is for.

        Parameters
        ----------
        X : table of recordings, list or Series of paths, or array of shape (n_samples, ...)
            Rows.
        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        RecordingOverSampler
            The estimator itself.

        Raises
        ------
        ValueError
            A parameter is out of its range, names a label that is not in `y`, or asks for fewer
            rows than there are, or for more than 100 million.
        """
        forget_fit(self)
        self._plan(*indexable(X, y))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Repeat rows.

        Parameters
        ----------
        X : table of recordings, list or Series of paths, or array of shape (n_samples, ...)
            Rows; their content is not used.
        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        X_resampled, y_resampled : of the types of `X` and `y`
            Rows and labels.

        Raises
        ------
        ValueError
            A parameter is out of its range, names a label that is not in `y`, or asks for fewer
            rows than there are, or for more than 100 million.
        """
        forget_fit(self)
        X, y = indexable(X, y)
        labels = self._plan(X, y)
        if self.multipliers is None:
            self.sample_indices_ = self._drawn(labels)
        else:
            times = np.ones(len(labels), dtype=np.intp)
            for label, number in self.multipliers.items():
                times[labels == label] = number
            self.sample_indices_ = np.repeat(np.arange(len(labels)), times)
        return _safe_indexing(X, self.sample_indices_), _safe_indexing(y, self.sample_indices_)

    def _plan(self, X: Any, y: Any) -> np.ndarray:
        """Set `sampling_strategy_` and what is known of `X`; return the labels."""
        if y is None:
            raise ValueError(f"{type(self).__name__} needs y, the label of every row.")
        if _num_samples(X) < 1:
            raise ValueError("there is no row to repeat.")
        missing = np.flatnonzero(pd.isna(np.asarray(y)))
        if len(missing):
            raise ValueError(
                f"y has no label at positions {missing[:5].tolist()} (counted from 0); leave these "
                "rows out."
            )
        check_classification_targets(y)
        labels = np.asarray(check_target_type(y))
        _check_feature_names(self, X, reset=True)
        if len(getattr(X, "shape", ())) == 2:
            self.n_features_in_ = X.shape[1]
        if self.multipliers is None:
            strategy = self.sampling_strategy
            if isinstance(strategy, Mapping):
                strategy = _matched(strategy, labels, "sampling_strategy")
            self.sampling_strategy_ = check_sampling_strategy(strategy, labels, self._sampling_type)
        else:
            matched = _matched(self.multipliers, labels, "multipliers")
            self.sampling_strategy_ = OrderedDict(
                (label, int((labels == label).sum()) * (int(times) - 1))
                for label, times in matched.items()
            )
        n_rows = len(labels) + sum(map(int, self.sampling_strategy_.values()))
        if n_rows > MOST_ROWS:
            name = "sampling_strategy" if self.multipliers is None else "multipliers"
            raise ValueError(
                f"{name} asks for {n_rows} rows, more than {MOST_ROWS}: give smaller numbers."
            )
        return labels

    def _drawn(self, labels: np.ndarray) -> np.ndarray:
        """Return all rows, and those drawn in addition, class by class."""
        generator = check_random_state(self.random_state)
        indices = [np.arange(len(labels))]
        for label, number in self.sampling_strategy_.items():
            of_class = np.flatnonzero(labels == label)
            indices.append(generator.choice(of_class, size=number, replace=True))
        return np.concatenate(indices)

    def _fit_resample(self, X: Any, y: Any) -> Any:
        """Satisfy the abstract base, which would first make `X` two-dimensional numbers."""
        return self.fit_resample(X, y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.sampler_tags.sample_indices = True
        tags.no_validation = True
        return tags


def _matched(wanted: Mapping[Any, Any], labels: np.ndarray, name: str) -> dict[Any, Any]:
    """Return the mapping if all its labels occur."""
    known = {_plain(label): None for label in np.unique(labels)}
    for label in wanted:
        # True would pass for 1.
        same_kind = isinstance(label, _BOOLEANS) == any(isinstance(k, bool) for k in known)
        if label not in known or not same_kind:
            raise ValueError(
                f"{name} names {_plain(label)!r}, which is not among the labels {list(known)}."
            )
    return dict(wanted)
