"""Patients on both sides of a split: prevented in searches, warned of elsewhere."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from imblearn import FunctionSampler
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as sampling_pipeline
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dysarthria import (
    EarlyStopping,
    EGeMAPSFeatures,
    HyperLinearClassifier,
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    make_dysarthric_speech,
)
from sklearn_dysarthria.exceptions import PatientError, PatientLeakWarning, RecordingWarning
from sklearn_dysarthria.recordings import load_waveform, map_recordings


def loudness(table):
    return np.array([[np.std(audio)] for audio in table["audio"]])


def recordings(n_patients=12, n_each=3):
    rng = np.random.default_rng(0)
    rows = [
        {
            "audio": (1 + i % 2) * rng.standard_normal(50),
            "sample_rate": 8000,
            "patient": f"P{i}",
            "task": f"phonation{'AEIOU'[k]}",
        }
        for i in range(n_patients)
        for k in range(n_each)
    ]
    X = pd.DataFrame(rows)
    return X, np.array([int(patient[1:]) % 2 for patient in X["patient"]])


class NoScores(ClassifierMixin, BaseEstimator):
    """Knows classes and no scores."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def model(classifier=None):
    last = LogisticRegression() if classifier is None else classifier
    return make_pipeline(FunctionTransformer(loudness), last)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("cv", [3, None])
@pytest.mark.parametrize("place", ["around", "last step"])
def test_a_search_inside_splits_by_patient(cv, place, routing):
    X, y = recordings(n_patients=12, n_each=3)
    if place == "around":
        grid = {"logisticregression__C": [0.1, 1.0]}
        estimator = GridSearchCV(model(), grid, cv=cv, error_score="raise")
    else:
        search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=cv, error_score="raise")
        estimator = model(search)
    with config_context(enable_metadata_routing=routing):
        voting = PatientVotingClassifier(estimator).fit(X, y)
    fitted = voting.estimator_ if place == "around" else voting.estimator_[-1]
    assert isinstance(fitted.cv, StratifiedPatientKFold)
    assert fitted.cv.n_splits == (cv or 5)
    assert fitted.n_splits_ == (cv or 5)
    given = estimator if place == "around" else estimator[-1]
    assert given.cv is cv  # the caller's own object is left alone


def test_a_chosen_splitter_is_left_alone_but_told():
    X, y = recordings()
    chosen = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(model(), {"logisticregression__C": [1.0]}, cv=chosen)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = PatientVotingClassifier(search).fit(X, y).estimator_
    assert isinstance(fitted.cv, KFold)
    messages = [str(w.message) for w in caught if w.category is PatientLeakWarning]
    assert len(messages) == 1
    assert "GridSearchCV(cv=KFold)" in messages[0]


def test_folds_of_patients_are_nobodys_leak():
    X, y = recordings()
    for cv in (StratifiedPatientKFold(2), GroupKFold(2, shuffle=True, random_state=0)):
        search = GridSearchCV(model(), {"logisticregression__C": [1.0]}, cv=cv)
        PatientVotingClassifier(search).fit(X, y)


def in_a_grid():
    grid = {"logisticregression": [CalibratedClassifierCV(LogisticRegression(), cv=2)]}
    return GridSearchCV(model(), grid, cv=2)


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (
            model(CalibratedClassifierCV(LogisticRegression(), cv=2)),
            r"CalibratedClassifierCV\(cv=2",
        ),
        (in_a_grid(), r"CalibratedClassifierCV\(cv=2"),
        (model(OneVsRestClassifier(GridSearchCV(LogisticRegression(), {"C": [1.0]}))), "cv=None"),
        (model(SGDClassifier(early_stopping=True)), "early_stopping=True"),
        (model(GradientBoostingClassifier(n_iter_no_change=2)), "n_iter_no_change=2"),
        (model(TunedThresholdClassifierCV(LogisticRegression(), cv=0.3)), r"cv=0\.3"),
    ],
    ids=["calibration", "in a grid", "search too deep", "sgd", "boosting", "threshold"],
)
def test_other_inner_splits_draw_a_warning(estimator, named):
    X, y = recordings()
    with pytest.warns(PatientLeakWarning, match=named):
        PatientVotingClassifier(estimator).fit(X, y)


