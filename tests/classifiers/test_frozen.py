"""A backbone that is frozen whole runs once per image, and a fit is the same as epoch by epoch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from joblib import Memory, Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from skorch.callbacks import Callback, Unfreezer

from sklearn_dysarthria import (
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    EarlyStopping,
    RecordingCache,
    nn,
)
from sklearn_dysarthria.nn import build_backbone

UNCHANGED = {"augment__spec": 0.0}
FREEZES = UNCHANGED | {"backbone__freeze": "all"}
FEMTO = Backbone("convnext_femto", weights=None)


class Batches(list):
    """Sizes of the batches that backbones of this process are given, while it is used."""

    def __enter__(self):
        def note(module, arguments):
            if isinstance(module, nn.Backbone):
                self.append(len(arguments[0]))

        self._hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
        return self

    def __exit__(self, *error):
        self._hook.remove()


@pytest.fixture
def batches():
    with Batches() as sizes:
        yield sizes


class WholeInEveryEpoch(Callback):
    """Train as if nothing were known of frozen backbones."""

    def on_train_begin(self, net, **kwargs):
        net.skip_frozen = None


def without_seconds(history):
    return history.drop(columns="seconds").to_numpy(dtype=float)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weight": "balanced", "oversample": {1: 3}, "loss": "focal"},
        {"loss": "coral", "optimizer": "sgd", "lr_schedule": "cosine"},
        {"early_stopping": EarlyStopping(patience=2), "max_epochs": 8, "lr": 0.03},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_same_result_as_epoch_by_epoch(case, changes, make_images, batches):
    X, y = make_images(n=21, n_classes=3)
    X = case.wrap(X)
    groups = np.arange(len(y))
    options = FREEZES | {"max_epochs": 4} | changes
    fast = case.model(**options).fit(X, y, groups=groups)
    assert sum(batches) == 21  # inner validation rows among them
    slow = case.model(**options, callbacks=[WholeInEveryEpoch()]).fit(X, y, groups=groups)
    assert sum(batches) >= 21 + 3 * 21
    assert_allclose(fast.predict_proba(X), slow.predict_proba(X), rtol=0, atol=1e-5)
    assert_allclose(without_seconds(fast.history_), without_seconds(slow.history_), atol=1e-4)
    assert np.ptp(fast.predict_proba(X), axis=0).max() > 1e-3  # which says something


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        (Backbone("resnet18", weights=None, freeze="all"), {}),  # batch normalisation
        (
            Backbone("convnext_tiny", weights=None, freeze="all", width=0.1),
            {"dropout": 0.5, "stochastic_depth": 0.5},
        ),
    ],
)
def test_what_draws_or_normalises_in_training(backbone, options, make_images):
    X, y = make_images(n=17)
    options = {"max_epochs": 2, "batch_size": 8, "random_state": 0} | options
    fast = BackboneClassifier(backbone, **options).fit(X, y)
    slow = BackboneClassifier(backbone, **options, callbacks=[WholeInEveryEpoch()])
    assert_allclose(fast.predict_proba(X), slow.fit(X, y).predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"augment__spec": 0.5},
        {"augment__horizontal_flip": 0.5},
        {"augment__mixup": 0.2},
        {"augment__cutmix": 0.2},
        {"backbone__freeze": None},
        {"backbone__freeze": 0},
        {"backbone__freeze": 4},
    ],
    ids=str,
)
def test_every_epoch_sees_images_that_change_or_stages_that_learn(
    convnext, changes, make_images, batches
):
    X, y = make_images(n=8)
    convnext.model(**FREEZES | changes | {"max_epochs": 3}).fit(X, y)
    assert sum(batches) == 3 * 8


def test_the_number_of_all_stages_is_all(convnext, make_images, batches):
    X, y = make_images(n=8)
    convnext.model(**FREEZES | {"backbone__freeze": 5, "max_epochs": 3}).fit(X, y)
    assert sum(batches) == 8


def test_views_at_prediction_are_of_images(convnext, make_images, batches, tmp_path):
    X, y = make_images(n=8)
    views = {"augment__spec": 0.5, "augment__n_views": 3}
    convnext.model(**FREEZES | views, cache=tmp_path).fit(X, y).predict_proba(X)
    assert sum(batches) == (2 + 3) * 8


def test_failed_rows_are_left_out(convnext, make_images, batches):
    X, y = make_images(n=9)
    X[4] = np.nan
    with pytest.warns(UserWarning, match="4"):
        model = convnext.model(**FREEZES).fit(X, y)
    assert sum(batches) == 8
    assert np.isnan(model.predict_proba(X)[4]).all()


def test_prediction_is_the_whole_network_s(case, make_images, batches):
    X, y = make_images(n=8)
    X = case.wrap(X)
    model = case.model(**FREEZES).fit(X, y)
    batches.clear()
    probabilities = pickle.loads(pickle.dumps(model)).predict_proba(X)
    assert sum(batches) == 8
    assert_array_equal(probabilities, model.predict_proba(X))


def test_net_holds_neither_rows_nor_cache(convnext, make_images, tmp_path):
    X, y = make_images(n=64)
    net = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).net_
    assert net.skip_frozen is None
    weights = sum(tensor.nbytes for tensor in net.module_.state_dict().values())
    assert len(pickle.dumps(net)) < 1.2 * weights + 50_000


def test_early_stopping_brings_the_best_weights_back(convnext, make_images):
    X, y = make_images(n=20)
    y = np.random.default_rng(1).permutation(y)  # nothing to learn, so that it gets worse
    stopping = EarlyStopping(patience=3)
    options = FREEZES | {"early_stopping": stopping, "max_epochs": 12, "lr": 0.05}
    model = convnext.model(**options, loss="cross_entropy", class_weight=None)
    model.fit(X, y, groups=np.arange(20))
    losses = model.history_["valid_loss"]
    assert losses.argmin() < len(losses) - 1
    held_out = np.isin(np.arange(20), model.validation_patients_)
    p = model.predict_proba(X[held_out])[np.arange(held_out.sum()), y[held_out]]
    assert -np.log(p).mean() == pytest.approx(losses.min(), abs=1e-5)


def test_an_interrupt_while_the_features_are_computed_is_one(convnext, make_images):
    def interrupt(module, arguments):
        if isinstance(module, nn.Backbone):
            raise KeyboardInterrupt

    X, y = make_images(n=8)
    model = convnext.model(**FREEZES)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
    finally:
        hook.remove()
    assert not hasattr(model, "net_")


# -------------------------------------------------------------------------------------- callbacks


class AsksAboutItsOwn(Callback):
    def on_epoch_end(self, net, **kwargs):
        generator = torch.get_rng_state()
        images = np.ones((3, 3, 32, 32), dtype=np.float32)
        self.answers_ = net.predict_proba(images)
        # What the net was given to train on can be asked about as well.
        self.valid_ = net.predict_proba(kwargs["dataset_train"])
        assert torch.equal(generator, torch.get_rng_state())


def test_callbacks_may_ask_the_net_about_images(convnext, make_images):
    X, y = make_images(n=10)
    plain = convnext.model(**FREEZES).fit(X, y).predict_proba(X)
    fast = convnext.model(**FREEZES, callbacks=[AsksAboutItsOwn()]).fit(X, y)
    assert_array_equal(fast.predict_proba(X), plain)
    slowly = [WholeInEveryEpoch(), AsksAboutItsOwn()]
    slow = convnext.model(**FREEZES, callbacks=slowly).fit(X, y)
    (ours,), (theirs,) = (
        [cb for _, cb in model.net_.callbacks_ if isinstance(cb, AsksAboutItsOwn)]
        for model in (fast, slow)
    )
    assert_allclose(ours.answers_, theirs.answers_, atol=1e-6)
    assert_allclose(ours.valid_, theirs.valid_, atol=1e-6)


def freeze_less(backbone):
    backbone.freeze(3)


def let_one_weight_learn(backbone):
    next(backbone.parameters()).requires_grad_(True)


def scale(backbone):
    with torch.no_grad():
        next(backbone.parameters()).mul_(1.001)


class Changes(Callback):
    """Do something to the backbone at some event of a training."""

    def __init__(self, change, event):
        self.change = change
        self.event = event

    def initialize(self):
        setattr(self, self.event, lambda net, **kwargs: self.change(net.module_.backbone))
        return self


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_batch_begin", "on_train_end"])
@pytest.mark.parametrize("change", [freeze_less, let_one_weight_learn, scale])
def test_a_callback_that_changes_the_frozen_backbone_is_an_error(
    convnext, change, event, make_images
):
    X, y = make_images(n=8)
    done = "changed" if change is scale else "let"
    model = convnext.model(**FREEZES, callbacks=[Changes(change, event)])
    with pytest.raises(ValueError, match=f"A callback {done} weights of the .* Set freeze=None"):
        model.fit(X, y)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping()])
def test_stages_that_a_callback_unfreezes_learn(convnext, early_stopping, make_images):
    X, y = make_images(n=12)
    options = {"max_epochs": 4, "early_stopping": early_stopping, "lr": 0.01}
    unfreeze = Unfreezer("backbone.network.features.0.*", at=3)

    def fit(freeze, **changes):
        model = convnext.model(**UNCHANGED, **options, **changes, backbone__freeze=freeze)
        return model.fit(X, y, groups=np.arange(12)).net_.module_.backbone.network.features[0]

    frozen = fit(4)[0].weight
    assert_array_equal(frozen, fit("all")[0].weight)
    assert not torch.equal(frozen, fit(4, callbacks=[unfreeze])[0].weight)
    with pytest.raises(ValueError, match="let weights of the frozen backbone learn"):
        fit("all", callbacks=[unfreeze])


# -------------------------------------------------------------------------------------- the cache


@pytest.mark.parametrize("kind", ["path", "memory", "bounded"])
def test_a_grid_over_the_head_computes_each_image_once(
    noise_case, kind, make_images, batches, tmp_path
):
    X, y = make_images(n=15)
    caches = {
        "path": tmp_path,
        "memory": Memory(tmp_path, verbose=0),
        "bounded": RecordingCache(tmp_path, max_bytes=10**8),
    }
    model = noise_case.model(**FREEZES, cache=caches[kind])
    grid = {"lr": [1e-4, 1e-3], "head": ["hyper", "dense"]}
    GridSearchCV(model, grid, cv=StratifiedKFold(3)).fit(X, y)
    # Heads are drawn after the backbone, whose random weights are therefore the same in all fits.
    assert sum(batches) == 15


def fit_in_a_process(images, labels, cache):
    """Fit in a worker process; return how many images passed the backbone in it and answers."""
    backbone = Backbone("convnext_femto", weights=None, freeze="all")
    model = BackboneClassifier(backbone, max_epochs=1, random_state=0, cache=cache)
    with Batches() as sizes:
        model.fit(images, labels)
    return sum(sizes), model.predict_proba(images)


def test_processes_share_the_cache(make_images, tmp_path):
    X, y = make_images(n=40)
    halves = [slice(0, 30), slice(10, 40), slice(0, 40)]
    counts = Parallel(n_jobs=2)(
        delayed(fit_in_a_process)(X[half], y[half], tmp_path) for half in halves
    )
    assert sum(count for count, _ in counts) == 40
    expected = fit_in_a_process(X, y, None)[1]
    assert_allclose(counts[2][1], expected, atol=1e-6)


def test_the_cache_changes_results_by_rounding_only(case, make_images, tmp_path):
    X, y = make_images(n=21)
    X, options = case.wrap(X), FREEZES | {"max_epochs": 10}
    plain = case.model(**options).fit(X, y)
    # Some images first, so that later batches hold some that are known and some that are not.
    case.model(**options, cache=tmp_path).fit(X[3:13], y[3:13])
    for row in (0, 20):
        case.model(**options, cache=tmp_path).fit(X[[1, 2, row]], [0, 1, 0])
    cached = case.model(**options, cache=tmp_path).fit(X, y)
    assert_allclose(cached.predict_proba(X), plain.predict_proba(X), rtol=0, atol=1e-5)
    # With everything there, or with nothing of it, the same numbers in the same order.
    first = case.model(**options, cache=tmp_path / "new").fit(X, y).predict_proba(X)
    again = case.model(**options, cache=tmp_path / "new").fit(X, y).predict_proba(X)
    assert_array_equal(again, first)


@pytest.mark.parametrize(
    "changes",
    [
        {"random_state": 1},
        {"backbone__width": 2.0},
        {"backbone__depth": 4},
        {"mixed_precision": True},
    ],
    ids=str,
)
def test_other_backbones_do_not_share_entries(convnext, changes, make_images, batches, tmp_path):
    X, y = make_images(n=8)
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    convnext.model(**FREEZES | {"cache": tmp_path} | changes).fit(X, y)
    assert sum(batches) == 16


def test_an_image_that_occurs_twice_is_computed_once(convnext, make_images, batches, tmp_path):
    X, y = make_images(n=8)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    convnext.model(**FREEZES, cache=tmp_path).fit(*twice)
    assert sum(batches) == 8


def test_a_changed_pixel_is_another_image(convnext, make_images, batches, tmp_path):
    X, y = make_images(n=8)
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    X[3, 0, 0, 0] += 1e-3
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    assert batches == [8, 1]


def test_damaged_entries_are_computed_again(convnext, make_images, batches, tmp_path):
    X, y = make_images(n=8)
    expected = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).predict_proba(X)
    entries = [path for path in tmp_path.rglob("*") if path.is_file()]
    entries = [path for path in entries if path.stat().st_size >= 192 * 4]  # as many features
    assert len(entries) == 8
    content = bytearray(entries[0].read_bytes())
    content[-1] ^= 1
    entries[0].write_bytes(content)
    again = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).predict_proba(X)
    assert batches == [8, 1]
    assert_allclose(again, expected, rtol=0, atol=1e-5)


def test_weights_changed_after_the_fit_count(convnext, make_images, tmp_path):
    X, y = make_images(n=8)
    model = convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    before = model.predict_proba(X)
    with torch.no_grad():
        for weight in model.net_.module_.backbone.parameters():
            weight.mul_(1.5)
    changed = model.predict_proba(X)
    assert not np.allclose(before, changed, atol=1e-4)
    model.cache = None
    assert_allclose(model.predict_proba(X), changed, atol=1e-6)


def test_a_new_image_costs_one_image(convnext, make_images, batches, tmp_path):
    X, y = make_images(n=40)
    model = convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    assert sum(batches) == 40
    batches.clear()
    new = X[:3] + 1
    answers = model.predict_proba(np.concatenate([X[:5], new[:1]]))
    assert batches == [1]
    model.predict_proba(new)
    assert batches == [1, 2]
    model.cache = None
    assert_allclose(model.predict_proba(new[:1]), answers[5:], atol=1e-5)


def test_embeddings_of_few_images_cost_few(make_images, batches, tmp_path):
    X = make_images(n=20)[0]
    embeddings = BackboneEmbeddings(FEMTO, cache=tmp_path, batch_size=8)
    whole = embeddings.fit_transform(X)
    assert batches == [8, 8, 4]
    embeddings.transform(X[:1] + 0.5)
    assert batches[3:] == [1]
    embeddings.cache = None
    alone = np.concatenate([embeddings.transform(X[[row]]) for row in range(20)])
    assert_allclose(alone, whole, atol=1e-6 * np.abs(whole).max(), rtol=1e-5)


def test_embeddings_and_classifier_share_the_cache(make_images, batches, tmp_path):
    X, y = make_images(n=10)
    torch.manual_seed(0)
    weights = tmp_path / "femto.pth"
    torch.save(build_backbone("convnext_femto").torchvision_state_dict(), weights)
    backbone = Backbone("convnext_femto", weights=weights)
    embeddings = BackboneEmbeddings(backbone, cache=tmp_path / "cache")
    first = embeddings.fit_transform(X)
    assert_array_equal(embeddings.fit(X).transform(X), first)
    frozen = Backbone("convnext_femto", weights=weights, freeze="all")
    BackboneClassifier(frozen, max_epochs=1, cache=tmp_path / "cache").fit(X, y)
    assert sum(batches) == 10
    plain = BackboneEmbeddings(backbone).fit_transform(X)
    assert_allclose(first, plain, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_the_same_weights_are_found_again(name, make_images, batches, tmp_path):
    X = make_images(n=3)[0]
    embeddings = BackboneEmbeddings(Backbone(name, weights=None), cache=tmp_path, random_state=0)
    first = embeddings.fit_transform(X)
    assert_array_equal(embeddings.fit_transform(X), first)
    assert batches == [3]
    embeddings.set_params(random_state=1).fit_transform(X)
    assert batches == [3, 3]


def test_settings_without_weights_count(tmp_path):
    X = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    embeddings = BackboneEmbeddings(
        Backbone("googlenet", weights=None), cache=tmp_path, random_state=0
    )
    first = embeddings.fit_transform(X)
    embeddings.backbone_.network.transform_input = True
    assert (embeddings.transform(X) != first).any()


def test_what_is_no_folder_is_no_cache(convnext, make_images):
    X, y = make_images(n=8)
    with pytest.raises(TypeError, match="cache is 3"):
        convnext.model(**FREEZES, cache=3).fit(X, y)
