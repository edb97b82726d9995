from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn

from sklearn_dysarthria.nn import (
    CoralLoss,
    CornLoss,
    CumulativeLinkLoss,
    HyperClassifierModule,
    OrdinalNetwork,
    ordinal_probabilities,
)

LOSSES = {"coral": CoralLoss, "corn": CornLoss, "cumulative_link": CumulativeLinkLoss}
WEIGHT = np.array([0.5, 2.0, 1.0, 3.0])
K = 4


@pytest.fixture
def batch():
    """Logits that fall with the question, as a cumulative link has them."""
    logits = torch.randn(30, K - 1, dtype=torch.float64) * 2
    return logits.sort(dim=1, descending=True).values, torch.randint(0, K, (30,))


def by_hand(name, logits, target):
    """Summed loss of each sample and the number of its terms, by loops."""
    losses, counts = [], []
    for row, y in zip(logits.numpy(), target.tolist(), strict=True):
        p = expit(row)
        if name == "coral":
            losses.append(sum(-np.log(p[k] if y > k else 1 - p[k]) for k in range(K - 1)))
            counts.append(1)
        elif name == "corn":
            asked = [k for k in range(K - 1) if y > k - 1]
            losses.append(sum(-np.log(p[k] if y > k else 1 - p[k]) for k in asked))
            counts.append(len(asked))
        else:
            above = [1, *p, 0]
            losses.append(-np.log(above[y] - above[y + 1]))
            counts.append(1)
    return np.array(losses), np.array(counts)


@pytest.mark.parametrize("name", LOSSES)
def test_definition(batch, name):
    losses, counts = by_hand(name, *batch)
    assert LOSSES[name]()(*batch).item() == pytest.approx(losses.sum() / counts.sum())
    w = WEIGHT[batch[1].numpy()]
    weighted = (w * losses).sum() / (w * counts).sum()
    assert LOSSES[name](WEIGHT)(*batch).item() == pytest.approx(weighted)


def test_corn_is_the_published_mean_over_conditional_tasks(batch):
    """Task by task, as the paper writes it, with a mean over all samples of all tasks."""
    logits, target = batch
    total, n = 0.0, 0
    for k in range(K - 1):
        members = target >= k
        labels = (target[members] > k).double()
        total += nn.functional.binary_cross_entropy_with_logits(
            logits[members, k], labels, reduction="sum"
        )
        n += int(members.sum())
    torch.testing.assert_close(CornLoss()(logits, target), total / n)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(batch, name):
    logits, target = batch
    loss = LOSSES[name](WEIGHT)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_two_classes_are_logistic_regression(name):
    logits, target = torch.randn(20, 1), torch.randint(0, 2, (20,))
    expected = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target.float())
    torch.testing.assert_close(LOSSES[name]()(logits, target), expected)
    p = ordinal_probabilities(logits, name)
    torch.testing.assert_close(p[:, 1], torch.sigmoid(logits[:, 0]))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_confident_logits_are_stable(name, size):
    logits = torch.tensor([[size] * 3, [-size] * 3, [size, size, -size]], requires_grad=True)
    loss = LOSSES[name]()
    loss(logits, torch.tensor([0, 3, 1])).backward()
    assert torch.isfinite(loss(logits, torch.tensor([0, 3, 1])))
    assert torch.isfinite(logits.grad).all()


def test_loss_and_probabilities_of_the_cumulative_link_agree(batch):
    p = ordinal_probabilities(batch[0], "cumulative_link")
    expected = nn.functional.nll_loss(torch.log(p), batch[1])
    torch.testing.assert_close(CumulativeLinkLoss()(*batch), expected)


# ------------------------------------------------------------------------------ probabilities


