"""A callback may score samples of its own after every epoch, without a trace in the training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from sklearn_dysarthria import (
    EarlyStopping,
    HyperLinearClassifier,
)


class OutsideScores(Callback):
    """Keep what the network answers about other samples, epoch by epoch."""

    def __init__(self, X, y):
        self.X = X
        self.y = y

    def on_train_begin(self, net, **kwargs):
        self.probabilities_ = []

    def on_epoch_end(self, net, **kwargs):
        self.probabilities_.append(net.predict_proba(self.X))
        net.history.record("outside_accuracy", float((net.predict(self.X) == self.y).mean()))


def outside(model):
    return dict(model.net_.callbacks_)["OutsideScores"].probabilities_


@pytest.mark.parametrize(
    ("loss", "early_stopping"), [("cross_entropy", None), ("coral", EarlyStopping())]
)
def test_scores_of_images_by_epoch(case, make_images, loss, early_stopping):
    X, y = make_images(16)
    other, other_y = make_images(6, seed=1)
    given = other
    if case.structured:
        wrapped = case.wrap(other)
        given = {"X": wrapped["image"], "context": wrapped["context"]}
    arguments = {
        "loss": loss,
        "early_stopping": early_stopping,
        "augment__spec": 0.5,
        "augment__mixup": 0.3,
        "max_epochs": 3,
    }
    watched = case.model(**arguments, callbacks=[OutsideScores(given, other_y)])
    watched.fit(case.wrap(X), y, groups=np.arange(16))
    plain = case.model(**arguments).fit(case.wrap(X), y, groups=np.arange(16))
    first, second = watched.net_.module_.state_dict(), plain.net_.module_.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in second)
    found = outside(watched)
    assert len(found) == 3
    assert_allclose(np.sum(found, axis=2), 1, atol=1e-5)
    best = watched.history_["valid_loss"].idxmin() if early_stopping else 3
    assert_allclose(found[best - 1], watched.predict_proba(case.wrap(other)), atol=1e-5)
    accuracies = watched.net_.history[:, "outside_accuracy"]
    assert accuracies[best - 1] == watched.score(case.wrap(other), other_y)


def test_scores_of_features_are_in_double_precision():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), np.repeat([0, 1, 2], 10)
    scores = OutsideScores(X[:5].tolist(), y[:5])
    model = HyperLinearClassifier(max_epochs=2, random_state=0, callbacks=[scores]).fit(X, y)
    assert_array_equal(outside(model)[-1], model.predict_proba(X)[:5])
