"""Noise at a given signal-to-noise ratio, for training and for measuring robustness."""

from __future__ import annotations

import hashlib
import math
import os
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.estimators import NoOutputContainer, RecordingTransformer
from sklearn_dysarthria.preprocessing._noise_sources import NoiseSource, draw_noise, noise_source
from sklearn_dysarthria.recordings import (
    as_table,
    describe_recording,
    load_waveform,
    map_recordings,
    segments_of,
)

_LOWEST_SNR, _HIGHEST_SNR = -100.0, 300.0  # dB; beyond, float32 holds only one of the two
_COPY = "number of the copy, for AddNoise"
# Each decision has its own generator, so that none shifts another: the same noise is drawn at
# every ratio, and a lower probability leaves the noise of the others alone.
_WHETHER, _HOW_LOUD, _WHICH = range(3)


def _generator(seed: int, content: bytes, copy: int, purpose: int) -> np.random.Generator:
    entropy = [seed, int.from_bytes(content, "little")]
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(copy, purpose)))


def _measured(row: Any, n_samples: int, rate: float) -> np.ndarray:
    """Tell which samples lie in the row's segments."""
    inside = np.zeros(n_samples, dtype=bool)
    for start, end in segments_of(row, n_samples / rate, rate):
        inside[round(start * rate) : round(end * rate)] = True
    return inside


def _noisy(
    row: Any,
    *,
    snr_db: tuple[float, float],
    source: NoiseSource,
    probability: float,
    seed: int,
) -> tuple[np.ndarray, float] | None:
    """Return a row's samples with noise and their rate, or None where it is to stay clean."""
    samples = load_waveform(row)  # says what is wrong with the row, its segments included
    if row.get("segments") is not None:
        samples = load_waveform({**row, "segments": None})
    rate = describe_recording(row).sample_rate
    content = hashlib.sha256(repr(rate).encode() + samples.tobytes()).digest()
    generator = partial(_generator, seed, content, int(row[_COPY]))
    low, high = snr_db
    ratio = low if low == high else generator(_HOW_LOUD).uniform(low, high)
    if generator(_WHETHER).random() >= probability or ratio == math.inf:
        return None
    measured = _measured(row, len(samples), rate)
    clean = samples.astype(np.float64)
    noise = draw_noise(source, len(clean), rate, measured, generator(_WHICH))
    return (clean + noise * clean[measured].std() * 10 ** (-ratio / 20)).astype(np.float32), rate


def _numbers_of_copies(audio: pd.Series) -> list[int]:
    """Count the earlier rows with the same recording, as an over-sampler before leaves them."""
    seen: dict[Any, int] = {}
    numbers = []
    for cell in audio:
        key = os.fspath(cell) if isinstance(cell, (str, os.PathLike)) else id(cell)
        numbers.append(seen.get(key, 0))
        seen[key] = numbers[-1] + 1
    return numbers


