import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.parallel import ThreadingBackend
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    RepeatedStratifiedPatientKFold,
    StratifiedPatientKFold,
    compare,
    egemaps_svm_pipeline,
    make_dysarthric_speech,
    patient_scorer,
)
from sklearn_dysarthria.exceptions import (
    BandwidthWarning,
    MissingColumnError,
    MissingFileError,
    PatientError,
    RecordingWarning,
    SmallClassWarning,
)
from sklearn_dysarthria.report import METHODS, METRICS, build_methods

QUICK = {"n_splits": 3, "n_resamples": 20}


def silly(X):
    """Table of three numbers per patient, so that nothing has to be listened to."""
    return X.assign(f0=[len(a) for a in X["audio"]], f1=[float(a[500]) for a in X["audio"]])


def columns_model(classifier):
    from sklearn.compose import ColumnTransformer

    return make_pipeline(ColumnTransformer([("f", "passthrough", ["f0", "f1"])]), classifier)


def dummy(strategy="stratified"):
    return PatientVotingClassifier(DummyClassifier(strategy=strategy, random_state=0))


@pytest.fixture(scope="module")
def result(speech):
    X, y = speech
    return compare(X, y, methods=METHODS[:2], n_repeats=2, **QUICK)


def test_table(result):
    assert list(result.table.index) == [*METHODS[:2], "majority class", "chance"]
    assert list(result.table.columns) == list(METRICS)
    assert result.table.loc["majority class"].tolist() == [
        "0.50 [0.50, 0.50]",
        "0.33 [0.33, 0.33]",
        "1.00 [1.00, 1.00]",
        "0.00 [0.00, 0.00]",
        "0.50 [0.50, 0.50]",
    ]
    assert result.positive == "ALS"
    assert (result.scores["low"] <= result.scores["high"]).all()


