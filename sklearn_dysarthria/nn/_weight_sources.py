"""Where pretrained weights come from: a published name, or a file."""

from __future__ import annotations

import http.client
import os
import pickle
import urllib.error
import zipfile
from enum import Enum
from typing import Any

import torch
import torchvision
from torch import Tensor

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn._timm import PREFIX, PRETRAINED, download_timm, timm_tags

# What torch.load raises on a file that is not a state dict, cut short, or not torch's at all.
_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
)


def fetch_state_dict(backbone_name: str, weights: str | os.PathLike[str]) -> tuple[Any, str]:
    """Read what is said to be a state dict; nothing about its content is checked.

    Parameters
    ----------
    backbone_name : str
        Name of the network, which decides which published names there are.
    weights : str or path-like
        A published name, or a path.

    Returns
    -------
    content : object
        What was found.
    source : str
        Where, for messages.

    Raises
    ------
    WeightsError
        It cannot be had or read.
    """
    if isinstance(weights, str):
        if backbone_name.startswith(PREFIX):
            if weights == PRETRAINED or weights in timm_tags(backbone_name):
                return download_timm(backbone_name, weights), repr(weights)
        elif weights in (members := _published(backbone_name)):
            return _download(members[weights]), repr(weights)
    path = os.path.expanduser(os.fspath(weights))
    return _read(path, backbone_name), repr(path)


def _known_names(backbone_name: str) -> list[str]:
    if not backbone_name.startswith(PREFIX):
        return list(_published(backbone_name))
    tags = timm_tags(backbone_name)
    return [PRETRAINED, *tags] if tags else []


def _published(backbone_name: str) -> dict[str, Any]:
    """Names under which torchvision publishes weights for this network."""
    try:
        names: type[Enum] = torchvision.models.get_model_weights(backbone_name)
    except ValueError:
        return {}
    short = dict(names.__members__)
    return {**short, **{f"{names.__name__}.{name}": member for name, member in short.items()}}


def _first_line(error: BaseException) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    # The unpickler of a text file says no more than a number.
    return f"{type(error).__name__}: {line}" if line.isdigit() else line


def _download(member: Any) -> Any:
    offline = (
        "download it on another computer and give the path of the file as weights, or put it "
        f"into {os.path.join(torch.hub.get_dir(), 'checkpoints')!r}"
    )
    try:
        return member.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is also the open response
        raise WeightsError(
            f"Cannot download {member!r} from {member.url} ({_first_line(error)}); {offline}."
        ) from None
    except _UNREADABLE as error:
        raise WeightsError(
            f"What came from {member.url}, or was kept from it, is not {member!r} "
            f"({_first_line(error)}); {offline}."
        ) from None


def _read(path: str, backbone_name: str) -> Any:
    if not os.path.isfile(path):
        known = ", ".join(map(repr, _known_names(backbone_name))) or "none"
        raise WeightsError(
            f"weights={path!r} is neither a file nor a published name for {backbone_name} "
            f"(known names: {known})."
        )
    try:
        if path.endswith(".safetensors"):
            return _read_safetensors(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except (OSError, *_UNREADABLE) as error:
        raise WeightsError(
            f"{path!r} cannot be read as a state dict ({_first_line(error)}); save one with "
            "torch.save(model.state_dict(), path)."
        ) from None


def _read_safetensors(path: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise WeightsError(
            f"{path!r} needs the package safetensors: pip install safetensors."
        ) from None
    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        raise ValueError(_first_line(error)) from None
