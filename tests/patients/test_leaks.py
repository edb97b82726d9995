"""Patients on both sides of a split: prevented in searches, told elsewhere."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dysarthria import (
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    StratifiedPatientKFold,
)
from sklearn_dysarthria.exceptions import PatientLeakWarning


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


def model(classifier=None):
    return make_pipeline(FunctionTransformer(loudness), classifier or LogisticRegression())


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


def test_a_chosen_splitter_is_left_alone():
    X, y = recordings()
    chosen = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(model(), {"logisticregression__C": [1.0]}, cv=chosen)
    with warnings.catch_warnings():
        # With routing off scikit-learn remarks that this splitter has no use for the patients.
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        fitted = PatientVotingClassifier(search).fit(X, y).estimator_
    assert isinstance(fitted.cv, KFold)


def test_other_inner_splits_draw_a_warning():
    X, y = recordings()
    calibrated = model(CalibratedClassifierCV(LogisticRegression(), cv=2))
    with pytest.warns(PatientLeakWarning, match=r"CalibratedClassifierCV\(cv=2\)"):
        PatientVotingClassifier(calibrated).fit(X, y)


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

    def test_paths_are_told_apart_by_name(self, classifier):
        X, y = recordings()
        fitted = classifier.fit(X, y)
        known = fitted.training_patients_
        table = pd.DataFrame({"audio": ["a.wav"], "patient": ["P0"]})
        with pytest.warns(PatientLeakWarning):
            known.warn_about(table, table["patient"])

    def test_names_are_not_kept(self, classifier):
        X, y = recordings()
        X["patient"] = X["patient"].replace("P7", "Somebody Recognisable")
        stored = pickle.dumps(classifier.fit(X, y).training_patients_)
        assert b"Recognisable" not in stored
