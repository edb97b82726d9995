from __future__ import annotations

import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
import tqdm.auto
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from skorch import callbacks

from sklearn_dysarthria import (
    SGD,
    Adam,
    AdamW,
    ConvNeXtSeverityClassifier,
    EarlyStopping,
    HyperHead,
    HyperLinearClassifier,
    RMSprop,
    nn,
)


def criterion(model):
    return model.net_.criterion_


# ---------------------------------------------------------------------------------- imbalance


def test_balanced_weights_count_rows_after_oversampling(convnext, make_images):
    X, _ = make_images(20)
    y = np.repeat([1, 2, 5], [2, 6, 12])
    model = convnext.model(class_weight="balanced", max_epochs=1)
    assert_allclose(criterion(model.fit(X, y)).weight, 20 / (3 * np.array([2, 6, 12])))
    model.set_params(oversample={1: 6, 2: 2})
    assert_allclose(criterion(model.fit(X, y)).weight, [1, 1, 1])


def test_balanced_weights_count_training_rows_only(convnext, make_images):
    X, y = make_images(20)
    y[:4] = 0
    patients = np.arange(20)
    model = convnext.model(class_weight="balanced", early_stopping=EarlyStopping(), max_epochs=1)
    model.fit(X, y, groups=patients)
    kept = y[~np.isin(patients, model.validation_patients_)]
    assert_allclose(criterion(model).weight, len(kept) / (2 * np.bincount(kept)))


def test_weights_by_label(convnext, make_images):
    X, y = make_images(12, n_classes=3, labels=["mild", "none", "severe"])
    model = convnext.model(class_weight={"severe": 4, "mild": 0.5}, max_epochs=1).fit(X, y)
    assert_allclose(criterion(model).weight, [0.5, 1, 4])
    assert criterion(model.set_params(class_weight=None).fit(X, y)).weight is None
    with pytest.raises(ValueError, match="class_weight names"):
        model.set_params(class_weight={"dead": 4, "mild": 1}).fit(X, y)


