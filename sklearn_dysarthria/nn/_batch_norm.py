"""What batch normalisation requires of batches."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def normalises_batches(module: nn.Module) -> bool:
    """Check whether a network has batch normalisation.

    Parameters
    ----------
    module : torch.nn.Module
        The network.

    Returns
    -------
    bool
        Whether any part of it has.
    """
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def without_batch_of_one(batch_size: int, n_rows: int) -> int:
    """Return the smallest size from ``batch_size`` on that leaves no last batch of one row.

    Parameters
    ----------
    batch_size : int
        Rows per batch, as asked for.
    n_rows : int
        Rows in all.

    Returns
    -------
    int
        ``batch_size`` itself unless it leaves a remainder of 1; a single row stays as it is.
    """
    while n_rows > 1 and n_rows % batch_size == 1:
        batch_size += 1
    return batch_size


def is_batch_too_small(error: ValueError) -> bool:
    """Check whether torch could not normalise, for want of a second value per channel.

    Whether one sample is too few depends on the size of the map at every layer, which torch alone
    knows.

    Parameters
    ----------
    error : ValueError
        Raised by a network.

    Returns
    -------
    bool
        Whether it is.
    """
    return "Expected more than 1 value per channel" in str(error)
