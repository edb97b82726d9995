from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F  # noqa: N812
from torchvision.transforms import v2

from sklearn_dysarthria.nn import BatchMixing, CornLoss, FocalLoss

N_CLASSES = 4


@pytest.fixture
def batch():
    return {"X": torch.randn(8, 3, 12, 10), "context": torch.randn(8, 5)}, torch.arange(8) % 4


def pair_loss(logits, target, loss=F.cross_entropy):
    first, second = loss(logits, target.first), loss(logits, target.second)
    return target.share * first + (1 - target.share) * second


def test_mixup_equals_torchvisions(batch):
    inputs, labels = batch
    for seed in range(5):
        torch.manual_seed(seed)
        images, soft = v2.MixUp(alpha=0.4, num_classes=N_CLASSES)(inputs["X"], labels)
        torch.manual_seed(seed)
        mixed, target = BatchMixing(mixup=0.4)(inputs, labels)
        torch.testing.assert_close(mixed["X"], images)
        logits = torch.randn(8, N_CLASSES)
        torch.testing.assert_close(pair_loss(logits, target), F.cross_entropy(logits, soft))


def test_cutmix_is_judged_like_torchvisions(batch):
    """Torchvision draws another rectangle; from ours it would make the same soft labels."""
    inputs, labels = batch
    torch.manual_seed(1)
    mixed, target = BatchMixing(cutmix=1.0)(inputs, labels)
    X, rolled = inputs["X"], inputs["X"].roll(1, 0)
    pasted = (mixed["X"] != X).any(dim=(0, 1))
    assert torch.equal(mixed["X"], torch.where(pasted, rolled, X))
    assert target.share == 1 - pasted.double().mean().item()
    soft = target.share * F.one_hot(labels, 4) + (1 - target.share) * F.one_hot(labels.roll(1), 4)
    logits = torch.randn(8, N_CLASSES)
    torch.testing.assert_close(pair_loss(logits, target), F.cross_entropy(logits, soft))

    images, soft = v2.CutMix(alpha=1.0, num_classes=N_CLASSES)(X, labels)
    share = 1 - (images != X).any(dim=(0, 1)).double().mean().item()
    theirs = target._replace(share=share)
    torch.testing.assert_close(pair_loss(logits, theirs), F.cross_entropy(logits, soft))


def test_rectangles_have_every_place_and_the_wanted_size():
    torch.manual_seed(0)
    X = torch.stack([torch.zeros(1, 24, 40), torch.ones(1, 24, 40)])
    covered, shares = torch.zeros(24, 40), []
    for _ in range(400):
        mixed, target = BatchMixing(cutmix=1.0)({"X": X}, torch.arange(2))
        mask = mixed["X"][0, 0]
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask.bool(), rows[:, None] & columns)
        assert rows.int().diff().abs().sum() <= 2
        assert columns.int().diff().abs().sum() <= 2
        covered += mask
        shares.append(target.share)
        assert target.share == 1 - mask.double().mean().item()
    assert covered.min() > 20
    # Beta(1, 1) has a mean of a half; what lies outside the image makes the pasted part smaller.
    assert 0.5 < np.mean(shares) < 0.85


def test_contexts_take_the_same_share(batch):
    inputs, labels = batch
    context = inputs["context"]
    for mixing in (BatchMixing(mixup=0.5), BatchMixing(cutmix=0.5)):
        mixed, target = mixing(inputs, labels)
        assert 0 < target.share < 1
        expected = target.share * context + (1 - target.share) * context.roll(1, 0)
        torch.testing.assert_close(mixed["context"], expected)
        assert torch.equal(target.second, labels.roll(1))


def test_both_are_drawn_half_of_the_time(batch):
    inputs, labels = batch
    mixing = BatchMixing(mixup=1.0, cutmix=1.0)
    cuts = 0
    for _ in range(400):
        X = mixing(inputs, labels)[0]["X"]
        cuts += bool(((inputs["X"] == X) | (inputs["X"].roll(1, 0) == X)).all())
    assert 150 < cuts < 250


def test_shares_follow_the_beta_distribution(batch):
    inputs, labels = batch
    shares = [BatchMixing(mixup=2.0)(inputs, labels)[1].share for _ in range(500)]
    assert_allclose([np.mean(shares), np.var(shares)], [0.5, 1 / 20], rtol=0.15)


def test_input_is_left_alone_and_seeds_repeat(batch):
    inputs, labels = batch
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    for mixing in (BatchMixing(mixup=0.5), BatchMixing(cutmix=0.5)):
        torch.manual_seed(3)
        first, target = mixing(inputs, labels)
        torch.manual_seed(3)
        second, again = mixing(inputs, labels)
        assert target.share == again.share
        assert torch.equal(first["X"], second["X"])
        assert all(torch.equal(inputs[name], before[name]) for name in inputs)


@pytest.mark.parametrize("alpha", [1e-3, 1e3])
def test_extreme_alphas_and_single_samples(alpha):
    inputs, labels = {"X": torch.randn(1, 3, 5, 7)}, torch.tensor([2])
    for mixing in (BatchMixing(mixup=alpha), BatchMixing(cutmix=alpha)):
        mixed, target = mixing(inputs, labels)
        torch.testing.assert_close(mixed["X"], inputs["X"])  # its own neighbour
        assert 0 <= target.share <= 1


@pytest.mark.parametrize("loss", [FocalLoss(2.0, label_smoothing=0.1), CornLoss()])
def test_any_loss_is_shared_out(batch, loss):
    logits = torch.randn(8, 4)
    _, target = BatchMixing(mixup=1.0)(*batch)
    found = pair_loss(logits, target, loss)
    low, high = sorted([loss(logits, target.first), loss(logits, target.second)])
    assert low <= found <= high


def test_wrong_parameters():
    with pytest.raises(ValueError, match="mixup must be a finite number"):
        BatchMixing(mixup=-1.0)
    with pytest.raises(ValueError, match="cutmix must be a finite number"):
        BatchMixing(cutmix=float("nan"))
