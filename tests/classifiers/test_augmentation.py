"""Augmentation as parameters of the classifiers of images, in training and at prediction."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from torchvision.transforms import v2

from sklearn_dysarthria import (
    Augment,
    Backbone,
    ConvNeXtSeverityClassifier,
    EarlyStopping,
    HyperAlexNetClassifier,
)
from sklearn_dysarthria.nn import BatchMixing, ImageAugment, SpecAugment

EVERYTHING = {
    "augment__spec": 1.0,
    "augment__horizontal_flip": 0.5,
    "augment__vertical_flip": 0.5,
    "augment__rotation": 15.0,
    "augment__color_jitter": (0.3, 0.2, 0.0),
    "augment__translation": 0.2,
}


CHANGES = ("horizontal_flip", "vertical_flip", "rotation", "color_jitter", "translation")


@pytest.fixture
def batches():
    """A callback that keeps training batches as the network gets them, with their targets."""

    class Batches(Callback):
        taken: ClassVar[list] = []  # of the class, because classifiers copy their callbacks

        def on_train_begin(self, net, **kwargs):
            def keep(module, arguments, keywords):
                if module.training:
                    inputs = {name: tensor.clone() for name, tensor in keywords.items()}
                    self.taken.append((inputs, mixed.pop() if mixed else None))

            mixed = []
            net.module_.register_forward_pre_hook(keep, with_kwargs=True)
            if net.mixing is not None:
                net.mixing.register_forward_hook(lambda *given: mixed.append(given[-1][1]))

    return Batches()


def plain(case, **changes):
    return case.model(**{"augment__spec": 0, "max_epochs": 1} | changes)


# ------------------------------------------------------------------------------------ training


def test_off_by_default_but_for_the_challenge_entrys(case):
    model = case.model()
    entry = type(model).__name__ == "ConvNeXtSeverityClassifier"
    assert case.estimator().augment == ("spec" if entry else None)
    off = Augment().get_params()
    assert {name: off[name] for name in off if not name.startswith(("spec_", "n_"))} == dict(
        spec=0, **dict.fromkeys(CHANGES, 0), mixup=0, cutmix=0
    )
    assert off["n_views"] == 1
    assert Augment().of_images() is None
    assert Augment().of_batches() is None


@pytest.mark.parametrize("estimator", [ConvNeXtSeverityClassifier, HyperAlexNetClassifier])
def test_the_name_and_the_object_are_the_same(estimator, make_images):
    X, y = make_images(8)
    femto = Backbone("convnext_femto", weights=None)
    arguments = {"backbone": femto, "max_epochs": 1, "random_state": 0}
    by_name = estimator(augment="spec", **arguments).fit(X, y)
    by_object = estimator(augment=Augment(spec=0.7), **arguments).fit(X, y)
    assert_array_equal(by_name.predict_proba(X), by_object.predict_proba(X))
    plain = estimator(augment=None, **arguments).fit(X, y).predict_proba(X)
    assert np.abs(plain - by_name.predict_proba(X)).max() > 0
    off = estimator(augment=Augment(), **arguments).fit(X, y)
    assert_array_equal(off.predict_proba(X), plain)


def test_certain_flips_reach_the_network(convnext, make_images, batches):
    X, y = make_images(8)
    flips = {"augment__horizontal_flip": 1.0, "augment__vertical_flip": 1.0}
    plain(convnext, **flips, callbacks=[batches]).fit(X, y)
    ((seen, _),) = batches.taken
    flipped = X[:, :, ::-1, ::-1]
    assert_array_equal(np.sort(seen["X"].numpy().ravel()), np.sort(X.ravel()))
    for image in seen["X"].numpy():
        assert (image == flipped).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_acts_in_training_and_never_at_prediction(convnext, make_images, batches, name):
    X, y = make_images(16)
    before = X.copy()
    model = plain(convnext, **{name: EVERYTHING[name]}, callbacks=[batches]).fit(X, y)
    known = {image.tobytes() for image in X}
    n_kept = sum(
        image.numpy().tobytes() in known for seen, _ in batches.taken for image in seen["X"]
    )
    assert n_kept < 16
    assert_array_equal(X, before)
    module = model.net_.module_.eval()
    with torch.no_grad():
        expected = torch.softmax(module(torch.from_numpy(X)).double(), dim=1)
    assert_allclose(model.predict_proba(X), expected, atol=1e-6)


def test_masks_come_last(convnext):
    chain = plain(convnext, **EVERYTHING).augment.of_images()
    assert [type(part) for part in chain.augmentations] == [ImageAugment, SpecAugment]


@pytest.mark.parametrize("kind", ["augment__mixup", "augment__cutmix"])
def test_mixed_batches_are_judged_by_both_labels(case, make_images, batches, kind):
    X, y = make_images(16, n_classes=3)
    X = case.wrap(X)
    plain(case, **{kind: 1.0}, callbacks=[batches]).fit(X, y)
    assert len(batches.taken) == 2
    for seen, target in batches.taken:
        assert torch.equal(target.second, target.first.roll(1))
        assert 0 <= target.share <= 1
        if case.structured and kind == "augment__mixup":
            # Contexts are pixels of their image here, and stay so if both are mixed alike.
            assert_allclose(seen["context"], seen["X"][:, 0, 0, :5], atol=1e-6)


def test_pair_loss_equals_torchvisions_soft_labels(convnext, make_images, monkeypatch):
    """One step over all rows: the recorded loss is that of the initial network."""
    X, y = make_images(8)
    arguments = {"loss": "cross_entropy", "class_weight": None, "stochastic_depth": 0.0}
    recorded = {}

    def forward(self, inputs, labels):
        torch.manual_seed(5)
        mixed, target = original(self, inputs, labels)
        torch.manual_seed(5)
        images, soft = v2.MixUp(alpha=self.mixup, num_classes=2)(inputs["X"], labels)
        torch.testing.assert_close(mixed["X"], images)
        recorded["soft"] = soft
        return mixed, target

    class Loss(Callback):
        def on_batch_end(self, net, y_pred=None, **kwargs):
            loss = torch.nn.functional.cross_entropy(y_pred, recorded["soft"])
            recorded["loss"] = loss.item()

    original = BatchMixing.forward
    monkeypatch.setattr(BatchMixing, "forward", forward)
    model = plain(convnext, augment__mixup=0.7, callbacks=[Loss()], **arguments).fit(X, y)
    assert model.history_["train_loss"][1] == pytest.approx(recorded["loss"], rel=1e-5)


@pytest.mark.parametrize("loss", ["focal", "coral", "corn", "cumulative_link"])
def test_mixing_works_with_every_loss(convnext, make_images, loss):
    X, y = make_images(12, n_classes=3)
    model = plain(
        convnext, loss=loss, augment__mixup=0.5, augment__cutmix=0.5, class_weight="balanced"
    ).fit(X, y)
    assert np.isfinite(model.history_["train_loss"]).all()
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_inner_validation_sees_plain_images(convnext, make_images, monkeypatch):
    X, y = make_images(20)
    calls = []
    original = ImageAugment.forward
    monkeypatch.setattr(
        ImageAugment, "forward", lambda self, x: calls.append(len(x)) or original(self, x)
    )
    model = plain(
        convnext,
        augment__rotation=10,
        augment__mixup=0.3,
        max_epochs=2,
        early_stopping=EarlyStopping(),
    )
    model.fit(X, y, groups=np.arange(20))
    assert sum(calls) == 2 * 16
    assert model.history_["valid_loss"].notna().all()


# ---------------------------------------------------------------------------------- prediction


def test_views_average_probabilities(case, make_images):
    X, y = make_images(12)
    X = case.wrap(X)
    model = case.model(**EVERYTHING, augment__n_views=4).fit(X, y)
    names = X.dtype.names or ()
    given = {"X": X["image"], "context": X["context"]} if names else X
    net = model.net_
    views = [net.forward(given), *(net.view_logits(given, view) for view in (1, 2, 3))]
    views = [torch.softmax(view.double(), dim=1).numpy() for view in views]
    assert_allclose(model.predict_proba(X), np.mean(views, axis=0), atol=1e-12)
    assert len({view.tobytes() for view in views}) == 4
    assert_array_equal(model.predict(X), np.mean(views, axis=0).argmax(axis=1))
    alone = model.set_params(augment__n_views=1).predict_proba(X)
    assert_allclose(alone, views[0], atol=1e-12)


def test_views_of_a_certain_flip_are_known(convnext, make_images):
    X, y = make_images(8)
    model = convnext.model(augment__spec=0, augment__vertical_flip=1.0).fit(X, y)
    single, flipped = model.predict_proba(X), model.predict_proba(X[:, :, ::-1])
    assert np.abs(single - flipped).max() > 1e-3
    for n_tta in (2, 3):
        expected = (single + (n_tta - 1) * flipped) / n_tta
        assert_allclose(
            model.set_params(augment__n_views=n_tta).predict_proba(X), expected, atol=1e-6
        )


def test_views_do_not_depend_on_other_rows_or_batches(case, make_images):
    X, y = make_images(20)
    X = case.wrap(X)
    model = case.model(**EVERYTHING, augment__n_views=3).fit(X, y)
    whole = model.predict_proba(X)
    assert_array_equal(model.predict_proba(X), whole)
    torch.manual_seed(9)
    assert_allclose(model.predict_proba(X[5:7]), whole[5:7], atol=1e-5)
    assert_allclose(model.predict_proba(X[::-1])[::-1], whole, atol=1e-5)
    model.net_.set_params(batch_size=3)
    assert_allclose(model.predict_proba(X), whole, atol=1e-5)


def test_failed_rows_stay_failed_in_every_view(convnext, make_images):
    X, y = make_images(8)
    model = convnext.model(**EVERYTHING, augment__n_views=2).fit(X, y)
    expected = model.predict_proba(X)
    X[2] = np.nan
    found = model.predict_proba(X)
    assert np.isnan(found[2]).all()
    kept = np.delete(np.arange(8), 2)
    assert_allclose(found[kept], expected[kept], atol=1e-5)


def test_medians_of_averaged_probabilities(convnext, make_images):
    X, y = make_images(12, n_classes=3)
    model = convnext.model(**EVERYTHING, augment__n_views=3, loss="coral").fit(X, y)
    below = model.predict_proba(X).cumsum(axis=1)[:, :-1]
    assert_array_equal(model.predict(X), (below < 0.5).sum(axis=1))


def test_views_need_an_augmentation(convnext, make_images):
    X, y = make_images(8)
    with pytest.raises(ValueError, match="n_views=3 averages over augmented views, and no augment"):
        convnext.model(augment__spec=0, augment__mixup=0.4, augment__n_views=3).fit(X, y)
    model = convnext.model(augment__spec=0).fit(X, y)
    with pytest.raises(ValueError, match="n_views=2 averages"):
        model.set_params(augment__n_views=2).predict(X)


@pytest.mark.parametrize("wrong", [0, -1, "a", 1.5, None])
def test_the_number_of_views_is_checked_at_prediction_too(convnext, make_images, wrong):
    X, y = make_images(6)
    model = convnext.model(max_epochs=1).fit(X, y).set_params(augment__n_views=wrong)
    with pytest.raises(
        ValueError, match=rf"The 'n_views' parameter of Augment must be .* Got {wrong!r}"
    ):
        model.predict_proba(X)


def test_no_view_is_the_image_itself(convnext, make_images):
    """Flips of small probability: nearly every view would be the image."""
    X, y = make_images(8)
    model = plain(convnext, augment__horizontal_flip=0.02).fit(X, y)
    single, flipped = model.predict_proba(X), model.predict_proba(X[:, :, :, ::-1])
    assert np.abs(single - flipped).max() > 1e-3
    expected = (single + 4 * flipped) / 5
    assert_allclose(model.set_params(augment__n_views=5).predict_proba(X), expected, atol=1e-6)


# ------------------------------------------------------------------------ masks of SpecAugment


def test_width_and_number_of_masks(convnext, make_images, batches):
    X, y = make_images(8)
    options = {"augment__spec": 1.0, "augment__spec_width": 0.5, "augment__spec_masks": 1}
    plain(convnext, **options, callbacks=[batches]).fit(X, y)
    ((seen, _),) = batches.taken
    known = X.reshape(8, -1)
    widest = 0
    for image in seen["X"].numpy():
        original = X[(known == image.ravel()).mean(axis=1).argmax()]
        changed = (image != original)[0]
        rows, columns = changed.all(axis=1), changed.all(axis=0)
        for masked in (rows, columns):
            assert np.count_nonzero(np.diff(np.concatenate([[0], masked, [0]]))) <= 2  # one run
            assert masked.sum() <= 16
            widest = max(widest, masked.sum())
    assert widest > 4  # beyond the widest of the default


def test_default_masks_are_those_of_the_module(convnext):
    (masks,) = convnext.model().augment.of_images().augmentations
    assert repr(masks) == repr(SpecAugment(probability=0.7))


# ------------------------------------------------------------------------------------ together


def half(X):
    return X / 2


def test_grid_search_over_losses_weights_and_augmentation(convnext, make_images):
    X, y = make_images(13, n_classes=3)  # as many of each class would make all weights 1
    pipeline = Pipeline([("scale", FunctionTransformer(half)), ("net", plain(convnext))])
    grid = {
        "net__loss": ["focal", "corn"],
        "net__class_weight": ["effective_number", None],
        "net__augment__rotation": [0.0, 10.0],
    }
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss", error_score="raise")
    results = search.fit(X, y).cv_results_
    assert len(results["params"]) == 8
    assert len(set(results["mean_test_score"])) == 8
    assert set(search.predict(X)) <= {0, 1, 2}
