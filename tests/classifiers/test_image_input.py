from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dysarthria import Backbone, EarlyStopping, HyperAlexNetClassifier, HyperHead
from sklearn_dysarthria.exceptions import PatientError, RecordingWarning


def test_read_only_and_memory_mapped(case, make_images, tmp_path):
    X, y = make_images(12)
    X = case.wrap(X)
    expected = case.model(max_epochs=1).fit(X, y).predict_proba(X)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    frozen = X.copy()
    frozen.setflags(write=False)
    for given in (mapped, frozen):
        assert_array_equal(case.model(augment__spec=0, max_epochs=1).fit(given, y).classes_, [0, 1])
        assert_array_equal(case.model(max_epochs=1).fit(given, y).predict_proba(given), expected)
    assert_array_equal(frozen, X)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4", np.int16])
def test_other_number_types(case, make_images, dtype):
    X, y = make_images(12)
    X = np.round(4 * X)
    expected = case.model(max_epochs=1).fit(case.wrap(X), y).predict_proba(case.wrap(X))
    given = case.wrap(X.astype(dtype))
    assert_array_equal(case.model(max_epochs=1).fit(given, y).predict_proba(given), expected)


def test_bytes(case, make_images):
    X, y = make_images(12)
    X = np.clip(40 * X + 100, 0, 255).astype(np.uint8)
    model = case.model(lr=1e-4).fit(case.wrap(X), y)
    assert np.isfinite(model.predict_proba(case.wrap(X))).all()


def test_non_contiguous_views_and_lists(convnext, make_images):
    X, y = make_images(12)
    expected = convnext.model(max_epochs=1).fit(X, y).predict_proba(X)
    wide = np.repeat(X, 2, axis=3)
    for given in (wide[..., ::2], np.asfortranarray(X), X[::-1][::-1], list(X)):
        assert_array_equal(
            convnext.model(max_epochs=1).fit(given, y).predict_proba(given), expected
        )


@pytest.mark.parametrize(
    "shape", [(6, 12), (6, 32, 32), (6, 1, 32, 32), (6, 32, 32, 3), (6, 3, 32, 32, 1), ()]
)
def test_other_shapes_are_errors(convnext, shape):
    with pytest.raises(ValueError, match=r"shape \(n_samples, 3, height, width\)"):
        convnext.model().fit(np.zeros(shape, "f4"), np.arange(6) % 2)


def test_other_types_are_errors(convnext):
    for given in (np.zeros((6, 3, 32, 32), "c8"), np.full((6, 3, 32, 32), "a")):
        with pytest.raises(ValueError, match="numeric images"):
            convnext.model().fit(given, np.arange(6) % 2)


def test_no_rows(case, make_images):
    X, y = make_images(12)
    with pytest.raises(ValueError, match="0 images; a minimum of 1"):
        case.model(max_epochs=1).fit(case.wrap(X[:0]), y[:0])
    model = case.model(max_epochs=1).fit(case.wrap(X), y)
    with pytest.raises(ValueError, match="0 images; a minimum of 1"):
        model.predict(case.wrap(X[:0]))


