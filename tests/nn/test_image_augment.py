from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.ndimage import rotate
from torchvision.transforms import v2

from sklearn_dysarthria.nn import AugmentChain, ImageAugment, SpecAugment
from sklearn_dysarthria.nn._image_augment import _Draw

EVERYTHING = {
    "horizontal_flip": 0.5,
    "vertical_flip": 0.5,
    "rotation": 20.0,
    "color_jitter": 0.4,
}


def images(n: int = 6, height: int = 24, width: int = 32) -> torch.Tensor:
    return torch.randn(n, 3, height, width)


def test_evaluation_and_zeros_are_the_identity():
    X = images()
    state = torch.get_rng_state()
    assert ImageAugment(**EVERYTHING).eval()(X) is X
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(ImageAugment()(X), X)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_alone_changes_a_copy(name):
    X = images(20)
    before = X.clone()
    augment = ImageAugment(**{name: EVERYTHING[name]})
    for result in (augment(X), torch.cat([augment.same_for_all(X) for _ in range(6)])):
        assert result.shape[1:] == X.shape[1:]
        assert torch.isfinite(result).all()
        assert not torch.equal(result[: len(X)], X) or name.endswith("flip")
    assert torch.equal(X, before)


@pytest.mark.parametrize(("name", "dim"), [("horizontal_flip", 3), ("vertical_flip", 2)])
def test_flips_turn_the_right_axis_of_the_right_share(name, dim):
    X = images(600, 4, 6)
    result = ImageAugment(**{name: 0.3})(X)
    turned = (result == X.flip(dim)).flatten(1).all(dim=1)
    kept = (result == X).flatten(1).all(dim=1)
    assert (turned ^ kept).all()
    assert turned.float().mean().item() == pytest.approx(0.3, abs=4 * (0.21 / 600) ** 0.5)
    assert torch.equal(ImageAugment(**{name: 1.0})(X), X.flip(dim))


def draw(**changes):
    plain = {"horizontal_flip": False, "vertical_flip": False, "angle": 0.0}
    return _Draw(**plain | {"factors": [1.0] * 3, "order": [0, 1, 2]} | changes)


@pytest.mark.parametrize("angle", [-30.0, 7.5, 90.0])
def test_rotation_agrees_with_scipy(angle):
    """Inside the image; the corners hold the mean."""
    rows, columns = np.mgrid[:41, :41]
    smooth = np.sin(rows / 5) + np.cos(columns / 4)
    X = torch.from_numpy(np.stack([smooth, 2 * smooth, -smooth])[None])
    found = ImageAugment(rotation=90)._transform(X, draw(angle=angle))[0].numpy()
    for channel, image in zip(found, X[0].numpy(), strict=True):
        expected = rotate(image, angle, reshape=False, order=1, cval=image.mean())
        middle = slice(8, 33)
        assert_allclose(channel[middle, middle], expected[middle, middle], atol=0.02)
        if angle != 90:
            assert channel[0, 0] == pytest.approx(image.mean())


def test_angles_are_uniform_up_to_the_largest():
    augment = ImageAugment(rotation=12.0)
    angles = torch.tensor([augment._draw().angle for _ in range(1000)])
    assert angles.abs().max() <= 12
    assert angles.min() < -11.5
    assert angles.max() > 11.5
    assert abs(angles.mean().item()) < 4 * 12 / 3**0.5 / 1000**0.5


@pytest.mark.parametrize(
    ("strength", "order"), [(0.2, [0, 1, 2]), (0.9, [2, 0, 1]), (1.0, [1, 2, 0])]
)
def test_jitter_is_torchvisions_on_each_channels_own_range(strength, order):
    X = images(1) * torch.tensor([1.0, 10.0, 0.1])[:, None, None] + 5
    low, high = X.amin(dim=(2, 3), keepdim=True), X.amax(dim=(2, 3), keepdim=True)
    factors = [1 + strength, 1 - strength / 2, 1 + strength / 3]
    unit = (X - low) / (high - low)
    adjust = [
        v2.functional.adjust_brightness,
        v2.functional.adjust_contrast,
        v2.functional.adjust_saturation,
    ]
    for number in order:
        unit = adjust[number](unit, factors[number])
    augment = ImageAugment(color_jitter=strength)
    found = augment._transform(X, draw(factors=factors, order=order))
    torch.testing.assert_close(found, unit * (high - low) + low)
    assert (found >= low - 1e-4).all()
    assert (found <= high + 1e-4).all()
    unchanged = augment._transform(X, draw(order=order))
    torch.testing.assert_close(unchanged, X)


def test_jitter_factors_have_the_asked_for_range():
    augment = ImageAugment(color_jitter=0.3)
    factors = torch.tensor([augment._draw().factors[:3] for _ in range(500)])
    assert factors.min() >= 0.7
    assert factors.max() <= 1.3
    assert (factors.amax(dim=0) - factors.amin(dim=0)).min() > 0.55


def test_a_channel_of_one_value_stays():
    X = images(2)
    X[:, 1] = 3.0
    result = ImageAugment(color_jitter=0.0, rotation=30)(X)
    assert_allclose(result[:, 1], 3.0, rtol=1e-6)
    assert torch.isfinite(ImageAugment(color_jitter=1.0)(X)).all()


def test_samples_have_draws_of_their_own_or_share_one():
    X = images(1).expand(30, -1, -1, -1)
    for augment in (ImageAugment(**EVERYTHING), SpecAugment(probability=1.0)):
        assert len(torch.unique(augment(X).flatten(1), dim=0)) > 25
        alike = augment.same_for_all(X)
        torch.testing.assert_close(alike, alike[:1].expand_as(alike))


@pytest.mark.parametrize("augment", [ImageAugment(**EVERYTHING), SpecAugment(probability=1.0)])
def test_a_shared_draw_does_not_depend_on_the_other_samples(augment):
    X = images(5)
    torch.manual_seed(4)
    whole = augment.same_for_all(X)
    torch.manual_seed(4)
    torch.testing.assert_close(augment.same_for_all(X[2:3]), whole[2:3])
    torch.manual_seed(5)
    assert not torch.equal(augment.eval().same_for_all(X), whole)


def test_seeds_repeat():
    X, augment = images(), ImageAugment(**EVERYTHING)
    torch.manual_seed(1)
    first, second = augment(X), augment(X)
    torch.manual_seed(1)
    assert torch.equal(augment(X), first)
    assert not torch.equal(second, first)


def test_chain_applies_one_after_the_other():
    X = images()
    chain = AugmentChain(ImageAugment(horizontal_flip=1.0), ImageAugment(vertical_flip=1.0))
    assert torch.equal(chain(X), X.flip(2, 3))
    assert torch.equal(chain.same_for_all(X), X.flip(2, 3))
    assert chain.eval()(X) is X
    assert torch.equal(copy.deepcopy(chain).train()(X), X.flip(2, 3))


def test_modules_can_be_moved():
    X = images().double()
    assert AugmentChain(ImageAugment(**EVERYTHING), SpecAugment()).double()(X).dtype == X.dtype


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizontal_flip", 1.5),
        ("vertical_flip", -0.1),
        ("rotation", 181),
        ("color_jitter", float("nan")),
    ],
)
def test_wrong_parameters(name, value):
    with pytest.raises(ValueError, match=f"{name} must be between 0 and"):
        ImageAugment(**{name: value})


def test_wrong_shape():
    for method in (ImageAugment(), SpecAugment().same_for_all, ImageAugment().same_for_all):
        with pytest.raises(ValueError, match="images must have shape"):
            method(torch.zeros(3, 32, 32))
