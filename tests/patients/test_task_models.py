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
from sklearn.metrics import balanced_accuracy_score
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
    HyperLinearClassifier,
    PatientVotingClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    patient_scorer,
)
from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import (
    MissingColumnError,
    PatientError,
    PatientLeakWarning,
    RecordingWarning,
    UnknownTaskError,
)

TASKS = ["phonationA", "phonationE", "rhythmPA"]
KINDS = ["hard", "soft", "weighted", "stacked"]


@pytest.fixture
def tasks(cohort):
    """The cohort with tasks in two groups."""

    def make(**arguments):
        X, y = cohort(**{"n_patients": 30, "max_recordings": 5} | arguments)
        return X.replace({"task": dict(zip("abc", TASKS, strict=True))}).reset_index(drop=True), y

    return make


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
        (None, ["phonation"], None),
        (3, ["3"], None),
    ],
)
def test_lookup(task, names, found):
    assert name_for_task(task, names) == found


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


class TestParameters:
    def model(self, on_features):
        models = {
            "phonation": on_features(LogisticRegression()),
            "phonation_long": on_features(SVC()),
        }
        return PatientVotingClassifier(
            on_features(LogisticRegression()),
            task_estimators=models,
            task_weights={"phonation": 1.0, "rhythm": 2.0},
            final_estimator=SVC(),
        )

    def test_every_parameter_has_a_name(self, on_features):
        model = self.model(on_features)
        names = set(model.get_params())
        assert {
            "task_estimators__phonation",
            "task_estimators__phonation__logisticregression__C",
            "task_estimators__phonation_long__svc__C",
            "task_weights__rhythm",
            "final_estimator__C",
            "estimator__logisticregression__C",
        } <= names
        for name, value in model.get_params().items():
            assert clone(model).set_params(**{name: value}).get_params().keys() == names
        assert not any("__" in name for name in model.get_params(deep=False))

    def test_setting(self, on_features):
        model = self.model(on_features)
        given = model.task_estimators
        model.set_params(
            task_estimators__phonation_long__svc__C=7,
            task_weights__rhythm=5.0,
            task_estimators__phonation__logisticregression__C=3,
            task_estimators__phonation=on_features(LogisticRegression(C=8)),
        )
        assert model.task_estimators["phonation_long"][-1].C == 7
        assert model.task_estimators["phonation"][-1].C == 3  # the new one's
        assert given["phonation"][-1].C == 1
        assert model.task_weights == {"phonation": 1.0, "rhythm": 5.0}
        whole = {"x": on_features(SVC(C=2))}
        model.set_params(task_estimators=whole, task_estimators__x__svc__C=4)
        assert model.get_params()["task_estimators__x__svc__C"] == 4

    def test_unknown_names(self, on_features):
        model = self.model(on_features)
        for name in ("task_estimators__rhythm__svc__C", "task_weights__x"):
            with pytest.raises(ValueError, match=f"Invalid parameter {name}"):
                model.set_params(**{name: 1})
        with pytest.raises(ValueError, match="Invalid parameter"):
            model.set_params(task_estimators__phonation__nonsense=1)
        with pytest.raises(ValueError, match="has no entry"):
            PatientVotingClassifier().set_params(task_estimators__a=SVC())

    def test_a_grid_reaches_inside(self, tasks, on_features):
        X, y = tasks()
        models = {name: on_features(LogisticRegression()) for name in ("phonation", "rhythm")}
        grid = {
            "task_estimators__phonation__logisticregression__C": [1e-9, 1.0],
            "voting": ["soft", "weighted"],
            "task_weights__phonation": [0.5],
        }
        model = PatientVotingClassifier(
            task_estimators=models, task_weights={"phonation": 1, "rhythm": 1}
        )
        cv = StratifiedPatientKFold(2, random_state=0)
        search = GridSearchCV(model, grid, cv=cv, scoring=patient_scorer("neg_log_loss")).fit(X, y)
        assert len(set(search.cv_results_["mean_test_score"].round(9))) == 4
        best = search.best_estimator_
        name = "task_estimators__phonation__logisticregression__C"
        assert search.best_params_[name] == best.task_estimators_["phonation"][-1].C
        assert models["phonation"][-1].C == 1.0
        assert not hasattr(models["phonation"][-1], "coef_")


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
        X, y = tasks(seed=seed, n_classes=3, n_patients=36)
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
        X, y = tasks(n_classes=n_classes, n_patients=36)
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
        final = HyperLinearClassifier(early_stopping=True, max_epochs=1, random_state=0)
        model = PatientVotingClassifier(
            on_features(LogisticRegression()), "stacked", final_estimator=final
        ).fit(X, y)
        assert set(model.final_estimator_.validation_patients_) < set(X["patient"])


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
        everybody = X["task"].str.startswith("phonation")
        assert len(fits["phonation"]) == 4  # once on all, and in three folds
        assert fits["phonation"][0] == set(X["patient"][everybody])
        assert set().union(*asked["phonation"]) == set(X["patient"][everybody])

    def test_early_stopping_inside(self, tasks, on_features, voting, monkeypatch):
        from sklearn_dysarthria.classifiers import _base

        made, genuine = [], _base.hold_out_patients

        def spy(labels, patients, *args):
            train, valid = genuine(labels, patients, *args)
            made.append((set(patients[train]), set(patients[valid])))
            return train, valid

        monkeypatch.setattr(_base, "hold_out_patients", spy)
        X, y = tasks()
        net = HyperLinearClassifier(early_stopping=True, max_epochs=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one epoch is no better than chance
            PatientVotingClassifier(on_features(net), voting, cv=2).fit(X, y)
        assert len(made) == 3
        assert all(valid and not train & valid for train, valid in made)
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
