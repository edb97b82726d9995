"""The skorch side: data by index, the training loop's hooks, seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch.utils.data import Dataset


class Rows(Dataset):
    """Rows of arrays, chosen by index and never copied as a whole.

    An index may occur many times: that is how a class is oversampled without costing memory.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Keyword arguments of the network, one row per sample.
    labels : ndarray of int64 of shape (n_samples,)
        Encoded classes.
    indices : ndarray of int
        Rows to iterate over.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], labels: np.ndarray, indices: np.ndarray
    ) -> None:
        self.arrays = arrays
        self.labels = labels
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        inputs, labels = self.__getitems__([position])
        return {name: tensor[0] for name, tensor in inputs.items()}, labels[0]

    def __getitems__(self, positions: list[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return a finished batch: one copy per array, instead of one tensor per row."""
        rows = self.indices[positions]
        # Contiguous, because kernels round differently for another layout of the same numbers.
        inputs = {
            name: torch.from_numpy(np.ascontiguousarray(array[rows]))
            for name, array in self.arrays.items()
        }
        return inputs, torch.from_numpy(self.labels[rows])


def keep_batch(batch: Any) -> Any:
    """Collate nothing: :class:`Rows` hands out finished batches."""
    return batch


class TrainingNet(NeuralNetClassifier):
    """skorch's classifier with batch augmentation and autocast.

    Parameters
    ----------
    module, criterion, **kwargs
        As in :class:`skorch.NeuralNetClassifier`.
    augment : torch.nn.Module or None
        Applied to input ``X`` of training batches only.
    mixed_precision : bool or "auto"
        Compute in bfloat16; ``"auto"`` does so on GPUs that support it.
    """

    def __init__(
        self,
        module: Any,
        *,
        criterion: Any,
        augment: torch.nn.Module | None = None,
        mixed_precision: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self.augment = augment
        self.mixed_precision = mixed_precision
        super().__init__(module, criterion=criterion, **kwargs)

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> TrainingNet:
        """Train; unlike skorch's, an interrupt by the user is passed on, not taken for the end."""
        self.interrupted_ = False
        super().fit(X, y, **fit_params)
        if self.interrupted_:
            raise KeyboardInterrupt
        return self

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, and note an interrupt.

        A callback that raises KeyboardInterrupt at the end of an epoch is skorch's way of
        stopping early, and does not come through here.
        """
        try:
            super().run_single_epoch(*args, **kwargs)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise

    def train_step_single(self, batch: Any, **fit_params: Any) -> Any:
        """Augment the batch, then take skorch's step."""
        if self.augment is not None:
            inputs, labels = batch
            # On the training device, where masks for the whole batch cost one kernel.
            images = self.augment(inputs["X"].to(self.device))
            batch = {**inputs, "X": images}, labels
        return super().train_step_single(batch, **fit_params)

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Run the network, in mixed precision where asked; losses are computed in float32."""
        # Resolved here: a net trained on a GPU may have been loaded where there is none.
        dtype = resolve_autocast(self.mixed_precision, self.device)
        if dtype is None:
            return super().infer(x, **fit_params)
        with torch.autocast(torch.device(self.device).type, dtype=dtype):
            return super().infer(x, **fit_params).float()


class EpochProgress(Callback):
    """A bar over epochs on standard error.

    Parameters
    ----------
    desc : str
        Label of the bar.
    """

    def __init__(self, desc: str) -> None:
        self.desc = desc

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=net.max_epochs, desc=self.desc, unit="epoch", leave=False)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance the bar and show the losses."""
        last = net.history[-1]
        shown = {name: last[name] for name in ("train_loss", "valid_loss") if name in last}
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
        del self.bar_  # an open terminal does not pickle


def resolve_device(device: str) -> str:
    """Return the torch device to use: ``"auto"`` is the GPU where there is one."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_autocast(mixed_precision: bool | str, device: str) -> torch.dtype | None:
    """Return bfloat16 where mixed precision is asked for, or helps (``"auto"``), else None."""
    if mixed_precision == "auto":
        on_gpu = torch.device(device).type == "cuda"
        mixed_precision = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if mixed_precision else None


@contextmanager
def torch_seed(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside the block and leave its global generators as they were outside.

    Parameters
    ----------
    seed : int
        Seed of every generator used.
    device : str
        Device whose generator is used besides the CPU's.
    """
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # torch.manual_seed would also seed every GPU, whose generators nobody puts back.
        torch.default_generator.manual_seed(seed)
        for gpu in cuda:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def kept_generator() -> Iterator[None]:
    """Put torch's generator back afterwards: merely iterating over a DataLoader draws from it."""
    with torch.random.fork_rng(devices=[]):
        yield


def refuse_divergence(net: NeuralNetClassifier) -> None:
    """Raise if training ended with weights that are no numbers."""
    if all(torch.isfinite(tensor).all() for tensor in net.module_.state_dict().values()):
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
    for _, callback in net.callbacks_:
        if hasattr(callback, "best_model_weights_"):
            callback.best_model_weights_ = None
        if hasattr(callback, "lr_scheduler_"):
            # It holds the optimiser and with it a second copy of the weights once pickled.
            del callback.lr_scheduler_
