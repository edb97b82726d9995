from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from joblib import Memory, Parallel, delayed
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from skorch.callbacks import Callback, Unfreezer

from sklearn_dysarthria import BackboneClassifier, BackboneEmbeddings
from sklearn_dysarthria.classifiers import _frozen, _frozen_rows
from sklearn_dysarthria.classifiers._frozen import FrozenPart
from sklearn_dysarthria.classifiers._images import ImageClassifier
from sklearn_dysarthria.nn import Backbone, build_backbone
from sklearn_dysarthria.recordings import RecordingCache


@pytest.fixture
def counted(monkeypatch):
    """Count images that go through frozen stages alone, and through whole networks."""
    counts = {"frozen": 0, "whole": 0}
    apply, embed = FrozenPart._apply, Backbone._checked_images

    def counting_apply(self, images):
        counts["frozen"] += len(images)
        whole = counts["whole"]
        output = apply(self, images)
        counts["whole"] = whole  # networks kept whole embed there
        return output

    def counting_check(self, images):
        counts["whole"] += len(images)
        return embed(self, images)

    monkeypatch.setattr(FrozenPart, "_apply", counting_apply)
    monkeypatch.setattr(Backbone, "_checked_images", counting_check)
    return counts


def slowly(monkeypatch):
    monkeypatch.setattr(ImageClassifier, "_skips_frozen", False)


def without_seconds(history):
    return history.drop(columns="seconds").to_numpy(dtype=float)


FREEZES = {"spec_augment": 0.0, "freeze": "all"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"freeze": 3},
        {"class_weight": "balanced", "oversample": {1: 3}, "loss": "focal"},
        {"loss": "coral", "optimizer": "sgd", "lr_schedule": "cosine"},
        {"loss": "cumulative_link", "freeze": 4},
        {"early_stopping": True, "patience": 2, "max_epochs": 8, "lr": 0.03},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_same_result_as_epoch_by_epoch(case, changes, make_images, monkeypatch):
    X, y = make_images(n=21, n_classes=3)
    X = case.wrap(X)
    groups = np.arange(len(y))
    model = case.model(**FREEZES | {"max_epochs": 4} | changes)
    fast = pickle.loads(pickle.dumps(model)).fit(X, y, groups=groups)
    slowly(monkeypatch)
    slow = model.fit(X, y, groups=groups)
    np.testing.assert_allclose(fast.predict_proba(X), slow.predict_proba(X), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        without_seconds(fast.history_), without_seconds(slow.history_), atol=1e-4
    )
    assert np.ptp(fast.predict_proba(X), axis=0).max() > 1e-3  # which says something


