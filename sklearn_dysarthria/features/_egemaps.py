"""openSMILE features, one row of numbers per recording."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_dysarthria._utils.estimators import RecordingTransformer
from sklearn_dysarthria.exceptions import TooShortAudioError
from sklearn_dysarthria.recordings import CachedFunction, as_table, load_waveform, map_recordings
from sklearn_dysarthria.recordings._audio import describe_recording, row_and_path

_FUNCTIONALS = "Functionals"


def _name_of(choice: Any, what: str) -> str:
    """Return a member's name, or the string that is to be looked up among names and values."""
    name = choice.name if isinstance(choice, Enum) else choice
    if not isinstance(name, str):
        raise ValueError(f"{what}={choice!r} is neither a name nor a member of openSMILE's enum.")
    return str(name)


def _choose(enumeration: Any, choice: str, what: str) -> Any:
    """Find an openSMILE enumeration member by name or value."""
    for member in enumeration:
        if choice in (member.name, member.value):
            return member
    names = [member.name for member in enumeration]
    raise ValueError(f"{what}={choice!r} is not one of openSMILE's: {', '.join(names)}.")


@contextmanager
def _no_warning_of_short_segments() -> Iterator[None]:
    # Filters belong to the process: threads that set and restore them leave each other's behind.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Segment too short")
        yield


@lru_cache(maxsize=8)
def _extractor(feature_set: str, feature_level: str) -> Any:
    """Build openSMILE once per process and setting: that alone takes longer than a recording."""
    import opensmile

    return opensmile.Smile(
        feature_set=_choose(opensmile.FeatureSet, feature_set, "feature_set"),
        feature_level=_choose(opensmile.FeatureLevel, feature_level, "feature_level"),
    )


class EGeMAPSFeatures(RecordingTransformer):
    """Compute openSMILE features of every recording: by default the 88 of eGeMAPSv02.

    The extended Geneva minimalistic acoustic parameter set [1]_ is the field's usual baseline.

    Parameters
    ----------
    feature_set : str or opensmile.FeatureSet, default="eGeMAPSv02"
        Any feature set of openSMILE, by name (``"ComParE_2016"``, ``"GeMAPSv01b"``,
        ``"emobase"``, …).
    feature_level : str or opensmile.FeatureLevel, default="Functionals"
        ``"Functionals"``, ``"LowLevelDescriptors"`` or ``"LowLevelDescriptors_Deltas"``.
        Descriptors come per frame; their mean and (population) standard deviation over the
        recording are returned, named ``<descriptor>_mean`` and ``<descriptor>_std``.
    sample_rate : float, optional
        Rate in Hz to which recordings are resampled; None analyses each at its own rate.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps finished features, keyed by the audio's content and these parameters.
    n_jobs : int, optional
        Number of threads; None means 1 unless in a :func:`joblib.parallel_config` context.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a recording that cannot be used; ``"nan"`` fills its row with NaN and
        lists all such rows in one warning.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

    Attributes
    ----------
    n_features_out_ : int
        Number of features, known after `fit`.

    Notes
    -----
    openSMILE is free for private, research and educational use only; see its licence [2]_.  No
    other part of this package imports it.

    References
    ----------
    .. [1] F. Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice
       Research and Affective Computing", IEEE Transactions on Affective Computing 7 (2016),
       190-202, doi:10.1109/TAFFC.2015.2457417.
    .. [2] https://audeering.github.io/opensmile-python/

    Examples
    --------
    >>> from sklearn_dysarthria import EGeMAPSFeatures, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=2, random_state=0)
    >>> EGeMAPSFeatures().fit_transform(X).shape
    (4, 88)
    """

    _parameter_constraints = {
        "feature_set": "no_validation",
        "feature_level": "no_validation",
        "sample_rate": [Interval(Real, 100, 1e7, closed="both"), None],
        "cache": "no_validation",
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        feature_set="eGeMAPSv02",
        feature_level=_FUNCTIONALS,
        sample_rate=None,
        cache=None,
        n_jobs=None,
        on_error="raise",
        verbose=0,
    ):
        self.feature_set = feature_set
        self.feature_level = feature_level
        self.sample_rate = sample_rate
        self.cache = cache
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters; nothing is learned.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self
        """
        as_table(X)
        self.n_features_out_ = len(self.get_feature_names_out())
        return self

    def transform(self, X):
        """Compute the features of every recording.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings, n_features), dtype float32
            In openSMILE's units; a DataFrame after ``set_output(transform="pandas")``.

        Raises
        ------
        RecordingError
            A recording cannot be used and `on_error` is ``"raise"``.
        """
        table = as_table(X)
        self._validate_params()
        n_features = len(self.get_feature_names_out())
        with _no_warning_of_short_segments():
            rows = map_recordings(
                CachedFunction(self._features, self.cache, self._cache_parameters()),
                table,
                on_error=self.on_error,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
                desc="openSMILE",
            )
        out = np.full((len(table), n_features), np.nan, dtype=np.float32)
        for i, row in enumerate(rows):
            if row is not None:
                out[i] = row
        return out

    def get_feature_names_out(self, input_features=None):
        """Return openSMILE's names of the features.

        Parameters
        ----------
        input_features : ignored
            Present for API consistency.

        Returns
        -------
        ndarray of shape (n_features,), dtype object
            The names, in the order of the columns.
        """
        smile = self._smile()
        names = list(smile.feature_names)
        if smile.feature_level.name != _FUNCTIONALS:
            names = [f"{name}_mean" for name in names] + [f"{name}_std" for name in names]
        return np.array(names, dtype=object)

    def _smile(self) -> Any:
        return _extractor(
            _name_of(self.feature_set, "feature_set"), _name_of(self.feature_level, "feature_level")
        )

    def _cache_parameters(self) -> dict[str, Any]:
        import opensmile

        smile = self._smile()
        return {
            "transformer": "EGeMAPSFeatures",
            "opensmile": opensmile.__version__,
            "feature_set": smile.feature_set.name,
            "feature_level": smile.feature_level.name,
            # A plain number: 16000, 16000.0 and the numpy integers of a grid are one setting.
            "sample_rate": None if self.sample_rate is None else float(self.sample_rate),
        }

    def _features(self, row: Any) -> np.ndarray:
        rate = self.sample_rate or describe_recording(row).sample_rate
        waveform = load_waveform(row, self.sample_rate)
        with _no_warning_of_short_segments():
            # One column per frame; what process_signal adds to that is a pandas index.
            frames = self._smile()(waveform, rate)[0].T
        if np.isnan(frames).all():
            raise TooShortAudioError(
                f"{len(waveform) / rate:.4g} s are too short for openSMILE's frames.",
                **row_and_path(row),
            )
        if self._smile().feature_level.name == _FUNCTIONALS:
            return frames[0]
        moments = frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype=np.float64)
        return np.concatenate(moments).astype(np.float32)
