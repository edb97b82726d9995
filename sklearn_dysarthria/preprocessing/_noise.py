"""Noise at a given signal-to-noise ratio, for training and for measuring robustness."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.fft import next_fast_len
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.audio_files import find_audio_files
from sklearn_dysarthria._utils.estimators import NoOutputContainer, RecordingTransformer
from sklearn_dysarthria.datasets import make_dysarthric_speech
from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings import (
    as_table,
    describe_recording,
    load_waveform,
    map_recordings,
    segments_of,
)

NoiseSource = Callable[[int, float, np.random.Generator], np.ndarray]

_LOWEST_PINK = 20.0  # Hz
_MOST_DRAWS = 50
_KEPT_FILES = 8  # decoded noise files that a process remembers

N_TALKERS = 8
_SYNTHESIS_RATE = 16000  # Hz; speech has little above half of it
_TASKS = ("phonationA", "phonationI", "rhythmPA", "rhythmTA", "rhythmKA")
_SYNTHESIS = threading.Lock()
_SEED = 20240229  # of the voices, which are always the same; where they start is random

_LOWEST_SNR, _HIGHEST_SNR = -100.0, 300.0  # dB; beyond, float32 holds only one of the two
_COPY = "number of the copy, for AddNoise"
# Each decision has its own generator, so that none shifts another: the same noise is drawn at
# every ratio, and a lower probability leaves the noise of the others alone.
_WHETHER, _HOW_LOUD, _WHICH = range(3)


def _generator(seed: int, content: bytes, copy: int, purpose: int) -> np.random.Generator:
    entropy = [seed, int.from_bytes(content, "little")]
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(copy, purpose)))


def _noisy(
    row: Any,
    *,
    snr_db: tuple[float, float],
    source: NoiseSource,
    probability: float,
    seed: int,
) -> tuple[np.ndarray, float] | None:
    """Return a row's samples with noise and their rate, or None where it is to stay clean."""
    samples = load_waveform(row)  # checks the row, its segments included
    if row.get("segments") is not None:
        samples = load_waveform({**row, "segments": None})
    rate = describe_recording(row).sample_rate
    content = hashlib.sha256(repr(rate).encode() + samples.tobytes()).digest()
    generator = partial(_generator, seed, content, int(row[_COPY]))
    low, high = snr_db
    ratio = low if low == high else generator(_HOW_LOUD).uniform(low, high)
    if generator(_WHETHER).random() >= probability or ratio == math.inf:
        return None
    measured = np.zeros(len(samples), dtype=bool)
    for start, end in segments_of(row, len(samples) / rate, rate):
        measured[round(start * rate) : round(end * rate)] = True
    clean = samples.astype(np.float64)
    noise = draw_noise(source, len(clean), rate, measured, generator(_WHICH))
    return (clean + noise * clean[measured].std() * 10 ** (-ratio / 20)).astype(np.float32), rate


def _numbers_of_copies(audio: pd.Series) -> list[int]:
    """Return how many earlier rows have the same recording, as after an over-sampler."""
    keys = audio.map(lambda x: os.fspath(x) if isinstance(x, (str, os.PathLike)) else id(x))
    return keys.groupby(keys.to_numpy(dtype=object), sort=False).cumcount().tolist()


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
        only: not on the row, the other rows or the number of threads.  None draws another
        noise each time.
    n_jobs : int, optional
        Number of threads; None means 1 unless in a :func:`joblib.parallel_config` context.
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
            As :meth:`transform` returns it; with noise even under ``training_only=True``.

        Raises
        ------
        ValueError
            A parameter is out of its range, or the noise cannot be used.
        RecordingError
            A recording cannot be used, and ``on_error`` is ``"raise"``; its subclass says why.
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
            A recording cannot be used, and ``on_error`` is ``"raise"``; its subclass says why.
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


# ------------------------------------------------------------------------ sources of noise


