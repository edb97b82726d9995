"""Pretrained weights: every tensor fits, or nothing is loaded."""

from __future__ import annotations

import http.client
import os
import pickle
import urllib.error
import zipfile
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import Tensor

from sklearn_dysarthria.exceptions import WeightsError

if TYPE_CHECKING:
    from sklearn_dysarthria.nn._backbones import Backbone

_N_LISTED = 5
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


def load_backbone_weights(
    backbone_name: str, backbone: Backbone, weights: str | os.PathLike[str] | None
) -> None:
    """Load pretrained weights into a backbone, strictly.

    Every tensor that torchvision's network has before its last linear layer must be there, under
    torchvision's name, with the same shape and finite values.  The last layer's own tensors may
    be absent or of any shape, as they are not used.  Nothing else may be there.  The backbone is
    changed only after all of this has been checked.

    Parameters
    ----------
    backbone_name : str
        Name in the registry.
    backbone : Backbone
        Changed in place.
    weights : str, path-like or None
        None loads nothing.  A name that torchvision publishes weights under (``"DEFAULT"``,
        ``"IMAGENET1K_V1"``, ``"AlexNet_Weights.IMAGENET1K_V1"``) is looked up in the folder of
        :func:`torch.hub.get_dir` and downloaded if it is not there; the file's checksum is part
        of its name and is verified.  Anything else is the path of a state dict, saved by
        :func:`torch.save` or, if it ends in ``.safetensors``, by safetensors.

    Raises
    ------
    WeightsError
        The weights cannot be had, or they do not fit.
    """
    if weights is None:
        return
    member = _published(backbone_name).get(weights) if isinstance(weights, str) else None
    if member is not None:
        source, found = repr(weights), _download(member)
    else:
        path = os.path.expanduser(os.fspath(weights))
        source, found = repr(path), _read(path, backbone_name)
    _load_strictly(backbone, found, source)


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
        known = ", ".join(map(repr, _published(backbone_name))) or "none"
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


def _load_strictly(backbone: Backbone, found: Any, source: str) -> None:
    expected = backbone.torchvision_state_dict()
    last_layer = {f"{backbone.last_layer}.weight", f"{backbone.last_layer}.bias"}
    _refuse_other_than_tensors(found, source, last_layer | expected.keys())
    misfits = _misfits(expected, found, allowed=last_layer)
    if misfits:
        raise WeightsError(
            f"{source} does not fit {backbone.name}, and nothing was loaded: "
            f"{'; '.join(misfits)}.{_hint(found, expected)}"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(found[name])


def _refuse_other_than_tensors(found: Any, source: str, names: Iterable[str]) -> None:
    if not isinstance(found, Mapping):
        raise WeightsError(f"{source} holds a {type(found).__name__}, not a state dict.")
    others = [key for key, value in found.items() if not isinstance(value, Tensor)]
    if not others:
        return
    wrapped = [key for key in others if isinstance(found[key], Mapping)]
    hint = f" Save what is under {wrapped[0]!r} by itself." if wrapped else ""
    raise WeightsError(
        f"{source} is not a state dict: {_listed(others)} "
        f"{'is not a tensor' if len(others) == 1 else 'are not tensors'}.{hint}"
    )


def _misfits(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], allowed: set[str]
) -> list[str]:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected and name not in allowed]
    common = [name for name in expected if name in found]
    misshapen = [name for name in common if found[name].shape != expected[name].shape]
    not_float = [name for name in common if not found[name].is_floating_point()]
    not_finite = [
        name for name in common if name not in not_float and not found[name].isfinite().all()
    ]
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in misshapen
    ]
    kinds = {
        f"missing (of {len(expected)})": missing,
        "unexpected": unexpected,
        "of another shape": shapes,
        "not floating point": not_float,
        "with NaN or infinite values": not_finite,
    }
    return [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names]


def _listed(names: list[Any]) -> str:
    more = len(names) - _N_LISTED
    return ", ".join(map(str, names[:_N_LISTED])) + (f" and {more} more" if more > 0 else "")


def _hint(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Name the prefix that a wrapper such as DataParallel put before every name, if one did."""
    for name in found:
        for wanted in expected:
            if str(name).endswith(f".{wanted}"):
                return f" Remove the prefix {str(name).removesuffix(wanted)!r} from the names."
    return ""
