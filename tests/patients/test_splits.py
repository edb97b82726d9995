import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)

from sklearn_dysarthria import (
    PatientVotingClassifier,
    RepeatedStratifiedPatientKFold,
    StratifiedPatientKFold,
)
from sklearn_dysarthria.exceptions import MissingColumnError, PatientError


@st.composite
def tables(draw):
    n_splits = draw(st.integers(2, 4))
    sizes = draw(st.lists(st.integers(n_splits, n_splits + 5), min_size=1, max_size=3))
    kind = draw(st.sampled_from(["string", "int", "mixed"]))
    labels = draw(st.sampled_from([[0, 1, 2], ["HC", "mild", "severe"], [2.0, -1.0, 7.0]]))
    names = {
        "string": lambda i: f"P{i}",
        "int": lambda i: 1000 - i,
        "mixed": lambda i: i if i % 2 else str(i),
    }
    rows = []
    number = 0
    for code, size in enumerate(sizes):
        for _ in range(size):
            count = draw(st.integers(1, 4))
            rows += [(names[kind](number), labels[code])] * count
            number += 1
    rows = draw(st.permutations(rows))
    patients = np.empty(len(rows), dtype=object)
    patients[:] = [row[0] for row in rows]
    index = draw(st.sampled_from([range(len(rows)), [7] * len(rows), list("ab" * len(rows))]))
    X = pd.DataFrame({"audio": "x.wav", "patient": patients}, index=list(index)[: len(rows)])
    return X, np.array([row[1] for row in rows]), n_splits


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 5))
def test_every_patient_is_on_one_side_and_tested_once(table, seed):
    X, y, n_splits = table
    splitter = RepeatedStratifiedPatientKFold(n_splits, n_repeats=2, random_state=seed)
    folds = list(splitter.split(X, y))
    assert len(folds) == splitter.get_n_splits() == 2 * n_splits
    patients = X["patient"].to_numpy()
    for repeat in (folds[:n_splits], folds[n_splits:]):
        tested = np.concatenate([test for _, test in repeat])
        assert sorted(tested) == list(range(len(X)))
        for train, test in repeat:
            assert sorted([*train, *test]) == list(range(len(X)))
            assert not set(patients[train]) & set(patients[test])


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans(), st.integers(0, 5))
def test_folds_are_those_of_stratified_k_fold_over_patients(table, shuffle, seed):
    X, y, n_splits = table
    mine = StratifiedPatientKFold(n_splits, shuffle=shuffle, random_state=seed).split(X, y)
    patients = list(dict.fromkeys(X["patient"]))
    label_of = dict(zip(X["patient"], y, strict=True))
    labels = np.array([label_of[patient] for patient in patients])
    reference = StratifiedKFold(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    for (_, test), (_, expected) in zip(
        mine, reference.split(np.zeros(len(patients)), labels), strict=True
    ):
        assert set(X["patient"].iloc[test]) == {patients[i] for i in expected}


@pytest.mark.parametrize("splitter_class", [StratifiedPatientKFold, RepeatedStratifiedPatientKFold])
def test_random_state(cohort, splitter_class):
    X, y = cohort()

    def folds(random_state):
        splitter = splitter_class(3, random_state=random_state)
        return [test.tolist() for _, test in splitter.split(X, y)]

    assert folds(0) == folds(0) != folds(1)
    assert folds(np.random.RandomState(0)) == folds(np.random.RandomState(0))
    assert folds(None) != folds(None)


def test_repetitions_differ(cohort):
    X, y = cohort()
    folds = list(RepeatedStratifiedPatientKFold(3, n_repeats=2, random_state=0).split(X, y))
    assert [t.tolist() for _, t in folds[:3]] != [t.tolist() for _, t in folds[3:]]


def test_groups_for_arrays_give_the_folds_of_the_table(cohort):
    X, y = cohort()
    splitter = StratifiedPatientKFold(3, random_state=0)
    by_table = [test.tolist() for _, test in splitter.split(X, y)]
    groups = X["patient"].to_numpy()
    assert by_table == [t.tolist() for _, t in splitter.split(X[["f0"]].to_numpy(), y, groups)]
    assert by_table == [t.tolist() for _, t in splitter.split(X.drop(columns="audio"), y)]


def test_errors(cohort):
    X, y = cohort()
    splitter = StratifiedPatientKFold(3)
    with pytest.raises(ValueError, match="needs y"):
        next(splitter.split(X))
    with pytest.raises(ValueError, match="column 'patient', or groups"):
        next(splitter.split(X.drop(columns="patient"), y))
    holes = X.assign(patient=X["patient"].where(X["patient"] != "P03"))
    with pytest.raises(MissingColumnError, match="has no value here"):
        next(splitter.split(holes, y))
    with pytest.raises(PatientError, match="groups names no patient at positions"):
        next(splitter.split(X[["f0"]].to_numpy(), y, holes["patient"]))
    with pytest.raises(ValueError, match="groups names 2 patients"):
        next(splitter.split(X[["f0"]].to_numpy(), y, ["a", "b"]))
    with pytest.raises(ValueError, match="labels for"):
        next(splitter.split(X, y[:-1]))
    mixed = y.copy()
    rows = np.flatnonzero(X["patient"] == X["patient"].mode()[0])
    mixed[rows[0]] = 1 - mixed[rows[0]]
    with pytest.raises(PatientError, match=f"patient '{X['patient'].mode()[0]}' carries"):
        next(splitter.split(X, mixed))
    missing = y.astype(float)
    missing[rows] = np.nan
    with pytest.raises(ValueError, match="y has no label at positions"):
        next(splitter.split(X, missing))
    with pytest.raises(ValueError, match="cannot be greater than the number of members"):
        next(StratifiedPatientKFold(20).split(X, y))


@pytest.mark.parametrize("n_splits", [1, 2.0, "5"])
def test_impossible_n_splits(n_splits):
    with pytest.raises(ValueError, match="n_splits"):
        StratifiedPatientKFold(n_splits)
    with pytest.raises(ValueError, match="n_splits"):
        RepeatedStratifiedPatientKFold(n_splits)


def test_other_impossible_arguments():
    with pytest.raises(TypeError, match="shuffle"):
        StratifiedPatientKFold(shuffle=1)
    with pytest.raises(ValueError, match="n_repeats"):
        RepeatedStratifiedPatientKFold(n_repeats=0)


def test_repr():
    assert "n_splits=3, shuffle=True, random_state=1" in repr(
        StratifiedPatientKFold(3, random_state=1)
    )
    assert "n_repeats=2" in repr(RepeatedStratifiedPatientKFold(3, n_repeats=2))


@pytest.mark.usefixtures("routing")
def test_in_scikit_learn(cohort, on_features):
    X, y = cohort()
    cv = StratifiedPatientKFold(3, random_state=0)
    model = PatientVotingClassifier(on_features(LogisticRegression()))
    assert np.isfinite(cross_val_score(model, X, y, cv=cv)).all()
    assert np.isfinite(cross_validate(model, X, y, cv=cv)["test_score"]).all()
    assert len(cross_val_predict(model, X, y, cv=cv)) == len(X)
    grid = {"estimator__logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=StratifiedPatientKFold(2, random_state=0))
    nested = cross_validate(search, X, y, cv=cv, return_estimator=True)
    assert np.isfinite(nested["test_score"]).all()
    rows = cross_val_score(DummyClassifier(), X, y, cv=StratifiedPatientKFold(2))
    assert len(rows) == 2


def test_groups_through_cross_val_score(cohort, routing):
    X, y = cohort()
    groups = {"groups": X["patient"].to_numpy()}
    model = LogisticRegression()
    arguments = {"params": groups} if routing else groups
    features = X[["f0", "f1"]].to_numpy()
    scores = cross_val_score(model, features, y, cv=StratifiedPatientKFold(3), **arguments)
    assert np.isfinite(scores).all()