def test_images_too_small_for_the_backbone(convnext, make_images):
    X, y = make_images(size=16)
    with pytest.raises(ValueError, match="at least 32 × 32 pixels"):
        convnext.model().fit(X, y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_pixels(case, make_images, value):
    X, y = make_images(12)
    model = case.model(max_epochs=1).fit(case.wrap(X), y)
    X[4, 1, 5, 5] = value
    X[7, 2] = value
    for call in (model.predict, lambda given: case.model(max_epochs=1).fit(given, y)):
        with pytest.raises(ValueError, match=r"X contains NaN or infinity inside rows \[4, 7\]"):
            call(case.wrap(X))


def test_opposite_infinities_and_float32_overflow(convnext, make_images):
    X, y = make_images(12)
    X = X.astype(np.float64)
    X[1, 0, 0, :2] = np.inf, -np.inf
    X[2, 0, 0, 0] = 1e300
    with pytest.raises(ValueError, match=r"inside rows \[1, 2\]"):
        convnext.model(max_epochs=1).fit(X, y)


def test_failed_rows_are_left_out_of_the_fit(case, make_images):
    X, y = make_images(12)
    given = case.wrap(X)
    bad = np.array([2, 9])
    broken = given.copy()
    if case.structured:
        broken["context"][2] = np.nan  # either half of a recording may have failed
        broken["image"][9] = np.nan
    else:
        broken[bad] = np.nan
    with pytest.warns(RecordingWarning) as caught:
        model = case.model(max_epochs=1).fit(broken, y)
    assert len(caught) == 1
    assert "2 of 12 rows" in str(caught[0].message)
    assert "[2, 9]" in str(caught[0].message)
    assert caught[0].filename == __file__
    clean = case.model(max_epochs=1).fit(np.delete(given, bad, axis=0), np.delete(y, bad))
    assert_array_equal(model.predict_proba(given), clean.predict_proba(given))


def test_failed_rows_at_prediction(case, make_images):
    X, y = make_images(12)
    given = case.wrap(X)
    model = case.model(max_epochs=1).fit(given, y)
    broken = given.copy()
    if case.structured:
        broken["image"][[0, 5]] = np.nan
    else:
        broken[[0, 5]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = model.predict_proba(broken)
    assert_array_equal(np.flatnonzero(np.isnan(probabilities).all(axis=1)), [0, 5])
    kept = np.delete(np.arange(len(X)), [0, 5])
    assert_allclose(probabilities[kept], model.predict_proba(given)[kept], atol=1e-5)
    with pytest.raises(ValueError, match=r"predict has no answer for rows \[0, 5\]"):
        model.predict(broken)
    alone = model.predict_proba(broken[[0, 5]])
    assert alone.shape == (2, 2)
    assert np.isnan(alone).all()
    with pytest.raises(ValueError, match=r"no answer for rows \[0\]"):
        model.predict(broken[:1])


def test_nothing_usable(convnext, make_images):
    X, y = make_images()
    with pytest.raises(ValueError, match="Every row is NaN"):
        convnext.model().fit(np.full_like(X, np.nan), y)
    X[y == 1] = np.nan
    with (
        pytest.warns(RecordingWarning),
        pytest.raises(ValueError, match="the usable rows hold only one class: 0"),
    ):
        convnext.model().fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(24), "at least 2 classes"),
        (np.arange(23) % 2, "inconsistent numbers of samples"),
        (np.linspace(0, 1, 24), "continuous"),
        (np.tile([[0, 1]], (24, 1)), "1d array"),
        ([*["a", "b"] * 11, "a", None], r"NaN or None in rows \[23\]"),
        ([*["a", "b"] * 11, "a", np.nan], r"NaN or None in rows \[23\]"),
        (np.array([*[0.0, 1.0] * 11, 0.0, np.nan]), "y contains NaN"),
        (np.array([1, "a"] * 12, dtype=object), "objects of type int, str"),
        (None, "1d array"),
    ],
)
def test_bad_labels(convnext, make_images, y, message):
    X, _ = make_images()
    with pytest.raises(ValueError, match=message):
        convnext.model().fit(X, y)


def test_missing_patients(convnext, make_images):
    X, y = make_images()
    groups = [f"p{n}" for n in range(23)]
    for missing in (None, np.nan):
        with pytest.raises(PatientError, match=r"groups contains NaN or None in rows \[23\]"):
            convnext.model(early_stopping=EarlyStopping()).fit(X, y, groups=[*groups, missing])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        convnext.model().fit(X, y, groups=groups)


def test_context_must_be_there_and_keep_its_size(make_images):
    X, y = make_images(8)
    femto = Backbone("convnext_femto", weights=None)
    head = HyperHead(context="data")
    model = HyperAlexNetClassifier(backbone=femto, head=head, max_epochs=1, lr=1e-3)
    with pytest.raises(ValueError, match="must be the output of ImagesWithContext"):
        model.fit(X, y)

    def with_context(n):
        out = np.zeros(8, dtype=[("image", "f4", X.shape[1:]), ("context", "f4", (n,))])
        out["image"] = X
        return out

    model.fit(with_context(5), y)
    assert model.n_context_features_ == 5
    with pytest.raises(ValueError, match=r"context must have shape \(n_samples, 5\)"):
        model.predict(with_context(6))
    broken = with_context(5)
    broken["context"][3, 1] = np.inf
    with pytest.raises(ValueError, match=r"context contains NaN or infinity inside rows \[3\]"):
        model.predict(broken)


def test_noise_takes_the_image_out_of_a_structured_array(noise_case, make_images):
    X, y = make_images(8)
    both = np.zeros(8, dtype=[("image", "f4", X.shape[1:]), ("context", "f4", (5,))])
    both["image"] = X
    both["context"] = np.nan
    expected = noise_case.model().fit(X, y).predict_proba(X)
    assert_array_equal(noise_case.model().fit(both, y).predict_proba(both), expected)


def test_fit_trains_on_views_of_the_input(case, make_images, watch):
    X, y = make_images()
    X = case.wrap(X)
    X[0:1] = X[1:2]
    case.model(oversample={1: 5}, max_epochs=1, callbacks=[watch]).fit(X, y)
    arrays = watch.datasets["train"].arrays
    assert all(np.shares_memory(array, X) for array in arrays.values())
    assert len(watch.rows("train")) == 6 * len(X) // 2
