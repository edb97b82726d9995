"""Voice activity by energy: which parts of a recording are not silence."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.estimators import NoOutputContainer, RecordingTransformer
from sklearn_dysarthria.recordings import (
    CachedFunction,
    as_table,
    describe_recording,
    load_waveform,
    map_recordings,
    segments_of,
)
from sklearn_dysarthria.recordings._audio import check_sound, cut
from sklearn_dysarthria.recordings._table import Row

RECIPE_VERSION = 3
"""To be raised whenever the same parameters give other segments, so that caches expire."""


_SMALLEST_POWER = 1e-10


def _frame_energies(samples: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Sum the squares in every frame of mono samples; float64 of shape (n_frames,).

    Frames are centred on every ``hop_length``-th sample, the first on sample 0; what they reach
    beyond the recording is zero.
    """
    n_samples, half = len(samples), frame_length // 2
    n_frames = max(0, 1 + (n_samples + 2 * half - frame_length) // hop_length)
    # Every frame is a number of whole pieces, so that each sample is squared once.
    length = math.gcd(hop_length, half, frame_length - half)
    before, width, step = half // length, frame_length // length, hop_length // length
    pieces = samples[: n_samples // length * length].reshape(-1, length)
    rest = samples[pieces.size :]
    up_to = np.zeros(max(n_frames * step + width, before + len(pieces) + 2))
    up_to[before + 1 : before + 1 + len(pieces)] = np.vecdot(pieces, pieces)
    up_to[before + 1 + len(pieces)] = rest @ rest
    np.cumsum(up_to, out=up_to)
    return up_to[width::step][:n_frames] - up_to[::step][:n_frames]


def _levels(samples: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Return the level of every frame in dB below the loudest."""
    energies = _frame_energies(samples, frame_length, hop_length)
    power = np.maximum(energies / frame_length, _SMALLEST_POWER)
    return 10 * np.log10(power / power.max())


def _loud_spans(
    samples: np.ndarray, top_db: float, frame_length: int, hop_length: int, mode: str
) -> list[tuple[int, int]]:
    """Return the first and one-past-last sample of every voiced interval."""
    loud = np.flatnonzero(_levels(samples, frame_length, hop_length) > -top_db)
    if mode == "trim":
        runs = [(int(loud[0]), int(loud[-1]))]
    else:
        pauses = np.flatnonzero(np.diff(loud) > 1)
        firsts, lasts = loud[[0, *(pauses + 1)]], loud[[*pauses, -1]]
        runs = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
    spans = [(first * hop_length, (last + 1) * hop_length) for first, last in runs]
    found = [(start, min(end, len(samples))) for start, end in spans if start < len(samples)]
    # A frame is centred on its first sample.  When only the one centred on the very end is
    # voiced, its interval is empty, and the frame's first half is what is meant.
    half = max(hop_length, frame_length // 2)
    return found or [(max(0, len(samples) - half), len(samples))]


def _voiced_segments(
    row: Any, sample_rate: float, top_db: float, frame_length: int, hop_length: int, mode: str
) -> np.ndarray:
    """Return a row's voiced intervals in seconds of the recording itself, one per line."""
    samples = load_waveform(row, sample_rate, min_duration=frame_length / sample_rate)
    spans = _loud_spans(samples, top_db, frame_length, hop_length, mode)
    voiced = [(start / sample_rate, end / sample_rate) for start, end in spans]
    info = describe_recording(row)
    kept = segments_of(row, info.duration, info.sample_rate)
    # The waveform is the kept segments end to end, so `offset` is where each begins in it.  The
    # intersection also clamps the end: resampling rounds the length up.
    segments, offset = [], 0.0
    for number, (begin, stop) in enumerate(kept, start=1):
        length = (round(stop * sample_rate) - round(begin * sample_rate)) / sample_rate
        if number == len(kept):
            length = len(samples) / sample_rate - offset
        for start, end in voiced:
            low, high = max(start, offset) - offset, min(end, offset + length) - offset
            if low < high:
                segments.append((begin + low, min(begin + high, stop)))
        offset += length
    return np.array(segments, dtype=np.float64).reshape(-1, 2)


class EnergyVAD(NoOutputContainer, RecordingTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Mark the voiced parts of every recording by their energy.

    A frame is voiced when its root-mean-square amplitude is less than ``top_db`` below that of
    the loudest frame of the same recording.  Samples are not touched: the voiced intervals go
    into the column ``segments``, and every later step keeps to them.

    Parameters
    ----------
    top_db : float, default=30.0
        Decibels below the loudest frame at which a frame counts as silence.
    frame_length : int, default=2048
        Samples in one frame, at ``sample_rate``.
    hop_length : int, default=512
        Samples between frames, at ``sample_rate``.
    mode : {"trim", "split"}, default="trim"
        ``"trim"`` gives one interval, from the first to the last voiced frame, pauses between
        them included; ``"split"`` gives the voiced intervals only.
    sample_rate : float, default=22050
        Rate of the analysis in Hz.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps what was found, keyed by the audio's content, the segments that it came
        with and these parameters.
    n_jobs : int, optional
        Number of threads; None means 1 unless in a :func:`joblib.parallel_config` context.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a recording that cannot be used.  With ``"nan"`` it is not analysed and
        keeps the segments it came with (None if it had none), so that later steps meet the same
        error under their own ``on_error``; one
        :class:`~sklearn_dysarthria.exceptions.RecordingWarning` lists all such rows.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        Columns of the table given to :meth:`fit`.

    See Also
    --------
    sklearn_dysarthria.recordings.load_waveform : Cuts the segments that this step finds.

    Notes
    -----
    Nothing is learned from the data, so :meth:`transform` works before :meth:`fit`, and training
    and test recordings cannot influence each other.

    A recording that already has ``segments`` is analysed inside them only, end to end as
    :func:`~sklearn_dysarthria.recordings.load_waveform` returns them, with one common loudest
    frame; the cuts between them stay.

    The rule and its numbers are those of ``librosa.effects.trim`` and ``librosa.effects.split``
    with ``ref=numpy.max`` [1]_.  As there, amplitudes below 1e-5 count as 1e-5.

    References
    ----------
    .. [1] B. McFee et al., "librosa: Audio and music signal analysis in Python", Proceedings of
       the 14th Python in Science Conference, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn_dysarthria import EnergyVAD
    >>> tone = np.sin(2 * np.pi * 150 * np.arange(16000) / 16000)
    >>> audio = np.concatenate([np.zeros(8000), tone, np.zeros(8000)])
    >>> X = pd.DataFrame({"audio": [audio], "sample_rate": [16000]})
    >>> vad = EnergyVAD(sample_rate=16000, frame_length=512, hop_length=160)
    >>> [(round(start, 2), round(end, 2)) for start, end in vad.fit_transform(X)["segments"][0]]
    [(0.49, 1.52)]
    """

    _parameter_constraints = {
        "top_db": [Interval(Real, 0, None, closed="neither")],
        "frame_length": [Interval(Integral, 1, None, closed="left")],
        "hop_length": [Interval(Integral, 1, None, closed="left")],
        "mode": [StrOptions({"trim", "split"})],
        "sample_rate": [Interval(Real, 100, 1e7, closed="both")],  # what load_waveform accepts
        "cache": "no_validation",
        "n_jobs": [None, Integral],
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        top_db: float = 30.0,
        frame_length: int = 2048,
        hop_length: int = 512,
        mode: str = "trim",
        sample_rate: float = 22050,
        cache: Any = None,
        n_jobs: int | None = None,
        on_error: str = "raise",
        verbose: int = 0,
    ) -> None:
        self.top_db = top_db
        self.frame_length = frame_length
        self.hop_length = hop_length
        self.mode = mode
        self.sample_rate = sample_rate
        self.cache = cache
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> EnergyVAD:
        """Check the parameters and the table; nothing is learned and no audio is read.

        Parameters
        ----------
        X : table of recordings
            DataFrame with column ``audio``, or a sequence of paths.
        y : None
            Ignored.

        Returns
        -------
        EnergyVAD
            The estimator itself.

        Raises
        ------
        ValueError
            A parameter is out of its range.
        RecordingError
            ``X`` is not a table of recordings.
        """
        self.feature_names_in_ = np.asarray(as_table(X).columns, dtype=object)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Write the voiced intervals into column ``segments``.

        Parameters
        ----------
        X : table of recordings
            DataFrame with column ``audio``, or a sequence of paths.  It is not modified.

        Returns
        -------
        DataFrame of the same length
            The same rows, index and columns; ``segments`` holds a list of ``(start, end)`` in
            seconds of the recording for every row.

        Raises
        ------
        ValueError
            A parameter is out of its range.
        RecordingError
            A recording cannot be used, and ``on_error`` is ``"raise"``; its subclass says why.
        """
        self._validate_params()  # transform works unfitted
        table = as_table(X)
        found = map_recordings(
            CachedFunction(
                partial(_voiced_segments, **self._options()),
                self.cache,
                self.cache_parameters(),
            ),
            table,
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            desc="voice activity",
        )
        given = list(table["segments"]) if "segments" in table.columns else [None] * len(table)
        segments = np.empty(len(table), dtype=object)
        for i, (new, old) in enumerate(zip(found, given, strict=True)):
            segments[i] = old if new is None else list(map(tuple, new.tolist()))
        annotated = table.copy(deep=False)
        annotated["segments"] = pd.Series(segments, index=table.index, dtype=object)
        return annotated

    def voiced_waveform(
        self, row: Any, sample_rate: float, *, min_duration: float = 0.0
    ) -> np.ndarray:
        """Load the voiced parts of one recording, in one pass over it.

        The same as :func:`~sklearn_dysarthria.recordings.load_waveform` of the row that
        :meth:`transform` returns, which decodes and resamples a second time.

        Parameters
        ----------
        row : Series or mapping
            A row of the table of recordings.
        sample_rate : float
            Rate of the result in Hz.
        min_duration : float, default=0
            Seconds below which the voiced parts count as too short.

        Returns
        -------
        ndarray of shape (n_samples,), dtype float32
            Samples.

        Raises
        ------
        RecordingError
            The recording, or what is voiced of it, cannot be used.
        """
        options = self._options()
        if sample_rate != self.sample_rate or row.get("segments") is not None:
            annotated = Row({**row, "segments": _voiced_segments(row, **options)})
            annotated.name = getattr(row, "name", None)
            return load_waveform(annotated, sample_rate, min_duration=min_duration)
        del options["sample_rate"]
        shortest = self.frame_length / sample_rate
        samples = load_waveform(row, sample_rate, min_duration=shortest)
        voiced = cut(samples, _loud_spans(samples, **options), 1)
        check_sound(row, voiced, sample_rate, min_duration)
        return voiced

    def cache_parameters(self) -> dict[str, Any]:
        """Return everything but the recording that determines what is voiced of it.

        Returns
        -------
        dict
            Plain values.
        """
        return self._options() | {"transformer": "EnergyVAD", "recipe": RECIPE_VERSION}

    def _options(self) -> dict[str, Any]:
        # Plain numbers: the numpy integers of a parameter grid are no other setting.
        return {
            "sample_rate": float(self.sample_rate),
            "top_db": float(self.top_db),
            "frame_length": int(self.frame_length),
            "hop_length": int(self.hop_length),
            "mode": self.mode,
        }

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the columns of the table that :meth:`transform` gives.

        Parameters
        ----------
        input_features : array-like of str, optional
            Columns that go in; those seen in :meth:`fit` when None.

        Returns
        -------
        ndarray of str
            The columns that go in, and ``segments``.

        Raises
        ------
        NotFittedError
            ``input_features`` is None and :meth:`fit` has not been called.
        """
        if input_features is None:
            check_is_fitted(self, "feature_names_in_")
            input_features = self.feature_names_in_
        names = list(input_features)
        return np.asarray(names if "segments" in names else [*names, "segments"], dtype=object)
