"""The base of every classifier here: a scikit-learn estimator that builds a skorch net in fit."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import chain
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin, _fit_context, clone
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetClassifier
from skorch.helper import predefined_split

from sklearn_dysarthria._utils.decisions import Decision
from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria._utils.repeated_rows import RepeatedRows
from sklearn_dysarthria.classifiers._augment import Augment
from sklearn_dysarthria.classifiers._backbones import Backbone
from sklearn_dysarthria.classifiers._class_weights import ClassWeight, class_weights
from sklearn_dysarthria.classifiers._early_stopping import EarlyStopping
from sklearn_dysarthria.classifiers._failed_rows import (
    check_no_overflow,
    check_none_failed,
    warn_left_out,
    with_nan_rows,
)
from sklearn_dysarthria.classifiers._frozen import SkipFrozen
from sklearn_dysarthria.classifiers._generators import torch_seed
from sklearn_dysarthria.classifiers._heads import Head
from sklearn_dysarthria.classifiers._labels import check_labels, check_patients
from sklearn_dysarthria.classifiers._losses import Loss, Objective
from sklearn_dysarthria.classifiers._net import (
    EpochProgress,
    Rows,
    TrainingNet,
    keep_batch,
    resolve_device,
)
from sklearn_dysarthria.classifiers._optimizers import Optimizer
from sklearn_dysarthria.classifiers._parameter_objects import TakesParameterObjects
from sklearn_dysarthria.classifiers._schedules import Schedule
from sklearn_dysarthria.nn import OrdinalNetwork, count_parameters

Arrays = dict[str, np.ndarray]
"""What a network is called with: keyword argument to array of shape (n_samples, ...)."""


class TorchClassifier(ClassifierMixin, TakesParameterObjects):
    """Everything the classifiers share: encoding, inner split, training, prediction.

    A subclass lists its parameters in ``__init__``, checks its input in `_check_input`, and says
    in `_module` which network to train.
    """

    _takes_repeated_rows = True
    _dtype = torch.float32
    # The patients reach the inner split as `groups`; with metadata routing enabled this asks
    # for them without the user's set_fit_request.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    _parameter_objects: ClassVar = {
        "backbone": Backbone,
        "head": Head,
        "loss": Loss,
        "class_weight": ClassWeight,
        "augment": Augment,
        "optimizer": Optimizer,
        "lr_schedule": Schedule,
        "early_stopping": EarlyStopping,
    }
    _parameter_constraints: dict[str, Any] = {
        "backbone": [str, Backbone],
        "head": [StrOptions(set(Head.named)), Head],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions(set(Loss.named)), Loss],
        "class_weight": [StrOptions(set(ClassWeight.named)), ClassWeight, Mapping, None],
        "oversample": [Mapping, None],
        "augment": [StrOptions(set(Augment.named)), Augment, None],
        "optimizer": [StrOptions(set(Optimizer.named)), Optimizer],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "lr_schedule": [StrOptions(set(Schedule.named)), Schedule, None],
        "early_stopping": [StrOptions(set(EarlyStopping.named)), EarlyStopping, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "device": [str],
        "mixed_precision": ["boolean", StrOptions({"auto"})],
        "cache": "no_validation",  # open_store knows what it may be
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Where a subclass has no such parameter.
    augment: Any = None
    oversample: Mapping[Any, int] | None = None
    mixed_precision: bool | str = False

    @abstractmethod
    def _check_input(self, X: Any, *, reset: bool) -> Arrays:
        """Validate ``X`` and return the network's inputs; NaN rows are still in them."""

    @abstractmethod
    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        """Return the network's class and its arguments; ``n_classes`` is its number of outputs."""

    def _skip_frozen(self) -> SkipFrozen | None:
        """Return what stands in for images behind frozen stages."""
        return None

    def _looked_up(self, rows: Rows) -> Rows:
        """Return rows to predict on that hold what is already known about them."""
        return rows

    # -------------------------------------------------------------------------------- fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None):
        """Train the network.

        Parameters
        ----------
        X : array-like
            Samples, in the form the class describes.  Rows of NaN (recordings that could not be
            used) are left out, with one warning that lists them.
        y : array-like of shape (n_samples,)
            Class labels of any type.
        groups : array-like of shape (n_samples,), optional
            Patient of every sample.  Needed by `early_stopping`, which holds out whole patients;
            :class:`~sklearn_dysarthria.PatientVotingClassifier` passes it by itself.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Fewer than two classes; early stopping without patients; nothing to train on; parameters
            that contradict each other; an ordinal loss with strings for labels; the training
            diverged.
        KeyboardInterrupt
            The training was interrupted, which leaves the estimator unfitted.
        """
        forget_fit(self)
        self._check_parameters()
        repeated = X if isinstance(X, RepeatedRows) else None
        arrays = self._check_input(X if repeated is None else repeated.array, reset=True)
        y = check_labels(y)
        (n_samples,) = {len(array) for array in arrays.values()}
        check_consistent_length(next(iter(arrays.values())), y)
        if groups is not None:
            groups = check_patients(groups)
            check_consistent_length(y, groups)
        usable = self._usable_rows(arrays)
        usable = usable if repeated is None else repeated.among(usable)
        self.classes_, kept_codes = np.unique(y[usable], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes; the usable rows hold "
                f"only one class: {self.classes_.tolist()[0]!r}."
            )
        objective = Objective(clone(self._object("loss")), len(self.classes_))
        objective.check_labels(self.classes_)
        codes = np.zeros(n_samples, dtype=np.int64)
        codes[usable] = kept_codes
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        train, valid = self._split(codes, groups, usable, seed)
        train = self._repeat(train, codes)

        device = resolve_device(self.device)
        with torch_seed(seed, device):
            net = self._build_net(objective, arrays, codes, train, valid, device, seed)
            net.fit(Rows(arrays, codes, train), y=None)
        check_convergence(net, frozen_too=bool(self.callbacks))
        forget_training_state(net)
        self.history_ = learning_curves(net)
        self.n_iter_ = len(self.history_)
        self.n_parameters_, self.n_head_parameters_ = network_and_head_sizes(net.module_)
        self.net_ = net  # last, since it makes the estimator a fitted one
        return self

    def _check_parameters(self) -> None:
        """Raise for parameters that contradict each other, before anything is computed."""
        early_stopping = self._object("early_stopping")
        self._schedule()._check_training(self.max_epochs, early_stopping)
        augment = self._augment()
        augment._check_views(augment.of_images())

    def _augment(self) -> Augment:
        return self._object("augment") or Augment()

    def _schedule(self) -> Schedule:
        return self._object("lr_schedule") or Schedule()

    def _failed(self, arrays: Arrays) -> np.ndarray:
        """Return which samples are NaN, of shape (n_samples,)."""
        return np.any([failed_rows(array) for array in arrays.values()], axis=0)

    def _usable_rows(self, arrays: Arrays) -> np.ndarray:
        failed = self._failed(arrays)
        if failed.all():
            raise ValueError("Every row is NaN: none of the recordings could be used.")
        if failed.any():
            warn_left_out(failed, stacklevel=5)
        return np.flatnonzero(~failed)

    def _split(
        self, codes: np.ndarray, groups: np.ndarray | None, usable: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Choose training and inner validation rows among the usable ones."""
        early_stopping = self._object("early_stopping")
        if early_stopping is None:
            return usable, None
        patients = None if groups is None else groups[usable]
        train, valid = early_stopping.hold_out(codes[usable], patients, seed)
        assert patients is not None  # or there would have been an error
        self.validation_patients_ = pd.unique(patients[valid])
        return usable[train], usable[valid]

    def _repeat(self, train: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Repeat the indices of oversampled classes."""
        if self.oversample is None:
            return train
        known = self.classes_.tolist()
        for label, times in self.oversample.items():
            if label not in known:
                raise ValueError(f"oversample names {label!r}, which is not among {known}.")
            if not isinstance(times, Integral) or isinstance(times, bool) or times < 1:
                raise ValueError(
                    f"oversample[{label!r}]={times!r} must be an integer of 1 or more."
                )
        times_of_code = np.array([self.oversample.get(label, 1) for label in known])
        return np.repeat(train, times_of_code[codes[train]])

    def _build_net(
        self,
        objective: Objective,
        arrays: Arrays,
        codes: np.ndarray,
        train: np.ndarray,
        valid: np.ndarray | None,
        device: str,
        seed: int,
    ) -> TrainingNet:
        weights = None
        if self.class_weight is not None:  # of the rows as trained on: left out and repeated
            each = class_weights(self._object("class_weight"), self.classes_, codes[train])
            weights = torch.as_tensor(each, dtype=self._dtype)
        criterion, criterion_arguments = objective.loss._criterion(weights)
        module, module_arguments = objective.complete(
            *self._module(arrays, objective.n_outputs, seed)
        )
        return TrainingNet(
            module,
            criterion=criterion,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            iterator_train__collate_fn=keep_batch,
            iterator_valid__collate_fn=keep_batch,
            train_split=None if valid is None else predefined_split(Rows(arrays, codes, valid)),
            classes=list(range(len(self.classes_))),
            callbacks=self._callbacks(),
            callbacks__print_log=None,
            device=device,
            objective=objective,
            augment=self._augment().of_images(),
            mixing=self._augment().of_batches(),
            mixed_precision=self.mixed_precision,
            view_seed=seed,
            skip_frozen=self._skip_frozen(),
            verbose=0,
            **_prefixed("module", module_arguments),
            **_prefixed("criterion", criterion_arguments),
            **self._object("optimizer")._net_arguments(self.lr, self.weight_decay),
        )

    def _callbacks(self) -> list[Any]:
        callbacks: list[Any] = []
        early_stopping = self._object("early_stopping")
        patience = 0 if early_stopping is None else early_stopping.patience
        schedule = self._schedule()._callback(patience)
        if schedule is not None:
            callbacks.append(("lr_schedule", schedule))
        if early_stopping is not None:
            callbacks.append(("early_stopping", early_stopping._callback(self.callbacks)))
        clipping = self._object("optimizer")._callback()
        if clipping is not None:
            callbacks.append(("clip_norm", clipping))
        if self.verbose:
            callbacks.append(("progress", EpochProgress(type(self).__name__)))
        # Copies: a fit must not leave its traces in the caller's objects.
        return callbacks + deepcopy(list(self.callbacks or []))

    # ----------------------------------------------------------------------------- predicting

    def predict(self, X):
        """Predict the class of every sample.

        Parameters
        ----------
        X : array-like
            Samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels out of `classes_`: the most probable ones, or with an ordinal loss the medians
            of `predict_proba`.

        Raises
        ------
        ValueError
            A row is NaN: there is no recording to decide on.
        """
        probabilities, usable = self._probabilities(X)
        check_none_failed(~usable, "predict")
        return self.classes_[self._decision()(probabilities, self.classes_)]

    def _decision(self) -> Decision:
        return self.net_.objective.decision

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like
            Samples, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`; a row of NaN stays a row of NaN.
        """
        return with_nan_rows(*self._probabilities(X))

    def _probabilities(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return float64 probabilities of the usable rows, and which rows are usable."""
        rows, usable = self._rows(X)
        if not len(rows):
            return np.empty((0, len(self.classes_))), usable
        augment = self._augment()  # `n_views` may be another than in fit
        augment._check_views(self.net_.augment)
        views = [self.net_.forward(self._looked_up(rows), training=False)]
        views += [self.net_.view_logits(rows, view) for view in range(1, augment.n_views)]
        logits = torch.stack(views).double()
        check_no_overflow(torch.isfinite(logits).all(dim=2).all(dim=0).numpy(), rows.indices)
        each = [self.net_.objective.probabilities(view) for view in logits]
        return torch.stack(each).mean(dim=0).numpy(), usable

    def _rows(self, X: Any) -> tuple[Rows, np.ndarray]:
        check_is_fitted(self, "net_")
        arrays = self._check_input(X, reset=False)
        usable = ~self._failed(arrays)
        labels = np.zeros(len(usable), dtype=np.int64)
        return Rows(arrays, labels, np.flatnonzero(usable)), usable

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")


def _prefixed(prefix: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}__{name}": value for name, value in arguments.items()}


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether all numbers are finite, with one wait for a GPU."""
    # The extremes of a tensor are NaN or infinite exactly if one of its numbers is, and are found
    # twenty times as fast as a mask as large as the network is made.
    finite = [
        torch.isfinite(torch.stack(tensor.aminmax())).all() for tensor in tensors if tensor.numel()
    ]
    return bool(torch.stack(finite).all()) if finite else True


def check_convergence(net: NeuralNetClassifier, *, frozen_too: bool) -> None:
    """Raise if training ended with weights that are no numbers.

    Frozen weights, of which there may be many, need a look only if a callback can have changed or
    frozen some.
    """
    weights = (w for w in net.module_.parameters() if frozen_too or w.requires_grad)
    if all_finite(chain(weights, net.module_.buffers())):
        return
    losses = net.history[:, "train_loss"]
    epoch = next((n for n, loss in enumerate(losses, 1) if not math.isfinite(loss)), len(losses))
    raise ValueError(
        f"The training diverged: the loss was no longer finite in epoch {epoch}. Lower lr "
        f"({net.lr}), or bring the input to a common scale."
    )


def forget_training_state(net: NeuralNetClassifier) -> None:
    """Drop what only training needed, and would be kept in memory or pickled with the network.

    Optimiser moments, gradients and the copy of the best weights are as large as the network or
    larger; the validation split holds all of the training data.
    """
    net.optimizer_.state.clear()
    net.optimizer_.zero_grad(set_to_none=True)
    net.train_split = None
    net.skip_frozen = None
    for _, callback in net.callbacks_:
        if hasattr(callback, "best_model_weights_"):
            callback.best_model_weights_ = None
        if hasattr(callback, "lr_scheduler_"):
            # It holds the optimiser and with it a second copy of the weights once pickled.
            del callback.lr_scheduler_


def learning_curves(net: NeuralNetClassifier) -> pd.DataFrame:
    """One row per epoch: losses, inner validation accuracy, learning rate, seconds."""
    names = {
        "epoch": "epoch",
        "train_loss": "train_loss",
        "valid_loss": "valid_loss",
        "valid_acc": "valid_accuracy",
        "event_lr": "lr",
        "dur": "seconds",
    }
    rows = [{new: row[old] for old, new in names.items() if old in row} for row in net.history]
    return pd.DataFrame(rows).set_index("epoch")


def network_and_head_sizes(module: torch.nn.Module) -> tuple[int, int]:
    """Count the weights of a network, frozen ones included, and those of its head alone.

    Thresholds of an ordinal loss belong to the head.
    """
    total = count_parameters(module)
    network = module.network if isinstance(module, OrdinalNetwork) else module
    head = getattr(network, "head", None)
    if not isinstance(head, torch.nn.Module):
        return total, 0
    return total, count_parameters(head) + total - count_parameters(network)
