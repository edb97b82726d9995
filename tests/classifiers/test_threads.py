"""Networks that train in threads of one process get the numbers that they would get alone."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import ClassVar

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from skorch.callbacks import Callback

from sklearn_dysarthria import (
    Augment,
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    HyperAlexNetClassifier,
    HyperLinearClassifier,
)


def _fit(seed, X, y):
    model = HyperLinearClassifier(max_epochs=15, batch_size=4, random_state=seed)
    return model.fit(X, y).predict_proba(X)


def test_threads_do_not_draw_from_each_others_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 6)).astype(np.float32)
    y = np.tile([0, 1], 12)
    alone = [_fit(seed, X, y) for seed in range(4)]
    together = Parallel(n_jobs=4, prefer="threads")(delayed(_fit)(s, X, y) for s in range(4))
    np.testing.assert_array_equal(together, alone)


# ----------------------------------------------------------- predictions while something trains

IN_TIME = 30
"""Seconds after which something hangs."""


def _images(n):
    images = np.random.default_rng(0).normal(size=(n, 3, 32, 32)).astype(np.float32)
    return images, np.arange(n) % 2


def _image_model(**options):
    model = BackboneClassifier(
        Backbone("convnext_femto", weights=None),
        augment=Augment(spec=0.9, n_views=2),
        batch_size=4,
        random_state=0,
        max_epochs=1,
    )
    return model.set_params(**options)


def _ask(model, X):
    """Ask in every way that runs a network."""
    answers = [model.predict_proba(X), model.predict(X)]
    if hasattr(model, "predict_uncertainty"):
        answers.append(model.predict_uncertainty(X))
    return np.concatenate([answer.reshape(len(X), -1) for answer in answers], axis=1)


class AsksInAThread(Callback):
    """Wait, in the middle of a training, for another thread that predicts."""

    asks: ClassVar[list] = []

    def __init__(self, event="on_batch_end"):
        self.event = event

    def initialize(self):
        setattr(self, self.event, self.wait)
        return self

    def wait(self, net, *args, **kwargs):
        pool = ThreadPoolExecutor(2)
        try:
            for ask, expected in self.asks:
                answers = [pool.submit(ask, net) for _ in range(2)]
                for answer in answers:
                    np.testing.assert_array_equal(answer.result(timeout=IN_TIME), expected)
                self.asked_ = getattr(self, "asked_", 0) + 1
        finally:
            pool.shutdown(wait=False)  # what hangs goes on when the training ends


@pytest.mark.parametrize("event", ["on_batch_begin", "on_grad_computed", "on_epoch_end"])
@pytest.mark.parametrize("kind", ["vectors", "alexnet", "views", "embeddings", "cache"])
def test_predictions_do_not_wait_for_a_training(kind, event, monkeypatch, tmp_path):
    X, y = _images(6)
    if kind == "vectors":
        X = X.reshape(6, -1)[:, :5].copy()
        other = HyperLinearClassifier(max_epochs=1, random_state=0).fit(X, y)
    elif kind == "alexnet":
        femto = Backbone("convnext_femto", weights=None)
        small = {"backbone": femto, "embedding_dim": 8, "max_epochs": 1}
        other = HyperAlexNetClassifier(random_state=0, **small).fit(X, y)
    elif kind == "embeddings":
        other = BackboneEmbeddings(Backbone("convnext_femto", weights=None), random_state=0).fit(X)
        monkeypatch.setattr(other, "predict_proba", other.transform, raising=False)
        monkeypatch.setattr(other, "predict", other.transform, raising=False)
    else:
        frozen = {"backbone__freeze": "all", "augment": None, "cache": tmp_path}
        other = _image_model(**frozen if kind == "cache" else {}).fit(X, y)
    expected = _ask(other, X)
    monkeypatch.setattr(AsksInAThread, "asks", [(lambda net: _ask(other, X), expected)])
    rows, labels = _images(8)
    rows = rows.reshape(8, -1)[:, :6].copy()
    settings = {"max_epochs": 2, "batch_size": 4, "random_state": 0}
    model = HyperLinearClassifier(**settings, callbacks=[AsksInAThread(event)]).fit(rows, labels)
    assert model.net_.callbacks_[-1][1].asked_ >= 2
    # Nor does the training notice.
    plain = HyperLinearClassifier(**settings).fit(rows, labels)
    np.testing.assert_array_equal(model.predict_proba(rows), plain.predict_proba(rows))


def test_a_callback_may_ask_its_own_net_in_threads(monkeypatch):
    X, y = _images(8)
    asked = []
    asks = [(lambda net: asked.append(net.predict_proba(X)) or len(asked) > 0, True)]
    monkeypatch.setattr(AsksInAThread, "asks", asks)
    options = {"augment": None, "backbone__freeze": 3, "max_epochs": 2}
    model = _image_model(**options, callbacks=[AsksInAThread("on_batch_begin")]).fit(X, y)
    plain = _image_model(**options).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert len(asked) == 2 * 4


def test_a_prediction_ends_while_another_thread_trains():
    X, y = _images(8)
    other = _image_model().fit(X, y)
    expected = _ask(other, X)
    begun, go_on = Event(), Event()

    class Waits(Callback):
        def on_batch_begin(self, net, **kwargs):
            begun.set()
            assert go_on.wait(IN_TIME)

        def __deepcopy__(self, memo):
            return self  # an event cannot be copied

    with ThreadPoolExecutor(2) as pool:
        training = pool.submit(_image_model(callbacks=[Waits()]).fit, X, y)
        try:
            assert begun.wait(IN_TIME)
            answer = pool.submit(_ask, other, X).result(timeout=IN_TIME)
        finally:
            go_on.set()
        np.testing.assert_array_equal(answer, expected)
        np.testing.assert_array_equal(
            training.result(IN_TIME).predict_proba(X), other.predict_proba(X)
        )


def test_views_draw_from_a_generator_of_their_own():
    """Every kind of change: none leaves a trace in the generator that other threads draw from."""
    X, y = _images(8)
    flips = {"horizontal_flip": 0.5, "vertical_flip": 0.5}
    changes = {"rotation": 20, "color_jitter": 0.3, "translation": 0.1, "spec": 0.7}
    model = _image_model(augment=Augment(n_views=5, **flips, **changes)).fit(X, y)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = torch.get_rng_state()
        first = model.predict_proba(X)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(1)
        np.testing.assert_array_equal(model.predict_proba(X), first)
    assert not np.allclose(model.set_params(augment__n_views=1).predict_proba(X), first)
