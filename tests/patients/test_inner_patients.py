"""Early stopping inside a fold never meets a patient it trains on, nor one of the test fold."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_dysarthria import (
    EarlyStopping,
    HyperHead,
    HyperLinearClassifier,
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    StratifiedPatientKFold,
)


@pytest.fixture
def inner_splits(monkeypatch):
    """Patients of every inner training and validation part, as they were made."""
    made = []
    genuine = EarlyStopping.hold_out

    def spy(self, labels, patients, seed):
        train, valid = genuine(self, labels, patients, seed)
        made.append((set(patients[train]), set(patients[valid])))
        return train, valid

    monkeypatch.setattr(EarlyStopping, "hold_out", spy)
    return made


def network():
    return HyperLinearClassifier(
        early_stopping=EarlyStopping(),
        max_epochs=1,
        head=HyperHead(context_dim=2, hidden_dim=2, n_contexts=1),
        random_state=0,
    )


GRID = {"hyperlinearclassifier__lr": [0.01, 0.1]}


def models(on_features):
    cv = StratifiedPatientKFold(2, random_state=0)
    pipeline = on_features(network())
    outside = {f"estimator__{name}": values for name, values in GRID.items()}
    return {
        "pipeline": PatientVotingClassifier(pipeline),
        "search around": GridSearchCV(PatientVotingClassifier(pipeline), outside, cv=cv),
        "search inside": PatientVotingClassifier(GridSearchCV(pipeline, GRID, cv=cv)),
    }


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("name", ["pipeline", "search around", "search inside"])
def test_inner_validation_patients(cohort, on_features, inner_splits, name):
    X, y = cohort(n_patients=24)
    model = models(on_features)[name]
    for train, test in StratifiedPatientKFold(3, random_state=0).split(X, y):
        inner_splits.clear()
        model.fit(X.iloc[train], y[train])
        assert len(inner_splits) == (1 if name == "pipeline" else 5)
        patients = X["patient"].to_numpy()
        for training, validation in inner_splits:
            assert training
            assert validation
            assert not training & validation
            assert not (training | validation) & set(patients[test])
        refitted = inner_splits[-1][0] | inner_splits[-1][1]
        assert refitted == set(patients[train])


@pytest.mark.usefixtures("routing")
def test_search_scores_patients_it_did_not_train_on(cohort, on_features, inner_splits):
    X, y = cohort(n_patients=24)
    search = models(on_features)["search inside"]
    search.fit(X, y)
    folds = list(StratifiedPatientKFold(2, random_state=0).split(X, y))
    patients = X["patient"].to_numpy()
    for number, (training, validation) in enumerate(inner_splits[:-1]):
        train, test = folds[number % 2]
        assert training | validation == set(patients[train])
        assert not (training | validation) & set(patients[test])


@pytest.mark.usefixtures("routing")
def test_in_cross_validate(cohort, on_features):
    X, y = cohort()
    model = models(on_features)["pipeline"]
    cv = StratifiedPatientKFold(2, random_state=0)
    result = cross_validate(model, X, y, cv=cv, return_estimator=True, error_score="raise")
    for estimator, (train, _) in zip(result["estimator"], cv.split(X, y), strict=True):
        held_out = set(estimator.estimator_[-1].validation_patients_)
        assert held_out < set(X["patient"].iloc[train])


@pytest.mark.usefixtures("routing")
def test_side_by_side(cohort, on_features, inner_splits):
    X, y = cohort(max_recordings=1)
    transformer = on_features(network())[0]
    PatientFeaturesClassifier(transformer, network()).fit(X, y)
    ((training, validation),) = inner_splits
    assert not training & validation
    assert training | validation == set(X["patient"])


def test_a_model_without_interest_in_patients_gets_none(cohort, on_features):
    from sklearn.linear_model import LogisticRegression

    X, y = cohort()
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
