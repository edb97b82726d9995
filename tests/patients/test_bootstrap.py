import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from sklearn_dysarthria import patient_bootstrap
from sklearn_dysarthria.exceptions import PatientError, SmallClassWarning


def answers(seed=0, n=30, rows=3):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(n) % 2, rows)
    predicted = np.where(rng.uniform(size=n * rows) < 0.75, truth, 1 - truth)
    return truth, predicted, np.repeat([f"P{i:02d}" for i in range(n)], rows)


def slow_bootstrap(metric, truth, predicted, patients, n_resamples, seed):
    """Draw patients within classes, the slow and obvious way."""
    rng = np.random.default_rng(seed)
    classes = [
        [p for p in dict.fromkeys(patients) if truth[list(patients).index(p)] == label]
        for label in sorted(set(truth))
    ]
    values = []
    for _ in range(n_resamples):
        rows = []
        for members in classes:
            for patient in rng.choice(members, len(members)):
                rows += np.flatnonzero(patients == patient).tolist()
        values.append(metric(truth[rows], predicted[rows]))
    return np.quantile(values, [0.05, 0.95])


def test_against_a_slow_implementation():
    truth, predicted, patients = answers()
    shuffled = np.random.default_rng(1).permutation(len(truth))
    truth, predicted, patients = truth[shuffled], predicted[shuffled], patients[shuffled]
    mine = patient_bootstrap(
        accuracy_score,
        truth,
        predicted,
        patients=patients,
        confidence=0.9,
        n_resamples=600,
        random_state=0,
    )
    assert mine.value == accuracy_score(truth, predicted)
    expected = slow_bootstrap(accuracy_score, truth, predicted, patients, 600, 1)
    assert mine[1:] == pytest.approx(expected, abs=0.025)
    by_row = patient_bootstrap(accuracy_score, truth, predicted, n_resamples=200, random_state=0)
    assert by_row.value == mine.value


def test_against_scipy():
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    truth = np.zeros(60, int)  # with one class, strata do not matter
    mine = patient_bootstrap(lambda _, v: v.mean(), truth, values, n_resamples=1500, random_state=0)
    scipy = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=1500, rng=rng
    ).confidence_interval
    assert mine[1:] == pytest.approx(tuple(scipy), abs=0.04)


def test_coverage():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(80):
        truth = np.repeat([0, 1], 40)
        predicted = np.where(rng.uniform(size=80) < 0.8, truth, 1 - truth)
        interval = patient_bootstrap(
            lambda t, p: (t == p).mean(),
            truth,
            predicted,
            confidence=0.9,
            n_resamples=200,
            random_state=seed,
        )
        covered += interval.low <= 0.8 <= interval.high
    assert 0.78 <= covered / 80 <= 0.99


def test_recordings_of_a_patient_are_no_more_patients():
    truth, predicted, patients = answers(rows=1)
    wide = patient_bootstrap(accuracy_score, truth, predicted, n_resamples=300, random_state=0)
    many = [np.repeat(a, 10) for a in (truth, predicted)]
    same = patient_bootstrap(
        accuracy_score, *many, patients=np.repeat(patients, 10), n_resamples=300, random_state=0
    )
    assert same == wide
    narrow = patient_bootstrap(accuracy_score, *many, n_resamples=300, random_state=0)
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2


def test_repeats_are_averaged_on_the_same_patients():
    truth, first, patients = answers(seed=0, rows=1)
    second = answers(seed=5, rows=1)[1]
    arguments = {"n_resamples": 50, "random_state": 0}

    def both(t, p):
        return np.mean([balanced_accuracy_score(t, p[:, i]) for i in range(2)])

    expected = patient_bootstrap(both, truth, np.column_stack([first, second]), **arguments)
    stacked = {"repeats": np.repeat([0, 1], len(truth)), **arguments}
    y_true, y_pred = np.tile(truth, 2), np.concatenate([first, second])
    assert patient_bootstrap(balanced_accuracy_score, y_true, y_pred, **stacked) == (
        pytest.approx(expected)
    )
    order = np.random.default_rng(0).permutation(len(truth))
    y_pred = np.concatenate([first, second[order]])
    y_true = np.concatenate([truth, truth[order]])
    named = np.concatenate([patients, patients[order]])
    found = patient_bootstrap(balanced_accuracy_score, y_true, y_pred, patients=named, **stacked)
    assert found == pytest.approx(expected)


