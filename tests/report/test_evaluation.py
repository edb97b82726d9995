"""Further scorers, settings of the caller, and fitted models on held-out patients."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.pipeline import make_pipeline

from sklearn_dysarthria import PatientVotingClassifier, compare
from sklearn_dysarthria.report import check_scoring, evaluate_held_out

QUICK = {"n_splits": 3, "n_resamples": 20}


@pytest.fixture(scope="module")
def table(speech):
    """Recordings with two numbers each, so that none has to be decoded."""
    X, y = speech
    numbers = {"f0": [len(a) for a in X["audio"]], "f1": [float(a[500]) for a in X["audio"]]}
    return X.assign(**numbers), y


def model(voting="soft"):
    numbers = ColumnTransformer([("numbers", "passthrough", ["f0", "f1"])])
    return PatientVotingClassifier(make_pipeline(numbers, LogisticRegression()), voting=voting)


def test_further_scorers_are_figures_of_the_same_decisions(table):
    result = compare(
        *table, methods={"m": model()}, scoring=["matthews_corrcoef", "roc_auc"], **QUICK
    )
    made = result.predictions[result.predictions["method"] == "m"]
    scores = result.scores.set_index(["method", "metric"])
    value, low, high = scores.loc[("m", "matthews_corrcoef")]
    assert value == pytest.approx(matthews_corrcoef(made["truth"], made["prediction"]))
    assert low <= value <= high
    # Probabilities of different folds come from different models, and are not pooled.
    by_fold = [
        roc_auc_score(fold["truth"] == "ALS", fold["score_ALS"]) for _, fold in made.groupby("fold")
    ]
    assert scores.loc[("m", "roc_auc"), "value"] == pytest.approx(np.mean(by_fold))
    assert f"m {value:.2f} [{low:.2f}, {high:.2f}]" in result.settings["matthews_corrcoef"]
    without = compare(*table, methods={"m": model()}, **QUICK)
    pd.testing.assert_frame_equal(without.predictions, result.predictions)
    pd.testing.assert_frame_equal(without.scores, result.scores.iloc[: len(without.scores)])


@pytest.mark.parametrize(
    ("scoring", "labels", "message"),
    [
        ("roc_au", None, "no scorer 'roc_au'. Did you mean 'roc_auc'"),
        ("coverage", None, "'coverage' is for models that abstain"),
        ("quadratic_kappa", ["a", "b"], "'quadratic_kappa' is not for the labels"),
        (["accuracy", "f1"], [1, 2, 3], "'f1' is not for the labels"),
    ],
)
def test_scorers_that_do_not_fit_are_refused(scoring, labels, message):
    with pytest.raises(ValueError, match=message):
        check_scoring(scoring, labels)


def test_scorers_are_checked_before_any_fit(table):
    class Unfittable(DummyClassifier):
        def fit(self, *args, **kwargs):
            raise AssertionError("began to fit")

    methods = {"m": PatientVotingClassifier(Unfittable())}
    with pytest.raises(ValueError, match="is not for the labels"):
        compare(*table, methods=methods, scoring="quadratic_kappa", **QUICK)


def test_the_callers_settings_stand_under_the_table(table):
    settings = {"preset": "mine", "corpus": "ten patients"}
    result = compare(*table, methods={"m": model()}, settings=settings, **QUICK)
    assert result.settings["preset"] == "mine"
    assert "- corpus: ten patients" in result.to_markdown()
    assert "- preset: mine" in result.to_markdown()
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.settings = {}


@pytest.fixture(scope="module")
def halves(table):
    X, y = table
    is_first = X["patient"].isin(X["patient"].unique()[:6]).to_numpy()
    return (X[is_first], y[is_first]), (X[~is_first], y[~is_first])


@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.SmallClassWarning")
@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_held_out_patients_are_scored_by_the_models_own_decisions(halves, voting):
    train, test = halves
    fitted = model(voting).fit(*train)
    result = evaluate_held_out(fitted, *test, name="mine", n_resamples=20, scoring="accuracy")
    decided = fitted.predict_patients(test[0])
    made = result.predictions[result.predictions["method"] == "mine"].set_index("patient")
    assert made["prediction"].to_dict() == decided["prediction"].to_dict()
    np.testing.assert_allclose(made["score_ALS"], decided["proba_ALS"])
    truth = dict(zip(test[0]["patient"], test[1], strict=True))
    assert made["truth"].to_dict() == truth
    scores = result.scores.set_index(["method", "metric"])
    expected = (made["truth"] == made["prediction"]).mean()
    assert scores.loc[("mine", "accuracy"), "value"] == pytest.approx(expected)
    assert list(result.table.index) == ["mine", "chance"]
    assert result.positive == "ALS"


def test_labels_that_the_model_does_not_know(halves):
    train, (X, y) = halves
    with pytest.raises(ValueError, match=r"has the labels \['mild'\], which the model"):
        evaluate_held_out(model().fit(*train), X, np.full(len(y), "mild"))
