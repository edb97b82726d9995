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
    "translation": 0.2,
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


@pytest.mark.parametrize("number", [0, 1, 2])
def test_jitter_by_parts(number):
    """Three strengths: a part alone, without a step for those of strength 0."""
    X = images(2)
    strengths = [0.0, 0.0, 0.0]
    strengths[number] = 0.5
    augment = ImageAugment(color_jitter=tuple(strengths))
    factors = torch.tensor([augment._draw().factors for _ in range(200)])
    assert (factors == 1).all(dim=0).tolist() == [i != number for i in range(3)]
    low, high = X.amin(dim=(2, 3), keepdim=True), X.amax(dim=(2, 3), keepdim=True)
    adjust = ("adjust_brightness", "adjust_contrast", "adjust_saturation")[number]
    unit = getattr(v2.functional, adjust)((X - low) / (high - low), 1.4)
    found = augment._transform(X, draw(factors=[1.4] * 3))
    torch.testing.assert_close(found, unit * (high - low) + low)


def test_one_strength_is_three_alike():
    X = images()
    torch.manual_seed(2)
    single = ImageAugment(color_jitter=0.3)(X)
    torch.manual_seed(2)
    assert torch.equal(ImageAugment(color_jitter=(0.3, 0.3, 0.3))(X), single)
    assert ImageAugment(color_jitter=(0, 0, 0.0)).is_off
    assert torch.equal(ImageAugment(color_jitter=(0, 0, 0.0))(X), X)


@pytest.mark.parametrize("wrong", [(0.1, 0.2), (0.1, 0.2, 1.1), (0.1, "a", 0), (), [-0.1, 0, 0]])
def test_wrong_strengths(wrong):
    with pytest.raises(ValueError, match="color_jitter must be between 0 and 1, or three such"):
        ImageAugment(color_jitter=wrong)


# ----------------------------------------------------------------------------- translation


@pytest.mark.parametrize(("rows", "columns"), [(3, 0), (0, -5), (-4, 7), (24, 0)])
def test_translation_moves_whole_pixels_and_leaves_the_mean(rows, columns):
    X = images(2) + 3
    shift = (rows / 24, columns / 32)
    found = ImageAugment(translation=1.0)._transform(X, draw(shift=shift))
    expected = X.mean(dim=(2, 3), keepdim=True).expand_as(X).clone()
    for row in range(24):
        for column in range(32):
            to = (row + rows, column + columns)
            if 0 <= to[0] < 24 and 0 <= to[1] < 32:
                expected[:, :, to[0], to[1]] = X[:, :, row, column]
    torch.testing.assert_close(found, expected)


def test_translations_are_uniform_up_to_the_largest():
    augment = ImageAugment(translation=0.1)
    shifts = torch.tensor([augment._draw().shift for _ in range(1000)])
    assert shifts.abs().max() <= 0.1
    assert (shifts.amin(dim=0) < -0.095).all()
    assert (shifts.amax(dim=0) > 0.095).all()
    assert abs(torch.corrcoef(shifts.T)[0, 1].item()) < 0.15


# ------------------------------------------------------------------------- draws that change


WEAK = [
    ImageAugment(horizontal_flip=0.05),
    ImageAugment(horizontal_flip=0.02, vertical_flip=0.05),
    ImageAugment(translation=0.03),  # often rounded to no pixel
    SpecAugment(probability=0.1),
    SpecAugment(1.0, 0.05, 0.05, 1, 1),  # widths of 0 are frequent
    AugmentChain(ImageAugment(horizontal_flip=0.05), SpecAugment(probability=0.1)),
]


@pytest.mark.parametrize("augment", WEAK, ids=str)
def test_a_view_is_never_the_image_itself(augment):
    X = images(1)
    views = [augment.same_for_all(X) for _ in range(60)]
    assert not any(torch.equal(view, X) for view in views)
    by_chance = [augment.same_for_all(X, must_change=False) for _ in range(60)]
    assert any(torch.equal(view, X) for view in by_chance)


@pytest.mark.parametrize("augment", WEAK, ids=str)
def test_what_images_show_does_not_decide_the_draw(augment):
    """A grey image, which nothing changes, is given the same draw as any other."""
    X = images(2)
    for seed in range(10):
        torch.manual_seed(seed)
        alone, after = augment.same_for_all(X), torch.get_rng_state()
        torch.manual_seed(seed)
        both = augment.same_for_all(torch.cat([torch.zeros_like(X), X]))
        assert torch.equal(torch.get_rng_state(), after)
        assert torch.equal(both[2:], alone)


def test_flips_keep_their_odds_among_the_draws_that_flip():
    X = images(1, 4, 6)
    augment = ImageAugment(horizontal_flip=0.3, vertical_flip=0.1)
    views = [augment.same_for_all(X) for _ in range(800)]
    found = [sum(torch.equal(v, X.flip(*d)) for v in views) / 800 for d in ([3], [2], [2, 3])]
    expected = np.array([0.3 * 0.9, 0.7 * 0.1, 0.3 * 0.1]) / (1 - 0.7 * 0.9)
    assert_allclose(found, expected, atol=4 * 0.5 / 800**0.5)


@pytest.mark.parametrize(
    "augment", [ImageAugment(translation=0.01), SpecAugment(1.0, 0.01, 0.01), ImageAugment()]
)
def test_what_can_never_change_an_image_is_refused(augment):
    with pytest.raises(ValueError, match="left images of this size unchanged in 10000 draws"):
        augment.same_for_all(images(1))


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
        ("translation", 1.01),
    ],
)
def test_wrong_parameters(name, value):
    with pytest.raises(ValueError, match=f"{name} must be between 0 and"):
        ImageAugment(**{name: value})


def test_wrong_shape():
    for method in (ImageAugment(), SpecAugment().same_for_all, ImageAugment().same_for_all):
        with pytest.raises(ValueError, match="images must have shape"):
            method(torch.zeros(3, 32, 32))
