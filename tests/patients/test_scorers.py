import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.svm import SVC

from sklearn_dysarthria import PatientVotingClassifier, StratifiedPatientKFold, patient_scorer


def classification_scorers(n_classes):
    """Names of scikit-learn's scorers that can be computed for this number of classes."""
    y = np.arange(60) % n_classes
    X = y[:, None] + np.linspace(0, 1.5, 60)[:, None]
    model = LogisticRegression().fit(X, y)
    names = []
    for name in get_scorer_names():
        scorer = get_scorer(name)
        module = inspect.getmodule(scorer._score_func).__name__
        if module.endswith(("_regression", "_supervised", "_unsupervised")):
            continue  # of numbers, or of clusters
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                finite = np.isfinite(scorer(model, X, y))
        except (ValueError, UserWarning):
            continue  # not for this number of classes
        if finite:
            names.append(name)
    return names


def by_hand(name, model, X, y):
    """The score of a table with one recording (the first) per patient, voted over all of them."""
    decided = model.predict_patients(X)
    label_of = dict(zip(X["patient"], y, strict=True))
    truth = np.array([label_of[patient] for patient in decided.index])
    predicted = decided["prediction"].to_numpy().astype(y.dtype)
    proba = decided[[f"proba_{c}" for c in model.classes_]].to_numpy(dtype=float)
    scorer = get_scorer(name)
    arguments = dict(scorer._kwargs)
    response = scorer._response_method
    wanted = (response,) if isinstance(response, str) else response
    if "predict_proba" in wanted:
        proba = proba[:, 1] if len(model.classes_) == 2 else proba
        return scorer._sign * scorer._score_func(truth, proba, **arguments)
    return scorer._sign * scorer._score_func(truth, predicted, **arguments)


@pytest.mark.parametrize("name", classification_scorers(2))
def test_binary_scorers(cohort, on_features, name):
    X, y = cohort(n_patients=80, seed=2)  # with errors of both kinds
    model = PatientVotingClassifier(on_features(LogisticRegression()), "soft").fit(X, y)
    assert patient_scorer(name)(model, X, y) == pytest.approx(by_hand(name, model, X, y))


@pytest.mark.parametrize("name", classification_scorers(3))
def test_multiclass_scorers(cohort, on_features, name):
    X, y = cohort(n_patients=30, n_classes=3)
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    assert patient_scorer(name)(model, X, y) == pytest.approx(by_hand(name, model, X, y))


def test_there_are_scorers_to_test():
    binary, multiclass = classification_scorers(2), classification_scorers(3)
    assert {"accuracy", "balanced_accuracy", "roc_auc", "neg_log_loss", "f1"} <= set(binary)
    assert {"f1_macro", "roc_auc_ovr", "roc_auc_ovo_weighted", "neg_log_loss"} <= set(multiclass)


def test_decision_values(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(SVC()), "soft").fit(X, y)
    decided = model.predict_patients(X)
    truth = pd.Series(y).groupby(X["patient"].to_numpy()).first().loc[decided.index]
    expected = metrics.roc_auc_score(truth, decided["decision_1"])
    assert patient_scorer("roc_auc")(model, X, y) == pytest.approx(expected)


def test_string_labels_and_made_scorers(cohort, on_features):
    X, y = cohort(labels=["HC", "ALS"])
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    scorer = patient_scorer(make_scorer(metrics.recall_score, pos_label="ALS"))
    decided = model.predict_patients(X)
    truth = pd.Series(y).groupby(X["patient"].to_numpy()).first().loc[decided.index]
    ill = (truth == "ALS").to_numpy()
    assert scorer(model, X, y) == (decided["prediction"][ill] == "ALS").mean()
    assert repr(scorer).startswith("patient_scorer(make_scorer(recall_score")
    assert patient_scorer(scorer) is scorer


def test_row_level_models_are_refused(cohort, on_features):
    X, y = cohort()
    rows = on_features(LogisticRegression()).fit(X, y)
    for name in ("accuracy", "roc_auc", "neg_log_loss"):
        with pytest.raises(ValueError, match="wrap it in PatientVotingClassifier"):
            patient_scorer(name)(rows, X, y)
    first = ~X["patient"].duplicated().to_numpy()
    assert patient_scorer("accuracy")(rows, X[first], y[first]) == rows.score(X[first], y[first])


def test_what_is_no_scorer():
    with pytest.raises(ValueError, match="becomes a scorer by make_scorer"):
        patient_scorer(metrics.accuracy_score)
    with pytest.raises(ValueError, match="nonsense"):
        patient_scorer("nonsense")


@pytest.mark.usefixtures("routing")
def test_in_scikit_learn(cohort, on_features):
    X, y = cohort()
    cv = StratifiedPatientKFold(3, random_state=0)
    model = PatientVotingClassifier(on_features(LogisticRegression()))
    scoring = {name: patient_scorer(name) for name in ("balanced_accuracy", "roc_auc")}
    result = cross_validate(model, X, y, cv=cv, scoring=scoring, error_score="raise")
    for number, (train, test) in enumerate(cv.split(X, y)):
        model.fit(X.iloc[train], y[train])
        for name, scorer in scoring.items():
            assert result[f"test_{name}"][number] == scorer(model, X.iloc[test], y[test])
    grid = {"estimator__logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=2, scoring=scoring, refit="roc_auc")
    search.set_params(cv=StratifiedPatientKFold(2, random_state=0)).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_roc_auc"]).all()
    assert patient_scorer("roc_auc")(search, X, y) <= 1


def test_another_process_can_score(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    scorer = patient_scorer("balanced_accuracy")
    sent, received = pickle.loads(pickle.dumps((scorer, model)))
    assert sent(received, X, y) == scorer(model, X, y)
