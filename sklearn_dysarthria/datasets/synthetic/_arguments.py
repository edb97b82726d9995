"""The arguments of the synthetic corpus, checked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

TASKS = (
    "phonationA",
    "phonationE",
    "phonationI",
    "phonationO",
    "phonationU",
    "rhythmPA",
    "rhythmTA",
    "rhythmKA",
)
DIFFICULTIES = {"easy": 0.2, "medium": 0.6, "hard": 0.85}
SHORTEST = 0.5  # s; less holds hardly one slow syllable between its silences
_LOWEST_RATE = 8000  # Hz; below, the second formant of /i/ is lost


def count_of_patients(n_patients: Any) -> int:
    """Return ``n_patients`` if it is a positive integer."""
    if not isinstance(n_patients, Integral) or isinstance(n_patients, bool) or n_patients < 1:
        raise ValueError(f"n_patients must be a positive integer; got {n_patients!r}.")
    return int(n_patients)


def checked_tasks(tasks: Any) -> tuple[str, ...]:
    """Return the tasks as a tuple if each is one of :data:`TASKS`."""
    chosen = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    unknown = [task for task in chosen if task not in TASKS]
    if unknown or not chosen:
        what = f"unknown task {unknown[0]!r}" if unknown else "tasks is empty"
        raise ValueError(f"{what}; the tasks are {', '.join(TASKS)}.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"tasks names a task twice: {', '.join(chosen)}.")
    return chosen


def checked_classes(classes: Any) -> np.ndarray:
    """Return the labels, ordered from healthy to most severe."""
    if isinstance(classes, Integral) and not isinstance(classes, bool):
        labels = np.arange(int(classes))
    elif isinstance(classes, (Sequence, np.ndarray)) and not isinstance(classes, (str, bytes)):
        labels = np.asarray(classes)
    else:
        raise ValueError(f"classes must be a number or a sequence of labels; got {classes!r}.")
    if labels.ndim != 1 or len(labels) < 2:
        raise ValueError(f"at least two classes are needed; got classes={classes!r}.")
    if len(set(labels.tolist())) < len(labels):
        raise ValueError(f"the labels in classes must differ; got {labels.tolist()}.")
    return labels


def checked_difficulty(difficulty: Any) -> float:
    """Return the share of severity's standard deviation that the class leaves unexplained."""
    if isinstance(difficulty, str) and difficulty in DIFFICULTIES:
        return DIFFICULTIES[difficulty]
    if isinstance(difficulty, Real) and not isinstance(difficulty, bool):
        share = float(difficulty)
        if 0 <= share <= 1:
            return share
    raise ValueError(
        f"difficulty must be one of {', '.join(map(repr, DIFFICULTIES))} or a number from 0 to 1; "
        f"got {difficulty!r}."
    )


def checked_duration(duration: Any) -> tuple[float, float]:
    """Return the shortest and the longest duration in seconds."""
    ends = (duration, duration) if isinstance(duration, Real) else duration
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        raise ValueError(
            f"duration must be seconds or a pair (shortest, longest); got {duration!r}."
        ) from None
    if not (SHORTEST <= low <= high < np.inf):
        raise ValueError(
            f"duration must be at least {SHORTEST} s, and the shortest not above the longest; "
            f"got {duration!r}."
        )
    return low, high


def checked_sample_rate(sample_rate: Any) -> int:
    """Return the sampling rate if recordings can be synthesised at it."""
    if not isinstance(sample_rate, Real) or not float(sample_rate).is_integer():
        raise ValueError(f"sample_rate must be a whole number of Hz; got {sample_rate!r}.")
    if float(sample_rate) < _LOWEST_RATE:
        raise ValueError(f"sample_rate must be at least {_LOWEST_RATE} Hz; got {sample_rate!r}.")
    return int(float(sample_rate))


def class_sizes(n_patients: int, n_classes: int, weights: Any) -> np.ndarray:
    """Share the patients out, at least one to every class, the rest as close as can be."""
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


def seed_entropy(random_state: Any) -> Any:
    """Turn any random_state into entropy for seed sequences, without the global generator."""
    if random_state is None:
        return np.random.SeedSequence().entropy
    if isinstance(random_state, np.random.Generator):
        return random_state.integers(2**32, size=4).tolist()
    if isinstance(random_state, np.random.RandomState):
        return random_state.randint(2**32, size=4, dtype=np.uint32).tolist()
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        seed = int(random_state)
        if seed >= 0:
            return seed
    raise ValueError(
        "random_state must be None, a non-negative integer, a RandomState or a Generator; "
        f"got {random_state!r}."
    )
