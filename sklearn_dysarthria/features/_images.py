"""Log-mel (or MFCC) spectrograms with their time derivatives, as images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Set
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_dysarthria._utils.estimators import NoOutputContainer, RecordingTransformer
from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import (
    BandwidthWarning,
    MissingColumnError,
    UnknownTaskError,
)
from sklearn_dysarthria.preprocessing import EnergyVAD
from sklearn_dysarthria.recordings import (
    CachedFunction,
    as_table,
    load_waveform,
    map_recordings_to_array,
)
from sklearn_dysarthria.recordings._audio import recorded_rates, row_and_path
from sklearn_dysarthria.recordings._table import rows_of

CHANNELS = ("static", "delta", "delta2")
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
RECIPE_VERSION = 4
"""To be raised whenever the same parameters give other images, so that caches expire."""
_FLAT = 1e-3
"""Range in dB up to which a channel counts as constant: what varies less is rounding."""


class LogMelDeltaImages(  # type: ignore[call-arg]
    NoOutputContainer, RecordingTransformer, auto_wrap_output_keys=None
):
    """Turn recordings into images of log-mel spectrogram, Δ and ΔΔ.

    The recipe, in order: mono waveform at `sample_rate`; power of the centred, zero-padded
    short-time Fourier transform (periodic Hann window); Slaney mel bank; decibels below the
    recording's maximum, cut at -80 dB; Savitzky–Golay first and second derivative over nine
    frames; antialiased bilinear resize to `image_size`; normalisation.  It agrees with the same
    steps in librosa to 0.01 dB.

    The defaults follow the front end of [1]_; ``n_mels=256`` with
    ``freq_ranges={"phonation": (50, 4000), "rhythm": (100, 6000)}`` is that of the ConvNeXt
    entry to the SAND challenge [2]_.

    Parameters
    ----------
    sample_rate : float, default=22050
        Rate in Hz to which recordings are resampled.
    n_fft : int, default=2048
        Frame length in samples.  Recordings shorter than one frame are an error.
    hop_length : int, default=512
        Step between frames in samples.
    n_mels : int, default=224
        Number of mel bands.
    fmin : float, default=0
        Lowest frequency in Hz.
    fmax : float, optional
        Highest frequency in Hz; None is half of `sample_rate`.
    freq_ranges : dict of str to (float, float), optional
        ``(fmin, fmax)`` in Hz by task, which column ``task`` must then name.  An exact task name
        is looked up first (``"phonationA"``), then its group (``"phonation"``).
    representation : {"logmel", "mfcc"}, default="logmel"
        ``"mfcc"`` replaces the spectrogram by its cepstral coefficients (orthonormal DCT-II).
    n_mfcc : int, default=40
        Number of cepstral coefficients for ``representation="mfcc"`` (inferred: the paper does
        not give it).
    channels : sequence of {"static", "delta", "delta2"}, default=("static", "delta", "delta2")
        What the image's channels hold, in this order; names may repeat, which feeds a
        three-channel backbone from fewer (``("static",) * 3``).
    image_size : int or (int, int), default=224
        Height and width of the image in pixels.
    normalize : {"imagenet", "recording"} or None, default="imagenet"
        None leaves decibels; ``"recording"`` gives each channel of each recording zero mean and
        unit variance; ``"imagenet"`` rescales each channel of each recording to [0, 1] and then
        standardises it with ImageNet's mean and standard deviation, as pretrained backbones
        expect.
    vad : EnergyVAD, optional
        Keep to the voiced parts that it finds.  The images are those of a Pipeline of the two, but
        each recording is decoded and resampled once; `vad`'s own `cache`, `n_jobs`, `on_error` and
        `verbose` are not used.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps finished images, keyed by the audio's content and these parameters.
    mmap_folder : str or path, optional
        Folder on a disk where :meth:`transform` writes its array, instead of holding it in memory;
        see the notes.
    n_jobs : int, optional
        Number of threads; None means 1 unless in a :func:`joblib.parallel_config` context.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a recording that cannot be used; ``"nan"`` fills its image with NaN and
        lists all such rows in one warning.
    verbose : int, default=0
        1 shows a progress bar, 2 leaves it on the screen.

    See Also
    --------
    EnergyVAD : Marks voiced segments, which this transformer then keeps to.
    ImagesWithContext : Adds a feature vector to each image.

    Notes
    -----
    With `mmap_folder`, each finished image is written to a file in that folder, and the result is a
    read-only memory map of the file, with the same numbers.  The classifiers of images read it
    batch by batch, so that memory does not grow with the number of recordings.  The file is removed
    when the array is no longer in use or the process ends; if the process is killed, the next call
    with the same folder removes it.  joblib's processes on the same computer share the file;
    pickling the array copies it.  On a ``tmpfs``, as ``/tmp`` is on some systems, the file would
    lie in memory.

    Where the papers are silent, the default is inferred: 224 mel bands, step 512 and a Hann
    window follow the sister papers of the authors of [1]_.

    References
    ----------
    .. [1] L. Ilias, D. Askounis, "Recognition of Dysarthria in Amyotrophic Lateral Sclerosis
       patients using Hypernetworks", arXiv:2503.01892 (2025).
    .. [2] J. M. Mboe, A. N. Farras, L. A. Nikmah, "ConvNeXt-Based Deep Learning Framework for ALS
       Dysarthria Severity Classification", SAND challenge, ICASSP 2026.

    Examples
    --------
    >>> from sklearn_dysarthria import LogMelDeltaImages, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=2, random_state=0)
    >>> images = LogMelDeltaImages(sample_rate=16000, image_size=64, n_mels=64).fit_transform(X)
    >>> images.shape, images.dtype
    ((4, 3, 64, 64), dtype('float32'))
    """

    _parameter_constraints = {
        "sample_rate": [Interval(Real, 100, 1e7, closed="both")],  # what load_waveform accepts
        "n_fft": [Interval(Integral, 2, None, closed="left")],
        "hop_length": [Interval(Integral, 1, None, closed="left")],
        "n_mels": [Interval(Integral, 1, None, closed="left")],
        "fmin": [Interval(Real, 0, None, closed="left")],
        "fmax": [Interval(Real, 0, None, closed="neither"), None],
        "freq_ranges": [Mapping, None],
        "representation": [StrOptions({"logmel", "mfcc"})],
        "n_mfcc": [Interval(Integral, 1, None, closed="left")],
        "channels": ["array-like"],
        "image_size": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "normalize": [StrOptions({"imagenet", "recording"}), None],
        "vad": [EnergyVAD, None],
        "cache": "no_validation",
        "mmap_folder": [str, PathLike, None],
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        sample_rate=22050,
        n_fft=2048,
        hop_length=512,
        n_mels=224,
        fmin=0.0,
        fmax=None,
        freq_ranges=None,
        representation="logmel",
        n_mfcc=40,
        channels=CHANNELS,
        image_size=224,
        normalize="imagenet",
        vad=None,
        cache=None,
        mmap_folder=None,
        n_jobs=None,
        on_error="raise",
        verbose=0,
    ):
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = fmax
        self.freq_ranges = freq_ranges
        self.representation = representation
        self.n_mfcc = n_mfcc
        self.channels = channels
        self.image_size = image_size
        self.normalize = normalize
        self.vad = vad
        self.cache = cache
        self.mmap_folder = mmap_folder
        self.n_jobs = n_jobs
        self.on_error = on_error
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters, and that the recordings reach the requested frequencies.

        Nothing is learned.  Headers are read to warn once about recordings made at too low a
        rate for the band.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Parameters that contradict each other.
        MissingColumnError
            `freq_ranges` is given and the table has no column ``task``.
        """
        table = as_table(X)
        self._check_parameters(table)
        _warn_about_empty_bands(table, self._band)
        return self

    def transform(self, X):
        """Compute the image of every recording.

        Parameters
        ----------
        X : table of recordings
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings, n_channels, height, width), dtype float32
            Row 0 of an image is the lowest mel band (or coefficient), column 0 the first frame.
            A read-only :class:`numpy.memmap` with `mmap_folder`.

        Raises
        ------
        RecordingError
            A recording cannot be used and `on_error` is ``"raise"``.
        OSError
            `mmap_folder` cannot be written, or has no room for the images.
        """
        table = as_table(X)
        self._validate_params()
        self._check_parameters(table)
        of_row = None if self.freq_ranges is None else self._parameters_of_row
        return map_recordings_to_array(
            CachedFunction(self._image, self.cache, self._cache_parameters(), of_row),
            table,
            self._image_shape(),
            folder=self.mmap_folder,
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            desc="images",
        )

    def _edges(self) -> tuple[Any, Any]:
        if isinstance(self.image_size, Integral):
            return self.image_size, self.image_size
        edges = tuple(self.image_size)
        return edges if len(edges) == 2 else (None, None)

    def _image_shape(self) -> tuple[int, int, int]:
        height, width = self._edges()
        return len(self.channels), int(height), int(width)

    def _check_parameters(self, table: Any) -> None:
        if self.vad is not None:
            self.vad._validate_params()
        nyquist = self.sample_rate / 2
        if self.freq_ranges is not None and "task" not in table.columns:
            raise MissingColumnError("freq_ranges needs column 'task'.")
        for low, high in [self._default_band(), *_checked_bands(self.freq_ranges).values()]:
            if not 0 <= low < high <= nyquist:
                raise ValueError(
                    f"The band from {low:g} to {high:g} Hz is empty or leaves 0 to {nyquist:g} Hz, "
                    f"half of sample_rate={self.sample_rate:g}."
                )
        ordered = not isinstance(self.channels, (Set, Mapping))
        names = list(self.channels)
        if not (ordered and names and all(isinstance(n, str) and n in CHANNELS for n in names)):
            raise ValueError(
                f"channels={self.channels!r} must be a sequence of names out of {CHANNELS}."
            )
        if not all(
            isinstance(edge, Integral) and not isinstance(edge, bool) and int(edge) >= 1
            for edge in self._edges()
        ):
            raise ValueError(f"image_size={self.image_size!r} must be an int or (height, width).")
        if self.normalize == "imagenet" and len(self.channels) != 3:
            raise ValueError(
                f"normalize='imagenet' needs three channels, got {len(self.channels)}: repeat one, "
                "as in ('static', 'static', 'delta'), or set normalize to 'recording' or None."
            )
        if self.representation == "mfcc" and self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc={self.n_mfcc} exceeds n_mels={self.n_mels}.")

    def _default_band(self) -> tuple[float, float]:
        return float(self.fmin), float(self.sample_rate / 2 if self.fmax is None else self.fmax)

    def _band(self, row: Any) -> tuple[float, float]:
        return _band_of(row, self.freq_ranges, self._default_band())

    def _parameters_of_row(self, row: Any) -> dict[str, Any]:
        return {"band": self._band(row)}

    def _cache_parameters(self) -> dict[str, Any]:
        # Plain numbers: 16000, 16000.0 and the numpy integers of a parameter grid are one setting.
        return {
            "sample_rate": float(self.sample_rate),
            "n_fft": int(self.n_fft),
            "hop_length": int(self.hop_length),
            "n_mels": int(self.n_mels),
            "representation": self.representation,
            "n_mfcc": int(self.n_mfcc) if self.representation == "mfcc" else None,
            "normalize": self.normalize,
            "vad": None if self.vad is None else self.vad.cache_parameters(),
            "transformer": "LogMelDeltaImages",
            "recipe": RECIPE_VERSION,
            "band": self._default_band(),
            "channels": tuple(map(str, self.channels)),
            "shape": self._image_shape(),
        }

    def _image(self, row: Any, out: np.ndarray | None = None) -> np.ndarray:
        # torch is imported with the recipe, so that building a pipeline stays instant.
        from sklearn_dysarthria.features._spectrogram import image_recipe

        fmin, fmax = self._band(row)
        recipe = image_recipe(
            sample_rate=float(self.sample_rate),
            n_fft=int(self.n_fft),
            hop_length=int(self.hop_length),
            n_mels=int(self.n_mels),
            fmin=fmin,
            fmax=fmax,
            n_mfcc=int(self.n_mfcc) if self.representation == "mfcc" else None,
            channels=tuple(map(str, self.channels)),
            shape=self._image_shape()[1:],
        )
        load = load_waveform if self.vad is None else self.vad.voiced_waveform
        waveform = load(row, self.sample_rate, min_duration=self.n_fft / self.sample_rate)
        return _normalized(recipe.image(waveform, out), self.normalize)


