from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.optim import lr_scheduler

from sklearn_dysarthria import EarlyStopping, HyperHead, HyperLinearClassifier, Schedule

SCHEDULES = ("cosine", "linear", "step", "exponential", "one_cycle", "plateau")

LR = 0.02


@pytest.fixture
def table():
    y = np.arange(24) % 2
    return np.random.default_rng(0).normal(size=(24, 3)) + y[:, None], y


def small(**changes):
    head = HyperHead(hidden_dim=4, context_dim=2)
    arguments = {"head": head, "random_state": 0, "lr": LR, "max_epochs": 7}
    return HyperLinearClassifier(**arguments | changes)


def rates(scheduler, n_epochs):
    """Learning rates of torch's own scheduler, one per epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = scheduler(optimizer)
    found = []
    for _ in range(n_epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


TORCHS = {
    "cosine": lambda n: lambda o: lr_scheduler.CosineAnnealingLR(o, n),
    "linear": lambda n: lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, n),
    "step": lambda n: lambda o: lr_scheduler.StepLR(o, math.ceil(n / 3), 0.1),
    "exponential": lambda n: lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / n)),
    "one_cycle": lambda n: (
        lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=n + 1, cycle_momentum=False)
    ),
}


@pytest.mark.parametrize("n_epochs", [1, 2, 7])
@pytest.mark.parametrize("schedule", TORCHS)
def test_equals_torchs_scheduler(table, schedule, n_epochs):
    history = small(lr_schedule=schedule, max_epochs=n_epochs).fit(*table).history_
    assert_allclose(history["lr"], rates(TORCHS[schedule](n_epochs), n_epochs))
    assert history["lr"].between(0, LR, inclusive="right").all()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "step", "exponential"])
def test_warmup_comes_before_and_the_schedule_over_the_rest(table, schedule):
    history = small(lr_schedule=Schedule(schedule, warmup_epochs=3)).fit(*table).history_
    rising = [LR / 4, LR / 2, 3 * LR / 4]
    assert_allclose(history["lr"], rising + rates(TORCHS[schedule](4), 4))


def test_warmup_alone(table):
    history = small(lr_schedule=Schedule(warmup_epochs=2)).fit(*table).history_
    assert_allclose(history["lr"], [LR / 3, 2 * LR / 3] + [LR] * 5)
    assert "lr" not in small().fit(*table).history_


@pytest.mark.parametrize("warmup_epochs", [0, 3])
def test_plateau_equals_torchs_on_the_inner_patients_loss(table, warmup_epochs):
    X, y = table
    rng = np.random.default_rng(1)
    model = small(
        lr_schedule=Schedule("plateau", warmup_epochs=warmup_epochs),
        early_stopping=EarlyStopping(patience=11),
        max_epochs=30,
    )
    history = model.fit(X, rng.permutation(y), groups=np.arange(24)).history_
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=5)
    expected = []
    for epoch, loss in history["valid_loss"].items():
        if epoch <= warmup_epochs:
            expected.append(LR * epoch / (warmup_epochs + 1))
            continue
        expected.append(optimizer.param_groups[0]["lr"])
        schedule.step(loss)
    assert_allclose(history["lr"], expected)
    assert history["lr"].iloc[-1] < 0.5 * LR  # it did come into play


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("schedule", [*SCHEDULES, None])
def test_every_optimiser_takes_every_schedule(table, schedule, optimizer):
    X, y = table
    model = small(
        lr_schedule=schedule,
        optimizer=optimizer,
        max_epochs=2,
        early_stopping=EarlyStopping(patience=1),
    )
    model.fit(X, y, groups=np.arange(24))
    assert np.isfinite(model.predict_proba(X)).all()
    # Nothing of the schedule is kept, as it would hold the optimiser and a copy of the weights.
    assert not any(hasattr(callback, "lr_scheduler_") for _, callback in model.net_.callbacks_)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_schedule": "plateau"}, r"set early_stopping=EarlyStopping\(\)"),
        ({"lr_schedule": Schedule("one_cycle", warmup_epochs=2)}, "warm-up of its own"),
        ({"lr_schedule": Schedule(warmup_epochs=7)}, "leaves none of max_epochs=7"),
    ],
)
def test_contradictions(table, changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes).fit(*table)