def test_out_of_fold_decisions(result, speech):
    X, y = speech
    made = result.predictions
    for _, one in made.groupby(["method", "repeat"]):
        assert sorted(one["patient"]) == sorted(X["patient"].unique())
    assert set(made["repeat"]) == {0, 1}
    label_of = dict(zip(X["patient"], y, strict=True))
    assert made["truth"].tolist() == [label_of[p] for p in made["patient"]]
    splitter = RepeatedStratifiedPatientKFold(3, n_repeats=2, random_state=0)
    for number, (_, test) in enumerate(splitter.split(X, y)):
        expected = set(X["patient"].iloc[test])
        for _, one in made.groupby("method"):
            fold = one[(one["repeat"] == number // 3) & (one["fold"] == number % 3)]
            assert set(fold["patient"]) == expected


def test_values_are_those_of_the_decisions(result):
    one = result.predictions[result.predictions["method"] == METHODS[0]]
    by_repeat = [
        np.mean([(d["prediction"] == d["truth"]).mean() for _, d in made.groupby("truth")])
        for _, made in one.groupby("repeat")
    ]
    scores = result.scores.set_index(["method", "metric"])
    found = scores.loc[(METHODS[0], "balanced accuracy"), "value"]
    assert found == pytest.approx(np.mean(by_repeat))


class _AllAtTheEnd(ThreadingBackend):
    supports_return_generator = False


def test_a_backend_that_returns_everything_at_the_end(speech):
    X, y = speech
    alone = compare(X, y, methods={"d": dummy()}, **QUICK)
    with joblib.parallel_config(backend=_AllAtTheEnd(), n_jobs=2):
        together = compare(X, y, methods={"d": dummy()}, **QUICK)
    pd.testing.assert_frame_equal(together.predictions, alone.predictions)


def test_reproducible_and_alike_in_processes(result, speech):
    X, y = speech
    again = compare(X, y, methods=METHODS[:2], n_repeats=2, n_jobs=2, **QUICK)
    pd.testing.assert_frame_equal(again.scores, result.scores)
    pd.testing.assert_frame_equal(again.predictions, result.predictions)
    other = compare(X, y, methods={"d": dummy()}, random_state=1, **QUICK)
    same = compare(X, y, methods={"d": dummy()}, **QUICK)
    assert other.predictions["patient"].tolist() != same.predictions["patient"].tolist()


def test_decisions_against_a_loop(result, speech):
    X, y = speech
    splitter = RepeatedStratifiedPatientKFold(3, n_repeats=2, random_state=0)
    train, test = next(splitter.split(X, y))
    model = PatientVotingClassifier(egemaps_svm_pipeline(), voting="soft")
    decided = model.fit(X.iloc[train], y[train]).predict_patients(X.iloc[test])
    made = result.predictions
    made = made[(made["method"] == METHODS[0]) & (made["repeat"] == 0) & (made["fold"] == 0)]
    assert made["prediction"].tolist() == decided["prediction"].tolist()
    np.testing.assert_allclose(made["score_ALS"], decided["decision_ALS"].astype(float))


def test_own_models(speech):
    X, y = speech
    X = silly(X)
    logistic = PatientVotingClassifier(columns_model(LogisticRegression()))
    grid = {"estimator__logisticregression__C": [0.1, 1.0]}
    cv = StratifiedPatientKFold(2, random_state=0)
    search = GridSearchCV(logistic, grid, cv=cv, scoring=patient_scorer("balanced_accuracy"))
    features = columns_model(LogisticRegression())[0]
    nameless = PatientFeaturesClassifier(features, _OnlyPredict())
    methods = {"search": search, "predicts only": nameless, "whole": make_pipeline(logistic)}
    result = compare(X, y, methods=methods, **QUICK)
    assert list(result.table.index)[:3] == list(methods)
    only = result.predictions[result.predictions["method"] == "predicts only"]
    assert (only["score_ALS"] == (only["prediction"] == "ALS")).all()
    found = compare(X, y, methods={"bare": logistic}, **QUICK).predictions
    whole = result.predictions[result.predictions["method"] == "whole"]
    bare = found[found["method"] == "bare"]
    assert whole["score_ALS"].tolist() == pytest.approx(bare["score_ALS"].tolist())
    with pytest.raises(ValueError, match="wrap it in PatientVotingClassifier"):
        compare(X, y, methods={"rows": columns_model(LogisticRegression())}, **QUICK)


def test_models_that_may_abstain_are_refused(speech):
    X, y = speech
    X = silly(X)
    careful = PatientVotingClassifier(
        columns_model(LogisticRegression()), abstain_below=0.9, abstain_label="unsure"
    )
    cv = StratifiedPatientKFold(2, random_state=0)
    scoring = patient_scorer("coverage")
    whole = clone(careful).set_params(abstain_below=None)
    chosen = GridSearchCV(whole, {"abstain_below": [1.0]}, cv=cv, scoring=scoring)
    for model in (careful, make_pipeline(careful), chosen):
        with pytest.raises(ValueError, match=r"method 'careful' may abstain .*coverage"):
            compare(X, y, methods={"careful": model}, **QUICK)
    search = GridSearchCV(whole, {"abstain_below": [None]}, cv=cv, scoring=scoring)
    assert "searched" in compare(X, y, methods={"searched": search}, **QUICK).table.index


class _OnlyPredict(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(X[:, 1] > 0).astype(int)]


def test_majority_counts_patients():
    patients = ["a"] * 20 + ["b"] * 20 + list("cdefghi")
    X = pd.DataFrame({"audio": "x.wav", "patient": patients})
    y = np.array(["HC"] * 40 + ["ALS"] * 7)  # most recordings are healthy, most patients ill
    with pytest.warns(SmallClassWarning) as caught:
        result = compare(X, y, methods={"d": dummy()}, n_splits=2, n_resamples=5)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    made = result.predictions
    assert set(made.loc[made["method"] == "majority class", "prediction"]) == {"ALS"}


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        ([0, 1], 1),
        ([2.0, 1.0], 2.0),
        ([False, True], True),
        (["HC", "ALS"], "ALS"),
        (["yes", "no"], "yes"),
        (["Healthy", "mild"], "mild"),
    ],
)
def test_positive_class(speech, labels, positive):
    X, y = speech
    named = np.asarray(labels)[(y == "ALS").astype(int)]
    result = compare(X, named, methods={"d": dummy()}, **QUICK)
    assert result.positive == positive
    assert list(result.classes) == sorted(np.asarray(labels).tolist())


def test_positive_class_errors(speech):
    X, y = speech
    with pytest.raises(ValueError, match="Say which of"):
        compare(X, np.where(y == "HC", "mild", "severe"), methods={"d": dummy()}, **QUICK)
    with pytest.raises(ValueError, match="positive='als' must be one of two classes"):
        compare(X, y, methods={"d": dummy()}, positive="als", **QUICK)
    chosen = compare(X, y, methods={"d": dummy()}, positive="HC", **QUICK)
    assert chosen.positive == "HC"
    with pytest.raises(ValueError, match="only one class"):
        compare(X, np.zeros(len(X)), methods={"d": dummy()}, **QUICK)


