"""The base of every classifier here: a scikit-learn estimator that builds a skorch net in fit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.helper import predefined_split

from sklearn_dysarthria._utils.repeated_rows import RepeatedRows
from sklearn_dysarthria.classifiers._after_fit import (
    forget_training_state,
    learning_curves,
    network_and_head_sizes,
    refuse_divergence,
)
from sklearn_dysarthria.classifiers._class_weights import CLASS_WEIGHTS, class_weights
from sklearn_dysarthria.classifiers._failed_rows import (
    failed_rows,
    refuse_failed,
    refuse_overflow,
    spread,
    warn_left_out,
)
from sklearn_dysarthria.classifiers._frozen import SkipFrozen, early_stopping
from sklearn_dysarthria.classifiers._generators import torch_seed
from sklearn_dysarthria.classifiers._inner_split import hold_out_patients
from sklearn_dysarthria.classifiers._labels import check_labels, check_patients
from sklearn_dysarthria.classifiers._net import (
    EpochProgress,
    Rows,
    TrainingNet,
    check_views,
    keep_batch,
    resolve_device,
)
from sklearn_dysarthria.classifiers._objectives import LOSSES, Objective, criterion_for
from sklearn_dysarthria.classifiers._optimizers import OPTIMIZERS, optimizer_arguments
from sklearn_dysarthria.classifiers._schedules import (
    SCHEDULES,
    LearningRateSchedule,
    check_schedule,
)
from sklearn_dysarthria.nn._augment import Augmentation
from sklearn_dysarthria.nn._mixing import BatchMixing

LOSS_CONSTRAINTS: dict[str, Any] = {
    "loss": [StrOptions(set(LOSSES))],
    "gamma": [Interval(Real, 0, None, closed="left")],
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "class_weight_beta": [Interval(Real, 0, 1, closed="left")],
    "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
}
"""Constraints of the parameters that a subclass may leave at the defaults of the base."""

Arrays = dict[str, np.ndarray]
"""What a network is called with: keyword argument to array of shape (n_samples, ...)."""


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """Everything the classifiers share: encoding, inner split, training, prediction.

    A subclass lists its parameters in ``__init__``, checks its input in `_check_input`, and says
    in `_module` which network to train and in `_criterion` with which loss.
    """

    _takes_repeated_rows = True
    # The patients reach the inner split as `groups`; with metadata routing enabled this asks
    # for them without the user's set_fit_request.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    _parameter_constraints: dict[str, Any] = {
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "lr_schedule": [StrOptions(set(SCHEDULES)), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [StrOptions(set(CLASS_WEIGHTS)), dict, None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "callbacks": [list, tuple, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Where a subclass has no such parameter.
    loss = "cross_entropy"
    gamma = 2.0
    label_smoothing = 0.0
    class_weight_beta = 0.999
    warmup_epochs = 0
    n_tta = 1
    mixed_precision: bool | str = False

    @abstractmethod
    def _check_input(self, X: Any, *, reset: bool) -> Arrays:
        """Validate ``X`` and return the network's inputs; NaN rows are still in them."""

    @abstractmethod
    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        """Return the network's class and its arguments; ``n_classes`` is its number of outputs."""

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        """Return the loss's class and its arguments."""
        return criterion_for(self.loss, self.gamma, self.label_smoothing, weight)

    def _augmentation(self) -> Augmentation | None:
        """Return what is applied to training batches, and to views at prediction."""
        return None

    def _mixing(self) -> BatchMixing | None:
        """Return how the samples of a training batch are mixed."""
        return None

    def _skip_frozen(self) -> SkipFrozen | None:
        """Return what stands in for images behind frozen stages."""
        return None

    def _looked_up(self, rows: Rows) -> Rows:
        """Return rows to predict on that hold what is already known about them."""
        return rows

    def _repetitions(self) -> Mapping[Any, int] | None:
        """Return how often the rows of each label are repeated in an epoch."""
        return None

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
            Patient of every sample.  Needed by ``early_stopping=True``, which holds out whole
            patients; :class:`~sklearn_dysarthria.PatientVotingClassifier` passes it by itself.

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
        self._forget_fit()
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
        objective = Objective(self.loss, len(self.classes_))
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
        refuse_divergence(net, frozen_too=bool(self.callbacks))
        forget_training_state(net)
        self.net_ = net
        self.history_ = learning_curves(net)
        self.n_iter_ = len(self.history_)
        self.n_parameters_, self.n_head_parameters_ = network_and_head_sizes(net.module_)
        return self

    def _check_parameters(self) -> None:
        """Raise for parameters that contradict each other, before anything is computed."""
        check_schedule(self.lr_schedule, self.warmup_epochs, self.max_epochs, self.early_stopping)
        criterion_for(self.loss, self.gamma, self.label_smoothing, None)
        check_views(self.n_tta, self._augmentation())

    def _forget_fit(self) -> None:
        """Drop fitted attributes: no fit may leave traces of an earlier one, even if it fails."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _usable_rows(self, arrays: Arrays) -> np.ndarray:
        failed = np.any([failed_rows(array) for array in arrays.values()], axis=0)
        if failed.all():
            raise ValueError("Every row is NaN: none of the recordings could be used.")
        if failed.any():
            warn_left_out(failed, stacklevel=5)
        return np.flatnonzero(~failed)

    def _split(
        self, codes: np.ndarray, groups: np.ndarray | None, usable: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Choose training and inner validation rows among the usable ones."""
        if not self.early_stopping:
            return usable, None
        if groups is None:
            raise ValueError(
                "early_stopping=True holds out patients, and needs to know them: wrap the model "
                "in PatientVotingClassifier, or pass groups to fit (one patient per row; "
                "np.arange(len(y)) if every row is another patient). Inside a search, put the "
                "search around the whole Pipeline; instead of a sampler before it, use "
                "ResampledClassifier, or oversample in the classifier."
            )
        train, valid = hold_out_patients(
            codes[usable], groups[usable], self.validation_fraction, seed
        )
        self.validation_patients_ = pd.unique(groups[usable][valid])
        return usable[train], usable[valid]

    def _repeat(self, train: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Repeat the indices of oversampled classes."""
        repetitions = self._repetitions()
        if repetitions is None:
            return train
        known = self.classes_.tolist()
        for label, times in repetitions.items():
            if label not in known:
                raise ValueError(f"oversample names {label!r}, which is not among {known}.")
            if not isinstance(times, Integral) or isinstance(times, bool) or times < 1:
                raise ValueError(
                    f"oversample[{label!r}]={times!r} must be an integer of 1 or more."
                )
        times_of_code = np.array([repetitions.get(label, 1) for label in known])
        return np.repeat(train, times_of_code[codes[train]])

    def _class_weights(self, codes: np.ndarray, train: np.ndarray) -> torch.Tensor | None:
        """Weights over the rows as trained on: after leaving out and repeating."""
        if self.class_weight is None:
            return None
        weights = class_weights(
            self.class_weight, self.classes_, codes[train], self.class_weight_beta
        )
        return torch.as_tensor(weights, dtype=self._dtype())

    def _dtype(self) -> torch.dtype:
        return torch.float32

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
        criterion, criterion_arguments = self._criterion(self._class_weights(codes, train))
        module, module_arguments = objective.complete(
            *self._module(arrays, objective.n_outputs, seed)
        )
        return TrainingNet(
            module,
            criterion=criterion,
            optimizer=OPTIMIZERS[self.optimizer],
            lr=self.lr,
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
            augment=self._augmentation(),
            mixing=self._mixing(),
            mixed_precision=self.mixed_precision,
            view_seed=seed,
            skip_frozen=self._skip_frozen(),
            verbose=0,
            **_prefixed("module", module_arguments),
            **_prefixed("criterion", criterion_arguments),
            **_prefixed(
                "optimizer",
                optimizer_arguments(self.optimizer, self.lr, self.weight_decay, self.momentum),
            ),
        )

    def _callbacks(self) -> list[Any]:
        callbacks: list[Any] = []
        if self.lr_schedule or self.warmup_epochs:
            schedule = LearningRateSchedule(self.lr_schedule, self.warmup_epochs, self.patience)
            callbacks.append(("lr_schedule", schedule))
        if self.early_stopping:
            callbacks.append(("early_stopping", early_stopping(self.patience, self.callbacks)))
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
        refuse_failed(~usable, "predict")
        return self._from_probabilities(probabilities)

    def _from_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        return self.classes_[self.net_.objective.decide(probabilities)]

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
        return spread(*self._probabilities(X))

    def _probabilities(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return float64 probabilities of the usable rows, and which rows are usable."""
        rows, usable = self._rows(X)
        if not len(rows):
            return np.empty((0, len(self.classes_))), usable
        check_views(self.n_tta, self.net_.augment)
        views = [self.net_.forward(self._looked_up(rows), training=False)]
        views += [self.net_.view_logits(rows, view) for view in range(1, self.n_tta)]
        logits = torch.stack(views).double()
        refuse_overflow(torch.isfinite(logits).all(dim=2).all(dim=0).numpy(), rows.indices)
        each = [self.net_.objective.probabilities(view) for view in logits]
        return torch.stack(each).mean(dim=0).numpy(), usable

    def _rows(self, X: Any) -> tuple[Rows, np.ndarray]:
        check_is_fitted(self, "net_")
        arrays = self._check_input(X, reset=False)
        usable = ~np.any([failed_rows(array) for array in arrays.values()], axis=0)
        labels = np.zeros(len(usable), dtype=np.int64)
        return Rows(arrays, labels, np.flatnonzero(usable)), usable

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")


def _prefixed(prefix: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}__{name}": value for name, value in arguments.items()}
