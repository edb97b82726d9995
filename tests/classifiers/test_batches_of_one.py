"""Batch normalisation needs two samples; devices that are not there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dysarthria import (
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    EarlyStopping,
    HyperLinearClassifier,
)


def small(**changes):
    model = BackboneClassifier(
        Backbone("shufflenet_v2_x0_5", weights=None), max_epochs=1, random_state=0
    )
    return model.set_params(**changes)


def test_seventeen_images(make_images, watch):
    X, y = make_images(17)
    model = small(callbacks=[watch], batch_size=16).fit(X, y)
    assert watch.sizes == [17]
    assert model.net_.batch_size == 16
    assert np.isfinite(model.predict_proba(X)).all()
    assert len(model.predict_proba(X[:1])) == 1


@pytest.mark.parametrize(("n", "expected"), [(16, [8, 8]), (18, [8, 8, 2]), (25, [9, 9, 7])])
def test_other_numbers(make_images, watch, n, expected):
    small(callbacks=[watch], batch_size=8).fit(*make_images(n))
    assert watch.sizes == expected


def test_rows_are_counted_as_trained_on(make_images, watch):
    """After repetition and without those held out."""
    X, y = make_images(10)
    small(callbacks=[watch], batch_size=7, oversample={1: 2}).fit(X, y)
    assert watch.sizes == [8, 7]
    watch.batches.clear()
    small(callbacks=[watch], batch_size=7, early_stopping=EarlyStopping()).fit(
        X, y, groups=np.arange(10)
    )
    assert watch.sizes == [8]


def test_networks_without_it_keep_their_batches(make_images, watch):
    X, y = make_images(9)
    small(callbacks=[watch], backbone__name="convnext_femto", batch_size=8).fit(X, y)
    assert watch.sizes == [8, 1]


def test_batches_of_one_that_were_asked_for(make_images):
    X, y = make_images(4)
    with pytest.raises(ValueError, match=r"batch normalisation, .* raise batch_size=1\.$"):
        small(batch_size=1).fit(X, y)
    small(backbone__name="convnext_femto", batch_size=1).fit(X, y)


# ------------------------------------------------------------------------------------ devices


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "cpu:x"])
def test_devices_that_are_not_there(make_images, device):
    X, y = make_images(4)
    message = f"device='{device}' cannot be used"
    with pytest.raises(ValueError, match=message):
        HyperLinearClassifier(device=device).fit(X.reshape(4, -1), y)
    with pytest.raises(ValueError, match=message):
        small(device=device).fit(X, y)
    embeddings = BackboneEmbeddings(Backbone("convnext_femto", weights=None), device=device)
    with pytest.raises(ValueError, match=message):
        embeddings.fit_transform(X)


def test_a_device_by_name(make_images):
    X, y = make_images(4)
    X = X.reshape(4, -1)
    expected = HyperLinearClassifier(max_epochs=1, device="cpu", random_state=0).fit(X, y)
    found = HyperLinearClassifier(max_epochs=1, device="cpu:0", random_state=0).fit(X, y)
    assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
