"""The skorch side: data by index, the training loop's hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.utils import to_device
from torch.utils.data import Dataset

from sklearn_dysarthria._utils.memory_maps import drop_pages, is_mapped
from sklearn_dysarthria.classifiers._generators import OwnGenerator
from sklearn_dysarthria.classifiers._losses import Objective
from sklearn_dysarthria.nn import (
    Augmentation,
    BatchMixing,
    MixedTarget,
    is_batch_too_small,
    normalises_batches,
    without_batch_of_one,
)

if TYPE_CHECKING:
    from sklearn_dysarthria.classifiers._frozen import SkipFrozen


@dataclass(eq=False)
class Rows(Dataset):
    """Rows of arrays, chosen by index and never copied as a whole.

    An index may occur many times: that is how a class is oversampled without costing memory.
    `arrays` are the keyword arguments of the network, one row per sample, and `labels` encoded
    classes.
    """

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray
    indices: np.ndarray

    @cached_property
    def _mapped(self) -> list[np.ndarray]:
        """The arrays that lie in a file, whose pages a batch is not to leave in memory."""
        return [array for array in self.arrays.values() if is_mapped(array)]

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
        for array in self._mapped:
            drop_pages(array)
        return inputs, torch.from_numpy(self.labels[rows])


def keep_batch(batch: Any) -> Any:
    """Collate nothing: :class:`Rows` hands out finished batches."""
    return batch


class TrainingNet(NeuralNetClassifier):
    """skorch's classifier with batch augmentation, ordinal outputs and autocast.

    A callback may ask it about samples of its own at any time, without a trace in the training:
    `predict_proba`, `predict` (class numbers, positions in the estimator's ``classes_``) and
    `forward` take the images, or a mapping from argument of the network to array.

    Parameters
    ----------
    module, criterion, **kwargs
        As in :class:`skorch.NeuralNetClassifier`.
    objective : Objective
        How outputs stand for classes.
    augment : Augmentation or None
        Applied to input ``X`` of training batches, and of the views of `view_logits`.
    mixing : BatchMixing or None
        Applied to training batches after ``augment``.
    mixed_precision : bool or "auto"
        Compute in bfloat16; ``"auto"`` does so on GPUs that support it.
    view_seed : int
        Decides what the views look like.
    skip_frozen : SkipFrozen or None
        Called with the net and the rows of training and of inner validation once the network is
        there; returns what to train on in their place, and checks that it may go on.
    """

    def __init__(
        self,
        module: Any,
        *,
        criterion: Any,
        objective: Objective,
        augment: Augmentation | None = None,
        mixing: BatchMixing | None = None,
        mixed_precision: bool | str = False,
        view_seed: int = 0,
        skip_frozen: SkipFrozen | None = None,
        **kwargs: Any,
    ) -> None:
        self.objective = objective
        self.augment = augment
        self.mixing = mixing
        self.mixed_precision = mixed_precision
        self.view_seed = view_seed
        self.skip_frozen = skip_frozen
        kwargs.setdefault("predict_nonlinearity", objective.probabilities)
        super().__init__(module, criterion=criterion, **kwargs)

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> TrainingNet:
        """Train; unlike skorch's, an interrupt by the user is passed on, not taken for the end."""
        self.interrupted_ = False
        super().fit(X, y, **fit_params)
        if self.interrupted_:
            raise KeyboardInterrupt
        if self.skip_frozen is not None:
            self.skip_frozen.check_weights()
        return self

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> tuple[Any, Any]:
        """Split off the validation rows, and skip what would be the same in every epoch."""
        train, valid = super().get_split_datasets(X, y, **fit_params)
        if self.skip_frozen is None:
            return train, valid
        try:
            return self.skip_frozen(self, train, valid)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise

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
        """Augment and mix the batch, then take skorch's step."""
        if self.skip_frozen is not None:
            self.skip_frozen.check_frozen()
        inputs, labels = batch
        if self.augment is not None or self.mixing is not None:
            # On the training device, where pixels are many and cheap.
            inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        if self.augment is not None:
            inputs["X"] = self.augment(inputs["X"])
        if self.mixing is not None:
            inputs, labels = self.mixing(inputs, labels)
        try:
            return super().train_step_single((inputs, labels), **fit_params)
        except ValueError as error:
            if not is_batch_too_small(error):
                raise
            raise ValueError(
                "The network has batch normalisation, which needs at least two samples per step "
                f"at this image size: raise batch_size={self.batch_size}."
            ) from error

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Iterate in batches; in training, batch normalisation never gets a batch of one."""
        if not training or not normalises_batches(self.module_):
            return super().get_iterator(dataset, training=training)
        size = without_batch_of_one(self.batch_size, len(dataset))
        arguments = self.get_params_for("iterator_train")
        return self.iterator_train(dataset, batch_size=size, **arguments)

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute the loss; of mixed samples, that of both labels by their shares."""
        if not isinstance(y_true, MixedTarget):
            return super().get_loss(y_pred, y_true, *args, **kwargs)
        first = super().get_loss(y_pred, y_true.first, *args, **kwargs)
        second = super().get_loss(y_pred, y_true.second, *args, **kwargs)
        return y_true.share * first + (1 - y_true.share) * second

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Turn arrays, which a callback may bring, into :class:`Rows`."""
        if isinstance(X, Dataset):
            return X
        if not isinstance(X, Mapping):
            X = {"X": X}
        is_double = next(self.module_.parameters()).dtype == torch.float64
        dtype = np.float64 if is_double else np.float32
        arrays = {name: np.asarray(array, dtype=dtype) for name, array in X.items()}
        n_rows = len(next(iter(arrays.values())))
        labels = np.zeros(n_rows, dtype=np.int64) if y is None else np.asarray(y, dtype=np.int64)
        return Rows(arrays, labels, np.arange(n_rows))

    def batches(self, dataset: Dataset) -> Any:
        """Iterate over rows in batches without a random number from torch's global generator.

        So that it need not be put back, and predictions need not wait for a training in another
        thread, which has it to itself.
        """
        iterator = self.get_iterator(dataset, training=False)
        iterator.generator = torch.Generator()  # every pass draws a seed for worker processes
        return iterator

    def forward_iter(self, X: Any, training: bool = False, device: str = "cpu") -> Iterator[Any]:
        """Yield outputs batch by batch; random numbers are drawn in training mode only."""
        if training:
            yield from super().forward_iter(X, training=training, device=device)
            return
        for batch in self.batches(self.get_dataset(X)):
            yield to_device(self.evaluation_step(batch, training=False), device=device)

    def outputs_of(self, method: str, X: Any) -> Iterator[torch.Tensor]:
        """Yield in double precision what a method of the network, in evaluation mode, returns."""
        self.module_.eval()
        for inputs, _ in self.batches(self.get_dataset(X)):
            with torch.no_grad():
                yield getattr(self.module_, method)(**to_device(inputs, self.device)).double()

    def view_logits(self, X: Any, view: int) -> torch.Tensor:
        """Compute logits of augmented samples, on the CPU and of shape (n_samples, n_logits).

        Each number of a view augments all samples alike, whichever they are.
        """
        if self.augment is None:
            raise ValueError("There are no views without an augmentation.")
        seed = int(np.random.SeedSequence([self.view_seed, view]).generate_state(1)[0])
        outputs = []
        for inputs, labels in self.batches(self.get_dataset(X)):
            with OwnGenerator(seed):
                images = self.augment.same_for_all(inputs["X"].to(self.device))
            outputs.append(self.evaluation_step(({**inputs, "X": images}, labels)).cpu())
        return torch.cat(outputs)

    def predict(self, X: Any) -> np.ndarray:
        """Predict class numbers as the objective's rule decides them."""
        return self.objective.decide(self.predict_proba(X))

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Run the network, in mixed precision where asked; losses are computed in float32."""
        # Resolved here: a net trained on a GPU may have been loaded where there is none.
        dtype = resolve_autocast(self.mixed_precision, self.device)
        if dtype is None:
            return super().infer(x, **fit_params)
        with torch.autocast(torch.device(self.device).type, dtype=dtype):
            return super().infer(x, **fit_params).float()


class EpochProgress(Callback):
    """A bar over epochs on standard error."""

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
    """Return the torch device to use: ``"auto"`` is the GPU where there is one.

    ValueError if torch does not know the device, or it is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"device={device!r} cannot be used ({reason}): give 'auto', 'cpu', or a device that "
            "torch finds here, such as 'cuda:0'."
        ) from error
    return device


def resolve_autocast(mixed_precision: bool | str, device: str) -> torch.dtype | None:
    """Return bfloat16 where mixed precision is asked for, or helps (``"auto"``), else None."""
    if mixed_precision == "auto":
        on_gpu = torch.device(device).type == "cuda"
        mixed_precision = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if mixed_precision else None
