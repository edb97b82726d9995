"""Import torch and torchvision, or say in one sentence why they do not fit together.

torchvision is compiled against one release of torch.  With releases that do not match, the failure
surfaces as an undefined symbol, a missing operator or a missing attribute deep inside one of them;
none of these says what to do.
"""

from __future__ import annotations

import importlib
from importlib import metadata

from sklearn_dysarthria.exceptions import TorchStackError


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def require_torch_stack() -> None:
    """Import torch and torchvision; costs nothing once they are imported.

    Raises
    ------
    TorchStackError
        One of them is not installed, or they were not built for each other.
    """
    try:
        for module in ("torch", "torchvision"):
            importlib.import_module(module)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise TorchStackError(
            f"torch {_version('torch')} and torchvision {_version('torchvision')} do not fit "
            f"together ({cause}); install releases built for each other, for example with "
            "pip install --upgrade torch torchvision."
        ) from None
