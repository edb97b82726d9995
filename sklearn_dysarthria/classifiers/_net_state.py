"""Pickled networks whose weights are plain arrays, read without being copied again and again."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.utils import get_map_location

_PACKED = "packed_attributes"


class _Pickler(pickle.Pickler):
    """Leave the memory of tensors out, and collect it."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.arrays: list[np.ndarray] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Return number and type of a piece of memory; None for anything else."""
        if not isinstance(obj, torch.storage.TypedStorage):
            return None
        memory = obj._untyped_storage
        # Tensors that share memory, such as tied weights, still share it afterwards.
        number = self._numbers.setdefault(memory._cdata, len(self.arrays))
        if number == len(self.arrays):
            # A copy: whoever copies a network by its state trains a network of its own.
            self.arrays.append(_bytes_of(memory.cpu()).copy())
        return number, obj.dtype


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: list[np.ndarray], device: Any) -> None:
        super().__init__(file)
        self._memory = [_memory_of(array).to(device=torch.device(device)) for array in arrays]

    def persistent_load(self, pid: Any) -> Any:
        number, dtype = pid
        return torch.storage.TypedStorage(
            wrap_storage=self._memory[number], dtype=dtype, _internal=True
        )


def _bytes_of(memory: torch.UntypedStorage) -> np.ndarray:
    return torch.empty(0, dtype=torch.uint8).set_(memory).numpy()


def _memory_of(array: np.ndarray) -> torch.UntypedStorage:
    # What joblib has mapped from a file may not be written to.
    return torch.from_numpy(np.require(array, requirements="W")).untyped_storage()


def pack(attributes: dict[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Take attributes that hold tensors apart.

    Parameters
    ----------
    attributes : dict
        Modules, optimisers, tensors: whatever pickles.

    Returns
    -------
    pickled : bytes
        Everything but the numbers in the tensors.
    arrays : list of ndarray of uint8
        These, as bytes; on the CPU.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(attributes)
    return file.getvalue(), pickler.arrays


def unpack(pickled: bytes, arrays: list[np.ndarray], device: Any) -> dict[str, Any]:
    """Put together what `pack` took apart.

    Parameters
    ----------
    pickled, arrays : bytes, list of ndarray
        See `pack`.  The tensors use the memory of the arrays where they can.
    device : str or torch.device
        Where the tensors are to be.

    Returns
    -------
    dict
        The attributes.
    """
    return _Unpickler(io.BytesIO(pickled), arrays, device).load()


class PackedState(NeuralNet):
    """A skorch net that pickles the numbers in its weights as arrays.

    skorch copies them four times on the way back, which takes longer than a prediction.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Return skorch's state with the weights as arrays, which load several times as fast."""
        state = self.__dict__.copy()
        prefixes = tuple(self.cuda_dependent_attributes_)
        names = [name for name in state if name.startswith(prefixes)]
        state[_PACKED] = pack({name: state.pop(name) for name in names})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state, also one of skorch's own; without a GPU its weights go to the CPU."""
        if _PACKED not in state:
            super().__setstate__(state)
            return
        state = dict(state)
        pickled, arrays = state.pop(_PACKED)
        device = get_map_location(state["device"])
        state["device"] = self._check_device(state["device"], device)
        self.__dict__.update(state | unpack(pickled, arrays, device))
