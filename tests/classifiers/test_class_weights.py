from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.utils.class_weight import compute_class_weight

from sklearn_dysarthria import (
    CrossEntropy,
    EffectiveNumber,
    FocalLoss,
    HyperHead,
    HyperLinearClassifier,
)

CLASSES = np.array(["a", "b", "c"])
CODES = np.repeat([0, 1, 2], [2, 6, 40])


KINDS = ("balanced", "effective_number", "inverse_sqrt")


def weights(class_weight, y=CLASSES[CODES]):
    """Weights of the classes in the loss of a network that was trained on such labels."""
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    model = HyperLinearClassifier(
        head=HyperHead(hidden_dim=2, context_dim=2, n_contexts=2),
        class_weight=class_weight,
        max_epochs=1,
        batch_size=2**20,
        random_state=0,
    )
    return model.fit(X, y).net_.criterion_.weight.numpy()


def test_balanced_is_scikit_learns():
    expected = compute_class_weight("balanced", classes=CLASSES, y=CLASSES[CODES])
    assert_allclose(weights("balanced"), expected)


def test_inverse_square_root():
    found = weights("inverse_sqrt")
    assert_allclose(found / found[2], np.sqrt(40 / np.array([2, 6, 40])))


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999])
def test_effective_number(beta):
    found = weights(EffectiveNumber(beta=beta))
    effective = [sum(beta**i for i in range(n)) for n in (2, 6, 40)]  # a geometric series
    assert_allclose(found / found[0], effective[0] / np.array(effective))


def test_effective_number_lies_between_none_and_balanced():
    assert_allclose(weights(EffectiveNumber(beta=0)), [1, 1, 1])
    close = weights(EffectiveNumber(beta=1 - 1e-12))
    assert_allclose(close, weights("balanced"), rtol=1e-6)


@given(
    st.sampled_from(["balanced", "inverse_sqrt", "effective_number", "beta"]),
    st.lists(st.integers(1, 10**3), min_size=3, max_size=3),
    st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=60, deadline=None)
def test_mean_over_the_rows_is_one_and_rarer_classes_weigh_no_less(kind, counts, beta):
    codes = np.repeat([0, 1, 2], counts)
    found = weights(EffectiveNumber(beta=beta) if kind == "beta" else kind, CLASSES[codes])
    assert_allclose(found[codes].mean(), 1)
    assert (np.diff(found[np.argsort(counts)]) <= 1e-9).all()


def test_the_name_is_the_object_with_its_defaults():
    assert_allclose(weights("effective_number"), weights(EffectiveNumber(beta=0.999)))


def test_a_mapping_is_taken_as_it_is():
    assert_allclose(weights({"a": 4, "c": 0.5}), [4, 1, 0.5])
    with pytest.raises(ValueError, match="class_weight names 'dead', which is not among"):
        weights({"a": 4, "dead": 1})


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "2", True, None])
def test_impossible_weights(weight):
    with pytest.raises(ValueError, match=r"class_weight\['a'\]=.* must be a finite number"):
        weights({"a": weight})


def test_grades_as_text_are_not_numbers():
    y = np.array(["1", "2"])
    assert_allclose(weights({"1": 21}, y), [21, 1])
    with pytest.raises(ValueError, match="class_weight names 1, which is not among"):
        weights({1: 21}, y)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "coral", "corn", "cumulative_link"])
@pytest.mark.parametrize("class_weight", KINDS)
def test_every_loss_gets_them(loss, class_weight):
    rng = np.random.default_rng(0)
    y = np.repeat([1, 2, 4], [4, 8, 20])
    model = HyperLinearClassifier(
        loss=loss,
        class_weight=class_weight,
        max_epochs=1,
        head=HyperHead(hidden_dim=4),
        random_state=0,
    )
    model.fit(rng.normal(size=(32, 3)), y)
    assert_allclose(model.net_.criterion_.weight, weights(class_weight, y))


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(label_smoothing=0.1),
        FocalLoss(label_smoothing=0.1),
        "coral",
        "corn",
        "cumulative_link",
    ],
)
def test_a_weight_of_nothing_leaves_a_class_out(loss):
    """What a class of weight 0 looks like changes nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.repeat([0, 1, 2], 10)
    other = X.copy()
    other[y == 1] += 100
    model = HyperLinearClassifier(
        loss=loss,
        class_weight={1: 0.0},
        max_epochs=5,
        batch_size=30,
        head=HyperHead(hidden_dim=4),
        random_state=0,
    )
    expected = model.fit(X, y).predict_proba(X)
    assert_allclose(model.fit(other, y).predict_proba(X), expected, rtol=1e-9)