@given(
    st.sampled_from(list(LOSSES)),
    st.lists(st.floats(-60, 60), min_size=1, max_size=6),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_probabilities_are_distributions(loss, logits, double):
    if loss == "cumulative_link":
        logits = sorted(logits, reverse=True)
    z = torch.tensor([logits], dtype=torch.float64 if double else torch.float32)
    p = ordinal_probabilities(z, loss)
    assert p.shape == (1, len(logits) + 1)
    assert (p >= 0).all()
    assert_allclose(p.sum(), 1, atol=1e-6)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_sorting_keeps_the_published_prediction_of_coral(logits):
    z = torch.tensor([logits], dtype=torch.float64)
    p = ordinal_probabilities(z, "coral")[0]
    above = p.flip(0).cumsum(0).flip(0)[1:]
    published = (torch.sigmoid(z) > 0.5).sum()
    close = (torch.sigmoid(z) - 0.5).abs().min() < 1e-12
    assert close or (above > 0.5).sum() == published


def test_corn_multiplies_conditional_probabilities():
    z = torch.randn(5, 3, dtype=torch.float64)
    s = torch.sigmoid(z)
    above = torch.stack([s[:, 0], s[:, 0] * s[:, 1], s.prod(dim=1)], dim=1)
    expected = torch.stack(
        [1 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1] - above[:, 2], above[:, 2]], dim=1
    )
    torch.testing.assert_close(ordinal_probabilities(z, "corn"), expected)


# -------------------------------------------------------------------------------- the network


def linear(**changes):
    arguments = {"in_features": 3, "out_features": 1, "bias": False, "dtype": torch.float64}
    return OrdinalNetwork(nn.Linear, arguments | changes, n_classes=K, ordered=True)


@pytest.mark.parametrize("ordered", [False, True])
def test_starts_with_equal_classes(ordered):
    network = OrdinalNetwork(nn.Linear, {"in_features": 3, "out_features": 1}, 5, ordered)
    nn.init.zeros_(network.network.weight)
    nn.init.zeros_(network.network.bias)
    p = ordinal_probabilities(network(torch.zeros(1, 3)), "cumulative_link")
    assert_allclose(p.detach(), np.full((1, 5), 0.2), rtol=1e-5)
    assert network.thresholds.dtype == torch.float32
    assert linear().thresholds.dtype == torch.float64


def test_thresholds_stay_ordered_and_are_part_of_the_state():
    network = linear()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 20)
    assert (network.thresholds.diff() >= 0).all()
    other = linear()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.thresholds, network.thresholds)


def test_contexts_pass_through():
    arguments = {"in_features": 3, "n_classes": 1, "n_contexts": 6, "context_dim": 4}
    network = OrdinalNetwork(HyperClassifierModule, arguments, K, ordered=False).eval()
    X = torch.randn(5, 3)
    each = network.logits_per_context(X)
    assert each.shape == (6, 5, K - 1)
    torch.testing.assert_close(each.mean(dim=0), network(X))


def test_proportional_odds_equals_a_direct_maximisation():
    """Weights, thresholds and likelihood, against scipy on the textbook's formula."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    latent = X @ [1.5, -1.0, 0.5] + rng.logistic(size=400)
    y = np.digitize(latent, [-1.5, 0.0, 2.0])

    def negative_log_likelihood(parameters):
        weights, thresholds = parameters[:3], np.sort(parameters[3:])
        below = expit(np.r_[-np.inf, thresholds, np.inf] - (X @ weights)[:, None])
        rows = np.arange(len(y))
        return -np.log(below[rows, y + 1] - below[rows, y]).mean()

    expected = minimize(negative_log_likelihood, [0, 0, 0, -1, 0, 1], method="BFGS")
    network, loss = linear(), CumulativeLinkLoss()
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-9
    )

    def closure():
        optimizer.zero_grad()
        value = loss(network(X), y)
        value.backward()
        return value

    optimizer.step(closure)
    assert closure().item() == pytest.approx(expected.fun, rel=1e-8)
    found = torch.cat([network.network.weight[0], network.thresholds]).detach().numpy()
    assert_allclose(found, expected.x, atol=1e-3)


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("shape", "n_targets", "weight", "message"),
    [
        ((4,), 4, None, "logits must have shape"),
        ((4, 0), 4, None, "logits must have shape"),
        ((4, 3), 5, None, "target must have shape"),
        ((4, 2), 4, WEIGHT, "weight has 4 classes, logits are for 3"),
    ],
)
def test_wrong_shapes(name, shape, n_targets, weight, message):
    with pytest.raises(ValueError, match=message):
        LOSSES[name](weight)(torch.zeros(shape), torch.zeros(n_targets, dtype=torch.int64))


def test_wrong_weights():
    with pytest.raises(ValueError, match="non-negative number per class"):
        CornLoss([1.0, -1.0])