def test_dropout_and_stochastic_depth_behind_frozen_stages_draw_the_same(make_images, monkeypatch):
    X, y = make_images(n=18)
    options = {"weights": None, "dropout": 0.5, "stochastic_depth": 0.5, "freeze": 3}
    model = BackboneClassifier("convnext_tiny", **options, max_epochs=2, random_state=0, width=0.1)
    fast = pickle.loads(pickle.dumps(model)).fit(X, y).predict_proba(X)
    slowly(monkeypatch)
    np.testing.assert_allclose(fast, model.fit(X, y).predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_backbones_with_batch_normalisation(name, make_images, monkeypatch):
    X, y = make_images(n=17)
    options = {"weights": None, "freeze": "all", "max_epochs": 2, "batch_size": 8}
    model = BackboneClassifier(name, **options, random_state=0)
    fast = pickle.loads(pickle.dumps(model)).fit(X, y).predict_proba(X)
    slowly(monkeypatch)
    np.testing.assert_allclose(fast, model.fit(X, y).predict_proba(X), rtol=0, atol=1e-5)


def test_each_row_passes_the_frozen_stages_once(convnext, make_images, counted):
    X, y = make_images(n=20)
    groups = np.arange(20)
    options = {"oversample": {0: 4}, "early_stopping": True, "max_epochs": 5, "patience": 5}
    convnext.model(**FREEZES, **options).fit(X, y, groups=groups)
    assert counted == {"frozen": 20, "whole": 0}  # inner validation rows among them


@pytest.mark.parametrize(
    "changes",
    [
        {"spec_augment": 0.5},
        {"horizontal_flip": 0.5},
        {"mixup": 0.2},
        {"cutmix": 0.2},
        {"freeze": None},
        {"freeze": 0},
    ],
    ids=str,
)
def test_every_epoch_sees_images_that_change(convnext, changes, make_images, counted):
    X, y = make_images(n=8)
    convnext.model(**FREEZES | changes | {"max_epochs": 3}).fit(X, y)
    assert counted == {"frozen": 0, "whole": 3 * 8}


def test_views_at_prediction_are_of_images(convnext, make_images, counted, tmp_path):
    X, y = make_images(n=8)
    options = {"spec_augment": 0.5, "n_tta": 3, "freeze": "all", "cache": tmp_path}
    convnext.model(**options).fit(X, y).predict_proba(X)
    assert counted == {"frozen": 0, "whole": (2 + 3) * 8}


def test_networks_that_cannot_be_cut_run_whole(make_images, counted):
    X, y = make_images(n=8)
    BackboneClassifier("resnet18", weights=None, freeze=2, max_epochs=2).fit(X, y)
    assert counted == {"frozen": 0, "whole": 2 * 8}


def test_output_much_larger_than_the_images_is_not_kept(convnext, make_images, counted):
    X, y = make_images(n=8)
    # The stem halves each side twice, and three channels become 24 * 9: 4.5 times the numbers.
    options = FREEZES | {"freeze": 1, "width": 9.0}
    convnext.model(**options, max_epochs=2).fit(X, y)
    assert counted["frozen"] == 0
    assert counted["whole"] >= 2 * 8
    convnext.model(**options | {"width": 8.0}, max_epochs=2).fit(X, y)
    assert counted["frozen"] == 8
    assert _frozen_rows.LARGEST_RATIO == 4  # as documented


def test_large_output_goes_to_a_file(convnext, make_images, monkeypatch):
    X, y = make_images(n=8)
    in_memory = convnext.model(**FREEZES).fit(X, y).predict_proba(X)
    kept = []
    finish = FrozenPart.__call__

    def call(self, *args):
        kept.append(finish(self, *args))
        return kept[-1]

    monkeypatch.setattr(FrozenPart, "__call__", call)
    monkeypatch.setattr(_frozen, "LARGEST_IN_MEMORY", 8 * 192 * 4 - 1)
    np.testing.assert_array_equal(convnext.model(**FREEZES).fit(X, y).predict_proba(X), in_memory)
    assert isinstance(kept[0], np.memmap)


def test_failed_rows_are_left_out(convnext, make_images, counted):
    X, y = make_images(n=9)
    X[4] = np.nan
    with pytest.warns(UserWarning, match="4"):
        model = convnext.model(**FREEZES).fit(X, y)
    assert counted["frozen"] == 8
    assert np.isnan(model.predict_proba(X)[4]).all()


def test_prediction_is_the_whole_network_s(case, make_images, counted):
    X, y = make_images(n=8)
    X = case.wrap(X)
    model = case.model(**FREEZES).fit(X, y)
    counted["frozen"] = 0
    probabilities = pickle.loads(pickle.dumps(model)).predict_proba(X)
    assert counted == {"frozen": 0, "whole": 8}
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))


def test_net_holds_neither_rows_nor_cache(convnext, make_images, tmp_path):
    X, y = make_images(n=64)
    net = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).net_
    assert net.skip_frozen is None
    weights = sum(tensor.nbytes for tensor in net.module_.state_dict().values())
    assert len(pickle.dumps(net)) < 1.2 * weights + 50_000


class AsksAboutItsOwn(Callback):
    def on_epoch_end(self, net, **kwargs):
        generator = torch.get_rng_state()
        images = np.ones((3, 3, 32, 32), dtype=np.float32)
        self.answers_ = net.predict_proba(images)
        # What the net was given to train on can be asked about as well.
        self.valid_ = net.predict_proba(kwargs["dataset_train"])
        assert torch.equal(generator, torch.get_rng_state())


