from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.utils.class_weight import compute_class_weight

from sklearn_dysarthria import HyperLinearClassifier
from sklearn_dysarthria.classifiers._class_weights import CLASS_WEIGHTS, class_weights

CLASSES = np.array(["a", "b", "c"])
CODES = np.repeat([0, 1, 2], [2, 6, 40])


def weights(kind, codes=CODES, beta=0.9):
    return class_weights(kind, CLASSES, codes, beta)


def test_balanced_is_scikit_learns():
    expected = compute_class_weight("balanced", classes=CLASSES, y=CLASSES[CODES])
    assert_allclose(weights("balanced"), expected)


def test_inverse_square_root():
    found = weights("inverse_sqrt")
    assert_allclose(found / found[2], np.sqrt(40 / np.array([2, 6, 40])))


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999])
def test_effective_number(beta):
    found = weights("effective_number", beta=beta)
    effective = [sum(beta**i for i in range(n)) for n in (2, 6, 40)]  # a geometric series
    assert_allclose(found / found[0], effective[0] / np.array(effective))


def test_effective_number_lies_between_none_and_balanced():
    assert_allclose(weights("effective_number", beta=0), [1, 1, 1])
    close = weights("effective_number", beta=1 - 1e-12)
    assert_allclose(close, weights("balanced"), rtol=1e-6)


@given(
    st.sampled_from(CLASS_WEIGHTS),
    st.lists(st.integers(0, 10**4), min_size=3, max_size=3).filter(lambda counts: sum(counts)),
    st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=150, deadline=None)
def test_mean_over_the_rows_is_one_and_rarer_classes_weigh_no_less(kind, counts, beta):
    codes = np.repeat([0, 1, 2], counts)
    found = weights(kind, codes, beta)
    assert_allclose(found[codes].mean(), 1)
    present = np.array(counts) > 0
    assert_allclose(found[~present], 1)
    order = np.argsort(np.array(counts)[present])
    assert (np.diff(found[present][order]) <= 1e-9).all()


def test_a_mapping_is_taken_as_it_is():
    assert_allclose(weights({"a": 4, "c": 0.5}), [4, 1, 0.5])
    with pytest.raises(ValueError, match="class_weight names 'dead', which is not among"):
        weights({"a": 4, "dead": 1})


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "2", True, None])
def test_impossible_weights(weight):
    with pytest.raises(ValueError, match=r"class_weight\['a'\]=.* must be a finite number"):
        weights({"a": weight})


def test_grades_as_text_are_not_numbers():
    classes = np.array(["1", "2"])
    assert_allclose(class_weights({"1": 21}, classes, np.array([0, 1]), 0.9), [21, 1])
    with pytest.raises(ValueError, match="class_weight names 1, which is not among"):
        class_weights({1: 21}, classes, np.array([0, 1]), 0.9)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "coral", "corn", "cumulative_link"])
@pytest.mark.parametrize("class_weight", CLASS_WEIGHTS)
def test_every_loss_gets_them(loss, class_weight):
    rng = np.random.default_rng(0)
    y = np.repeat([1, 2, 4], [4, 8, 20])
    model = HyperLinearClassifier(
        loss=loss,
        class_weight=class_weight,
        class_weight_beta=0.95,
        max_epochs=1,
        hidden_dim=4,
        random_state=0,
    )
    model.fit(rng.normal(size=(32, 3)), y)
    codes = np.repeat([0, 1, 2], [4, 8, 20])
    expected = class_weights(class_weight, np.array([1, 2, 4]), codes, 0.95)
    assert_allclose(model.net_.criterion_.weight, expected)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "coral", "corn", "cumulative_link"])
def test_a_weight_of_nothing_leaves_a_class_out(loss):
    """What a class of weight 0 looks like changes nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.repeat([0, 1, 2], 10)
    other = X.copy()
    other[y == 1] += 100
    model = HyperLinearClassifier(
        loss=loss,
        label_smoothing=0.1 if loss in ("cross_entropy", "focal") else 0,
        class_weight={1: 0.0},
        max_epochs=5,
        batch_size=30,
        hidden_dim=4,
        random_state=0,
    )
    expected = model.fit(X, y).predict_proba(X)
    assert_allclose(model.fit(other, y).predict_proba(X), expected, rtol=1e-9)
