"""The network behind the fusion of tasks, trained on items of several recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sklearn_dysarthria.classifiers._base import Arrays, TorchClassifier
from sklearn_dysarthria.classifiers._net import Rows
from sklearn_dysarthria.nn import TaskFusionModule
from sklearn_dysarthria.patients._task_items import TaskItems


class TaskItemClassifier(TorchClassifier):
    """Classify items of several recordings, of which some may be missing.

    Parameters
    ----------
    module_options : dict
        Of :class:`~sklearn_dysarthria.nn.TaskFusionModule`, without sizes and seed.
    loss, gamma, label_smoothing, class_weight, class_weight_beta
        See :class:`~sklearn_dysarthria.TaskFusionClassifier`.
    optimizer, lr, momentum, weight_decay, lr_schedule, warmup_epochs, max_epochs, batch_size
        See :class:`~sklearn_dysarthria.TaskFusionClassifier`.
    early_stopping, validation_fraction, patience, callbacks, device, mixed_precision
        See :class:`~sklearn_dysarthria.TaskFusionClassifier`.
    random_state, verbose
        See :class:`~sklearn_dysarthria.TaskFusionClassifier`.
    """

    def __init__(
        self,
        module_options,
        *,
        loss,
        gamma,
        label_smoothing,
        class_weight,
        class_weight_beta,
        optimizer,
        lr,
        momentum,
        weight_decay,
        lr_schedule,
        warmup_epochs,
        max_epochs,
        batch_size,
        early_stopping,
        validation_fraction,
        patience,
        callbacks,
        device,
        mixed_precision,
        random_state,
        verbose,
    ):
        self.module_options = module_options
        self.loss = loss
        self.gamma = gamma
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.class_weight_beta = class_weight_beta
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.mixed_precision = mixed_precision
        self.random_state = random_state
        self.verbose = verbose

    def _check_input(self, X: TaskItems, *, reset: bool) -> Arrays:
        # Not an ndarray, but indexed like one, which is all that batches ask for.
        return {"X": X, "present": X.present}  # type: ignore[dict-item]

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        shape = arrays["X"].values.shape[1:]  # type: ignore[attr-defined]
        return TaskFusionModule, {
            "n_tasks": arrays["present"].shape[1],
            "n_classes": n_classes,
            "in_features": shape[0] if len(shape) == 1 else None,
            "image_size": None if len(shape) == 1 else shape[1:],
            "context_seed": seed,
            **self.module_options,
        }

    # Failed recordings are missing from the items by now, so that no item has to be left out; to
    # look for NaN, all of the items would have to be gathered.
    def _usable_rows(self, arrays: Arrays) -> np.ndarray:
        return np.arange(len(arrays["present"]))

    def _rows(self, X: TaskItems) -> tuple[Rows, np.ndarray]:
        arrays = self._check_input(X, reset=False)
        everything = np.arange(len(X))
        return Rows(arrays, np.zeros(len(X), np.int64), everything), np.ones(len(X), dtype=bool)

    def task_weights(self, X: TaskItems) -> np.ndarray:
        """Compute how much each task weighs; see :meth:`TaskFusionModule.task_weights`.

        Parameters
        ----------
        X : TaskItems
            The items.

        Returns
        -------
        ndarray of shape (n_items, n_tasks)
            Sums to 1; 0 where the task is missing.
        """
        rows, _ = self._rows(X)
        net = self.net_
        net.module_.eval()
        weights = []
        with torch.no_grad():
            for inputs, _ in net.batches(rows):
                batch = {name: tensor.to(net.device) for name, tensor in inputs.items()}
                weights.append(net.module_.task_weights(**batch).double().cpu().numpy())
        shares = np.concatenate(weights)
        return shares / shares.sum(axis=1, keepdims=True)  # rounded in single precision