class AddNoise(NoOutputContainer, RecordingTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""Add noise to recordings, at an exact signal-to-noise ratio.

    As a plain transformer it makes every recording noisy, in training and in prediction, which
    is how to measure a model's robustness.  With ``training_only=True`` it augments: a Pipeline
    trains on noisy recordings and predicts from recordings as they are.

    Parameters
    ----------
    snr_db : float or (float, float), default=10.0
        Signal-to-noise ratio in dB, from -100 to 300; or the lowest and the highest, between
        which it is drawn uniformly for every recording.  ``numpy.inf`` adds nothing, so that a
        search or a benchmark can have clean recordings among its values.
    noise : {"white", "pink", "babble"}, path, array, or list of paths and arrays, default="white"
        ``"white"`` and ``"pink"`` are Gaussian; the power of the latter falls by 3 dB per octave
        from 20 Hz up, with nothing below.  ``"babble"`` is eight healthy synthetic speakers of
        :func:`~sklearn_dysarthria.make_dysarthric_speech` at once, up to 8 kHz.  Anything else is
        recorded noise: a file, a folder that is searched for audio files with all its
        subfolders, a 1-D float array, or a list of these.  A random excerpt of a random one is
        taken, looped where it is shorter than the recording.
    noise_sample_rate : float, optional
        Rate in Hz of the arrays in `noise`, which need one.
    probability : float, default=1.0
        Probability with which a recording gets any noise.
    training_only : bool, default=False
        Whether ``fit_transform`` alone adds noise, and ``transform`` leaves recordings
        as they are.
    random_state : int, RandomState or None, default=None
        With an integer, the noise of a recording depends on it and on the recording's samples
        only: not on the row, the other rows or the number of processes.  None draws another
        noise each time.
    n_jobs : int, optional
        Threads to work with; None means 1 unless inside a ``joblib.parallel_config`` context.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a recording that cannot be used.  With ``"nan"`` it stays as it is, so
        that later steps meet the same error under their own ``on_error``; one
        :class:`~sklearn_dysarthria.exceptions.RecordingWarning` lists all such rows.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        Columns of the table given to :meth:`fit`.

    See Also
    --------
    EnergyVAD : Finds the segments over which the ratio is measured, if it comes before.
    RecordingOverSampler : Copies recordings, which then get different noise each.

    Notes
    -----
    For a recording :math:`x` and noise :math:`v`, both freed of their means, the ratio is

    .. math:: \mathrm{SNR} = 10 \log_{10} \frac{\sum_{i \in S} x_i^2}{\sum_{i \in S} v_i^2}

    where :math:`S` are the samples in the recording's ``segments``, all samples if it has none.
    An offset of the microphone thus counts neither as signal nor as noise, and silence around
    the speech does not raise the ratio once :class:`EnergyVAD` has marked it.  The noise itself
    covers the whole recording.  It has the recording's own rate, and the ratio is exact before
    the sum is rounded to float32.  Nothing is clipped: samples may leave [-1, 1].

    Rows that get noise hold arrays from here on, and take their memory: 4 bytes per sample, 1 MB
    for a recording of 12 s at 22 050 Hz.  A cache of features is keyed by the samples, so that it
    keeps noisy and clean recordings apart.

    Under ``training_only=True`` ``fit_transform`` and ``fit(X).transform(X)`` differ on
    purpose, as for :class:`sklearn.preprocessing.TargetEncoder`: a Pipeline calls the former in
    training only.  There, several rows with one and the same recording, as an over-sampler
    before this step makes them, get different noise each.

    Nothing is learned from the data, so :meth:`transform` works before :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dysarthria import AddNoise, load_waveform, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=2, random_state=0)
    >>> noisy = AddNoise(snr_db=5.0, noise="pink", random_state=0).fit_transform(X)
    >>> clean = load_waveform(X.iloc[0])
    >>> added = load_waveform(noisy.iloc[0]) - clean
    >>> round(float(10 * np.log10(clean.var() / added.var())), 3)
    5.0
    """

    _parameter_constraints = {
        "snr_db": "no_validation",  # see _range_of_snr
        "noise": "no_validation",  # see noise_source
        "noise_sample_rate": [Interval(Real, 100, 1e7, closed="both"), None],
        "probability": [Interval(Real, 0, 1, closed="both")],
        "training_only": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [None, Integral],
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        snr_db: Any = 10.0,
        *,
        noise: Any = "white",
        noise_sample_rate: float | None = None,
        probability: float = 1.0,
        training_only: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        on_error: str = "raise",
        verbose: int = 0,
    ) -> None:
        self.snr_db = snr_db
        self.noise = noise
        self.noise_sample_rate = noise_sample_rate
        self.probability = probability
        self.training_only = training_only
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> AddNoise:
        """Check the parameters and the table; nothing is learned and no recording is read.

        Parameters
        ----------
        X : table of recordings
            DataFrame with column ``audio``, or a sequence of paths.
        y : None
            Ignored.

        Returns
        -------
        AddNoise
            The estimator itself.

        Raises
        ------
        ValueError
            A parameter is out of its range, or the noise is not there.
        RecordingError
            ``X`` is not a table of recordings.
        """
        self._range_of_snr()
        noise_source(self.noise, self.noise_sample_rate)
        self.feature_names_in_ = np.asarray(as_table(X).columns, dtype=object)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Add noise to the recordings that a model is to be trained on.

        Parameters
        ----------
        X : table of recordings
            DataFrame with column ``audio``, or a sequence of paths.  It is not modified.
        y : None
            Ignored.

        Returns
        -------
        DataFrame of the same length
            As :meth:`transform` returns it, with noise whatever `training_only` is.

        Raises
        ------
        ValueError
            A parameter is out of its range, or the noise cannot be used.
        RecordingError
            A recording cannot be used, and ``on_error`` is ``"raise"``; its subclass tells why.
        """
        self.fit(X, y)
        table = as_table(X)
        copies = _numbers_of_copies(table["audio"]) if self.training_only else 0
        return self._with_noise(table, copies)

    def transform(self, X: Any) -> pd.DataFrame:
        """Add noise, or leave recordings as they are if noise is for training only.

        Parameters
        ----------
        X : table of recordings
            DataFrame with column ``audio``, or a sequence of paths.  It is not modified.

        Returns
        -------
        DataFrame of the same length
            The same rows, index and columns, and column ``sample_rate`` (Hz; NaN where the table
            had none and the recording stays as it is).  A recording with noise is a float32
            array.

        Raises
        ------
        ValueError
            A parameter is out of its range, or the noise cannot be used.
        RecordingError
            A recording cannot be used, and ``on_error`` is ``"raise"``; its subclass tells why.
        """
        self._validate_params()  # transform works unfitted
        table = as_table(X)
        if self.training_only:
            return _with_rates(table, {})
        return self._with_noise(table, 0)

    def _with_noise(self, table: pd.DataFrame, copies: Any) -> pd.DataFrame:
        found = map_recordings(
            partial(
                _noisy,
                snr_db=self._range_of_snr(),
                source=noise_source(self.noise, self.noise_sample_rate),
                probability=self.probability,
                seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            ),
            table.assign(**{_COPY: copies}),
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            desc="noise",
        )
        changed = {i: result for i, result in enumerate(found) if result is not None}
        audio = list(table["audio"])
        for i, (samples, _) in changed.items():
            audio[i] = samples
        noisy = _with_rates(table, {i: rate for i, (_, rate) in changed.items()})
        if changed:
            noisy["audio"] = pd.Series(audio, index=table.index, dtype=object)
        return noisy

    def _range_of_snr(self) -> tuple[float, float]:
        """Return the lowest and the highest ratio in dB."""
        ends = self.snr_db
        if isinstance(ends, (tuple, list, np.ndarray)) and np.shape(ends) == (2,):
            low, high = ends
            in_range = _is_ratio(low) and _is_ratio(high) and low <= high
        else:
            low = high = ends
            in_range = _is_ratio(ends) or (_is_number(ends) and ends == math.inf)
        if not in_range:
            raise ValueError(
                f"snr_db={self.snr_db!r} must be dB between {_LOWEST_SNR:g} and {_HIGHEST_SNR:g}, "
                "a pair (lowest, highest) of these, or infinity for no noise."
            )
        return float(low), float(high)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the columns of the table that :meth:`transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Columns that go in; those seen in :meth:`fit` when None.

        Returns
        -------
        ndarray of str
            The columns that go in, and ``sample_rate``.

        Raises
        ------
        NotFittedError
            ``input_features`` is None and :meth:`fit` has not been called.
        """
        if input_features is None:
            check_is_fitted(self, "feature_names_in_")
            input_features = self.feature_names_in_
        names = list(input_features)
        return np.asarray(
            names if "sample_rate" in names else [*names, "sample_rate"], dtype=object
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def _is_ratio(value: Any) -> bool:
    return _is_number(value) and _LOWEST_SNR <= value <= _HIGHEST_SNR


def _with_rates(table: pd.DataFrame, rates: dict[int, float]) -> pd.DataFrame:
    """Return a copy of the table whose column `sample_rate` holds the rates of these rows."""
    out = table.copy(deep=False)
    given = list(table["sample_rate"]) if "sample_rate" in table.columns else [np.nan] * len(table)
    missing = pd.Series(given, dtype=object).isna().to_numpy()
    lacking = [i for i in rates if missing[i]]
    if lacking or "sample_rate" not in table.columns:
        for i in lacking:
            given[i] = rates[i]
        column = pd.Series(given, index=table.index, dtype=object)
        out["sample_rate"] = column.infer_objects()
    return out