def _normalized(image: np.ndarray, how: str | None) -> np.ndarray:
    """Normalise each channel of one image in place; a constant channel stays finite."""
    if how is None:
        return image
    if how == "recording":
        image -= image.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        deviation = image.std(axis=(1, 2), keepdims=True, dtype=np.float64)
        image /= np.where(deviation > _FLAT, deviation, 1)
        return image
    low = image.min(axis=(1, 2), keepdims=True)
    span = image.max(axis=(1, 2), keepdims=True) - low
    # To [0, 1] and to ImageNet's mean and deviation in one multiplication and one addition.
    scale = 1 / (np.where(span > _FLAT, span, 1) * IMAGENET_STD[:, None, None])
    image -= low
    image *= scale
    image -= (IMAGENET_MEAN / IMAGENET_STD)[:, None, None]
    return image


def _checked_bands(freq_ranges: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Return the bands by task; raise ValueError unless they are pairs of numbers by name."""
    bands = {}
    for task, band in (freq_ranges or {}).items():
        pair = () if isinstance(band, str) or not isinstance(band, Iterable) else tuple(band)
        numbers = [isinstance(x, Real) and not isinstance(x, bool) for x in pair]
        if not isinstance(task, str) or numbers != [True, True]:
            raise ValueError(
                f"freq_ranges has {task!r}: {band!r}, but must map names of tasks to (fmin, fmax) "
                "in Hz."
            )
        bands[task] = (float(pair[0]), float(pair[1]))
    return bands


def _band_of(
    row: Any, freq_ranges: Mapping[str, tuple[float, float]] | None, default: tuple[float, float]
) -> tuple[float, float]:
    """Return ``(fmin, fmax)`` in Hz for a row: `default` without `freq_ranges`.

    Raise UnknownTaskError if neither the row's task nor its group is in `freq_ranges`.
    """
    if freq_ranges is None:
        return default
    task = row.get("task")
    name = name_for_task(task, freq_ranges)
    if name is not None:
        low, high = freq_ranges[name]
        return float(low), float(high)
    raise UnknownTaskError(
        f"task {task!r} has no frequency range; known are {sorted(freq_ranges)}.",
        **row_and_path(row),
    )


def _warn_about_empty_bands(X: Any, band: Callable[[Any], tuple[float, float]]) -> None:
    """Warn once if some recordings were made at too low a rate for their band.

    Only headers are read.  `band` takes a row and returns ``(fmin, fmax)`` in Hz.
    """
    table = as_table(X)
    rows = rows_of(table)
    rates = []
    for row, rate in zip(rows, recorded_rates(rows), strict=True):
        try:
            if band(row)[1] > rate / 2:
                rates.append(rate)
        except UnknownTaskError:
            continue  # transform reports it
    if rates:
        warnings.warn(
            f"{len(rates)} of {len(table)} recordings hold nothing in the upper part of the "
            f"analysed band: the slowest was recorded at {min(rates):g} Hz and ends at "
            f"{min(rates) / 2:g} Hz. Lower fmax or freq_ranges, unless this is wanted.",
            BandwidthWarning,
            stacklevel=4,  # the caller of fit, past scikit-learn's wrapper of it
        )
