"""The protocol by which probabilities become classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria import (
    HierarchicalClassifier,
    HyperLinearClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    SeedEnsembleClassifier,
    SkipFailedRows,
)
from sklearn_dysarthria._utils.decisions import (
    MedianClass,
    MostProbable,
    at_least,
    common_decision,
    decision_of,
    winners,
)

X = np.random.default_rng(0).normal(size=(80, 3)) + np.arange(80)[:, None] % 4
Y = np.arange(80) % 4


def net(loss="coral"):
    return HyperLinearClassifier(loss=loss, max_epochs=3, lr=0.02, random_state=0)


def resampled(inner):
    return ResampledClassifier(RecordingOverSampler(), inner)


class Contrary(HyperLinearClassifier):
    """Decides otherwise than its probabilities say."""

    def predict(self, X):
        answers = super().predict(X)
        return np.where(answers == self.classes_[0], self.classes_[1], self.classes_[0])


class Odd(Pipeline):
    def predict(self, X, **params):
        return np.repeat(self.classes_[:1], len(X))


def slow_winner(votes, scores):
    """The rule in words: most votes, larger score, nearer the middle, lower."""
    middle = (len(votes) - 1) / 2
    return min(range(len(votes)), key=lambda c: (-votes[c], -scores[c], abs(c - middle), c))


# Quarters add up exactly, so that ties are ties.
tables = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.lists(st.integers(0, 2), min_size=n, max_size=n),
            st.lists(st.integers(-4, 4).map(lambda q: q / 4), min_size=n, max_size=n),
        ),
        min_size=1,
        max_size=6,
    )
)


@given(tables)
@settings(max_examples=100, deadline=None)
def test_winners(rows):
    votes, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    expected = [slow_winner(*row) for row in rows]
    assert winners(votes, scores).tolist() == expected
    assert winners(votes + 1e-13, scores).tolist() == expected


def test_winners_among_none():
    assert winners(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)


def test_rounding_does_not_put_a_value_below_a_bound():
    assert at_least(np.array([0.55, 0.55 - 1e-15, 0.5499, 0.1 + 0.2]), 0.55).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert 0.7 - 0.4 < 0.3
    assert at_least(np.array([0.7 - 0.4]), 0.3).all()


@pytest.mark.parametrize("loss", ["coral", "corn"])
@pytest.mark.parametrize(
    "wrap",
    [
        SkipFailedRows,
        resampled,
        lambda inner: make_pipeline(StandardScaler(), inner),
        lambda inner: GridSearchCV(inner, {}, cv=2),
        lambda inner: SeedEnsembleClassifier(SkipFailedRows(inner), 2, random_state=0),
    ],
)
def test_what_holds_a_network_decides_as_the_network(wrap, loss):
    model = wrap(net(loss)).fit(X, Y)
    decision = decision_of(model)
    assert decision == MedianClass()
    assert decision.same_as_predict
    found = model.classes_[decision(model.predict_proba(X), model.classes_)]
    np.testing.assert_array_equal(found, model.predict(X))
    probabilities = np.random.default_rng(1).dirichlet(np.ones(4), size=50)
    medians = (probabilities.cumsum(axis=1) < 0.5).sum(axis=1)
    np.testing.assert_array_equal(decision(probabilities, model.classes_), medians)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("loss", ["cross_entropy", "corn"])
def test_two_networks_in_turn(loss, threshold):
    model = HierarchicalClassifier(net("focal"), net(loss), healthy=2, threshold=threshold)
    decision = decision_of(model.fit(X, Y))
    assert decision.same_as_predict
    found = model.classes_[decision(model.predict_proba(X), model.classes_)]
    np.testing.assert_array_equal(found, model.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        SkipFailedRows(Contrary(max_epochs=1)),
        SkipFailedRows(FixedThresholdClassifier(net("focal"), threshold=0.1)),
        SkipFailedRows(SVC(probability=True)),
        SkipFailedRows(Odd([("network", net())])),
        SeedEnsembleClassifier(net(), 2, voting="hard"),
        HierarchicalClassifier(net("focal"), Contrary(max_epochs=1), healthy=1),
        HierarchicalClassifier(net("focal"), healthy=1, threshold=0),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_classes_that_do_not_follow_from_probabilities(model):
    y = Y % 2 if "Fixed" in repr(model) else Y
    assert not decision_of(model.fit(X, y)).same_as_predict


def test_the_most_probable_class_is_taken_unless_a_model_says_otherwise():
    y = Y % 2
    for model in (
        LogisticRegression(),
        net("cross_entropy"),
        FixedThresholdClassifier(net("coral")),
        HierarchicalClassifier(RidgeClassifier(), healthy=0),
        SeedEnsembleClassifier(net("coral"), 2, voting="hard", random_state=0),
    ):
        assert decision_of(model.fit(X, y)) == MostProbable()


def test_several_models_share_a_decision_or_take_the_most_probable():
    def graded(threshold):
        return HierarchicalClassifier(LogisticRegression(), healthy=0, threshold=threshold)

    different = [graded(threshold).fit(X, Y) for threshold in (0.3, 0.4)]
    assert common_decision(different) == MostProbable()
    assert common_decision([different[0], graded(0.3).fit(X, Y)]) == decision_of(different[0])
    assert decision_of(different[0]) != MostProbable()


def test_grades_that_are_all_impossible():
    model = HierarchicalClassifier(LogisticRegression(), healthy=0, threshold=0.0)
    decision = decision_of(model.fit(X, Y))
    certain = np.array([[1.0, 0.0, 0.0, 0.0]])
    assert decision(certain, np.arange(4)).tolist() == [2]  # in the middle of the grades
