"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import torch

from sklearn_dysarthria.nn import OrdinalNetwork

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}

SLOWEST_THRESHOLDS = 0.01
"""Smallest learning rate of the thresholds of an ordinal loss (inferred)."""


def optimizer_arguments(
    name: str, lr: float, weight_decay: float, momentum: float
) -> dict[str, Any]:
    """Return what an optimiser takes besides the learning rate of the network.

    Thresholds are single numbers of the size of a logit.  At the 1e-4 of a network of millions of
    weights they would stay where they begin, and no class could become probable that lies between
    two of them; nor should a decay pull them together.
    """
    thresholds = {"lr": max(lr, SLOWEST_THRESHOLDS), "weight_decay": 0.0}
    arguments: dict[str, Any] = {
        "weight_decay": weight_decay,
        # skorch passes over patterns that no parameter matches.
        "param_groups": [(name, thresholds) for name in OrdinalNetwork.THRESHOLD_PARAMETERS],
    }
    if name != "rmsprop":  # which torch has in no fused form
        # One fused pass over the weights: for AlexNet's 57 million, the step of the plain
        # optimiser takes longer than the forward and backward pass of a small batch.
        arguments["fused"] = True
    if name == "sgd":
        arguments["momentum"] = momentum
    return arguments
