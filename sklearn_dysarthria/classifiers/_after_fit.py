"""What becomes of a trained net: a check, what is dropped, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain

import pandas as pd
import torch
from skorch import NeuralNetClassifier

from sklearn_dysarthria.nn import count_parameters
from sklearn_dysarthria.nn._ordinal import OrdinalNetwork


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Tell whether all numbers are finite; a GPU is waited for once."""
    # The extremes of a tensor are NaN or infinite exactly if one of its numbers is, and are found
    # twenty times as fast as a mask as large as the network is made.
    finite = [
        torch.isfinite(torch.stack(tensor.aminmax())).all() for tensor in tensors if tensor.numel()
    ]
    return bool(torch.stack(finite).all()) if finite else True


def refuse_divergence(net: NeuralNetClassifier, *, frozen_too: bool) -> None:
    """Raise if training ended with weights that are no numbers.

    Parameters
    ----------
    net : NeuralNetClassifier
        The trained net.
    frozen_too : bool
        Whether to look at frozen weights, of which there may be many: a callback can have changed
        or frozen some.
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