def white(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise with the same power at all frequencies."""
    return rng.standard_normal(n_samples)


def pink(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise whose power falls as 1/f, by 3 dB per octave, from 20 Hz up.

    There is none below: 1/f has as much power from 2 to 20 Hz as from 200 to 2000 Hz, so that
    most of the noise's power would lie where microphones record nothing.
    """
    length = next_fast_len(n_samples, real=True)  # a prime number of samples takes ten times longer
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    audible = frequencies >= _LOWEST_PINK
    spectrum[~audible] = 0
    spectrum[audible] /= np.sqrt(frequencies[audible])
    return np.fft.irfft(spectrum, length)[:n_samples]


def babble(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Let eight healthy synthetic speakers talk at once, each from a random point of a loop.

    All speakers have the same power.
    """
    with _SYNTHESIS:  # other threads wait for these voices instead of making their own
        talkers = _talkers(float(sample_rate))
    out = np.zeros(n_samples)
    for talker in talkers:
        start = rng.integers(len(talker))
        out += np.take(talker, np.arange(start, start + n_samples), mode="wrap")
    return out


@lru_cache(maxsize=4)
def _talkers(sample_rate: float) -> tuple[np.ndarray, ...]:
    """Return every speaker's loop at one rate; resampling it for each recording would cost."""
    return tuple(
        load_waveform({"audio": loop, "sample_rate": _SYNTHESIS_RATE}, sample_rate)
        for loop in _loops()
    )


@lru_cache(maxsize=1)
def _loops() -> tuple[np.ndarray, ...]:
    """Synthesise each healthy speaker's tasks end to end, free of offset and of power 1."""
    # The corpus needs two classes: the one speaker of the other class is left out.
    X, y = make_dysarthric_speech(
        N_TALKERS + 1,
        tasks=_TASKS,
        weights=[N_TALKERS, 1],
        difficulty="easy",
        duration=2.0,
        sample_rate=_SYNTHESIS_RATE,
        n_jobs=1,
        random_state=_SEED,
    )
    healthy = X[y == 0]
    loops = []
    for _, recordings in healthy.groupby("patient", sort=False):
        parts = [audio.astype(np.float64) for audio in recordings["audio"]]
        loop = np.concatenate([(part - part.mean()) / part.std() for part in parts])
        loops.append(loop)
    return tuple(loops)


@dataclass(frozen=True)
class RecordedNoise:
    """Random excerpts of recordings: names for error messages, and rows for `load_waveform`."""

    recordings: tuple[tuple[str, Any], ...]

    def __call__(self, n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
        """Cut an excerpt from one of the recordings, looped where that is too short."""
        name, row = self.recordings[rng.integers(len(self.recordings))]
        samples = _noise_samples(name, row, sample_rate)
        spare = len(samples) - n_samples
        start = rng.integers(spare + 1) if spare >= 0 else rng.integers(len(samples))
        excerpt = np.take(samples, np.arange(start, start + n_samples), mode="wrap")
        return excerpt.astype(np.float64)


def _noise_samples(name: str, row: dict[str, Any], sample_rate: float) -> np.ndarray:
    try:
        if isinstance(row["audio"], str):
            changed = os.stat(row["audio"]).st_mtime_ns
            return _decoded(row["audio"], changed, sample_rate)
        return load_waveform(row, sample_rate)
    except (RecordingError, OSError) as error:
        # Not a RecordingError, with which the recording, not the noise, would be at fault.
        raise ValueError(f"noise {name} cannot be used: {error}") from error


@lru_cache(maxsize=_KEPT_FILES)
def _decoded(path: str, changed: int, sample_rate: float) -> np.ndarray:
    return load_waveform(path, sample_rate)


def draw_noise(
    source: NoiseSource,
    n_samples: int,
    sample_rate: float,
    measured: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw noise of mean 0 and power 1 over the `measured` samples (a mask, at least two).

    `source` is from `noise_source`, `sample_rate` in Hz.  Raises ValueError if recorded noise is
    silent wherever it was tried, or cannot be read.
    """
    for _ in range(_MOST_DRAWS):
        noise = source(n_samples, sample_rate, rng)
        noise = noise - noise[measured].mean()
        power = np.mean(noise[measured] ** 2)
        if power > 0:
            return noise / np.sqrt(power)
    raise ValueError(
        f"{_MOST_DRAWS} excerpts of the recorded noise were silent; leave the pauses out of it."
    )


def noise_source(noise: Any, noise_sample_rate: float | None) -> NoiseSource:
    """Return the source of the noise that a user of AddNoise asked for.

    Raises ValueError if `noise` is none of what is allowed there, names nothing that exists, or is
    an array whose rate (Hz) is not known.
    """
    if isinstance(noise, str) and noise in SYNTHETIC:
        return SYNTHETIC[noise]
    alone = isinstance(noise, (str, os.PathLike)) or (
        isinstance(noise, np.ndarray) and noise.dtype.kind == "f"
    )
    if not alone and not isinstance(noise, (Sequence, np.ndarray)):
        raise ValueError(
            f"noise={noise!r} must be 'white', 'pink', 'babble', a file or folder of noise, an "
            "array of samples, or a list of files and arrays."
        )
    parts = [noise] if alone else list(noise)
    rows = [row for i, part in enumerate(parts) for row in _rows(part, i, noise_sample_rate)]
    if not rows:
        raise ValueError("noise is an empty list.")
    return RecordedNoise(tuple(rows))


def _rows(part: Any, number: int, rate: float | None) -> list[tuple[str, dict[str, Any]]]:
    """Name one element of `noise`, and turn it into rows for `load_waveform`."""
    if isinstance(part, (str, os.PathLike)):
        if not os.fspath(part):
            raise ValueError("noise is an empty path; '.' would be the current folder.")
        return [(repr(str(path)), {"audio": str(path)}) for path in _files(Path(part))]
    samples = np.asarray(part) if isinstance(part, np.ndarray) else None
    if samples is None or samples.ndim != 1 or samples.dtype.kind != "f":
        kind = type(part).__name__ if samples is None else f"{samples.ndim}-D {samples.dtype} array"
        raise ValueError(f"noise number {number} is a {kind}, not a path or a 1-D float array.")
    if rate is None:
        raise ValueError("noise holds arrays: give their rate in Hz as noise_sample_rate.")
    return [(f"number {number}", {"audio": samples, "sample_rate": rate})]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = find_audio_files(path)
        if not files:
            raise ValueError(f"the folder of noise {str(path)!r} holds no audio files.")
        return files
    if not path.exists():
        raise ValueError(
            f"noise {str(path)!r} is neither 'white', 'pink', 'babble' nor an existing file or "
            "folder."
        )
    return [path]


SYNTHETIC: dict[str, NoiseSource] = {"white": white, "pink": pink, "babble": babble}
