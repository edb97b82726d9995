"""A synthetic corpus of dysarthric speech, to try a method on before the data arrive.

Speakers are drawn, recorded on a device, and written to files or kept in memory.  What lies between
the lips and the file (silence, room noise, the microphone, the level) does not depend on the
speaker's severity.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfilt
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_dysarthria._utils.parallel import parallel_map
from sklearn_dysarthria.datasets._tasks import TASKS
from sklearn_dysarthria.datasets.synthetic._speakers import (
    Speaker,
    articulation_of,
    draw_speaker,
    phonation_of,
    traits_today,
    vowel_formants,
)
from sklearn_dysarthria.datasets.synthetic._utterances import sustained_vowel, syllable_train

__all__ = ["make_dysarthric_speech"]

DIFFICULTIES = {"easy": 0.2, "medium": 0.6, "hard": 0.85}
"""Share of the standard deviation of severity that the class does not explain, by name."""

_SYNTHESIS_RATE = 16000  # Hz; lower rates are sampled down from here
_LOWEST_RATE = 8000  # Hz; below, the second formant of /i/ is lost
_SHORTEST = 0.5  # s; less holds hardly one slow syllable between its silences


@validate_params(
    {
        "n_patients": [Interval(Integral, 1, None, closed="left")],
        "tasks": [str, "array-like"],
        "classes": [Interval(Integral, 2, None, closed="left"), "array-like"],
        "weights": ["array-like", None],
        "difficulty": [StrOptions(set(DIFFICULTIES)), Interval(Real, 0, 1, closed="both")],
        "sample_rate": [Interval(Real, _LOWEST_RATE, None, closed="left")],
        "folder": [str, os.PathLike, None],
        "random_state": [
            Interval(Integral, 0, None, closed="left"),
            np.random.RandomState,
            np.random.Generator,
            None,
        ],
    },
    prefer_skip_nested_validation=False,
)
def make_dysarthric_speech(
    n_patients: int = 40,
    *,
    tasks: str | Sequence[str] = ("phonationA", "rhythmPA"),
    classes: int | Sequence[Any] = 2,
    weights: Sequence[float] | None = None,
    difficulty: str | float = "medium",
    duration: float | tuple[float, float] = (2.0, 3.0),
    sample_rate: int = 16000,
    folder: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Synthesise recordings of speakers with and without dysarthria.

    Every speaker is a source-filter model: glottal pulses with jitter, shimmer, tremor, drift and
    turbulence; formants of the speaker's sex, vocal-tract length and vowel, drawn towards a
    neutral tube; a leaking velum; and, in the syllable tasks, stops with closure, burst, voice
    onset time and formant transitions, spoken at a rate and with a regularity of their own.  A
    latent severity changes all of these, each with the variation between speakers that makes the
    classes overlap.  Device, noise, level, silences, length, sex and age are drawn independently
    of the class.

    The corpus serves to try, test and teach methods.  A score on it says nothing about
    patients.

    Parameters
    ----------
    n_patients : int, default=40
        Number of speakers.
    tasks : sequence of str, default=("phonationA", "rhythmPA")
        What each speaker is recorded doing, one recording per task: any of ``"phonationA"``,
        ``"phonationE"``, ``"phonationI"``, ``"phonationO"``, ``"phonationU"`` (a sustained
        vowel), ``"rhythmPA"``, ``"rhythmTA"`` and ``"rhythmKA"`` (a repeated syllable).  They
        are the tasks of VOC-ALS [1]_.
    classes : int or sequence, default=2
        Number of classes, labelled 0 (healthy) to ``classes - 1`` (most severe); or the labels
        themselves, in that order.
    weights : sequence of float, optional
        Proportion of patients per class, as in
        :func:`sklearn.datasets.make_classification`: one number per class, or one less and the
        last is inferred.  None means balanced.  Every class gets at least one patient.
    difficulty : {"easy", "medium", "hard"} or float, default="medium"
        How much the classes overlap: the share of the standard deviation of severity that the
        class does not explain, from 0 (the class fixes the severity) to 1 (the labels are
        independent of everything).  The names stand for 0.2, 0.6 and 0.85.  With two balanced
        classes, knowing the true severity would then yield an area under the ROC curve of 1.00,
        0.97 and 0.81; eGeMAPS and a support vector machine, cross-validated over 60 patients,
        reach about 0.99, 0.89 and 0.68.
    duration : float or (float, float), default=(2.0, 3.0)
        Length of a recording in seconds, or the shortest and the longest.  At least 0.5 s.
    sample_rate : int, default=16000
        Sampling rate in Hz, at least 8000.
    folder : path-like, optional
        Write 16-bit WAV files here, named by patient and task, and return their paths instead
        of samples.  The folder is created if necessary; files of the same name are replaced.  An
        interrupted call leaves complete recordings, though not all of them.
    n_jobs : int, optional
        Workers that synthesise; the result does not depend on it.
    random_state : int, RandomState, Generator or None, default=None
        Seed.  The same integer gives the same corpus; a patient's voice does not depend on the
        tasks asked for.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    X : pandas.DataFrame
        One row per recording, the rows of a patient together: ``audio`` (float32 array of shape
        (n_samples,) in [-1, 1], or path), ``sample_rate`` (Hz), ``patient`` (``"S001"``, ...),
        ``task``, ``sex`` (``"F"`` or ``"M"``), ``age`` (years) and ``device``.
    y : ndarray of shape (n_patients * n_tasks,)
        Label of each recording; all recordings of a patient carry the same.

    Raises
    ------
    ValueError
        An argument is out of its range, a task is unknown, or there are fewer patients than
        classes.

    Notes
    -----
    The voice source is KLGLOTT88 [2]_ and the vocal tract a cascade of resonators [3]_ with the
    vowels of Hillenbrand et al. [4]_.  Places of articulation differ in the shape of the burst
    [5]_ and in the formant transitions; the stops are unaspirated [6]_.

    Severity raises jitter, shimmer and noise and the instability of loudness [7]_, the tremor of
    pitch and loudness [8]_ [9]_ and the drift of pitch [1]_; it centralises the vowels [10]_
    [11]_ and opens the velum [7]_, which adds energy below 1 kHz and takes some at 2.5 kHz
    [12]_.  Syllables become slower and irregular [13]_, which healthy ageing does not bring [14]_,
    with flatter formant transitions [15]_, more pauses [16]_ and closures that are incomplete
    [17]_ or voiced [18]_, while voice onset time itself stays the same [19]_.  The subsystems of
    speech are not affected alike [20]_.  The sizes of the effects on the voice were set beside
    the recordings of Minsk2020 [21]_; where no source gives a size it is an assumption, marked
    as such in the table of parameters.

    References
    ----------
    .. [1] Dubbioso, R., et al. (2024). Voice signals database of ALS patients with different
       dysarthria severity and healthy controls. Scientific Data, 11.
       https://doi.org/10.1038/s41597-024-03597-2
    .. [2] Klatt, D. H., & Klatt, L. C. (1990). Analysis, synthesis, and perception of voice
       quality variations among female and male talkers. J. Acoust. Soc. Am., 87(2), 820-857.
    .. [3] Klatt, D. H. (1980). Software for a cascade/parallel formant synthesizer. J. Acoust.
       Soc. Am., 67(3), 971-995.
    .. [4] Hillenbrand, J., Getty, L. A., Clark, M. J., & Wheeler, K. (1995). Acoustic
       characteristics of American English vowels. J. Acoust. Soc. Am., 97(5), 3099-3111.
    .. [5] Stevens, K. N., & Blumstein, S. E. (1978). Invariant cues for place of articulation in
       stop consonants. J. Acoust. Soc. Am., 64(5), 1358-1368.
    .. [6] Lisker, L., & Abramson, A. S. (1964). A cross-language study of voicing in initial
       stops: Acoustical measurements. Word, 20(3), 384-422.
    .. [7] Ramig, L. O., Scherer, R. C., Klasner, E. R., Titze, I. R., & Horii, Y. (1990).
       Acoustic analysis of voice in amyotrophic lateral sclerosis: A longitudinal case study.
       J. Speech Hear. Disord., 55(1), 2-14.
    .. [8] Aronson, A. E., Ramig, L. O., Winholtz, W. S., & Silber, S. R. (1992). Rapid voice
       tremor, or "flutter," in amyotrophic lateral sclerosis. Ann. Otol. Rhinol. Laryngol.,
       101(6), 511-518.
    .. [9] Hlavnička, J., et al. (2020). Characterizing vocal tremor in progressive neurological
       diseases via automated acoustic analyses. Clin. Neurophysiol.
       https://doi.org/10.1016/j.clinph.2020.02.005
    .. [10] Sapir, S., Ramig, L. O., Spielman, J. L., & Fox, C. (2010). Formant centralization
       ratio: A proposal for a new acoustic measure of dysarthric speech. J. Speech Lang. Hear.
       Res., 53(1), 114-125.
    .. [11] Turner, G. S., Tjaden, K., & Weismer, G. (1995). The influence of speaking rate on
       vowel space and speech intelligibility for individuals with amyotrophic lateral sclerosis.
       J. Speech Hear. Res., 38(5), 1001-1013.
    .. [12] Lee, A. S.-Y., Ciocca, V., & Whitehill, T. L. (2003). Acoustic correlates of
       hypernasality. Clin. Linguist. Phon., 17(4-5), 259-264.
    .. [13] Tanchip, C., et al. (2022). Validating automatic diadochokinesis analysis methods
       across dysarthria severity and syllable task in amyotrophic lateral sclerosis. J. Speech
       Lang. Hear. Res., 65(3), 940-953.
    .. [14] Pierce, J. E., Cotton, S., & Perry, A. (2013). Alternating and sequential motion rates
       in older adults. Int. J. Lang. Commun. Disord., 48(3), 257-264.
    .. [15] Weismer, G., Martin, R., Kent, R. D., & Kent, J. F. (1992). Formant trajectory
       characteristics of males with amyotrophic lateral sclerosis. J. Acoust. Soc. Am., 91(2),
       1085-1098.
    .. [16] Turner, G. S., & Weismer, G. (1993). Characteristics of speaking rate in the dysarthria
       associated with amyotrophic lateral sclerosis. J. Speech Hear. Res., 36(6), 1134-1144.
    .. [17] Ackermann, H., Hertrich, I., & Hehr, T. (1995). Oral diadochokinesis in neurological
       dysarthrias. Folia Phoniatr. Logop., 47(1), 15-23.
    .. [18] Thomas, A., Teplansky, K. J., Wisler, A., Heitzman, D., Austin, S., & Wang, J. (2022).
       Voice onset time in early- and late-stage amyotrophic lateral sclerosis. J. Speech Lang.
       Hear. Res., 65(7), 2586-2593.
    .. [19] Caruso, A. J., & Burton, E. K. (1987). Temporal acoustic measures of dysarthria
       associated with amyotrophic lateral sclerosis. J. Speech Hear. Res., 30(1), 80-87.
    .. [20] Rong, P., et al. (2016). Predicting speech intelligibility decline in amyotrophic
       lateral sclerosis based on the deterioration of individual speech subsystems. PLoS ONE,
       11(5), e0154971.
    .. [21] Vashkevich, M., & Rushkevich, Yu. (2021). Classification of ALS patients based on
       acoustic analysis of sustained vowel phonations. arXiv:2012.07347.

    Examples
    --------
    >>> from sklearn_dysarthria import make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=4, difficulty="easy", random_state=0)
    >>> X[["patient", "task", "sample_rate"]].head(3)
      patient        task  sample_rate
    0    S001  phonationA        16000
    1    S001    rhythmPA        16000
    2    S002  phonationA        16000
    >>> y.shape
    (8,)
    """
    if not float(sample_rate).is_integer():
        raise ValueError(f"sample_rate must be a whole number of Hz; got {sample_rate!r}.")
    labels = _check_classes(classes)
    sizes = _class_sizes(int(n_patients), len(labels), weights)
    corpus = _Corpus(
        tasks=_check_tasks(tasks),
        difficulty=DIFFICULTIES[difficulty] if isinstance(difficulty, str) else float(difficulty),
        duration=_check_duration(duration),
        sample_rate=int(sample_rate),
        folder=None if folder is None else Path(folder),
        entropy=_seed_entropy(random_state),
    )
    if corpus.folder is not None:
        corpus.folder.mkdir(parents=True, exist_ok=True)
    patients, of_class = _draw_patients(corpus, sizes)
    recorded = parallel_map(
        partial(_record_patient, corpus=corpus),
        patients,
        n_jobs=n_jobs,
        verbose=verbose,
        desc="synthesising",
    )
    X = pd.DataFrame([row for rows in recorded for row in rows])
    return X, labels[np.repeat(of_class, len(corpus.tasks))]


