"""Weights of tasks, given or learned, and a model stacked on the tasks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dysarthria import (
    EarlyStopping,
    HyperLinearClassifier,
    PatientVotingClassifier,
    StratifiedPatientKFold,
)
from sklearn_dysarthria.exceptions import (
    MissingColumnError,
    RecordingWarning,
    UnknownTaskError,
)

TASKS = ["phonationA", "phonationE", "rhythmPA"]


def sorted_by_patient(X, y):
    """Return rows in the order in which inner folds take patients."""
    order = X["patient"].argsort(kind="stable").to_numpy()
    return X.iloc[order].reset_index(drop=True), y[order]


def votes_by_hand(estimator, X, y, cv):
    """Out-of-fold probabilities of every recording."""
    proba = np.zeros((len(X), len(np.unique(y))))
    for train, test in cv.split(X, y):
        proba[test] = clone(estimator).fit(X.iloc[train], y[train]).predict_proba(X.iloc[test])
    return proba


def means_by_hand(proba, X, names):
    """Patients × tasks × classes, NaN where there is no recording."""
    out = np.full((len(names), len(TASKS), proba.shape[1]), np.nan)
    for i, name in enumerate(names):
        for j, task in enumerate(TASKS):
            rows = ((X["patient"] == name) & (X["task"] == task)).to_numpy()
            if rows.any():
                out[i, j] = proba[rows].mean(axis=0)
    return out


class TestWeights:
    @pytest.mark.parametrize("seed", range(3))
    def test_given_weights_against_a_loop(self, tasks, on_features, seed):
        X, y = tasks(n_classes=3, seed=seed)
        weights = {"phonation": 1, "phonationE": 0.25, "rhythm": 3}
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "weighted", task_weights=weights
        ).fit(X, y)
        assert model.task_weights_ == weights
        decided = model.predict_patients(X)
        means = means_by_hand(model.estimator_.predict_proba(X), X, decided.index)
        for i, name in enumerate(decided.index):
            total, norm = np.zeros(3), 0.0
            for task_mean, weight in zip(means[i], [1, 0.25, 3], strict=True):
                if not np.isnan(task_mean[0]):
                    total, norm = total + weight * task_mean, norm + weight
            row = decided.loc[name]
            expected = total / norm
            np.testing.assert_allclose(
                row[["proba_0", "proba_1", "proba_2"]].astype(float), expected
            )
            assert row["prediction"] == expected.argmax()
            assert row["confidence"] == pytest.approx(expected.max())

    def test_equal_weights_are_the_soft_vote_of_one_recording_per_task(self, tasks, on_features):
        X, y = tasks(max_recordings=3)
        weighted = PatientVotingClassifier(
            on_features(LogisticRegression()),
            "weighted",
            task_weights={"phonation": 2, "rhythm": 2},
        ).fit(X, y)
        soft = PatientVotingClassifier(on_features(LogisticRegression()), "soft").fit(X, y)
        np.testing.assert_allclose(weighted.predict_proba(X), soft.predict_proba(X))

    @pytest.mark.parametrize("seed", range(3))
    def test_learned_weights_against_a_loop(self, tasks, on_features, seed):
        X, y = sorted_by_patient(*tasks(seed=seed, n_classes=3, n_patients=36))
        estimator = on_features(LogisticRegression())
        model = PatientVotingClassifier(estimator, "weighted", cv=3).fit(X, y)
        folds = StratifiedPatientKFold(3, shuffle=False)
        names = X["patient"].unique()
        truth = np.array([y[(X["patient"] == name).argmax()] for name in names])
        means = means_by_hand(votes_by_hand(estimator, X, y, folds), X, names)
        excess = []
        for j in range(len(TASKS)):
            there = ~np.isnan(means[:, j, 0])
            predicted = means[there, j].argmax(axis=1)
            score = balanced_accuracy_score(truth[there], predicted)
            excess.append(max(0, score - 1 / len(set(truth[there]))))
        expected = np.array(excess) / sum(excess)
        assert list(model.task_weights_) == TASKS
        assert list(model.task_weights_.values()) == pytest.approx(expected)

    def test_a_worthless_task_weighs_little(self, tasks, on_features):
        X, y = tasks(n_patients=60)
        noise = np.random.default_rng(0).normal(size=(len(X), 2))
        X.loc[X["task"] == "rhythmPA", ["f0", "f1"]] = noise[(X["task"] == "rhythmPA").to_numpy()]
        models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
        model = PatientVotingClassifier(voting="weighted", task_estimators=models).fit(X, y)
        assert model.task_weights_["rhythmPA"] < min(
            model.task_weights_["phonationA"], model.task_weights_["phonationE"]
        )

    def test_nothing_better_than_chance(self, tasks, on_features):
        X, y = tasks()
        constant = on_features(LogisticRegression())
        X[["f0", "f1"]] = 0.0
        with pytest.warns(UserWarning, match="No task decides better than chance"):
            model = PatientVotingClassifier(constant, "weighted").fit(X, y)
        assert list(model.task_weights_.values()) == pytest.approx([1 / 3] * 3)

    def test_patients_whose_tasks_weigh_nothing(self, tasks, on_features):
        X, y = tasks()
        weights = {"phonation": 0, "rhythm": 1}
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "weighted", task_weights=weights
        ).fit(X, y)
        patient = X["patient"][X["task"] == "rhythmPA"].iloc[0]
        theirs = X[X["patient"] == patient]
        rhythm = theirs[theirs["task"] == "rhythmPA"]
        assert model.predict_proba(theirs)[0] == pytest.approx(
            model.estimator_.predict_proba(rhythm).mean(axis=0)
        )
        short = theirs[theirs["task"] == "phonationA"]
        with pytest.warns(
            RecordingWarning, match=f"only recordings of tasks with weight 0.*{patient}"
        ):
            found = model.predict_proba(short)[0]
        assert found == pytest.approx(model.estimator_.predict_proba(short).mean(axis=0))

    @pytest.mark.parametrize(
        ("weights", "error", "message"),
        [
            ({"phonation": 1}, UnknownTaskError, "task 'rhythmPA' has no weight"),
            ({"phonation": 1, "rhythm": 1, "x": 1}, UnknownTaskError, "task_weights has 'x', but"),
            ({"phonation": -1, "rhythm": 1}, ValueError, r"\['phonation'\]=-1 must be"),
            ({"phonation": np.nan, "rhythm": 1}, ValueError, "must be a number"),
            ({"phonation": np.inf, "rhythm": 1}, ValueError, "must be a number"),
            ({"phonation": True, "rhythm": 1}, ValueError, "must be a number"),
            ({"phonation": "1", "rhythm": 1}, ValueError, "must be a number"),
            ({"phonation": 0, "rhythm": 0}, ValueError, "a weight above 0"),
            ({}, ValueError, "a weight above 0"),
        ],
    )
    def test_impossible_weights(self, tasks, on_features, weights, error, message):
        X, y = tasks()
        model = PatientVotingClassifier(on_features(SVC()), "weighted", task_weights=weights)
        with pytest.raises(error, match=message):
            model.fit(X, y)

    def test_decision_values_of_one_model(self, tasks, on_features):
        X, y = tasks()
        model = PatientVotingClassifier(on_features(RidgeClassifier()), "weighted").fit(X, y)
        assert hasattr(model, "decision_function")
        assert not hasattr(model, "predict_proba")
        assert ((model.decision_function(X) > 0) == model.predict(X)).all()
        assert model.predict_patients(X)["confidence"].isna().all()


class TestStacking:
    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_against_a_loop(self, tasks, on_features, n_classes):
        X, y = sorted_by_patient(*tasks(n_classes=n_classes, n_patients=36))
        estimator = on_features(LogisticRegression())
        model = PatientVotingClassifier(estimator, "stacked", cv=3).fit(X, y)
        assert model.tasks_ == TASKS
        names = X["patient"].unique()
        truth = np.array([y[(X["patient"] == name).argmax()] for name in names])
        kept = slice(1, None) if n_classes == 2 else slice(None)
        folds = StratifiedPatientKFold(3, shuffle=False)

        def features(proba, names, fill=None):
            wide = means_by_hand(proba, X, names)[:, :, kept].reshape(len(names), -1)
            fill = np.nanmean(wide, axis=0) if fill is None else fill
            return np.where(np.isnan(wide), fill, wide), fill

        inside, fill = features(votes_by_hand(estimator, X, y, folds), names)
        final = LogisticRegression(class_weight="balanced").fit(inside, truth)
        whole = clone(estimator).fit(X, y)
        expected = final.predict_proba(features(whole.predict_proba(X), names, fill)[0])
        columns = [f"proba_{c}" for c in range(n_classes)]
        decided = model.predict_patients(X)
        np.testing.assert_allclose(decided[columns].to_numpy(float), expected, atol=1e-4)
        assert decided["prediction"].tolist() == expected.argmax(axis=1).tolist()
        np.testing.assert_allclose(decided["confidence"], expected.max(axis=1), atol=1e-4)

    def test_missing_and_new_tasks(self, tasks, on_features):
        X, y = tasks()
        model = PatientVotingClassifier(on_features(LogisticRegression()), "stacked").fit(X, y)
        only = X[X["task"] == "phonationA"]
        assert np.isfinite(model.predict_proba(only)).all()
        with pytest.raises(UnknownTaskError, match=r"row \d+: task 'reading' was not"):
            model.predict(X.assign(task="reading"))
        for voting in ("weighted", "stacked"):
            model = PatientVotingClassifier(on_features(SVC()), voting)
            with pytest.raises(MissingColumnError, match="'task' is needed for voting="):
                model.fit(X.drop(columns="task"), y)

    @pytest.mark.parametrize("final", [SVC(), RidgeClassifier(), DecisionTreeClassifier()], ids=str)
    @pytest.mark.parametrize("first", [LogisticRegression(), RidgeClassifier()], ids=str)
    def test_any_two_classifiers(self, tasks, on_features, first, final):
        X, y = tasks(labels=["HC", "ALS"])
        model = PatientVotingClassifier(on_features(first), "stacked", final_estimator=final)
        assert hasattr(model, "predict_proba") == hasattr(final, "predict_proba")
        model.fit(X, y)
        assert hasattr(model, "predict_proba") == hasattr(final, "predict_proba")
        assert model.score(X, y) > 0.7
        assert not hasattr(final, "classes_")

    @pytest.mark.usefixtures("routing")
    def test_patients_reach_the_final_estimator(self, tasks, on_features):
        X, y = tasks()
        final = HyperLinearClassifier(early_stopping=EarlyStopping(), max_epochs=1, random_state=0)
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "stacked", final_estimator=final
        ).fit(X, y)
        assert set(model.final_estimator_.validation_patients_) < set(X["patient"])
