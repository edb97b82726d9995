"""The size of a network."""

from __future__ import annotations

from torch import nn


def count_parameters(module: nn.Module, trainable_only: bool = False) -> int:
    """Count the numbers that a network learns.

    Parameters
    ----------
    module : torch.nn.Module
        A network, or a part of one such as its ``head``; shared parameters count once, and
        buffers do not.
    trainable_only : bool, default=False
        Leave out what is frozen.

    Returns
    -------
    int
        Number of scalars.

    Examples
    --------
    >>> from sklearn_dysarthria.nn import HyperLinear, count_parameters
    >>> count_parameters(HyperLinear(768, 2, context_dim=32, hidden_dim=512))
    805890
    """
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if parameter.requires_grad or not trainable_only
    )