def test_oversampling_repeats_rows_without_copies(convnext, make_images, watch):
    X, _ = make_images(9)
    y = np.repeat([1, 2, 3], 3)
    convnext.model(oversample={1: 4, 3: 2}, augment__spec=0, callbacks=[watch]).fit(X, y)
    assert_array_equal(np.bincount(watch.rows("train")), np.repeat([4, 1, 2], 3))
    assert sum(watch.sizes) == 2 * 21
    epoch = torch.cat([inputs["X"] for inputs, _ in watch.batches[: len(watch.batches) // 2]])
    epoch = epoch.numpy()
    times = [(epoch == image).all(axis=(1, 2, 3)).sum() for image in X]
    assert_array_equal(times, np.repeat([4, 1, 2], 3))


@pytest.mark.parametrize(
    ("oversample", "message"),
    [
        ({7: 2}, r"oversample names 7, which is not among \[0, 1\]"),
        ({1: 0}, r"oversample\[1\]=0 must be an integer of 1 or more"),
        ({1: 2.5}, "must be an integer"),
        ({1: True}, "must be an integer"),
    ],
)
def test_bad_oversampling(convnext, make_images, oversample, message):
    X, y = make_images(4)
    with pytest.raises(ValueError, match=message):
        convnext.model(oversample=oversample).fit(X, y)


# ------------------------------------------------------------------------------ optimisation


def test_cosine_schedule(convnext, make_images):
    X, y = make_images(4)
    history = convnext.model(lr_schedule="cosine", lr=0.01, max_epochs=5).fit(X, y).history_
    expected = [0.005 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)]
    assert_allclose(history["lr"], expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimisers_get_their_arguments(convnext, make_images, name, kind):
    X, y = make_images(4)
    given = SGD(momentum=0.7) if name == "sgd" else name
    model = convnext.model(
        optimizer=given, lr=0.003, weight_decay=0.02, lr_schedule=None, max_epochs=1
    ).fit(X, y)
    optimizer = model.net_.optimizer_
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.003, 0.02)
    assert group.get("momentum") == {"sgd": 0.7, "rmsprop": 0}.get(name)
    assert group.get("fused", False) == (name != "rmsprop")


class Norms(callbacks.Callback):
    """Note the norm of all gradients before every step, after whatever the classifier does."""

    def initialize(self):
        self.norms_ = []
        return self

    def on_grad_computed(self, net, **kwargs):
        gradients = [w.grad.ravel() for w in net.module_.parameters() if w.grad is not None]
        self.norms_.append(float(torch.cat(gradients).norm()))


def norms_of(model):
    return np.array(dict(model.net_.callbacks_)["Norms"].norms_)


@pytest.mark.parametrize("optimizer", [SGD(), Adam(), AdamW(), RMSprop()])
def test_clipping_limits_the_norm_of_all_gradients(table, optimizer):
    X, y = table
    model = small(optimizer=optimizer, callbacks=[Norms()], batch_size=10)
    free = clone(model).fit(X, y)
    largest = norms_of(free).max()
    assert norms_of(free).min() < 0.9 * largest
    limit = float(np.median(norms_of(free)))
    clipped = clone(model).set_params(optimizer__clip_norm=limit).fit(X, y)
    norms = norms_of(clipped)
    assert (norms <= limit * (1 + 1e-6)).all()
    assert np.isclose(norms, limit, rtol=1e-4).any()  # some were cut down to it
    assert np.abs(clipped.predict_proba(X) - free.predict_proba(X)).max() > 0
    # A limit that nothing reaches changes nothing, nor does none.
    loose = clone(model).set_params(optimizer__clip_norm=100 * largest).fit(X, y)
    assert_array_equal(loose.predict_proba(X), free.predict_proba(X))


def test_a_clipped_step_of_gradient_descent_is_as_long_as_the_rate_allows(table):
    X, y = table
    start = small(optimizer=SGD(momentum=0), lr=1e-12, max_epochs=1, batch_size=40).fit(X, y)
    model = small(optimizer=SGD(momentum=0, clip_norm=0.01), lr=3.0, max_epochs=1, batch_size=40)
    before, after = (
        torch.cat([w.detach().ravel() for w in fitted.net_.module_.parameters()])
        for fitted in (start, model.fit(X, y))
    )
    assert float((after - before).norm()) == pytest.approx(3.0 * 0.01, rel=1e-4)


@pytest.mark.parametrize("wrong", [0, -1, "1"])
def test_impossible_limits_of_gradients(table, wrong):
    with pytest.raises(ValueError, match="The 'clip_norm' parameter of Adam must be a float"):
        small(optimizer=Adam(clip_norm=wrong)).fit(*table)


def test_limits_of_gradients_in_a_grid(table):
    X, y = table
    model = small(optimizer=SGD(), max_epochs=2, lr=0.1)
    grid = {"optimizer__clip_norm": [None, 1e-3]}
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss", error_score="raise")
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    assert scores[0] > scores[1]  # with so small a limit nothing is learned


def test_frozen_stages_keep_their_weights(case, make_images):
    X, y = make_images(8)
    start = {}

    class Start(callbacks.Callback):
        def on_train_begin(self, net, **kwargs):
            start.update({name: t.clone() for name, t in net.module_.state_dict().items()})

    arguments = {"weight_decay": 0.1, "max_epochs": 1}  # frozen weights must not even be decayed
    if case.estimator is ConvNeXtSeverityClassifier:
        arguments["stochastic_depth"] = 0.0

    def changed(freeze):
        model = case.model(backbone__freeze=freeze, callbacks=[Start()], **arguments)
        end = model.fit(case.wrap(X), y).net_.module_.state_dict()
        return {n for n in end if not torch.equal(end[n], start[n])}, set(end)

    moved, names = changed("all")
    assert moved
    assert not any(name.startswith("backbone.") for name in moved)
    moved, _ = changed(2)
    stages = [f"backbone.network.features.{number}." for number in range(3)]
    assert not any(name.startswith((stages[0], stages[1])) for name in moved)
    assert any(name.startswith(stages[2]) for name in moved)
    moved, _ = changed(None)
    assert moved >= {name for name in names if name.startswith(stages[0])}
    with pytest.raises(ValueError, match="from 0 to 5"):
        case.model(backbone__freeze=6).fit(case.wrap(X), y)


def test_losses(convnext, make_images):
    X, y = make_images(8)
    focal = criterion(convnext.model(loss__gamma=1.5, max_epochs=1).fit(X, y))
    assert isinstance(focal, nn.FocalLoss)
    assert focal.gamma == 1.5
    plain = criterion(convnext.model(loss="cross_entropy", max_epochs=1).fit(X, y))
    assert type(plain) is torch.nn.CrossEntropyLoss


def test_focal_loss_is_what_is_minimised(convnext, make_images):
    X, y = make_images(8)
    # One step over all rows: the recorded loss is that of the initial network.
    arguments = {"class_weight": None, "augment__spec": 0, "stochastic_depth": 0, "max_epochs": 1}
    focal = convnext.model(loss__gamma=2.0, **arguments).fit(X, y).history_["train_loss"][1]
    flat = convnext.model(loss__gamma=0.0, **arguments).fit(X, y).history_["train_loss"][1]
    plain = convnext.model(loss="cross_entropy", **arguments).fit(X, y).history_["train_loss"][1]
    assert flat == pytest.approx(plain, rel=1e-5)
    assert focal < 0.5 * flat


# ------------------------------------------------------------------------------- augmentation


def test_masks_are_drawn_for_training_only(convnext, make_images, monkeypatch):
    from sklearn_dysarthria.nn import SpecAugment

    masked = []
    original = SpecAugment.forward

    def forward(self, images):
        masked.append(len(images))
        return original(self, images)

    monkeypatch.setattr(SpecAugment, "forward", forward)
    X, y = make_images(20)
    before = X.copy()
    model = convnext.model(augment__spec=1.0, early_stopping=EarlyStopping())
    model.fit(X, y, groups=np.arange(20))
    assert sum(masked) == 2 * 16
    assert_array_equal(X, before)
    n_calls = len(masked)
    model.predict_proba(X)
    assert len(masked) == n_calls
    model.set_params(augment__spec=0).fit(X, y, groups=np.arange(20))
    assert len(masked) == n_calls


# ---------------------------------------------------------------------------------- callbacks


class Counter(callbacks.Callback):
    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def on_train_begin(self, net, **kwargs):
        self.epochs_ = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ += 1
        if self.epochs_ == self.stop_after:
            raise KeyboardInterrupt  # skorch's way of saying that it is enough


@pytest.fixture
def table():
    y = np.arange(40) % 2
    return np.random.default_rng(0).normal(size=(40, 4)) + y[:, None], y


def small(**changes):
    arguments = {"head": HyperHead(hidden_dim=8), "max_epochs": 3, "random_state": 0}
    return HyperLinearClassifier(**arguments | changes)


def test_callbacks_run_and_stay_as_given(table):
    mine = Counter()
    model = small(callbacks=[mine, ("named", Counter())])
    assert clone(model).callbacks[0] is not mine
    model.fit(*table)
    assert vars(mine) == {"stop_after": None}
    assert model.callbacks[0] is mine
    used = dict(model.net_.callbacks_)
    assert used["Counter"].epochs_ == 3
    assert used["named"].epochs_ == 3


def test_a_callback_may_stop_the_training(table):
    assert small(callbacks=[Counter(stop_after=2)]).fit(*table).n_iter_ == 2
    stopping = callbacks.EarlyStopping(
        monitor="train_loss", patience=1, threshold=10, sink=lambda _: None
    )
    assert small(max_epochs=50, callbacks=[stopping]).fit(*table).n_iter_ < 50


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping()])
def test_an_interrupt_is_passed_on_and_leaves_no_model(table, early_stopping):
    X, y = table
    model = small(early_stopping=early_stopping, verbose=1).fit(X, y, groups=np.arange(40))
    steps = []

    class Interrupt(callbacks.Callback):
        def on_grad_computed(self, net, **kwargs):
            steps.append(1)
            if len(steps) == 2:
                raise KeyboardInterrupt

    model.set_params(callbacks=[Interrupt()])
    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, groups=np.arange(40))
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert not [name for name in vars(model) if name in ("net_", "history_", "n_iter_")]


