"""One model per task, weights of tasks, and a model stacked on them."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dysarthria import (
    EarlyStopping,
    HyperLinearClassifier,
    PatientVotingClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    patient_scorer,
)
from sklearn_dysarthria.exceptions import (
    MissingColumnError,
    PatientError,
    PatientLeakWarning,
    RecordingWarning,
    UnknownTaskError,
)

KINDS = ["hard", "soft", "weighted", "stacked"]


class Spy(ClassifierMixin, BaseEstimator):
    """A logistic regression on the table that keeps who it was asked about."""

    log: list = []

    def __init__(self, name="spy"):
        self.name = name

    def fit(self, X, y, groups=None):
        Spy.log.append(("fit", self.name, X[["patient", "task"]]))
        self.inner_ = LogisticRegression().fit(X[["f0", "f1"]].to_numpy(), y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        Spy.log.append(("ask", self.name, X[["patient", "task"]]))
        return self.inner_.predict_proba(X[["f0", "f1"]].to_numpy())

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture
def log():
    Spy.log.clear()
    return Spy.log


@pytest.mark.parametrize(
    ("task", "names", "found"),
    [
        ("phonationA", ["phonation", "phonationA"], "phonationA"),
        ("phonationA", ["phonation", "rhythm"], "phonation"),
        ("rhythmPA", ["phonation"], None),
        ("sustained_a", ["sustained_a"], "sustained_a"),
        ("A1", ["A"], None),
        (3, ["3"], None),
    ],
)
def test_lookup(cohort, on_features, task, names, found):
    X, y = cohort()
    weights = dict.fromkeys(names, 1.0)
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), "weighted", task_weights=weights
    )
    unused = [name for name in names if name != found]
    if found is None:
        message = f"task {task!r} has no weight"
    elif unused:
        message = f"task_weights has {unused[0]!r}, but no recording is of that task"
    else:
        assert model.fit(X.assign(task=task), y).task_weights_ == weights
        return
    with pytest.raises(UnknownTaskError, match=message):
        model.fit(X.assign(task=task), y)


class TestOneModelPerTask:
    def test_each_is_fitted_on_its_rows(self, tasks, log):
        X, y = tasks()
        models = {"phonation": Spy("group"), "phonationE": Spy("exact")}
        model = PatientVotingClassifier(Spy("rest"), task_estimators=models).fit(X, y)
        rows = {name: table for _, name, table in log}
        assert {name: set(table["task"]) for name, table in rows.items()} == {
            "group": {"phonationA"},
            "exact": {"phonationE"},
            "rest": {"rhythmPA"},
        }
        assert sum(map(len, rows.values())) == len(X)
        assert model.estimator_.name == "rest"
        assert {name: m.name for name, m in model.task_estimators_.items()} == {
            "phonation": "group",
            "phonationE": "exact",
        }
        assert not hasattr(models["phonation"], "inner_")

    @pytest.mark.parametrize("voting", ["hard", "soft"])
    def test_votes_are_those_of_the_models(self, tasks, on_features, voting):
        X, y = tasks(n_classes=3)
        parts = {"phonation": on_features(LogisticRegression(C=9)), "rhythm": on_features(SVC())}
        if voting == "soft":
            parts["rhythm"] = on_features(DecisionTreeClassifier(max_depth=2))
        model = PatientVotingClassifier(voting=voting, task_estimators=parts).fit(X, y)
        votes, sums = pd.DataFrame(0, X.index, [0, 1, 2]), pd.DataFrame(0.0, X.index, [0, 1, 2])
        for group, part in parts.items():
            rows = X["task"].str.startswith(group).to_numpy()
            part = clone(part).fit(X[rows], y[rows])
            for row, label in zip(X.index[rows], part.predict(X[rows]), strict=True):
                votes.loc[row, label] = 1
            if voting == "soft":
                sums.loc[rows] = part.predict_proba(X[rows])
        decided = model.predict_patients(X)
        by_patient = votes.groupby(X["patient"]).sum().loc[decided.index]
        assert (decided[["votes_0", "votes_1", "votes_2"]].to_numpy() == by_patient).all(axis=None)
        if voting == "soft":
            means = sums.groupby(X["patient"]).mean().loc[decided.index]
            np.testing.assert_allclose(decided[["proba_0", "proba_1", "proba_2"]], means)
            assert (decided["prediction"] == means.idxmax(axis=1)).all()
        assert not hasattr(model, "estimator_")

    def test_a_task_without_a_model(self, tasks, on_features):
        X, y = tasks()
        model = PatientVotingClassifier(task_estimators={"phonation": on_features(SVC())})
        with pytest.raises(UnknownTaskError, match=r"row \d+: task 'rhythmPA' has no model"):
            model.fit(X, y)
        phonation = X["task"] != "rhythmPA"
        model.fit(X[phonation], y[phonation])
        with pytest.raises(UnknownTaskError, match="task 'rhythmPA' has no model"):
            model.predict(X)
        with pytest.raises(MissingColumnError, match="'task' is needed to find the model"):
            model.predict(X.drop(columns="task"))

    def test_a_default_without_training_rows_answers_nothing(self, tasks, on_features):
        X, y = tasks()
        models = {"phonation": on_features(SVC()), "rhythm": on_features(SVC())}
        model = PatientVotingClassifier(on_features(SVC()), task_estimators=models).fit(X, y)
        with pytest.raises(UnknownTaskError, match="task 'reading' has no model"):
            model.predict(X.assign(task="reading"))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "Give estimator, task_estimators, or both"),
            ({"task_estimators": {}}, "Give estimator"),
            ({"task_estimators": {"phonaton": SVC()}, "estimator": SVC()}, "has 'phonaton', but"),
            ({"task_estimators": {"a__b": SVC()}}, "double underscore"),
            ({"task_estimators": {3: SVC()}}, "must map names of tasks"),
            ({"task_estimators": {"phonation": SVC}}, "is no classifier"),
            ({"task_estimators": {"phonation": None}}, "is no classifier"),
            ({"task_estimators": [SVC()]}, "'task_estimators' parameter"),
            ({"estimator": SVC(), "cv": 1}, "'cv' parameter"),
        ],
    )
    def test_what_cannot_be(self, tasks, arguments, message):
        X, y = tasks()
        model = PatientVotingClassifier(**arguments)
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
        with pytest.raises(NotFittedError):
            model.predict(X)

    def test_decision_values_of_two_models_do_not_add_up(self, tasks, on_features):
        X, y = tasks()
        parts = {
            "phonation": on_features(LogisticRegression()),
            "rhythm": on_features(RidgeClassifier()),
        }
        for voting in ("soft", "weighted", "stacked"):
            model = PatientVotingClassifier(voting=voting, task_estimators=parts)
            with pytest.raises(
                ValueError, match=r"task_estimators\['rhythm'\] has no predict_proba"
            ):
                model.fit(X, y)
        hard = PatientVotingClassifier(task_estimators=parts).fit(X, y)
        decided = hard.predict_patients(X)
        shares = decided["votes_1"] / decided["n_recordings"]
        assert hard.predict_proba(X)[:, 1] == pytest.approx(shares.loc[X["patient"]].to_numpy())

    def test_a_model_that_never_saw_a_class(self, tasks, on_features):
        X, y = tasks(n_classes=3)
        seen = (X["task"] != "rhythmPA") | (y != 2)
        models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
        model = PatientVotingClassifier(voting="soft", task_estimators=models)
        model.fit(X[seen], y[seen])
        assert model.classes_.tolist() == [0, 1, 2]
        assert model.task_estimators_["rhythm"].classes_.tolist() == [0, 1]
        rhythm = X[X["task"] == "rhythmPA"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PatientLeakWarning)
            assert (model.predict_proba(rhythm)[:, 2] == 0).all()
        assert model.predict_proba(X).sum(axis=1) == pytest.approx(1)

    def test_searches_inside_split_by_patient(self, tasks, on_features):
        X, y = tasks()
        search = GridSearchCV(on_features(SVC()), {"svc__C": [0.1, 1]}, cv=3)
        models = {"phonation": search, "rhythm": on_features(SVC())}
        model = PatientVotingClassifier(task_estimators=models).fit(X, y)
        assert isinstance(model.task_estimators_["phonation"].cv, StratifiedPatientKFold)
        calibrated = {**models, "rhythm": on_features(CalibratedClassifierCV(SVC(), cv=2))}
        with pytest.warns(PatientLeakWarning, match=r"CalibratedClassifierCV\(cv=2\)"):
            PatientVotingClassifier(task_estimators=calibrated).fit(X, y)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("voting", ["weighted", "stacked"])
class TestInnerFolds:
    def test_no_patient_on_both_sides(self, tasks, log, voting):
        X, y = tasks()
        models = {"phonation": Spy("phonation"), "rhythm": Spy("rhythm")}
        PatientVotingClassifier(voting=voting, task_estimators=models, cv=3).fit(X, y)
        fits = {name: [] for name in models}
        asked = {name: [] for name in models}
        for what, name, table in log:
            assert table["task"].str.startswith(name).all()
            if what == "fit":
                fits[name].append(set(table["patient"]))
            else:
                assert not set(table["patient"]) & fits[name][-1]
                asked[name].append(set(table["patient"]))
        theirs = X["task"].str.startswith("phonation")
        assert len(fits["phonation"]) == 4  # once on all, and in three folds
        assert fits["phonation"][0] == set(X["patient"][theirs])
        assert set().union(*asked["phonation"]) == set(X["patient"][theirs])

    def test_early_stopping_inside(self, tasks, on_features, voting, monkeypatch):
        made, genuine = [], EarlyStopping.hold_out

        def spy(self, labels, patients, seed):
            train, valid = genuine(self, labels, patients, seed)
            made.append((set(patients[train]), set(patients[valid])))
            return train, valid

        monkeypatch.setattr(EarlyStopping, "hold_out", spy)
        X, y = tasks()
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), max_epochs=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one epoch is no better than chance
            PatientVotingClassifier(on_features(net), voting, cv=2).fit(X, y)
        assert len(made) == 3
        assert all(valid and not train & valid for train, valid in made)
        order = X["patient"].argsort(kind="stable").to_numpy()
        X, y = X.iloc[order], y[order]
        folds = StratifiedPatientKFold(2, shuffle=False).split(X, y)
        for (train, valid), (rows, _) in zip(made[1:], folds, strict=True):
            assert train | valid == set(X["patient"].iloc[rows])

    def test_splitters(self, tasks, on_features, voting):
        X, y = tasks()
        model = PatientVotingClassifier(on_features(LogisticRegression()), voting)
        model.set_params(cv=GroupKFold(3)).fit(X, y)
        with pytest.raises(PatientError, match=r"patient 'P\d+' on both sides of an inner fold"):
            model.set_params(cv=KFold(3, shuffle=True, random_state=0)).fit(X, y)
        first = X[~X["patient"].duplicated()]
        labels = y[first.index]
        with pytest.raises(ValueError, match="exactly once"):
            model.set_params(cv=RepeatedStratifiedKFold(n_splits=2, n_repeats=2)).fit(first, labels)

    def test_in_cross_validation(self, tasks, on_features, voting):
        X, y = tasks(labels=["HC", "ALS"])
        model = PatientVotingClassifier(on_features(LogisticRegression()), voting, cv=2)
        folds = StratifiedPatientKFold(3, random_state=0)
        scoring = patient_scorer("balanced_accuracy")
        scores = cross_val_score(model, X, y, cv=folds, scoring=scoring, error_score="raise")
        assert scores.mean() > 0.6

    def test_a_fold_without_a_task(self, tasks, on_features, voting):
        X, y = tasks()
        # Two patients, tested in different folds or in one, are all who did the last task.
        few = X["patient"].isin(["P00", "P01"])
        kept = (X["task"] != "rhythmPA") | few
        more = X[few].drop_duplicates("patient").assign(task="rhythmPA", audio="more.wav")
        X2 = pd.concat([X[kept], more], ignore_index=True)
        y2 = np.concatenate([y[kept], y[X[few].drop_duplicates("patient").index]])
        models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
        model = PatientVotingClassifier(voting=voting, task_estimators=models, cv=3)
        model.fit(X2, y2)
        assert np.isfinite(model.predict_proba(X2)).all()


@pytest.mark.parametrize("voting", KINDS)
class TestFailedRecordings:
    def broken(self, X, rows):
        X = X.copy()
        X.loc[rows, ["f0", "f1"]] = np.nan
        return X

    def model(self, on_features, voting):
        models = {
            name: on_features(SkipFailedRows(LogisticRegression()))
            for name in ("phonation", "rhythm")
        }
        return PatientVotingClassifier(voting=voting, task_estimators=models, cv=3)

    def test_they_have_no_vote(self, tasks, on_features, voting):
        X, y = tasks()
        model = self.model(on_features, voting).fit(X, y)
        # All of a patient's recordings of one group, and one of another patient.
        patient = X["patient"][X["task"] == "rhythmPA"].iloc[0]
        rhythm = X.index[(X["patient"] == patient) & (X["task"] == "rhythmPA")]
        other = X.index[(X["patient"] != patient) & X["patient"].duplicated()][:1]
        rows = [*rhythm, *other]
        with pytest.warns(RecordingWarning, match="have no vote") as caught:
            decided = model.predict_patients(self.broken(X, rows))
        assert len(caught) == 1
        assert str(caught[0].message).startswith(f"{len(rows)} of {len(X)} recordings")
        expected = model.predict_patients(X.drop(index=rows)).loc[decided.index]
        pd.testing.assert_frame_equal(decided, expected)

    def test_nothing_left(self, tasks, on_features, voting):
        X, y = tasks()
        model = self.model(on_features, voting).fit(X, y)
        with pytest.raises(PatientError, match="patient 'P05' has no usable recording"):
            model.predict(self.broken(X, X.index[X["patient"] == "P05"]))

    def test_in_training_they_are_left_out(self, tasks, on_features, voting):
        X, y = tasks()
        # The last of a patient who has others of the same task, so that the folds are the same.
        same = X.duplicated(["patient", "task"])
        rows = X.index[same][:3]
        with pytest.warns(RecordingWarning) as caught:
            model = self.model(on_features, voting).fit(self.broken(X, rows), y)
        assert {w.category for w in caught} == {RecordingWarning}
        assert len(caught) <= 2  # one for each model, none from inner folds
        keep = X.index.difference(rows)
        clean = self.model(on_features, voting).fit(X.loc[keep], y[keep])
        np.testing.assert_allclose(
            model.predict_proba(X.loc[keep]), clean.predict_proba(X.loc[keep]), atol=1e-6
        )


@pytest.mark.parametrize("voting", KINDS)
def test_saved_and_loaded(tasks, on_features, voting):
    X, y = tasks(labels=["HC", "ALS"])
    models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
    model = PatientVotingClassifier(voting=voting, task_estimators=models).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
    again = clone(model).fit(X, y)
    assert (again.predict_proba(X) == model.predict_proba(X)).all()


def test_only_what_is_fitted_now_remains(tasks, on_features):
    X, y = tasks()
    model = PatientVotingClassifier(on_features(LogisticRegression()), "stacked").fit(X, y)
    model.set_params(voting="soft").fit(X, y)
    assert not hasattr(model, "final_estimator_")
    models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
    model.set_params(estimator=None, task_estimators=models).fit(X, y)
    assert not hasattr(model, "estimator_")


def test_pipelines_work_as_models_of_tasks(tasks):
    X, y = tasks()
    steps = make_pipeline("passthrough", Spy())
    model = PatientVotingClassifier(
        voting="soft", task_estimators={"phonation": steps}, estimator=Spy()
    )
    assert model.fit(X, y).score(X, y) > 0.5