def test_three_classes():
    X, y = make_dysarthric_speech(
        n_patients=15, classes=3, duration=0.5, sample_rate=8000, tasks="phonationA", random_state=0
    )
    models = {"logistic": PatientVotingClassifier(columns_model(LogisticRegression()))}
    result = compare(silly(X), y, methods=models, **QUICK)
    assert result.positive is None
    assert result.classes == (0, 1, 2)
    assert {"score_0", "score_1", "score_2"} <= set(result.predictions)
    assert "mean over classes" in result.to_markdown()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["egemaps"]}, r"Unknown methods \['egemaps'\]; known are egemaps-svm-vote"),
        ({"methods": []}, "no methods"),
        ({"methods": {}}, "at least one model"),
        ({"methods": {"chance": dummy()}}, "names of rows that are added"),
        ({"methods": ["egemaps-svm-vote"], "preset": "huge"}, "preset='huge'"),
        ({"methods": ["sand-convnext"], "weights": {"convnext": "x"}}, "weights are given for"),
        ({"methods": ["sand-convnext"], "weights": {"hyper-alexnet": 1}}, "is not compared"),
        ({"methods": {"d": dummy()}, "weights": {"d": 1}}, "weights are for named"),
        ({"confidence": 95}, "'confidence' parameter .* Got 95"),
        ({"n_resamples": 0}, "'n_resamples' parameter .* Got 0"),
        ({"n_splits": 1}, "n_splits=1"),
    ],
)
def test_argument_errors(speech, arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(*speech, **arguments)


def test_data_errors(speech):
    X, y = speech
    with pytest.raises(MissingColumnError, match="'patient'"):
        compare(X.drop(columns="patient"), y)
    with pytest.raises(PatientError, match="'S001' carries different labels"):
        compare(X, np.where(np.arange(len(y)) == 0, "HC" if y[0] == "ALS" else "ALS", y))
    with pytest.raises(ValueError, match="no label"):
        compare(X, np.where(X["patient"] == "S001", None, y))
    alone = X["patient"].eq("S001").to_numpy()
    with pytest.raises(ValueError, match="Class rare has a single patient"):
        compare(X, np.where(alone, "rare", y))


def test_broken_recording(speech, tmp_path):
    X, y = speech
    X = X.reset_index(drop=True)
    X["audio"] = X["audio"].astype(object)
    X.at[3, "audio"] = str(tmp_path / "gone.wav")
    for n_jobs in (1, 2):
        with pytest.raises(MissingFileError, match=r"row 3, file '.*gone.wav'"):
            compare(X, y, methods=METHODS[:1], n_jobs=n_jobs, **QUICK)
    tolerant = egemaps_svm_pipeline().set_params(features=EGeMAPSFeatures(on_error="nan"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = compare(X, y, methods={"m": PatientVotingClassifier(tolerant)}, **QUICK)
    assert {w.category for w in caught} == {RecordingWarning}
    assert result.predictions["patient"].nunique() == 12


def test_bands_for_other_tasks(speech):
    X, _ = speech
    assert list(build_methods(METHODS, X)) == list(METHODS)
    with pytest.warns(BandwidthWarning, match=r"\(reading\) all recordings"):
        model = build_methods(["sand-convnext"], X.assign(task="reading"))["sand-convnext"]
    assert model.get_params()["estimator__images__fmax"] == 6000
    with pytest.warns(BandwidthWarning, match="no column task"):
        build_methods(["sand-convnext"], X.drop(columns="task"))


def test_given_splits_are_used_and_only_their_test_patients_decided_about(speech):
    X, y = speech
    patients = X["patient"].unique()
    tested = [name for name in patients if int(name[1:]) % 3 == 0]
    side = np.where(X["patient"].isin(tested), 0, -1)
    result = compare(
        X,
        y,
        methods=["egemaps-svm-vote"],
        cv=PredefinedSplit(side),
        n_resamples=20,
    )
    assert set(result.predictions["patient"]) == set(tested)
    assert set(result.predictions["fold"]) == {0}
    assert f"{len(tested)} patients tested" in result.settings["cross-validation"]


def test_repeated_given_splits_are_repetitions(speech):
    X, y = speech
    folds = RepeatedStratifiedPatientKFold(3, n_repeats=2, random_state=0)
    arguments = {"methods": ["egemaps-svm-vote"], "n_resamples": 20, "random_state": 0}
    given = compare(X, y, cv=list(folds.split(X, y)), **arguments)
    usual = compare(X, y, n_splits=3, n_repeats=2, **arguments)
    pd.testing.assert_frame_equal(given.scores, usual.scores)


def test_given_splits_that_divide_a_patient_are_refused(speech):
    X, y = speech
    rows = np.arange(len(X))
    with pytest.raises(PatientError, match="split 0 of cv has patients on both sides"):
        compare(X, y, methods=["egemaps-svm-vote"], cv=[(rows[1:], rows[:1])])


@pytest.mark.parametrize("kind", [float, bool])
def test_the_positive_class_may_be_spelled_as_an_equal_number(speech, kind, tmp_path):
    X, y = speech
    result = compare(
        X, (y == "ALS").astype(kind), methods=["egemaps-svm-vote"], positive=1, **QUICK
    )
    assert type(result.positive) is kind
    assert (tmp_path / "roc.png") in result.save(tmp_path)