def test_several_metrics_at_once():
    truth, predicted, _ = answers(rows=1)

    def two(t, p):
        return np.array([accuracy_score(t, p), balanced_accuracy_score(t, p)])

    result = patient_bootstrap(two, truth, predicted, n_resamples=50, random_state=0)
    for number, metric in enumerate([accuracy_score, balanced_accuracy_score]):
        alone = patient_bootstrap(metric, truth, predicted, n_resamples=50, random_state=0)
        assert [end[number] for end in result] == pytest.approx(list(alone))


def test_random_state():
    truth, predicted, _ = answers(rows=1)

    def interval(random_state):
        return patient_bootstrap(
            lambda t, p: np.mean((t == p) * np.arange(len(t))),
            truth,
            predicted,
            n_resamples=20,
            random_state=random_state,
        )

    assert interval(0) == interval(0) == interval(np.random.RandomState(0))
    assert interval(0) != interval(1)
    assert interval(None) != interval(None)


def test_string_labels():
    truth, predicted, _ = answers(rows=1)
    names = np.array(["ALS", "HC"])
    result = patient_bootstrap(
        accuracy_score, names[truth], names[predicted], n_resamples=20, random_state=0
    )
    assert result == patient_bootstrap(
        accuracy_score, truth, predicted, n_resamples=20, random_state=0
    )


def test_draws_without_a_value_do_not_count():
    truth, predicted, _ = answers(rows=1)
    calls = iter([np.nan, 0.5, 0.7, 0.6])
    result = patient_bootstrap(
        lambda *_: next(calls), truth, predicted, n_resamples=3, random_state=0
    )
    assert result.value == 0.6
    assert 0.5 <= result.low < result.high <= 0.7
    nothing = patient_bootstrap(lambda *_: np.nan, truth, predicted, n_resamples=3)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize(("size", "warned"), [(4, True), (5, False)])
def test_small_classes(size, warned):
    truth = np.array(["mild"] * size + ["severe"] * 9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patient_bootstrap(accuracy_score, truth, truth, n_resamples=2)
    assert [w.category for w in caught] == [SmallClassWarning] * warned
    if warned:
        assert "mild: 4)" in str(caught[0].message)
        assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 1}, r"'confidence' .* must be a float in the range \(0.0, 1.0\). Got 1"),
        ({"confidence": "95%"}, "'confidence' parameter .* Got '95%'"),
        ({"n_resamples": 0}, r"'n_resamples' .* must be an int in the range \[1, inf\). Got 0"),
        ({"n_resamples": 10.0}, "'n_resamples' parameter .* Got 10.0"),
        ({"random_state": "x"}, "'random_state' parameter"),
        ({"patients": ["a"]}, "inconsistent numbers of samples"),
        ({"repeats": [0]}, "inconsistent numbers of samples"),
        ({"patients": [None] + list(range(19))}, "patients has missing values"),
    ],
)
def test_argument_errors(arguments, message):
    truth = np.repeat([0, 1], 10)
    if "repeats" in arguments:
        arguments = {"patients": np.arange(20), **arguments}
    with pytest.raises(ValueError, match=message):
        patient_bootstrap(accuracy_score, truth, truth, **arguments)


def test_data_errors():
    with pytest.raises(ValueError, match="no predictions"):
        patient_bootstrap(accuracy_score, [], [])
    with pytest.raises(PatientError, match="'a' carries different labels"):
        patient_bootstrap(accuracy_score, [0, 1], [0, 1], patients=["a", "a"])
    with pytest.raises(ValueError, match="y_true has missing"):
        patient_bootstrap(roc_auc_score, [0.0, np.nan], [0, 1])
