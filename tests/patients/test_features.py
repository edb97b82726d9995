import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sklearn_dysarthria import PatientFeaturesClassifier, StratifiedPatientKFold
from sklearn_dysarthria.exceptions import MissingColumnError, PatientError, RecordingWarning


class Remember(ClassifierMixin, BaseEstimator):
    """Keeps what it was given, and says the first class."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        self.asked_ = X
        return np.repeat(self.classes_[:1], len(X))


class Columns(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[["f0", "f1"]].to_numpy()


def by_hand(X, tasks):
    rows = []
    for patient in dict.fromkeys(X["patient"]):
        row = []
        for task in tasks:
            theirs = X[(X["patient"] == patient) & (X["task"] == task)]
            for name in ("f0", "f1"):
                values = [v for v in theirs[name] if not np.isnan(v)]
                row.append(sum(values) / len(values) if values else np.nan)
        rows.append(row)
    return np.array(rows)


def model_for(classifier):
    return PatientFeaturesClassifier(Columns(), make_pipeline(SimpleImputer(), classifier))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("numbers", [False, True], ids=["string", "int"])
def test_side_by_side_against_a_loop(cohort, seed, numbers):
    X, y = cohort(seed=seed, labels=["HC", "ALS"], max_recordings=6)
    if numbers:
        X = X.assign(patient=X["patient"].str[1:].astype(int))
    X = X.set_axis(["same"] * len(X))
    model = PatientFeaturesClassifier(Columns(), Remember()).fit(X, y)
    assert model.tasks_ == ["a", "b", "c"]
    np.testing.assert_allclose(model.classifier_.X_, by_hand(X, "abc"))
    label_of = dict(zip(X["patient"], y, strict=True))
    assert model.classifier_.y_.tolist() == [label_of[p] for p in dict.fromkeys(X["patient"])]
    decided = model.predict_patients(X.iloc[::-1])
    np.testing.assert_allclose(model.classifier_.asked_, by_hand(X.iloc[::-1], "abc"))
    assert list(decided.index) == list(dict.fromkeys(X["patient"].iloc[::-1]))
    assert list(decided.columns) == ["prediction"]
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")
    assert model.predict(X).dtype == y.dtype


def test_failed_recordings_count_as_missing(cohort):
    X, y = cohort(max_recordings=6)
    X.iloc[5, X.columns.get_indexer(["f0", "f1"])] = np.nan
    with pytest.warns(RecordingWarning, match="1 of .* are missing from their patient's features"):
        model = PatientFeaturesClassifier(Columns(), Remember()).fit(X, y)
    np.testing.assert_allclose(model.classifier_.X_, by_hand(X, "abc"))
    theirs = X["patient"] == X["patient"].iloc[5]
    broken = X.assign(f0=X["f0"].where(~theirs), f1=X["f1"].where(~theirs))
    lost = f"{X['patient'].iloc[5]!r} has no usable recording"
    with pytest.warns(RecordingWarning), pytest.raises(PatientError, match=lost):
        model.predict(broken)


def test_rows_of_a_patient_share_the_answer(cohort):
    X, y = cohort()
    model = model_for(LogisticRegression()).fit(X, y)
    decided = model.predict_patients(X)
    assert model.predict(X).tolist() == decided.loc[X["patient"], "prediction"].tolist()
    probabilities = decided.loc[X["patient"], ["proba_0", "proba_1"]].to_numpy()
    assert (model.predict_proba(X) == probabilities).all()
    shuffled = X.iloc[::-1].reset_index(drop=True)
    assert (model.predict_proba(shuffled)[::-1] == model.predict_proba(X)).all()


def test_unknown_and_missing_tasks(cohort):
    X, y = cohort()
    model = model_for(SVC()).fit(X[X["task"] != "c"], y[(X["task"] != "c").to_numpy()])
    with pytest.warns(RecordingWarning, match=r"tasks \['c'\] were not in the training set"):
        decided = model.predict_patients(X)
    known = model.predict_patients(X[X["task"] != "c"])
    pd.testing.assert_frame_equal(decided.sort_index(), known.sort_index())
    only_new = X.assign(task="new")
    with (
        pytest.warns(RecordingWarning, match="passed over"),
        pytest.raises(PatientError, match="no usable recording"),
    ):
        model.predict(only_new)
    assert len(model.predict_patients(X[X["task"] == "a"])) == X["patient"].nunique()


def test_errors(cohort):
    X, y = cohort()
    model = model_for(SVC())
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(MissingColumnError, match="'task' is needed to put tasks side by side"):
        model.fit(X.drop(columns="task"), y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(MissingColumnError, match="'patient'"):
        model.fit(X.drop(columns="patient"), y)
    pairs = model_for(SVC(decision_function_shape="ovo"))
    X, y = cohort(n_classes=3)
    with pytest.raises(ValueError, match="decision_function_shape='ovr'"):
        pairs.fit(X, y).predict(X)


@pytest.mark.usefixtures("routing")
def test_scikit_learn_contract(cohort):
    X, y = cohort()
    model = model_for(SVC())
    grid = {"classifier__svc__C": [0.1, 10.0]}
    cv = StratifiedPatientKFold(3, random_state=0)
    search = GridSearchCV(model, grid, cv=StratifiedPatientKFold(2, random_state=0))
    assert np.isfinite(cross_val_score(search, X, y, cv=cv)).all()
    copy = clone(model.set_params(classifier__svc__C=3.0)).fit(X, y)
    assert copy.classifier_[-1].C == 3.0
    assert not hasattr(model.classifier[-1], "support_")
    again = pickle.loads(pickle.dumps(copy))
    assert (again.decision_function(X) == copy.decision_function(X)).all()
    assert "PatientFeaturesClassifier" in copy._repr_html_()


class Noted(Columns):
    """Different on training data, as target encoding and training noise are."""

    def fit_transform(self, X, y=None):
        return self.transform(X) + 100


def test_the_transformer_may_treat_training_data_differently(cohort):
    X, y = cohort(seed=0, labels=["HC", "ALS"], max_recordings=4)
    model = PatientFeaturesClassifier(Noted(), Remember()).fit(X, y)
    model.predict(X)
    np.testing.assert_allclose(model.classifier_.X_, model.classifier_.asked_ + 100)
