from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_dysarthria import HyperAlexNetClassifier, HyperHead, HyperLinearClassifier


@pytest.fixture
def table():
    y = np.arange(30) % 3
    return np.random.default_rng(0).normal(size=(30, 4)) + y[:, None], y


def small(**changes):
    head = HyperHead(n_contexts=7)
    return HyperLinearClassifier(
        **{"head": head, "max_epochs": 3, "random_state": 0, "batch_size": 8} | changes
    )


def logits_by_hand(head, embedding):
    """Logits of one linear layer per fixed context, written out."""
    logits = []
    for context in head.contexts:
        hidden = torch.relu(head.hidden.weight @ context + head.hidden.bias)
        generated = head.generated.weight @ hidden + head.generated.bias
        n_weights = head.out_features * head.in_features
        weight = generated[:n_weights].reshape(head.out_features, head.in_features)
        logits.append(embedding @ weight.T + generated[n_weights:])
    return torch.stack(logits).double().numpy()


def test_on_features(table):
    X, y = table
    model = small().fit(X, y)
    with torch.no_grad():
        logits = logits_by_hand(model.net_.module_.head, torch.from_numpy(X))
    assert logits.shape == (7, 30, 3)
    assert_allclose(model.predict_uncertainty(X), logits.std(axis=0), rtol=1e-9)
    mean = np.exp(logits.mean(axis=0))
    assert_allclose(model.predict_proba(X), mean / mean.sum(axis=1, keepdims=True), rtol=1e-9)


def test_on_images(noise_case, make_images):
    X, y = make_images(20)
    model = noise_case.model().fit(X, y)
    module = model.net_.module_.eval()
    with torch.no_grad():
        logits = logits_by_hand(module.head, module.embed(torch.from_numpy(X)))
    assert logits.shape == (3, 20, 2)
    assert_allclose(model.predict_uncertainty(X), logits.std(axis=0), rtol=1e-3, atol=1e-5)


def test_fixed_by_random_state(table):
    X, y = table
    model = small().fit(X, y)
    first = model.predict_uncertainty(X)
    torch.manual_seed(9)
    assert_array_equal(model.predict_uncertainty(X), first)
    assert_array_equal(small().fit(X, y).predict_uncertainty(X), first)
    assert np.abs(small(random_state=1).fit(X, y).predict_uncertainty(X) - first).max() > 0


def test_one_context_does_not_vary(table):
    X, y = table
    assert_array_equal(small(head=HyperHead(n_contexts=1)).fit(X, y).predict_uncertainty(X), 0)


def test_failed_rows(table):
    X, y = table
    model = small().fit(X, y)
    expected = model.predict_uncertainty(X)
    broken = X.copy()
    broken[[0, 29]] = np.nan
    found = model.predict_uncertainty(broken)
    assert_array_equal(np.flatnonzero(np.isnan(found).all(axis=1)), [0, 29])
    assert_allclose(found[1:-1], expected[1:-1])
    alone = model.predict_uncertainty(broken[:1])
    assert alone.shape == (1, 3)
    assert np.isnan(alone).all()


def test_a_dense_head_on_features_has_none(table):
    X, y = table
    model = small(head="dense")
    assert not hasattr(model, "predict_uncertainty")
    with pytest.raises(AttributeError, match="predict_uncertainty"):
        _ = model.fit(X, y).predict_uncertainty


def test_a_dense_head_on_features_is_a_linear_layer(table):
    X, y = table
    model = small(head="dense").fit(X, y)
    head = model.net_.module_.head
    assert type(head) is torch.nn.Linear
    assert model.n_parameters_ == model.n_head_parameters_ == 4 * 3 + 3
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    assert weight.dtype == np.float64
    odds = np.exp(X @ weight.T + bias)
    assert_allclose(model.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_dense_head_on_features_learns_what_logistic_regression_does():
    y = np.arange(150) % 3
    X = np.random.default_rng(1).normal(size=(150, 2)) + 0.5 * y[:, None]  # far from separable
    model = small(head="dense", max_epochs=200, lr=0.1, batch_size=150).fit(X, y)
    expected = LogisticRegression(C=np.inf, tol=1e-8, max_iter=2000).fit(X, y).predict_proba(X)
    assert_allclose(model.predict_proba(X), expected, atol=1e-3)


@pytest.mark.parametrize("loss", ["corn", "cumulative_link"])
def test_a_dense_head_on_features_with_ordinal_losses(table, loss):
    X, y = table
    model = small(head="dense", loss=loss).fit(X, y)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_unknown_head(table):
    with pytest.raises(ValueError, match="head='linear' must be 'hyper', 'dense' or a head"):
        small(head="linear").fit(*table)


def test_unfitted(table):
    with pytest.raises(NotFittedError):
        small().predict_uncertainty(table[0])


@pytest.mark.parametrize("arguments", [{"head": "dense"}, {"head": HyperHead(context="data")}])
def test_only_where_noise_is_drawn(arguments):
    assert hasattr(HyperAlexNetClassifier(), "predict_uncertainty")
    model = HyperAlexNetClassifier(**arguments)
    assert not hasattr(model, "predict_uncertainty")
    with pytest.raises(AttributeError, match="predict_uncertainty"):
        _ = model.predict_uncertainty
