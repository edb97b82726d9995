"""Import torch and its companions, or say in one sentence why they do not fit together.

torch, torchvision and torchaudio are compiled against each other.  With releases that do not
match, the failure surfaces as an undefined symbol, a missing operator or a missing attribute
deep inside one of them; none of these says what to do.
"""

from __future__ import annotations

import importlib
from importlib import metadata

from sklearn_dysarthria.exceptions import TorchStackError

_MATCHING_RELEASES = "torch==2.11.0 torchvision==0.26.0 torchaudio==2.11.0"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _require(*modules: str) -> None:
    try:
        for module in modules:
            importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise TorchStackError(
            f"torch {_version('torch')}, torchvision {_version('torchvision')} and torchaudio "
            f"{_version('torchaudio')} do not fit together ({cause}); install releases built for "
            f"each other, for example pip install {_MATCHING_RELEASES}."
        ) from None


def require_torch_stack() -> None:
    """Import torch and torchvision; costs nothing once they are imported.

    Raises
    ------
    TorchStackError
        One of them is not installed, or they were not built for each other.
    """
    _require("torch", "torchvision")


def require_torchaudio() -> None:
    """Import torch and torchaudio; costs nothing once they are imported.

    Raises
    ------
    TorchStackError
        One of them is not installed, or they were not built for each other.
    """
    _require("torch", "torchaudio")
