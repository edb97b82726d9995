"""Training behind frozen stages: they run once per image instead of once per epoch.

Frozen stages never change and stay in evaluation mode, so that in every epoch they make the same
of the same image.  Let f be the frozen part of a network and g the rest: as long as no batch is
augmented or mixed, an epoch over images x is one over the outputs z = f(x), with the same
batches, losses and gradients of g, and the same random numbers, none of which f draws.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.utils import noop
from torch import Tensor, nn

from sklearn_dysarthria._utils.memory_maps import drop_pages
from sklearn_dysarthria.classifiers._frozen import FrozenPart, FrozenState
from sklearn_dysarthria.classifiers._net import (
    CheckedInputs,
    Rows,
    TrainingNet,
    resolve_autocast,
)
from sklearn_dysarthria.nn import Backbone
from sklearn_dysarthria.recordings import open_store

LARGEST_RATIO = 4.0
"""Frozen output of an image up to which it is kept, as a multiple of the image's size.

ConvNeXt-Large makes as much of 224 × 224 pixels in its stem and first blocks: 115 ms on one core,
for what is read from a file in 1.6 ms.  A stem alone takes about as long to compute as to read.
"""


class SkipFrozen:
    """Replaces the images of a training by what the frozen stages make of them.

    Parameters
    ----------
    cache : None, str, path, RecordingCache or joblib.Memory
        Where that is kept, see :func:`open_store`.
    verbose : int
        1 shows a progress bar.
    """

    def __init__(self, cache: Any, verbose: int) -> None:
        self.cache = cache
        self.verbose = verbose

    def __call__(
        self, net: TrainingNet, train: Rows, valid: Rows | None
    ) -> tuple[Rows, Rows | None]:
        """Compute what the frozen stages make of the rows, each row once.

        Parameters
        ----------
        net : TrainingNet
            Initialized.
        train, valid : Rows
            Images of training and inner validation, of the same arrays.

        Returns
        -------
        train, valid : Rows
            The same ones unless the network has frozen stages that can be applied by
            themselves, whose output is at most ``LARGEST_RATIO`` times as large as the images.
        """
        backbone = separable_backbone(net.module_)
        if backbone is None:
            return train, valid
        images = train.arrays["X"]
        part = FrozenPart(
            backbone,
            net.device,
            resolve_autocast(net.mixed_precision, net.device),
            open_store(self.cache),
        )
        image_shape = images.shape[1:]
        if np.prod(part.output_shape(image_shape)) > LARGEST_RATIO * np.prod(image_shape):
            return train, valid
        both = [train.indices] if valid is None else [train.indices, valid.indices]
        rows = np.unique(np.concatenate(both))
        output = part(images, rows, self.verbose)
        state = FrozenState(backbone)
        return (
            FrozenRows(train, rows, output, state),
            None if valid is None else FrozenRows(valid, rows, output, state),
        )


class FrozenRows(Rows):
    """Rows whose images are replaced by what frozen stages make of them, while these are frozen.

    Parameters
    ----------
    images : Rows
        The rows.
    rows : ndarray of int of shape (n_rows,)
        Rows of its arrays, in ascending order.
    output : ndarray of shape (n_rows, ...)
        What the frozen stages make of each of them.
    state : FrozenState
        Of the frozen stages.
    """

    def __init__(
        self, images: Rows, rows: np.ndarray, output: np.ndarray, state: FrozenState
    ) -> None:
        super().__init__(images.arrays, images.labels, images.indices)
        self.output = output
        self.state = state
        self._places = np.searchsorted(rows, images.indices)

    def __getitems__(self, positions: list[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Return a finished batch; of images, once a callback has changed the frozen stages."""
        if not self.state.still_holds():
            return super().__getitems__(positions)
        rows = self.indices[positions]
        inputs = FrozenBatch(
            (name, torch.from_numpy(array[rows]))
            for name, array in self.arrays.items()
            if name != "X"
        )
        inputs["frozen_output"] = torch.from_numpy(np.asarray(self.output[self._places[positions]]))
        inputs.rows, inputs.positions = self, positions
        drop_pages(self.output)
        return inputs, torch.from_numpy(self.labels[rows])


class FrozenBatch(CheckedInputs):
    """Inputs of a network with ``frozen_output``, which may have become void.

    Attributes
    ----------
    rows : FrozenRows
        Where they are from.
    positions : list of int
        Which of its rows.
    """

    rows: FrozenRows
    positions: list[int]

    def checked(self) -> dict[str, Tensor]:
        """Return these inputs, or images if frozen stages have changed since they were fetched."""
        return self if self.rows.state.still_holds() else self.rows.__getitems__(self.positions)[0]


def early_stopping(patience: int, callbacks: Any) -> EarlyStopping:
    """Return the callback that stops a training and brings the best weights back.

    Parameters
    ----------
    patience : int
        Epochs without progress.
    callbacks : list of skorch callbacks or None
        The user's, which may let frozen weights learn from some epoch on.
    """
    if callbacks:
        return EarlyStopping(patience=patience, load_best=True, sink=noop)
    return EarlyStoppingOfLearning(patience=patience, load_best=False, sink=noop)


class EarlyStoppingOfLearning(EarlyStopping):
    """Early stopping that keeps the best of the weights that learn.

    skorch's ``load_best`` copies the whole network whenever it improves: 57 million weights of
    AlexNet, while the layers behind it have 4 million.
    """

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Note the weights that learn if they are the best so far; stop if patience is over."""
        super().on_epoch_end(net, **kwargs)
        if self.misses_ == 0:
            self.best_model_weights_ = deepcopy(_learning_tensors(net.module_))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Bring the best weights back."""
        if self.best_model_weights_ is not None:
            net.module_.load_state_dict(self.best_model_weights_, strict=False)


def _learning_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return all of a network's tensors but the weights that are frozen."""
    frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def separable_backbone(module: nn.Module) -> Backbone | None:
    """Find the backbone of a network whose forward pass takes ``frozen_output`` for images.

    Parameters
    ----------
    module : torch.nn.Module
        A network of :mod:`sklearn_dysarthria.nn`, also within an ordinal one.

    Returns
    -------
    Backbone or None
        None if there is none, or none with frozen stages that can be applied by themselves.
    """
    network = getattr(module, "network", module)  # of OrdinalNetwork
    backbone = getattr(network, "backbone", None)
    if getattr(network, "takes_frozen_output", False) and isinstance(backbone, Backbone):
        return backbone if backbone.is_separable else None
    return None