@pytest.mark.parametrize("routing", [False, True])
def test_a_search_inside_skip_failed_rows_splits_by_patient(routing):
    X, y = recordings()
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2, error_score="raise")
    with config_context(enable_metadata_routing=routing):
        voting = PatientVotingClassifier(model(SkipFailedRows(search))).fit(X, y)
    assert isinstance(voting.estimator_[-1].estimator_.cv, StratifiedPatientKFold)


@pytest.mark.parametrize("routing", [False, True])
class TestSamplers:
    """Behind a sampler, rows and patients no longer belong together."""

    def test_early_stopping_refuses(self, routing):
        X, y = recordings()
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), max_epochs=1)
        keep_all = FunctionSampler(func=lambda X, y: (X[::-1], y[::-1]), validate=False)
        with config_context(enable_metadata_routing=routing):
            pipeline = sampling_pipeline(FunctionTransformer(loudness), keep_all, net)
            with pytest.raises(ValueError, match="early_stopping holds out patients"):
                PatientVotingClassifier(pipeline).fit(X, y)

    def test_without_a_need_for_patients_it_works(self, routing):
        X, y = recordings()
        X, y = X.iloc[:-3], y[:-3]  # unbalanced
        net = HyperLinearClassifier(max_epochs=1)
        with config_context(enable_metadata_routing=routing):
            for steps in (
                [RandomOverSampler(random_state=0), FunctionTransformer(loudness), net],
                [FunctionTransformer(loudness), RandomOverSampler(random_state=0), net],
            ):
                voting = PatientVotingClassifier(sampling_pipeline(*steps)).fit(X, y)
                assert len(voting.predict_patients(X)) == 11


