import numpy as np
import pytest
from sklearn import metrics as reference

from sklearn_dysarthria.report import METRICS, PatientMetrics, chance_level


def random_answers(seed, n_classes, missing=None, n=60):
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    if missing is not None:
        truth[truth == missing] = (missing + 1) % n_classes
    scores = np.round(rng.uniform(size=(n, n_classes)), 1)  # with ties
    predicted = rng.integers(n_classes, size=n)
    return truth, np.column_stack([predicted, rng.integers(3, size=n), scores])


def auc_within_folds(truth, score, fold):
    """Mean AUC of the folds, weighted by their pairs."""
    areas, weights = [], []
    for name in np.unique(fold):
        inside = fold == name
        if 0 < truth[inside].sum() < inside.sum():
            areas.append(reference.roc_auc_score(truth[inside], score[inside]))
            weights.append(truth[inside].sum() * (~truth[inside]).sum())
    return np.average(areas, weights=weights)


def expected(truth, answers, n_classes, positive):
    predicted, fold, scores = answers[:, 0].astype(int), answers[:, 1], answers[:, 2:]
    per_class = [positive] if positive is not None else range(n_classes)
    per_class = list(per_class)
    recall, specificity, area = [], [], []
    for code in per_class:
        ill = truth == code
        if ill.any():
            recall.append(reference.recall_score(ill, predicted == code))
        if 0 < ill.sum() < len(ill):
            area.append(auc_within_folds(ill, scores[:, code], fold))
        if not ill.all():
            specificity.append(reference.recall_score(~ill, predicted != code))
    present = np.unique(truth)
    return [
        np.mean([np.mean(predicted[truth == c] == c) for c in present]),
        reference.f1_score(truth, predicted, average="macro"),
        np.mean(recall) if recall else np.nan,
        np.mean(specificity) if specificity else np.nan,
        np.mean(area) if area else np.nan,
    ]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("n_classes", "positive"), [(2, 0), (2, 1), (3, None), (5, None)])
@pytest.mark.parametrize("lacking", [False, True])
def test_against_scikit_learn(seed, n_classes, positive, lacking):
    truth, answers = random_answers(seed, n_classes, missing=0 if lacking else None)
    found = PatientMetrics(n_classes, positive)(truth, answers)
    np.testing.assert_allclose(found, expected(truth, answers, n_classes, positive))
    assert len(found) == len(METRICS)


@pytest.mark.parametrize("seed", range(5))
def test_one_fold_is_the_ordinary_metric(seed):
    truth, answers = random_answers(seed, 2)
    answers[:, 1] = 0
    found = dict(zip(METRICS, PatientMetrics(2, 1)(truth, answers), strict=True))
    assert found["AUC"] == pytest.approx(reference.roc_auc_score(truth, answers[:, 3]))
    assert found["balanced accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(truth, answers[:, 0].astype(int))
    )


def test_scores_of_other_folds_are_not_compared():
    truth = np.array([0, 1, 0, 1])
    answers = np.array([[0, 0, 0.0, 0.1], [1, 0, 0.0, 0.2], [0, 1, 0.0, 0.8], [1, 1, 0.0, 0.9]])
    assert PatientMetrics(2, 1)(truth, answers)[4] == 1
    assert reference.roc_auc_score(truth, answers[:, 3]) < 1


def test_chance_level():
    rng = np.random.default_rng(0)
    truth = (rng.uniform(size=200) < 0.2).astype(int)
    fold = np.arange(200) % 5
    mean, low, high = chance_level(
        truth, fold, PatientMetrics(2, 1), n_guessers=300, random_state=0
    )
    share = truth.mean()
    np.testing.assert_allclose(mean, [0.5, 0.5, share, 1 - share, 0.5], atol=0.02)
    assert (low < mean).all()
    assert (mean < high).all()
    again = chance_level(truth, fold, PatientMetrics(2, 1), n_guessers=300, random_state=0)
    assert all((a == b).all() for a, b in zip(again, (mean, low, high), strict=True))


@pytest.mark.parametrize(("n_classes", "positive"), [(2, 1), (3, None)])
def test_chance_level_against_one_guesser_at_a_time(n_classes, positive):
    truth, answers = random_answers(0, n_classes, n=30)
    fold, metrics = answers[:, 1], PatientMetrics(n_classes, positive)
    rng = np.random.RandomState(3)
    shares = np.bincount(truth) / len(truth)
    found = []
    for _ in range(120):
        guess = rng.choice(n_classes, len(truth), p=shares)
        scores = rng.uniform(size=(len(truth), n_classes))
        found.append(metrics(truth, np.column_stack([guess, fold, scores])))
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    level = chance_level(truth, fold, metrics, confidence=0.9, n_guessers=120, random_state=3)
    for one, other in zip(level, (np.mean(found, axis=0), low, high), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
