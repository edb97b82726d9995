"""Torch's random numbers, unaffected by what other code draws."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# torch's generators belong to the process: threads that train at the same time (several per Dask
# worker, joblib's threading) would draw from each other's numbers, so they take turns.  Predictions
# draw from no global generator, and wait for none.
_generators = threading.RLock()


@contextmanager
def torch_seed(seed: int, device: str) -> Iterator[None]:
    """Seed torch inside the block and leave its global generators as they were outside.

    The generators are the CPU's, and that of `device`.
    """
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with _generators, torch.random.fork_rng(devices=cuda):
        # torch.manual_seed would also seed every GPU, whose generators are not put back.
        torch.default_generator.manual_seed(seed)
        for gpu in cuda:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


class OwnGenerator(TorchFunctionMode):
    """Let functions of torch that draw on the CPU draw from a generator of their own, here alone.

    The numbers are those that the global generator gives after this seed.  Unlike `torch_seed` it
    touches nothing that other threads see, and waits for none.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Add the generator to a call that draws."""
        kwargs = dict(kwargs or {})
        if func in _DRAWING:
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)


_DRAWING = frozenset({torch.rand, torch.randn, torch.randint, torch.randperm})