@dataclass(frozen=True)
class Device:
    """A recording device."""

    low: float  # lower end of the band it passes, Hz
    high: float  # upper end, Hz
    tilt: float  # change of gain from low to high frequencies, dB
    noise: float  # below the voice, dB, on average


DEVICES = {
    "headset": Device(low=60, high=7500, tilt=1.0, noise=42.0),
    "phone-a": Device(low=120, high=7000, tilt=3.0, noise=36.0),
    "phone-b": Device(low=180, high=5500, tilt=-2.0, noise=33.0),
    "phone-c": Device(low=100, high=3800, tilt=0.0, noise=35.0),
    "tablet": Device(low=80, high=6500, tilt=-3.0, noise=31.0),
}
"""Invented, but as different as the devices of a multi-centre corpus of smartphone recordings."""

_NOISE_SPREAD = 3.0  # dB between recordings of one device


def record(
    speech: np.ndarray,
    device: Device,
    silence: tuple[int, int],
    peak: float,
    sample_rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Record speech on a device, with `silence` samples before and after it.

    `peak` is the largest absolute value of the result, a float32 array of shape ``(silence[0] +
    n_samples + silence[1],)``; `sample_rate` is in Hz.
    """
    power = np.mean(speech**2)
    signal = np.pad(speech, silence)
    # A pole at 0.9 makes the hiss a murmur: rooms and amplifiers are louder at the bottom.
    noise = lfilter([1.0], [1.0, -0.9], rng.standard_normal(len(signal)))
    below = device.noise + _NOISE_SPREAD * np.clip(rng.standard_normal(), -2, 2)
    noise *= np.sqrt(power * 10 ** (-below / 10) / np.mean(noise**2))
    heard = signal + noise
    # A shelf raises everything above about 1 kHz by the tilt.
    lows = sosfilt(butter(1, 1000.0, fs=sample_rate, output="sos"), heard)
    heard = lows + (heard - lows) * 10 ** (device.tilt / 20)
    heard = sosfilt(butter(2, device.low, "highpass", fs=sample_rate, output="sos"), heard)
    if device.high < 0.48 * sample_rate:
        heard = sosfilt(butter(4, device.high, fs=sample_rate, output="sos"), heard)
    return (heard * (peak / np.abs(heard).max())).astype(np.float32)


@dataclass(frozen=True)
class _Corpus:
    """What all patients of a corpus have in common."""

    tasks: tuple[str, ...]
    difficulty: float
    duration: tuple[float, float]
    sample_rate: int
    folder: Path | None
    entropy: Any

    def generator(self, *key: int) -> np.random.Generator:
        """Return the generator of one patient or recording, independent of all others."""
        return np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=key))


@dataclass(frozen=True)
class _Patient:
    """A speaker to be recorded: number, name, and position of the class from 0 to 1."""

    number: int
    name: str
    position: float


def _draw_patients(corpus: _Corpus, sizes: np.ndarray) -> tuple[list[_Patient], np.ndarray]:
    """Assign classes to patients in random order; also return the class of each."""
    classes = np.repeat(np.arange(len(sizes)), sizes)
    corpus.generator(0).shuffle(classes)
    digits = max(3, len(str(len(classes))))
    patients = [
        _Patient(number, f"S{number + 1:0{digits}d}", float(of_class / (len(sizes) - 1)))
        for number, of_class in enumerate(classes)
    ]
    return patients, classes


def _record_patient(patient: _Patient, corpus: _Corpus) -> list[dict[str, Any]]:
    """Return a patient's rows of the table: all tasks, recorded on one device."""
    speaker = draw_speaker(patient.position, corpus.difficulty, corpus.generator(1, patient.number))
    choice = corpus.generator(3, patient.number)
    device = list(DEVICES)[int(choice.integers(len(DEVICES)))]
    rows = []
    for task in corpus.tasks:
        audio: Any = _record_task(patient, speaker, device, task, corpus)
        if corpus.folder is not None:
            path = corpus.folder / f"{patient.name}_{task}.wav"
            audio = _write(path, audio, corpus.sample_rate)
        rows.append(
            {
                "audio": audio,
                "sample_rate": corpus.sample_rate,
                "patient": patient.name,
                "task": task,
                "sex": speaker.sex,
                "age": speaker.age,
                "device": device,
            }
        )
    return rows


def _record_task(
    patient: _Patient, speaker: Speaker, device: str, task: str, corpus: _Corpus
) -> np.ndarray:
    key = (2, patient.number, TASKS.index(task))
    # Length, level and silences come from a generator that nothing else draws from, so that no
    # property of the speaker can change them.
    frame, voice, room = (corpus.generator(*key, part) for part in range(3))
    rate = max(corpus.sample_rate, _SYNTHESIS_RATE)
    n_samples = round(frame.uniform(*corpus.duration) * rate)
    silence = [round(n_samples * frame.uniform(0.03, 0.12)) for _ in range(2)]
    peak = float(10 ** (frame.uniform(-18, -1) / 20))  # 0.1 to 0.9 of full scale
    speech = _speak(speaker, task, n_samples - sum(silence), rate, voice)
    heard = record(speech, DEVICES[device], (silence[0], silence[1]), peak, rate, room)
    if rate == corpus.sample_rate:
        return heard
    import soxr

    return soxr.resample(heard, rate, corpus.sample_rate, quality="HQ").astype(np.float32)


def _speak(
    speaker: Speaker, task: str, n_samples: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    traits = traits_today(speaker, rng)
    phonation = phonation_of(speaker, traits, rng)
    vowel = vowel_formants(speaker, task[-1], traits["centralisation"])
    nasality = traits["nasality"]
    if task.startswith("phonation"):
        return sustained_vowel(phonation, vowel, nasality, n_samples, sample_rate, rng)
    articulation = articulation_of(speaker, task[-2], traits)
    return syllable_train(phonation, articulation, vowel, nasality, n_samples, sample_rate, rng)


def _write(path: Path, samples: np.ndarray, sample_rate: int) -> str:
    import soundfile

    # The file gets its own name only when it is complete, so that an interruption leaves none.
    unfinished = path.with_name(f".{path.stem}-{uuid4().hex}{path.suffix}")
    try:
        soundfile.write(unfinished, np.clip(samples, -1, 1), sample_rate, subtype="PCM_16")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return os.fspath(path)


def _check_tasks(tasks: Any) -> tuple[str, ...]:
    chosen = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    unknown = [task for task in chosen if task not in TASKS]
    if unknown or not chosen:
        what = f"unknown task {unknown[0]!r}" if unknown else "tasks is empty"
        raise ValueError(f"{what}; the tasks are {', '.join(TASKS)}.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"tasks names a task twice: {', '.join(chosen)}.")
    return chosen


def _check_classes(classes: Any) -> np.ndarray:
    """Return the labels, ordered from healthy to most severe."""
    labels = np.arange(int(classes)) if isinstance(classes, Integral) else np.asarray(classes)
    if labels.ndim != 1 or len(labels) < 2:
        raise ValueError(f"at least two classes are needed; got classes={classes!r}.")
    if len(set(labels.tolist())) < len(labels):
        raise ValueError(f"the labels in classes must differ; got {labels.tolist()}.")
    return labels


def _check_duration(duration: Any) -> tuple[float, float]:
    """Return the shortest and the longest duration in seconds."""
    ends = (duration, duration) if isinstance(duration, Real) else duration
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        raise ValueError(
            f"duration must be seconds or a pair (shortest, longest); got {duration!r}."
        ) from None
    if not (_SHORTEST <= low <= high < np.inf):
        raise ValueError(
            f"duration must be at least {_SHORTEST} s, and the shortest not above the longest; "
            f"got {duration!r}."
        )
    return low, high


def _class_sizes(n_patients: int, n_classes: int, weights: Any) -> np.ndarray:
    """Return the number of patients per class: at least one, the rest in proportion to weights."""
    if n_patients < n_classes:
        raise ValueError(
            f"n_patients={n_patients} is less than the number of classes, {n_classes}."
        )
    if weights is None:
        weights = np.ones(n_classes)
    shares = np.asarray(weights, dtype=float)
    if shares.shape == (n_classes - 1,):
        shares = np.append(shares, 1 - shares.sum())
    if shares.shape != (n_classes,):
        raise ValueError(
            f"weights needs {n_classes} numbers, or {n_classes - 1} to infer the last; "
            f"got {weights!r}."
        )
    if not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        raise ValueError(f"weights must be non-negative and not all zero; got {weights!r}.")
    wanted = shares / shares.sum() * n_patients
    sizes = np.maximum(np.floor(wanted).astype(int), 1)
    while sizes.sum() < n_patients:
        sizes[np.argmax(wanted - sizes)] += 1
    while sizes.sum() > n_patients:
        surplus = np.where(sizes > 1, sizes - wanted, -np.inf)
        sizes[np.argmax(surplus)] -= 1
    return sizes


def _seed_entropy(random_state: Any) -> Any:
    """Turn any random_state into entropy for seed sequences, without the global generator."""
    if random_state is None:
        return np.random.SeedSequence().entropy
    if isinstance(random_state, np.random.Generator):
        return random_state.integers(2**32, size=4).tolist()
    if isinstance(random_state, np.random.RandomState):
        return random_state.randint(2**32, size=4, dtype=np.uint32).tolist()
    return int(random_state)