def test_callbacks_may_ask_the_net_about_images(convnext, make_images, monkeypatch):
    X, y = make_images(n=10)
    plain = convnext.model(**FREEZES).fit(X, y).predict_proba(X)
    fast = convnext.model(**FREEZES, callbacks=[AsksAboutItsOwn()]).fit(X, y)
    np.testing.assert_array_equal(fast.predict_proba(X), plain)
    slowly(monkeypatch)
    slow = convnext.model(**FREEZES, callbacks=[AsksAboutItsOwn()]).fit(X, y)
    (ours,), (theirs,) = (
        [cb for _, cb in model.net_.callbacks_ if isinstance(cb, AsksAboutItsOwn)]
        for model in (fast, slow)
    )
    np.testing.assert_allclose(ours.answers_, theirs.answers_, atol=1e-6)
    np.testing.assert_allclose(ours.valid_, theirs.valid_, atol=1e-6)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_stages_that_a_callback_unfreezes_learn(convnext, early_stopping, make_images, monkeypatch):
    X, y = make_images(n=12)
    options = FREEZES | {"max_epochs": 4, "early_stopping": early_stopping, "lr": 0.01}
    unfreeze = Unfreezer("backbone.stages.4.*", at=3)

    def fit():
        model = convnext.model(**options, callbacks=[unfreeze])
        return model.fit(X, y, groups=np.arange(12))

    fast = fit()
    frozen = convnext.model(**options).fit(X, y, groups=np.arange(12))
    slowly(monkeypatch)
    slow = fit()
    np.testing.assert_allclose(fast.predict_proba(X), slow.predict_proba(X), atol=1e-5)
    assert not np.allclose(fast.predict_proba(X), frozen.predict_proba(X), atol=1e-3)


class Interrupts:
    def __call__(self, *args):
        raise KeyboardInterrupt


def test_an_interrupt_while_the_frozen_stages_run_is_one(convnext, make_images, monkeypatch):
    X, y = make_images(n=8)
    monkeypatch.setattr(FrozenPart, "_apply", Interrupts())
    model = convnext.model(**FREEZES)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "net_")


def test_early_stopping_brings_the_best_weights_back(convnext, make_images):
    X, y = make_images(n=20)
    y = np.random.default_rng(1).permutation(y)  # nothing to learn, so that it gets worse
    options = FREEZES | {"early_stopping": True, "max_epochs": 12, "lr": 0.05, "patience": 3}
    model = convnext.model(**options, loss="cross_entropy", class_weight=None)
    model.fit(X, y, groups=np.arange(20))
    losses = model.history_["valid_loss"]
    assert losses.argmin() < len(losses) - 1
    held_out = np.isin(np.arange(20), model.validation_patients_)
    p = model.predict_proba(X[held_out])[np.arange(held_out.sum()), y[held_out]]
    assert -np.log(p).mean() == pytest.approx(losses.min(), abs=1e-5)


# -------------------------------------------------------------------------------------- the cache


@pytest.mark.parametrize("kind", ["path", "memory", "bounded"])
def test_a_grid_over_the_head_computes_each_image_once(
    noise_case, kind, make_images, counted, tmp_path
):
    X, y = make_images(n=15)
    caches = {
        "path": tmp_path,
        "memory": Memory(tmp_path, verbose=0),
        "bounded": RecordingCache(tmp_path, max_bytes=10**8),
    }
    model = noise_case.model(**FREEZES, cache=caches[kind])
    grid = {"lr": [1e-4, 1e-3], "hidden_dim": [8, 16], "head": ["hyper", "dense"]}
    GridSearchCV(model, grid, cv=StratifiedKFold(3)).fit(X, y)
    assert counted["whole"] == 0
    # Heads are drawn after the backbone, whose random weights are therefore the same in all fits.
    assert counted["frozen"] == 15


def count_in_this_process(images, labels, cache):
    """Fit in a worker process, and return how many images passed the frozen stages there."""
    images_passed = []
    apply = FrozenPart._apply
    FrozenPart._apply = lambda self, batch: images_passed.append(len(batch)) or apply(self, batch)
    try:
        options = {"weights": None, "freeze": "all", "max_epochs": 1, "random_state": 0}
        model = BackboneClassifier("convnext_femto", **options, cache=cache).fit(images, labels)
        return sum(images_passed), model.predict_proba(images)
    finally:
        FrozenPart._apply = apply


