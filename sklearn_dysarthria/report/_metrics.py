"""The figures of the comparison table, all at once and fast enough to bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

CHANCE = "chance"
METRICS = ("balanced accuracy", "macro-F1", "sensitivity", "specificity", "AUC")


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
        predicted, fold, scores = answers[:, 0].astype(int), answers[:, 1], answers[:, 2:]
        counts = np.bincount(truth * self.n_classes + predicted, minlength=self.n_classes**2)
        confusion = counts.reshape(self.n_classes, self.n_classes)
        hits = np.diag(confusion)
        of_truth, of_prediction = confusion.sum(axis=1), confusion.sum(axis=0)
        of_others = len(truth) - of_truth
        recall = _share(hits, of_truth)
        f1 = _share(2 * hits, of_truth + of_prediction)
        specificity = _share(of_others - of_prediction + hits, of_others)
        codes = list(range(self.n_classes)) if self.positive is None else [self.positive]
        areas = [ordered_pairs(scores[:, code], truth == code, fold) for code in codes]
        averaged = (recall, f1, recall[codes], specificity[codes], np.array(areas))
        return np.array([_mean_of_defined(values) for values in averaged])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with NaN for 0 / 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean_of_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def ordered_pairs(score: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> float:
    """Share of (positive, negative) pairs within folds whose scores are in the right order.

    Parameters
    ----------
    score : ndarray of shape (n_patients,)
        Larger speaks for positive.
    positive : ndarray of bool of shape (n_patients,)
        The truth.
    fold : ndarray of shape (n_patients,)
        Test fold of each patient.

    Returns
    -------
    float
        Ties count half; NaN if no fold has both classes.
    """
    right, pairs = 0.0, 0
    for name in np.unique(fold):
        inside = fold == name
        above, below = score[inside & positive], np.sort(score[inside & ~positive])
        smaller = np.searchsorted(below, above, "left").sum()
        smaller_or_equal = np.searchsorted(below, above, "right").sum()
        right += (smaller + smaller_or_equal) / 2
        pairs += len(above) * len(below)
    return right / pairs if pairs else np.nan


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
    results = []
    for _ in range(n_guessers):
        guess = rng.choice(metrics.n_classes, len(truth), p=shares)
        scores = rng.uniform(size=(len(truth), metrics.n_classes))
        results.append(metrics(truth, np.column_stack([guess, fold, scores])))
    tail = (1 - confidence) / 2
    low, high = np.quantile(results, [tail, 1 - tail], axis=0)
    return np.mean(results, axis=0), low, high
