"""Learning-rate schedules: the parameter object and the callback that follows it."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback
from torch.optim import Optimizer, lr_scheduler

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject

SCHEDULES = ("cosine", "linear", "step", "exponential", "one_cycle", "plateau")


class Schedule(ParameterObject):
    """How the learning rate changes from epoch to epoch.

    Parameter object of the classifiers, ``lr_schedule=Schedule("cosine", warmup_epochs=5)``; the
    name alone is the schedule without a warm-up.  The classifier's `lr` is the upper limit.

    Parameters
    ----------
    name : {"cosine", "linear", "step", "exponential", "one_cycle", "plateau"}, default=None
        Over `max_epochs` the rate falls to 0 along a cosine or a line, to a tenth after each
        third, by a constant factor to a hundredth in all, rises from 1/25 and falls to nearly 0
        (torch's one cycle, read once an epoch: its peak, `lr`, may lie between two epochs), or
        falls to a tenth when the loss on the inner validation patients has not fallen for more
        than half of the patience of `early_stopping`, which ``"plateau"`` needs.  None keeps the
        rate.
    warmup_epochs : int, default=0
        Epochs in which the rate rises in equal steps before the schedule begins.

    Examples
    --------
    >>> from sklearn_dysarthria import Schedule
    >>> Schedule("cosine", warmup_epochs=5)
    Schedule(name='cosine', warmup_epochs=5)
    """

    kind = "a Schedule"
    is_optional = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "name": [StrOptions(set(SCHEDULES)), None],
        "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, name=None, *, warmup_epochs=0):
        self.name = name
        self.warmup_epochs = warmup_epochs

    def _check_training(self, max_epochs: int, early_stopping: Any) -> None:
        """Raise ValueError for a schedule that cannot work with the other parameters.

        Only with an `early_stopping` is there a loss on patients who are not trained on.
        """
        if self.name == "plateau" and early_stopping is None:
            raise ValueError(
                "lr_schedule='plateau' looks at the loss of patients who are not trained on: set "
                "early_stopping=EarlyStopping(), which holds some of the training patients out."
            )
        if self.name == "one_cycle" and self.warmup_epochs:
            raise ValueError(
                "lr_schedule='one_cycle' begins with a warm-up of its own; set warmup_epochs=0."
            )
        if self.warmup_epochs >= max_epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs} leaves none of max_epochs={max_epochs} to "
                "train at the full learning rate."
            )

    def _callback(self, patience: int) -> LearningRateSchedule | None:
        """Return the callback that sets the rate, or None for a rate that never changes."""
        if self.name is None and not self.warmup_epochs:
            return None
        return LearningRateSchedule(self.name, self.warmup_epochs, patience)


Schedule.named = {name: partial(Schedule, name) for name in SCHEDULES}


def torch_scheduler(
    schedule: str | None, optimizer: Optimizer, n_epochs: int, patience: int
) -> Any:
    """Make torch's scheduler, which is stepped once after every epoch; None without a schedule.

    The optimiser's learning rate is the upper limit of the schedule; ``"one_cycle"`` reaches it
    only where its peak does not fall between two epochs.  `patience` is that of early stopping.
    """
    if schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_epochs)
    if schedule == "linear":
        return lr_scheduler.LinearLR(
            optimizer, start_factor=1.0, end_factor=0.0, total_iters=n_epochs
        )
    if schedule == "step":
        return lr_scheduler.StepLR(optimizer, step_size=math.ceil(n_epochs / 3), gamma=0.1)
    if schedule == "exponential":
        return lr_scheduler.ExponentialLR(optimizer, gamma=0.01 ** (1 / n_epochs))
    if schedule == "one_cycle":
        # Without the cycle of the momentum, which is a parameter of its own.
        peak = [group["lr"] for group in optimizer.param_groups]
        return lr_scheduler.OneCycleLR(
            optimizer, max_lr=peak, total_steps=n_epochs + 1, cycle_momentum=False
        )
    if schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=patience // 2)
    return None


class LearningRateSchedule(Callback):
    """Set the learning rate before every epoch and record it; see :class:`Schedule`.

    ``"plateau"`` waits half as long as the `patience` of early stopping.
    """

    def __init__(self, schedule: str | None, warmup_epochs: int, patience: int) -> None:
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.patience = patience

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Make the scheduler."""
        self.full_rates_ = [group["lr"] for group in net.optimizer_.param_groups]
        n_epochs = net.max_epochs - self.warmup_epochs
        self.lr_scheduler_ = torch_scheduler(self.schedule, net.optimizer_, n_epochs, self.patience)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the rate of the warm-up, and record the rate."""
        epoch, groups = len(net.history), net.optimizer_.param_groups
        if self.warmup_epochs and epoch <= self.warmup_epochs + 1:
            for group, full in zip(groups, self.full_rates_, strict=True):
                group["lr"] = full * epoch / (self.warmup_epochs + 1)
        # The network's group is the last; thresholds of an ordinal loss have one of their own.
        net.history.record("event_lr", groups[-1]["lr"])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Take the schedule's next step."""
        if self.lr_scheduler_ is None or len(net.history) <= self.warmup_epochs:
            return
        if self.schedule == "plateau":
            self.lr_scheduler_.step(net.history[-1, "valid_loss"])
        else:
            self.lr_scheduler_.step()
