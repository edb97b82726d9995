"""Votes and ensembles decide on mean probabilities as the model inside does."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from sklearn_dysarthria import (
    HierarchicalClassifier,
    HyperHead,
    HyperLinearClassifier,
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    SeedEnsembleClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    TaskFusionClassifier,
)
from sklearn_dysarthria.exceptions import PatientError, PatientLeakWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn_dysarthria.exceptions.PatientLeakWarning",
    "ignore:No task decides better than chance:UserWarning",
)


def net(loss="coral", **changes):
    head = HyperHead(context_dim=2, hidden_dim=2, n_contexts=1)
    small = {"head": head, "random_state": 0}
    return HyperLinearClassifier(loss=loss, lr=0.02, **small | {"max_epochs": 3} | changes)


def graded(healthy=0, threshold=0.35, **changes):
    return HierarchicalClassifier(
        LogisticRegression(C=0.1, **changes), healthy=healthy, threshold=threshold
    )


def medians(probabilities):
    """Class numbers, from the definition: the first at which half of the mass is reached."""
    return np.array([np.flatnonzero(np.cumsum(row) >= 0.5)[0] for row in probabilities])


def two_questions(probabilities, threshold):
    """The decisions of `graded` with class 0 healthy, one patient after the other."""
    answers = []
    for healthy, *grades in probabilities:
        answers.append(0 if 1 - healthy < threshold else 1 + int(np.argmax(grades)))
    return np.array(answers)


WRAPPERS = {
    "plain": lambda model: model,
    "failed rows": SkipFailedRows,
    "resampled": lambda model: ResampledClassifier(RecordingOverSampler(), model),
    "search": lambda model: GridSearchCV(model, {}, cv=2),
    "nested": lambda model: SkipFailedRows(
        ResampledClassifier(RecordingOverSampler(), GridSearchCV(model, {}, cv=2))
    ),
}


@pytest.fixture
def alone(cohort):
    """One recording per patient."""
    return cohort(n_patients=60, n_classes=4, max_recordings=1)


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("kind", [net, graded])
def test_one_recording_gets_the_models_own_answer(alone, on_features, kind, wrap):
    X, y = alone
    for voting in ("soft", "weighted"):
        estimator = on_features(WRAPPERS[wrap](kind()))
        model = PatientVotingClassifier(estimator, voting, task_weights={"a": 1}).fit(X, y)
        expected = model.estimator_.predict(X)
        assert model.predict(X).tolist() == expected.tolist()
    # Not the same as the largest probability, or nothing would have been tested.
    assert (model.predict_proba(X).argmax(axis=1) != expected).any()


@pytest.mark.parametrize("kind", [net, graded])
def test_an_ensemble_of_one_is_its_member(alone, on_features, kind):
    X, y = alone
    part = kind() if kind is net else graded(random_state=0)
    features = X[["f0", "f1"]].to_numpy()
    model = SeedEnsembleClassifier(SkipFailedRows(part), 1, random_state=0).fit(features, y)
    expected = model.estimators_[0].predict(features)
    assert model.predict(features).tolist() == expected.tolist()
    assert (model.predict_proba(features).argmax(axis=1) != expected).any()
    voted = PatientVotingClassifier(on_features(model), "soft").fit(X, y)
    assert voted.predict(X).tolist() == voted.estimator_.predict(X).tolist()


@pytest.mark.parametrize("loss", ["coral", "corn", "cumulative_link"])
def test_means_of_ordinal_losses_are_decided_by_the_median(cohort, on_features, loss):
    X, y = cohort(n_patients=40, n_classes=4)
    model = PatientVotingClassifier(on_features(net(loss)), "soft").fit(X, y)
    decided = model.predict_patients(X)
    means = decided.filter(like="proba").to_numpy()
    assert decided["prediction"].tolist() == medians(means).tolist()
    assert (medians(means) != means.argmax(axis=1)).any()
    # Confidence is that of the answer given.
    chosen = means[np.arange(len(means)), decided["prediction"]]
    np.testing.assert_array_equal(decided["confidence"], chosen)
    features = X[["f0", "f1"]].to_numpy()
    ensemble = SeedEnsembleClassifier(net(loss), 3, random_state=0).fit(features, y)
    found = ensemble.predict_proba(features)
    assert ensemble.predict(features).tolist() == medians(found).tolist()


def test_means_of_two_questions(cohort, on_features):
    X, y = cohort(n_patients=40, n_classes=4)
    answers = []
    for threshold in (0.2, 0.5, 0.8):
        model = PatientVotingClassifier(on_features(graded(threshold=threshold)), "soft").fit(X, y)
        decided = model.predict_patients(X)
        expected = two_questions(decided.filter(like="proba").to_numpy(), threshold)
        assert decided["prediction"].tolist() == expected.tolist()
        answers.append((expected == 0).sum())
    assert answers[0] < answers[1] < answers[2]


def test_the_grader_decides_in_its_own_way(cohort, on_features):
    X, y = cohort(n_patients=40, n_classes=4)
    part = HierarchicalClassifier(LogisticRegression(), net(), healthy=0)
    model = PatientVotingClassifier(on_features(part), "soft").fit(X, y)
    decided = model.predict_patients(X)
    means = decided.filter(like="proba").to_numpy()
    grades = means[:, 1:] / means[:, 1:].sum(axis=1, keepdims=True)
    expected = np.where(means[:, 0] > 0.5, 0, 1 + medians(grades))
    assert decided["prediction"].tolist() == expected.tolist()
    assert (medians(grades) != grades.argmax(axis=1)).any()


def test_several_models(tasks, on_features):
    X, y = tasks(n_patients=40, n_classes=4)
    coral, corn = on_features(net("coral")), on_features(net("corn"))
    both = {"phonation": coral, "rhythm": corn}
    for voting in ("soft", "weighted"):
        model = PatientVotingClassifier(voting=voting, task_estimators=both, cv=2).fit(X, y)
        decided = model.predict_patients(X)
        means = decided.filter(like="proba").to_numpy()
        assert decided["prediction"].tolist() == medians(means).tolist()
        mixed = {**both, "rhythm": on_features(LogisticRegression())}
        model = PatientVotingClassifier(voting=voting, task_estimators=mixed, cv=2).fit(X, y)
        decided = model.predict_patients(X)
        means = decided.filter(like="proba").to_numpy()
        assert decided["prediction"].tolist() == means.argmax(axis=1).tolist()


def test_the_model_of_patients_decides_a_stack(cohort, on_features):
    X, y = cohort(n_patients=40, n_classes=4)
    final = graded(threshold=0.9)
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), "stacked", final_estimator=final, cv=2
    ).fit(X, y)
    decided = model.predict_patients(X)
    expected = two_questions(decided.filter(like="proba").to_numpy(), 0.9)
    assert decided["prediction"].tolist() == expected.tolist()
    means = decided.filter(like="proba").to_numpy()
    assert (expected != means.argmax(axis=1)).any()


def test_weights_are_learned_from_such_decisions(tasks, on_features):
    X, y = tasks(n_patients=40)
    model = PatientVotingClassifier(on_features(graded(threshold=0.5)), "weighted", cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(set(model.fit(X, y).task_weights_.values())) > 1
    model.set_params(estimator__hierarchicalclassifier__threshold=1.0)
    with pytest.warns(UserWarning, match="No task decides better than chance"):
        model.fit(X, y)  # everybody is healthy


@pytest.mark.parametrize("voting", ["weighted", "stacked"])
def test_the_order_of_rows_does_not_matter(tasks, on_features, voting):
    X, y = tasks(n_patients=40, n_classes=3)
    expected = PatientVotingClassifier(on_features(LogisticRegression()), voting, cv=3).fit(X, y)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(X))
        model = PatientVotingClassifier(on_features(LogisticRegression()), voting, cv=3)
        model.fit(X.iloc[order], y[order])
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-4)
        if voting == "weighted":
            assert model.task_weights_ == pytest.approx(expected.task_weights_)


class TestRemedies:
    """What a message advises works."""

    def test_of_what_splits_rows(self, cohort, on_features):
        X, y = cohort()
        folds = StratifiedPatientKFold(3, random_state=0)
        for inside, around in (
            (
                on_features(CalibratedClassifierCV(SVC(), cv=3)),
                CalibratedClassifierCV(on_features(SVC()), cv=folds),
            ),
            (
                on_features(StackingClassifier([("svc", SVC())], cv=3)),
                StackingClassifier([("svc", on_features(SVC()))], cv=folds),
            ),
        ):
            with pytest.warns(PatientLeakWarning, match="around the whole Pipeline that begins"):
                PatientVotingClassifier(inside).fit(X, y)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert len(PatientVotingClassifier(around).fit(X, y).predict(X)) == len(X)
        broken = on_features(CalibratedClassifierCV(SVC(), cv=folds))
        with pytest.raises(ValueError, match="inside a Pipeline the table is gone"):
            PatientVotingClassifier(broken).fit(X, y)

    def test_of_models_without_probabilities(self, tasks, on_features):
        X, y = tasks()
        folds = StratifiedPatientKFold(3, random_state=0)
        parts = {"phonation": on_features(RidgeClassifier()), "rhythm": on_features(net("focal"))}
        model = PatientVotingClassifier(voting="soft", task_estimators=parts)
        with pytest.raises(ValueError, match="around the whole Pipeline that begins"):
            model.fit(X, y)
        calibrated = CalibratedClassifierCV(parts["phonation"], cv=folds)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.set_params(task_estimators__phonation=calibrated).fit(X, y)


class TestClearErrors:
    def models(self, on_features):
        features = on_features("passthrough")
        return [
            *(
                PatientVotingClassifier(on_features(LogisticRegression()), voting)
                for voting in ("hard", "soft", "weighted", "stacked")
            ),
            PatientFeaturesClassifier(features, LogisticRegression()),
            TaskFusionClassifier(features),
        ]

    def test_no_recordings(self, cohort, on_features):
        X, y = cohort()
        for model in self.models(on_features):
            with pytest.raises(ValueError, match=r"^There are no recordings to fit on\.$"):
                model.fit(X[:0], y[:0])
        for model in self.models(on_features)[:4]:
            model.fit(X, y)
            assert model.predict(X[:0]).shape == (0,)
            assert model.predict_proba(X[:0]).shape == (0, 2)

    @pytest.mark.parametrize("form", [list, lambda y: np.array(y, dtype=object), pd.Series])
    def test_labels_of_several_types(self, cohort, on_features, form):
        X, y = cohort()
        mixed = form(["a" if label else 1 for label in y.tolist()])
        for model in self.models(on_features):
            with pytest.raises(ValueError, match="objects of type int, str; labels must be"):
                model.fit(X, mixed)

    def test_tasks_of_several_types(self, tasks, on_features):
        X, y = tasks()
        X["task"] = [1 if task == "phonationA" else task for task in X["task"]]
        given = {"phonation": 1, "rhythm": 1}
        weighted = PatientVotingClassifier(
            on_features(LogisticRegression()), "weighted", task_weights=given
        )
        for model in (*self.models(on_features)[2:], weighted):
            with pytest.raises(ValueError, match=r"several types \(int, str\): make all of them"):
                model.fit(X, y)

    def test_another_vote_than_was_fitted(self, tasks, on_features):
        X, y = tasks()
        model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
        soft = PatientVotingClassifier(on_features(LogisticRegression()), "soft").fit(X, y)
        for voting in ("weighted", "stacked"):
            model.set_params(voting=voting)
            for method in (model.predict, model.predict_proba, model.predict_patients):
                with pytest.raises(NotFittedError, match="was set after the fit: fit again"):
                    method(X)
        assert model.set_params(voting="soft").predict(X).tolist() == soft.predict(X).tolist()
        parts = {
            "phonation": on_features(LogisticRegression()),
            "rhythm": on_features(RidgeClassifier()),
        }
        model = PatientVotingClassifier(task_estimators=parts).fit(X, y)
        with pytest.raises(ValueError, match=r"\['rhythm'\] has no predict_proba"):
            model.set_params(voting="soft").predict(X)

    @pytest.mark.parametrize("form", [list, tuple, lambda y: [np.bool_(label) for label in y]])
    def test_labels_in_a_list(self, cohort, on_features, form):
        X, y = cohort(labels=np.array([True, False]))
        model = PatientVotingClassifier(on_features(LogisticRegression()))
        expected = model.fit(X, y).predict(X)
        assert model.fit(X, form(y)).predict(X).tolist() == expected.tolist()

    def test_two_labels_in_a_list(self, cohort, on_features):
        X, y = cohort()
        labels = ["HC", *["ALS"] * (len(y) - 1)]
        twice = X.assign(patient="P")
        with pytest.raises(PatientError, match="carries different labels"):
            PatientVotingClassifier(on_features(LogisticRegression())).fit(twice, labels)