def test_processes_share_the_cache(make_images, tmp_path):
    X, y = make_images(n=40)
    halves = [slice(0, 30), slice(10, 40), slice(0, 40)]
    counts = Parallel(n_jobs=2)(
        delayed(count_in_this_process)(X[half], y[half], tmp_path) for half in halves
    )
    assert sum(count for count, _ in counts) == 40
    expected = count_in_this_process(X, y, None)[1]
    np.testing.assert_allclose(counts[2][1], expected, atol=1e-6)


def test_the_cache_changes_results_by_rounding_only(case, make_images, tmp_path):
    X, y = make_images(n=21)
    X, options = case.wrap(X), FREEZES | {"max_epochs": 10}
    plain = case.model(**options).fit(X, y)
    # Some images first, so that later batches hold some that are known and some that are not.
    case.model(**options, cache=tmp_path).fit(X[3:13], y[3:13])
    for row in (0, 20):
        case.model(**options, cache=tmp_path).fit(X[[1, 2, row]], [0, 1, 0])
    cached = case.model(**options, cache=tmp_path).fit(X, y)
    np.testing.assert_allclose(cached.predict_proba(X), plain.predict_proba(X), rtol=0, atol=1e-5)
    # With everything there, or with nothing of it, the same numbers in the same order.
    first = case.model(**options, cache=tmp_path / "new").fit(X, y).predict_proba(X)
    again = case.model(**options, cache=tmp_path / "new").fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(
    "changes",
    [{"random_state": 1}, {"freeze": 4}, {"width": 2.0}, {"depth": 4}],
    ids=str,
)
def test_other_frozen_parts_do_not_share_entries(convnext, changes, make_images, counted, tmp_path):
    X, y = make_images(n=8)
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    counted["frozen"] = 0
    convnext.model(**FREEZES | {"cache": tmp_path} | changes).fit(X, y)
    assert counted["frozen"] == 8


def test_an_image_that_occurs_twice_is_computed_once(convnext, make_images, counted, tmp_path):
    X, y = make_images(n=8)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    convnext.model(**FREEZES, cache=tmp_path).fit(*twice)
    assert counted["frozen"] == 8


def test_a_changed_pixel_is_another_image(convnext, make_images, counted, tmp_path):
    X, y = make_images(n=8)
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    counted["frozen"] = 0
    X[3, 0, 0, 0] += 1e-3
    convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    assert counted["frozen"] == 1


def test_damaged_entries_are_computed_again(convnext, make_images, counted, tmp_path):
    X, y = make_images(n=8)
    expected = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).predict_proba(X)
    entries = [path for path in tmp_path.rglob("*") if path.is_file() and len(path.name) == 62]
    assert len(entries) == 8
    content = bytearray(entries[0].read_bytes())
    content[-1] ^= 1
    entries[0].write_bytes(content)
    counted["frozen"] = 0
    again = convnext.model(**FREEZES, cache=tmp_path).fit(X, y).predict_proba(X)
    assert counted["frozen"] == 1
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-5)


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
    np.testing.assert_allclose(model.predict_proba(X), changed, atol=1e-6)


def test_embeddings_and_classifier_share_the_cache(make_images, counted, tmp_path):
    X, y = make_images(n=10)
    torch.manual_seed(0)
    weights = tmp_path / "femto.pth"
    torch.save(build_backbone("convnext_femto").torchvision_state_dict(), weights)
    options = {"weights": weights, "cache": tmp_path / "cache"}
    embeddings = BackboneEmbeddings("convnext_femto", **options)
    first = embeddings.fit_transform(X)
    np.testing.assert_array_equal(embeddings.fit(X).transform(X), first)
    assert counted["frozen"] == 10
    plain = BackboneEmbeddings("convnext_femto", weights=weights).fit_transform(X)
    np.testing.assert_allclose(first, plain, atol=1e-6)
    counted["frozen"] = 0
    BackboneClassifier("convnext_femto", **options, freeze="all", max_epochs=1).fit(X, y)
    assert counted == {"frozen": 0, "whole": 0}


def test_cache_refuses_what_is_no_folder(convnext, make_images):
    X, y = make_images(n=8)
    with pytest.raises(TypeError, match="cache is 3"):
        convnext.model(**FREEZES, cache=3).fit(X, y)
