from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_dysarthria.nn import FocalLoss

WEIGHT = [0.2, 1.0, 3.5]


def in_numpy(logits, target, gamma, weight):
    """Focal loss per sample from its definition, on the softmax itself."""
    logits, target = logits.numpy(), target.numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p_y = np.array([row[k] for row, k in zip(p, target, strict=True)])
    w_y = np.ones(len(p_y)) if weight is None else np.asarray(weight)[target]
    return -w_y * (1 - p_y) ** gamma * np.log(p_y), w_y


@pytest.fixture
def batch():
    return torch.randn(20, 3, dtype=torch.float64) * 2, torch.randint(0, 3, (20,))


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_definition(batch, gamma, weight):
    losses, weights = in_numpy(*batch, gamma, weight)
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / weights.sum()}
    for reduction, value in expected.items():
        found = FocalLoss(gamma, weight, reduction).double()(*batch)
        np.testing.assert_allclose(found.numpy(), value, rtol=1e-6 if weight else 1e-12)


@pytest.mark.parametrize("weight", [None, torch.tensor(WEIGHT, dtype=torch.float64)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_gamma_zero_is_cross_entropy(batch, weight, reduction):
    expected = nn.CrossEntropyLoss(weight, reduction=reduction)(*batch)
    torch.testing.assert_close(FocalLoss(0.0, weight, reduction)(*batch), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients(batch, gamma):
    logits, target = batch
    loss = FocalLoss(gamma, torch.tensor(WEIGHT, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [20.0, 200.0, 1e4, 1e30])
def test_confident_logits_are_stable(gamma, size):
    logits = torch.tensor([[size, -size], [-size, size]], requires_grad=True)
    losses = FocalLoss(gamma, reduction="none")(logits, torch.tensor([0, 0]))
    losses.sum().backward()
    assert losses[0].item() == pytest.approx(0, abs=1e-6)
    assert losses[1].item() == pytest.approx(2 * size)
    assert torch.isfinite(logits.grad).all()
    if size < 1e30:  # beyond, a gradient of 1 drowns in the rounding of the logits
        assert logits.grad[1].tolist() == pytest.approx([-1.0, 1.0], abs=1e-6)


def test_easy_samples_count_less():
    logits = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    easy, hard = FocalLoss(reduction="none")(logits, torch.tensor([0, 0]))
    plain_easy, plain_hard = FocalLoss(0.0, reduction="none")(logits, torch.tensor([0, 0]))
    assert easy / plain_easy < hard / plain_hard


def test_weight_is_a_buffer_of_its_own():
    given = torch.tensor(WEIGHT)
    loss = FocalLoss(weight=given)
    given.zero_()
    assert loss.state_dict()["weight"].tolist() == pytest.approx(WEIGHT)
    assert FocalLoss(weight=np.array([1, 2])).weight.dtype == torch.float32
    assert not FocalLoss().state_dict()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma": -1.0}, "gamma must be non-negative"),
        ({"gamma": float("nan")}, "gamma must be non-negative"),
        ({"reduction": "median"}, "reduction must be one of"),
        ({"weight": [1.0, -1.0]}, "non-negative number per class"),
        ({"weight": [[1.0]]}, "non-negative number per class"),
        ({"weight": [1.0, float("nan")]}, "non-negative number per class"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        FocalLoss(**parameters)


@pytest.mark.parametrize(
    ("shape", "n_targets", "weight", "message"),
    [
        ((4,), 4, None, "logits must have shape"),
        ((4, 1), 4, None, "at least two classes"),
        ((4, 3), 5, None, "target must have shape"),
        ((4, 2), 4, WEIGHT, "weight has 3 classes, logits 2"),
    ],
)
def test_wrong_shapes(shape, n_targets, weight, message):
    with pytest.raises(ValueError, match=message):
        FocalLoss(weight=weight)(torch.zeros(shape), torch.zeros(n_targets, dtype=torch.int64))


# ---------------------------------------------------------------------------- label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_smoothed_cross_entropy_is_torchs(batch, smoothing):
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(*batch)
    found = FocalLoss(0.0, label_smoothing=smoothing)(*batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_smoothed_focal_loss_from_its_definition(batch, gamma):
    logits, target = (tensor.numpy() for tensor in batch)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weight = np.array(WEIGHT)
    expected = []
    for row, label in zip(p, target, strict=True):
        q = [0.7 * (k == label) + 0.3 / 3 for k in range(3)]
        terms = [-q[k] * (1 - row[k]) ** gamma * np.log(row[k]) for k in range(3)]
        expected.append(weight[label] * sum(terms))  # the sample's own class alone
    found = FocalLoss(gamma, weight, "none", label_smoothing=0.3)(*batch)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    mean = FocalLoss(gamma, weight, label_smoothing=0.3)(*batch).item()
    assert mean == pytest.approx(sum(expected) / weight[target].sum())


def test_smoothed_gradients(batch):
    logits, target = batch
    loss = FocalLoss(1.5, torch.tensor(WEIGHT, dtype=torch.float64), label_smoothing=0.2)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


def test_smoothing_is_stable_for_confident_logits():
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = FocalLoss(2.0, label_smoothing=0.3)(logits, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.1 * (2e4 + 1e4), rel=1e-6)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_wrong_smoothing(smoothing):
    with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1"):
        FocalLoss(label_smoothing=smoothing)
