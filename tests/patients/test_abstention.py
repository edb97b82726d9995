"""Answers below a confidence, and the scores of models that withhold some."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_dysarthria import PatientVotingClassifier, StratifiedPatientKFold, patient_scorer

KINDS = ["hard", "soft", "weighted", "stacked"]


@pytest.mark.parametrize("voting", KINDS)
def test_confidence(cohort, on_features, voting):
    X, y = cohort(n_classes=3)
    model = PatientVotingClassifier(on_features(LogisticRegression()), voting).fit(X, y)
    decided = model.predict_patients(X)
    assert not decided["abstained"].any()
    columns = [f"votes_{c}" if voting == "hard" else f"proba_{c}" for c in range(3)]
    table = decided[columns].to_numpy(float)
    if voting == "hard":
        chosen = table[np.arange(len(table)), decided["prediction"]]
        expected = chosen / table.sum(axis=1)
    else:
        expected = table.max(axis=1)
    np.testing.assert_allclose(decided["confidence"], expected)


@pytest.mark.parametrize("voting", KINDS)
def test_abstaining(cohort, on_features, voting):
    X, y = cohort(labels=["HC", "ALS"], n_patients=40)
    sure = PatientVotingClassifier(on_features(LogisticRegression()), voting).fit(X, y)
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), voting, abstain_below=0.8, abstain_label="unsure"
    ).fit(X, y)
    decided, plain = model.predict_patients(X), sure.predict_patients(X)
    assert decided["prediction"].tolist() == plain["prediction"].tolist()
    unsure = decided["confidence"] < 0.8
    assert 0 < unsure.sum() < len(decided)
    assert decided["abstained"].tolist() == unsure.tolist()
    expected = np.where(unsure, "unsure", decided["prediction"])
    answer = dict(zip(decided.index, expected, strict=True))
    assert model.predict(X).tolist() == [answer[patient] for patient in X["patient"]]
    np.testing.assert_array_equal(model.predict_proba(X), sure.predict_proba(X))
    assert model.classes_.tolist() == ["ALS", "HC"]
    # A fitted model can be asked again with another demand.
    model.set_params(abstain_below=1.0)
    assert (model.predict(X) == "unsure").sum() > unsure.sum()
    model.set_params(abstain_below=0)
    assert model.predict(X).tolist() == sure.predict(X).tolist()


@pytest.mark.parametrize(
    ("labels", "label"),
    [
        ([0, 1], -1),
        ([0, 1], 9.0),
        ([0.0, 1.0], -1),
        (np.array([0, 1], dtype=np.int8), np.int64(-1)),
        (["HC", "ALS"], "cannot be told"),
        (np.array(["HC", "ALS"], dtype=object), "?"),
    ],
    ids=str,
)
def test_labels_that_fit(cohort, on_features, labels, label):
    X, y = cohort(labels=np.asarray(labels))
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), "soft", abstain_below=1.0, abstain_label=label
    ).fit(X, y)
    predicted = model.predict(X)
    assert set(predicted.tolist()) == {label}
    assert predicted.dtype.kind == y.dtype.kind


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        ([0, 1], None, "needs abstain_label"),
        ([0, 1], 1, r"is one of the classes \[0, 1\]"),
        ([0, 1], 1.0, "is one of the classes"),
        ([0, 1], "unsure", "must be of the labels' type"),
        ([0, 1], 0.5, "labels' type"),
        ([0, 1], np.nan, "labels' type"),
        ([0, 1], True, "labels' type"),
        (np.array([1, 2], dtype=np.uint8), -1, "labels' type"),
        (np.array([0.0, 1.0]), np.nan, "labels' type"),
        (["HC", "ALS"], 3, "labels' type"),
        (["HC", "ALS"], "HC", "is one of the classes"),
        (np.array([True, False]), False, "labels' type"),
        (np.array(["HC", "ALS"], dtype=object), 3, "labels' type"),
    ],
    ids=str,
)
def test_labels_that_do_not(cohort, on_features, labels, label, message):
    X, y = cohort(labels=np.asarray(labels))
    estimator = on_features(LogisticRegression())
    model = PatientVotingClassifier(estimator, abstain_below=0.5, abstain_label=label)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    fitted = PatientVotingClassifier(estimator).fit(X, y)
    with pytest.raises(ValueError, match=message):
        fitted.set_params(abstain_below=0.5, abstain_label=label).predict(X)


@pytest.mark.parametrize("below", [-0.1, 1.1, "0.5", np.nan])
def test_what_is_no_confidence(cohort, on_features, below):
    X, y = cohort()
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), abstain_below=below, abstain_label=-1
    )
    with pytest.raises(ValueError, match="'abstain_below' parameter"):
        model.fit(X, y)


def test_decision_values_are_no_confidence(cohort, on_features):
    X, y = cohort()
    soft = {"voting": "soft", "abstain_below": 0.5, "abstain_label": -1}
    with pytest.raises(ValueError, match="needs probabilities, which this model does not give"):
        PatientVotingClassifier(on_features(RidgeClassifier()), **soft).fit(X, y)
    model = PatientVotingClassifier(on_features(RidgeClassifier()), **soft | {"voting": "hard"})
    assert len(model.fit(X, y).predict(X)) == len(X)


class TestScores:
    def scores(self, model, X, y):
        names = ("coverage", "selective_accuracy", "selective_balanced_accuracy")
        return [patient_scorer(name)(model, X, y) for name in names]

    def test_by_hand(self, cohort, on_features):
        X, y = cohort(n_patients=81, n_classes=3, labels=["a", "b", "c"])
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "soft", abstain_below=0.6, abstain_label="?"
        ).fit(X, y)
        decided = model.predict_patients(X)
        truth = decided.index.map(dict(zip(X["patient"], y, strict=True))).to_numpy()
        kept = (decided["confidence"] >= 0.6).to_numpy()
        predicted = decided["prediction"].to_numpy()
        assert 0 < kept.mean() < 1
        assert self.scores(model, X, y) == pytest.approx(
            [
                kept.mean(),
                (predicted == truth)[kept].mean(),
                balanced_accuracy_score(truth[kept], predicted[kept]),
            ]
        )

    def test_extremes(self, cohort, on_features):
        X, y = cohort()
        model = PatientVotingClassifier(on_features(LogisticRegression()), "soft").fit(X, y)
        accuracy = patient_scorer("accuracy")(model, X, y)
        balanced = patient_scorer("balanced_accuracy")(model, X, y)
        assert self.scores(model, X, y) == pytest.approx([1, accuracy, balanced])
        model.set_params(abstain_below=1.0, abstain_label=-1)
        assert self.scores(model, X, y) == pytest.approx([0, np.nan, np.nan], nan_ok=True)
        assert patient_scorer("accuracy")(model, X, y) == 0

    def test_in_scikit_learn(self, cohort, on_features):
        X, y = cohort()
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "soft", abstain_below=0.7, abstain_label=-1
        )
        scoring = {name: patient_scorer(name) for name in ("coverage", "selective_accuracy")}
        folds = StratifiedPatientKFold(2, random_state=0)
        result = cross_validate(model, X, y, cv=folds, scoring=scoring, error_score="raise")
        assert (result["test_coverage"] < 1).all()
        grid = {"abstain_below": [None, 0.6, 0.9]}
        search = GridSearchCV(model, grid, cv=folds, scoring=scoring, refit="coverage")
        coverage = search.fit(X, y).cv_results_["mean_test_coverage"]
        assert coverage[0] == 1
        assert (np.diff(coverage) < 0).all()
        assert self.scores(search, X, y)[0] == 1
