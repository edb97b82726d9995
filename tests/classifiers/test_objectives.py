"""The losses as parameters of the classifiers, and what is predicted with each."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from sklearn_dysarthria import (
    SGD,
    Backbone,
    Corn,
    CrossEntropy,
    EarlyStopping,
    FocalLoss,
    HyperAlexNetClassifier,
    HyperHead,
    HyperLinearClassifier,
    Schedule,
    nn,
)

ORDINAL_LOSSES = ("coral", "corn", "cumulative_link")
LOSSES = ("cross_entropy", "focal", *ORDINAL_LOSSES)


def ordered(n, seed):
    """Five ordered classes, cut out of one direction in six dimensions."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    latent = X @ [0.6, -0.5, 0.4, 0.3, -0.3, 0.2] + 0.15 * rng.normal(size=n)
    return X, 1 + np.digitize(latent, [-0.8, -0.2, 0.3, 1.0])


def small(**changes):
    arguments = {
        "head": HyperHead(hidden_dim=16, context_dim=4, n_contexts=5),
        "lr": 0.01,
        "max_epochs": 3,
        "random_state": 0,
    }
    return HyperLinearClassifier(**arguments).set_params(**changes)


@pytest.mark.parametrize("loss", LOSSES)
def test_learns_ordered_classes(loss):
    X, y = ordered(300, 0)
    other, other_y = ordered(300, 1)
    model = small(loss=loss, max_epochs=40).fit(X, y)
    predicted = model.predict(other)
    assert cohen_kappa_score(other_y, predicted, weights="quadratic") > 0.9
    assert mean_absolute_error(other_y, predicted) < 0.3
    history = model.history_["train_loss"]
    assert history.iloc[-1] < 0.75 * history.iloc[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_and_predictions_belong_together(loss):
    X, y = ordered(120, 0)
    model = small(loss=loss).fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (120, 5)
    assert (p >= 0).all()
    assert_allclose(p.sum(axis=1), 1)
    if loss in ORDINAL_LOSSES:
        above = 1 - p.cumsum(axis=1)[:, :-1]
        expected = model.classes_[(above > 0.5).sum(axis=1)]
    else:
        expected = model.classes_[p.argmax(axis=1)]
    assert_array_equal(model.predict(X), expected)
    # skorch's own accuracy, of the inner validation patients, counts the same decisions.
    assert_array_equal(model.classes_[model.net_.predict(X)], expected)


@pytest.mark.parametrize("loss", ["coral", "cumulative_link"])
def test_thresholds_are_learned(loss):
    X, y = ordered(200, 0)
    model = small(loss=loss, max_epochs=20).fit(X, y)
    network = model.net_.module_.eval()
    start = torch.logit(torch.arange(1, 5) / 5)
    assert not torch.allclose(network.thresholds.float(), start, atol=0.05)
    with torch.no_grad():
        score = network.network(torch.from_numpy(X))
    above = expit((score - network.thresholds).detach().numpy())
    above = -np.sort(-above, axis=1)
    expected = np.diff(np.c_[np.zeros(200), 1 - above, np.ones(200)], axis=1)
    assert_allclose(model.predict_proba(X), expected, atol=1e-9)


@pytest.mark.parametrize(("lr", "expected"), [(1e-4, 0.01), (0.03, 0.03)])
def test_thresholds_are_not_left_behind_by_a_small_rate(lr, expected):
    X, y = ordered(200, 0)
    arguments = {"loss": "cumulative_link", "lr": lr, "weight_decay": 0.1}
    model = small(**arguments, max_epochs=30, lr_schedule=Schedule("cosine", warmup_epochs=1)).fit(
        X, y
    )
    *thresholds, network = model.net_.optimizer_.param_groups
    assert [group["weight_decay"] for group in thresholds] == [0, 0]
    assert network["weight_decay"] == 0.1
    # All rates follow the schedule, and the table shows the network's.
    n = [tensor.numel() for group in thresholds for tensor in group["params"]]
    assert n == [1, 3]
    assert {group["initial_lr"] for group in thresholds} == {expected}
    assert_allclose(model.history_["lr"][[1, 2]], [lr / 2, lr])
    start = torch.logit(torch.arange(1, 5) / 5)
    assert (model.net_.module_.thresholds - start).abs().max() > 0.3


def test_sizes():
    X, y = ordered(60, 0)
    width = {"cross_entropy": 5, "focal": 5, "corn": 4, "coral": 1, "cumulative_link": 1}
    for loss, n_outputs in width.items():
        model = small(loss=loss, max_epochs=1, head__n_hidden_layers=2).fit(X, y)
        thresholds = 4 if n_outputs == 1 else 0
        hyper = (4 * 16 + 16) + (16 * 16 + 16) + (16 + 1) * (7 * n_outputs)
        assert model.n_parameters_ == model.n_head_parameters_ == hyper + thresholds


@pytest.mark.parametrize("loss", ORDINAL_LOSSES)
def test_strings_have_no_order(loss):
    X, y = ordered(20, 0)
    labels = np.where(y > 3, "severe", "mild")
    with pytest.raises(ValueError, match=r"encode severity as numbers"):
        small(loss=loss).fit(X, labels)
    small(loss=loss).fit(X, y > 3)
    small(loss=loss).fit(X, (-1.0 * y).astype(object))


def test_smoothing_and_gamma_reach_the_loss():
    X, y = ordered(40, 0)
    losses = (FocalLoss(gamma=1.5, label_smoothing=0.2), CrossEntropy(label_smoothing=0.2))
    for loss, gamma in zip(losses, (1.5, 0.0), strict=True):
        model = small(loss=loss, max_epochs=1).fit(X, y)
        criterion = model.net_.criterion_
        assert isinstance(criterion, nn.FocalLoss)
        assert (criterion.gamma, criterion.label_smoothing) == (gamma, 0.2)
    sure = small(max_epochs=60, lr=0.05).fit(X, y).predict_proba(X).max(axis=1).mean()
    smoothed = small(max_epochs=60, lr=0.05, loss=CrossEntropy(label_smoothing=0.4)).fit(X, y)
    assert smoothed.predict_proba(X).max(axis=1).mean() < sure - 0.1


@pytest.mark.parametrize("loss", ORDINAL_LOSSES)
def test_uncertainty_is_that_of_the_logits(loss):
    X, y = ordered(40, 0)
    model = small(loss=loss).fit(X, y)
    with torch.no_grad():
        logits = model.net_.module_.eval().logits_per_context(torch.from_numpy(X)).numpy()
    assert logits.shape == (5, 40, 4)
    assert_allclose(model.predict_uncertainty(X), logits.std(axis=0), rtol=1e-9)
    X[3] = np.nan
    assert np.isnan(model.predict_uncertainty(X)[3]).all()
    assert model.predict_uncertainty(X[3:4]).shape == (1, 4)


@pytest.mark.parametrize("loss", ORDINAL_LOSSES)
def test_best_thresholds_are_restored_with_the_best_weights(loss):
    X, y = ordered(60, 0)
    y = np.random.default_rng(0).permutation(y)  # nothing to learn but the training rows
    model = small(loss=loss, lr=0.1, max_epochs=15, early_stopping=EarlyStopping(patience=15))
    model.fit(X, y, groups=np.arange(60))
    held_out = np.isin(np.arange(60), model.validation_patients_)
    codes = np.searchsorted(model.classes_, y[held_out])
    criterion = model.net_.criterion_
    with torch.no_grad():
        logits = model.net_.forward(X[held_out])
        found = criterion(logits, torch.from_numpy(codes)).item()
    losses = model.history_["valid_loss"]
    assert losses.idxmin() < len(losses)
    assert held_out.sum() <= 32  # one batch, whose mean the recorded loss is
    assert found == pytest.approx(losses.min(), rel=1e-9)


def test_divergence_of_a_threshold_is_an_error():
    X, y = ordered(30, 0)
    with pytest.raises(ValueError, match="training diverged"):
        small(loss="coral", optimizer=SGD(), lr=1e200, max_epochs=20).fit(1e100 * X, y)


@pytest.mark.parametrize("loss", ORDINAL_LOSSES)
def test_on_images_with_any_head(case, make_images, loss):
    X, y = make_images(18, n_classes=3)
    X = case.wrap(X)
    model = case.model(loss=loss, early_stopping=EarlyStopping(), optimizer="adam")
    model.fit(X, y, groups=np.arange(18))
    p = model.predict_proba(X)
    assert p.shape == (18, 3)
    assert_allclose(p.sum(axis=1), 1)
    n_bytes = sum(t.nbytes for t in model.net_.module_.state_dict().values())
    pickled = pickle.dumps(model)
    assert len(pickled) < n_bytes + 0.5 * X.nbytes  # without moments, images or a second copy
    for other in (pickle.loads(pickled), copy.deepcopy(model)):
        assert_array_equal(other.predict_proba(X), p)
    if hasattr(model, "predict_uncertainty"):
        assert model.predict_uncertainty(X).shape == (18, 2)
    assert model.n_head_parameters_ < model.n_parameters_


def test_head_sizes_of_images(make_images):
    X, y = make_images(6, n_classes=3)
    sizes = {"backbone": Backbone("convnext_femto", weights=None), "embedding_dim": 8}
    head = HyperHead(hidden_dim=6, context_dim=4)
    model = HyperAlexNetClassifier(**sizes, head=head, max_epochs=1, random_state=0).fit(X, y)
    hyper = (4 * 6 + 6) + (6 + 1) * (8 * 3 + 3)
    assert model.n_head_parameters_ == hyper
    parameters = list(model.net_.module_.parameters())
    assert model.n_parameters_ == sum(parameter.numel() for parameter in parameters)
    dense = HyperAlexNetClassifier(**sizes, head="dense", loss="coral", max_epochs=1).fit(X, y)
    assert dense.n_head_parameters_ == 8 + 1 + 2
    assert dense.n_parameters_ == model.n_parameters_ - hyper + 11


def test_median_rule():
    p = np.array([[0.4, 0.2, 0.4], [0.6, 0.0, 0.4], [0.1, 0.3, 0.6], [0.0, 0.0, 1.0]])
    X, y = ordered(60, 0)
    for loss, expected in ((Corn(), [1, 0, 2, 2]), (FocalLoss(), [0, 0, 2, 2])):
        model = small(loss=loss, max_epochs=1).fit(X, np.minimum(y, 3))
        assert model.net_.objective.decide(p).tolist() == expected
