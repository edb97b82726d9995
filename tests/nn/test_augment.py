from __future__ import annotations

import pytest
import torch

from sklearn_dysarthria.nn import SpecAugment


def images(n: int = 6, height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.randn(n, 3, height, width)


def changed(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return (before != after).any(dim=1)


def test_evaluation_is_the_identity():
    X = images()
    state = torch.get_rng_state()
    assert SpecAugment(probability=1.0).eval()(X) is X
    assert torch.equal(torch.get_rng_state(), state)


def test_global_seed_repeats_the_masks():
    X, augment = images(), SpecAugment()
    torch.manual_seed(1)
    first, second = augment(X), augment(X)
    torch.manual_seed(1)
    assert torch.equal(augment(X), first)
    assert not torch.equal(first, second)


def test_input_is_left_alone():
    X = images()
    before = X.clone()
    result = SpecAugment(probability=1.0)(X)
    assert torch.equal(X, before)
    assert not torch.equal(result, before)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.7, 1.0])
def test_share_of_masked_samples(probability):
    X = torch.randn(3000, 1, 32, 32)
    share = changed(X, SpecAugment(probability)(X)).any(dim=(1, 2)).float().mean().item()
    # Four standard deviations of a binomial share; all four masks are empty once in 625 samples.
    tolerance = 4 * (probability * (1 - probability) / len(X)) ** 0.5 + 0.005 * probability
    assert share == pytest.approx(probability, abs=tolerance)


def test_masks_are_shared_over_channels_and_hold_the_mean():
    X = images(50)
    result = SpecAugment(probability=1.0)(X)
    different = result != X
    assert torch.equal(different.any(dim=1), different.all(dim=1))
    mean = X.mean(dim=(2, 3), keepdim=True).expand_as(X)
    assert torch.equal(result[different], mean[different])


def test_samples_get_masks_of_their_own():
    X = images(40)
    masks = changed(X, SpecAugment(probability=1.0)(X)).flatten(1)
    assert len(torch.unique(masks, dim=0)) > 30


@pytest.mark.parametrize("kind", ["time", "frequency"])
def test_one_mask_is_one_band_of_every_width_up_to_the_widest(kind):
    parameters = {"n_time_masks": 0, "n_frequency_masks": 0, f"n_{kind}_masks": 1}
    augment = SpecAugment(1.0, max_time_fraction=0.2, max_frequency_fraction=0.25, **parameters)
    X = torch.randn(2000, 1, 32, 40)
    mask = changed(X, augment(X))
    if kind == "frequency":
        mask = mask.transpose(1, 2)
    assert torch.equal(mask.any(dim=1), mask.all(dim=1))
    band = mask[:, 0].int()
    edges = torch.nn.functional.pad(band, (1, 1)).diff(dim=1).clamp(min=0).sum(dim=1)
    assert edges.max() == 1
    widths = band.sum(dim=1)
    assert sorted(set(widths.tolist())) == list(range(9))
    counts = torch.bincount(widths)
    assert counts.min() > 2000 / 9 * 0.7
    # A start and a width are rounded down, so that a mask hardly ever covers the last one.
    assert band[:, :-1].any(dim=0).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (224, 224)])
@pytest.mark.parametrize("fraction", [0.0, 0.125, 1.0])
def test_masks_are_those_of_torchaudio_from_the_same_seed(size, fraction):
    try:
        from torchaudio.functional import mask_along_axis_iid
    except (ImportError, OSError):
        pytest.skip("torchaudio is missing, or was built for another torch")
    X = torch.randn(50, 2, *size) + 10
    torch.manual_seed(5)
    ours = SpecAugment(0.5, fraction, fraction, 2, 3)(X)
    torch.manual_seed(5)
    chosen = torch.rand(50) < 0.5
    kept = torch.ones(50, *size)
    for axis, count in ((1, 3), (2, 2)):
        for _ in range(count):
            bound = int(fraction * size[axis - 1]) + 1
            kept = mask_along_axis_iid(kept, mask_param=bound, mask_value=0.0, axis=axis)
    masked = (kept == 0) & chosen[:, None, None]
    mean = X.mean(dim=(2, 3), keepdim=True)
    assert torch.equal(ours, torch.where(masked[:, None], mean, X))
    assert masked.any() == (int(fraction * max(size)) > 0)


def test_several_masks_cover_at_most_their_sum():
    X = images(500)
    mask = changed(X, SpecAugment(1.0, 0.2, 0.25, 3, 2)(X))
    assert mask.all(dim=1).sum(dim=1).max() <= 3 * 8
    assert mask.all(dim=2).sum(dim=1).max() <= 2 * 8


@pytest.mark.parametrize("fraction", [0.0, 0.01, 1.0])
def test_extreme_widths(fraction):
    X = images()
    result = SpecAugment(1.0, fraction, fraction)(X)
    assert result.shape == X.shape
    assert torch.isfinite(result).all()
    assert torch.equal(result, X) == (fraction < 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions(dtype):
    X = images().to(dtype)
    assert SpecAugment(1.0)(X).dtype == dtype


def test_gradient_passes_where_nothing_is_masked():
    X = images().requires_grad_()
    result = SpecAugment(1.0)(X)
    (result * (result == X)).sum().backward()
    assert torch.equal(X.grad > 0.5, result == X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"probability": 1.5}, "probability must be between 0 and 1"),
        ({"max_time_fraction": -0.1}, "max_time_fraction must be"),
        ({"max_frequency_fraction": float("nan")}, "max_frequency_fraction must be"),
        ({"n_time_masks": -1}, "n_time_masks must not be negative"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        SpecAugment(**parameters)


def test_wrong_shape():
    with pytest.raises(ValueError, match="images must have shape"):
        SpecAugment()(torch.zeros(3, 32, 32))
