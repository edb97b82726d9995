"""The figures of the comparison table, all at once and fast enough to bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

CHANCE = "chance"
METRICS = ("balanced accuracy", "macro-F1", "sensitivity", "specificity", "AUC")
_AT_ONCE = 50  # guessers


class PatientMetrics:
    """Metrics of out-of-fold decisions about patients.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    positive : int or None
        Code of the class that sensitivity and specificity speak of; None averages them over
        one-against-rest problems.

    See Also
    --------
    chance_level : What the metrics are worth for guessers.

    Notes
    -----
    The AUC compares patients of one test fold only: it is the share of (positive, negative)
    pairs within folds that are ordered rightly.  Scores of different folds come from different
    models and are not comparable; pooling them biases the AUC downwards [1]_.  For more than two
    classes it is averaged over one-against-rest problems.

    Averages leave out what is undefined: the sensitivity of a class that no patient has, the
    specificity of one that all have.  With nothing left the metric is NaN.

    References
    ----------
    .. [1] B. J. Parker, S. Günter, J. Bedo, "Stratification bias in low signal microarray
       studies", BMC Bioinformatics 8 (2007) 326.
    """

    def __init__(self, n_classes: int, positive: int | None) -> None:
        self.n_classes = n_classes
        self.positive = positive

    def __call__(self, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Compute the metrics.

        Parameters
        ----------
        truth : ndarray of int of shape (n_patients,)
            Class codes.
        answers : ndarray of shape (n_patients, 2 + n_classes)
            Predicted code, test fold, and a score per class.

        Returns
        -------
        ndarray of shape (5,)
            In the order of `METRICS`.
        """
        return self._of(truth, answers[:, 0].astype(int), answers[:, 1], answers[:, 2:])

    def _of(
        self, truth: np.ndarray, predicted: np.ndarray, fold: np.ndarray, scores: np.ndarray
    ) -> np.ndarray:
        """Compute the metrics of one or, on leading axes of predictions and scores, many models."""
        of_class = np.arange(self.n_classes)
        is_truth, is_predicted = truth[:, None] == of_class, predicted[..., None] == of_class
        hits = (is_truth & is_predicted).sum(axis=-2)
        of_truth, of_prediction = is_truth.sum(axis=-2), is_predicted.sum(axis=-2)
        of_others = len(truth) - of_truth
        codes = list(range(self.n_classes)) if self.positive is None else [self.positive]
        areas = [_ordered_pairs(scores[..., code], is_truth[:, code], fold) for code in codes]
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
            recall = hits / of_truth
            f1 = 2 * hits / (of_truth + of_prediction)
            specificity = (of_others - of_prediction + hits) / of_others
            averaged = (
                recall,
                f1,
                recall[..., codes],
                specificity[..., codes],
                np.stack(areas, -1),
            )
            return np.stack([_mean_of_defined(values) for values in averaged], axis=-1)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return np.where(defined, values, 0).sum(axis=-1) / defined.sum(axis=-1)


def _ordered_pairs(score: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Share of (positive, negative) pairs within folds whose scores are in the right order.

    `score`, whose last axis is the patients, speaks for positive where it is large.  Ties count
    half; the share is NaN if no fold has both classes.
    """
    right, pairs = np.zeros(score.shape[:-1]), 0
    for name in set(fold.tolist()):
        inside = fold == name
        above = score.compress(inside & positive, axis=-1)[..., :, None]
        below = score.compress(inside & ~positive, axis=-1)[..., None, :]
        right += ((above > below).sum(axis=(-2, -1)) + (above >= below).sum(axis=(-2, -1))) / 2
        pairs += above.shape[-2] * below.shape[-1]
    with np.errstate(invalid="ignore"):
        return right / pairs


def chance_level(
    truth: np.ndarray,
    fold: np.ndarray,
    metrics: PatientMetrics,
    *,
    confidence: float = 0.95,
    n_guessers: int = 2000,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score many guessers who know the class proportions and nothing else.

    Parameters
    ----------
    truth, fold : ndarray of shape (n_patients,)
        Class code and test fold of each patient.
    metrics : PatientMetrics
        What to compute.
    confidence : float, default=0.95
        Share of guessers within the range.
    n_guessers : int, default=2000
        Number of guessers.
    random_state : int, RandomState or None, default=None
        Seed of the guesses.

    Returns
    -------
    mean, low, high : ndarray of shape (5,)
        Mean of each metric, and the range that this share of guessers stays in.
    """
    rng = check_random_state(random_state)
    shares = np.bincount(truth, minlength=metrics.n_classes) / len(truth)
    bounds = shares.cumsum()
    bounds /= bounds[-1]
    results = []
    for first in range(0, n_guessers, _AT_ONCE):
        # For each guesser, a number that becomes the guess of each patient, then the scores.
        drawn = rng.uniform(
            size=(min(_AT_ONCE, n_guessers - first), len(truth) * (1 + len(shares)))
        )
        guesses = np.searchsorted(bounds, drawn[:, : len(truth)], side="right")
        scores = drawn[:, len(truth) :].reshape(len(drawn), len(truth), len(shares))
        results.append(metrics._of(truth, guesses, fold, scores))
    figures = np.concatenate(results)
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures, [tail, 1 - tail], axis=0)
    return np.mean(figures, axis=0), low, high