class Levels(TransformerMixin, BaseEstimator):
    """Turns recordings into one number, as fast as can be; those that fail into NaN."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        levels = map_recordings(lambda row: load_waveform(row).std(), X, on_error="nan")
        return np.array([[np.nan if level is None else level] for level in levels])

    def __sklearn_is_fitted__(self):
        return True


class TestHiddenFailures:
    """An imputer must not give a vote to a recording that could not be used."""

    def imputing(self):
        features = EGeMAPSFeatures(on_error="nan")
        return make_pipeline(features, SimpleImputer(), StandardScaler(), LogisticRegression())

    def speech(self):
        return make_dysarthric_speech(n_patients=6, duration=(0.5, 0.6), random_state=0)

    @pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.PatientLeakWarning")
    def test_no_vote_behind_an_imputer(self):
        X, y = self.speech()
        voting = PatientVotingClassifier(self.imputing()).fit(X, y)
        X.at[0, "audio"] = np.zeros(8000, dtype=np.float32)
        with pytest.warns(RecordingWarning) as caught:
            decided = voting.predict_patients(X)
        messages = [str(w.message) for w in caught if w.category is RecordingWarning]
        assert [("become NaN" in text, "have no vote" in text) for text in messages] == [
            (True, False),
            (False, True),
        ]
        assert decided["n_recordings"].tolist() == [1, 2, 2, 2, 2, 2]
        X.at[1, "audio"] = np.zeros(8000, dtype=np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(PatientError, match=r"S001.*no usable recording"):
                voting.predict_patients(X)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("last", [LogisticRegression(), NoScores()], ids=["scores", "classes"])
    def test_labels_that_are_all_alike(self, last):
        X, y = self.speech()
        pipeline = make_pipeline(Levels(), SimpleImputer(), StandardScaler(), last)
        voting = PatientVotingClassifier(pipeline).fit(X, y)
        X.at[0, "audio"] = np.zeros(8000, dtype=np.float32)
        X.index = [7] * len(X)
        assert voting.predict_patients(X)["n_recordings"].tolist() == [1, 2, 2, 2, 2, 2]

    def test_a_training_patient_with_nothing_left(self):
        X, y = self.speech()
        for row in (0, 1):
            X.at[row, "audio"] = np.zeros(8000, dtype=np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(PatientError, match=r"S001.*no usable recording"):
                PatientVotingClassifier(self.imputing()).fit(X, y)

    def test_a_search_scores_what_can_be_used(self):
        X, y = self.speech()
        X.at[0, "audio"] = np.zeros(8000, dtype=np.float32)
        model = make_pipeline(Levels(), SkipFailedRows(LogisticRegression()))
        grid = {"skipfailedrows__estimator__C": [0.1, 1.0]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            voting = PatientVotingClassifier(GridSearchCV(model, grid, cv=2)).fit(X, y)
        assert np.isfinite(voting.estimator_.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    "classifier",
    [
        PatientVotingClassifier(model()),
        PatientFeaturesClassifier(FunctionTransformer(loudness), LogisticRegression()),
    ],
    ids=["voting", "side by side"],
)
class TestKnownPatients:
    def test_split_by_row_is_told(self, classifier):
        X, y = recordings()
        # Every recording in the test part has siblings of the same patient in training; all of
        # a test patient's tasks are there, since some models need them.
        X = pd.concat([X, X.assign(audio=[2 * audio for audio in X["audio"]])])
        y, rows = np.tile(y, 2), KFold(2)
        with pytest.warns(PatientLeakWarning, match="StratifiedPatientKFold"):
            cross_val_score(classifier, X, y, cv=rows)

    def test_split_by_patient_is_quiet(self, classifier):
        X, y = recordings()
        cross_val_score(classifier, X, y, cv=StratifiedPatientKFold(3), error_score="raise")

    def test_the_training_set_itself_is_quiet(self, classifier):
        X, y = recordings()
        fitted = classifier.fit(X, y)
        fitted.predict(X)
        fitted.predict(X.iloc[:3])

    def test_new_recordings_of_an_old_patient(self, classifier):
        X, y = recordings()
        fitted = pickle.loads(pickle.dumps(classifier.fit(X, y)))
        later = X.iloc[:3].assign(audio=[audio * 1.01 for audio in X["audio"].iloc[:3]])
        with pytest.warns(PatientLeakWarning, match=r"1 of these patients.*P0"):
            fitted.predict(later)
        fitted.predict(later.assign(patient="somebody else"))

    def test_numbers_are_the_same_in_any_type(self, classifier):
        X, y = recordings()
        X["patient"] = [int(patient[1:]) for patient in X["patient"]]
        fitted = classifier.fit(X, y)
        later = X.iloc[:3].assign(audio=[audio * 1.01 for audio in X["audio"].iloc[:3]])
        for dtype in (np.int32, float):
            with pytest.warns(PatientLeakWarning):
                fitted.predict(later.astype({"patient": dtype}))

    def test_paths_differ_by_name(self, classifier):
        X, y = recordings()
        known = classifier.fit(X, y).training_patients_
        table = pd.DataFrame({"audio": ["a.wav"], "patient": ["P0"]})
        with pytest.warns(PatientLeakWarning):
            known.warn_about(table, table["patient"])

    def test_names_are_not_kept(self, classifier):
        X, y = recordings()
        X["patient"] = X["patient"].replace("P7", "Somebody Recognisable")
        stored = pickle.dumps(classifier.fit(X, y).training_patients_)
        assert b"Recognisable" not in stored


def test_warnings_point_to_the_caller():
    X, y = recordings()
    splitting = model(CalibratedClassifierCV(LogisticRegression(), cv=2))
    with pytest.warns(PatientLeakWarning) as caught:
        PatientVotingClassifier(splitting).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_training_recordings_beside_new_patients_are_no_leak(cohort, on_features):
    X, y = cohort(seed=0, labels=["HC", "ALS"], max_recordings=3, n_patients=12)
    old = X["patient"].isin(X["patient"].unique()[:8]).to_numpy()
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X[old], y[old])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
    other = X.copy()
    first = np.flatnonzero(old)[0]
    other.iloc[first, other.columns.get_loc("audio")] = "another.wav"
    with pytest.warns(PatientLeakWarning, match=f"1 of .*{X['patient'].iloc[first]}"):
        model.predict(other)