def test_divergence_is_an_error(table):
    X, y = table
    with pytest.raises(ValueError, match="training diverged"):
        small(optimizer="sgd", lr=1e6, max_epochs=30).fit(1e6 * X, y)


def test_overflow_at_prediction_is_an_error(convnext, make_images):
    X, y = make_images(8)
    model = convnext.model().fit(X, y)
    X[3] = 3e38
    with pytest.raises(ValueError, match=r"overflows on rows \[3\]"):
        model.predict_proba(X)


# -------------------------------------------------------------------------- precision, progress


def test_mixed_precision_is_close(case, make_images):
    X, y = make_images(16)
    X = case.wrap(X)
    full = case.model(max_epochs=1).fit(X, y)
    mixed = case.model(max_epochs=1, mixed_precision=True).fit(X, y)
    probabilities = mixed.predict_proba(X)
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_allclose(probabilities, full.predict_proba(X), atol=0.1)
    assert next(mixed.net_.module_.parameters()).dtype == torch.float32
    assert np.abs(probabilities - full.predict_proba(X)).max() > 0


def test_progress_bar(case, make_images, capsys, monkeypatch):
    # Drawn after every epoch, however short.
    monkeypatch.setattr(tqdm.auto, "tqdm", partial(tqdm.auto.tqdm, mininterval=0))
    X, y = make_images(8)
    model = case.model(verbose=1).fit(case.wrap(X), y)
    captured = capsys.readouterr()
    assert type(model).__name__ in captured.err
    assert "train_loss" in captured.err
    assert captured.out == ""
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(case.wrap(X)), model.predict(case.wrap(X)))
    case.model(verbose=0).fit(case.wrap(X), y)
    assert capsys.readouterr() == ("", "")


def test_weights_that_cannot_be_had(convnext, make_images, monkeypatch, tmp_path):
    import urllib.error
    import urllib.request

    from sklearn_dysarthria import BackboneEmbeddings, HyperAlexNetClassifier
    from sklearn_dysarthria.exceptions import WeightsError

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    X, y = make_images(4, size=64)
    models = [
        HyperAlexNetClassifier(max_epochs=1),
        ConvNeXtSeverityClassifier(backbone="convnext_tiny", max_epochs=1),
        BackboneEmbeddings(),
    ]
    for model in models:
        with pytest.raises(WeightsError, match=r"Cannot download .*IMAGENET1K_V1.*\.$") as error:
            model.fit(X, y)
        assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match="neither a file nor a published name"):
        convnext.model(backbone__weights="IMAGENET1K_V1").fit(X, y)
