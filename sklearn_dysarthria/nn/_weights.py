"""Pretrained weights from a published name or a file: every tensor fits, or nothing is loaded."""

from __future__ import annotations

import http.client
import math
import os
import pickle
import re
import urllib.error
import zipfile
from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
import torchvision
from torch import Tensor

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn._backbone import Backbone, TensorSpec
from sklearn_dysarthria.nn._timm import (
    PREFIX,
    PRETRAINED,
    download_timm,
    first_line,
    timm_tags,
)

_N_LISTED = 5
# The number of batches that a normalisation layer has seen: no output depends on it, and files
# saved by early releases of torch lack it.
_COUNTER = "num_batches_tracked"
# torchvision's published DenseNets still have the names of its first release.
_OLD_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")

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


def load_backbone_weights(backbone: Backbone, weights: str | os.PathLike[str] | None) -> None:
    """Load pretrained weights into a backbone, strictly.

    Every tensor that the published network has before its last layer must be there, under
    its published name, with the same shape and finite values; so must those beyond a cut by
    ``depth``.  Tensors of the last layer and of auxiliary heads may be absent or of any shape, as
    they are not used, and so may the batch counters of normalisation layers.  Nothing else may be
    there.  The backbone is changed only after all of this has been checked.

    Parameters
    ----------
    backbone : Backbone
        Changed in place; its name decides which published names there are.
    weights : str, path-like or None
        None loads nothing.  A name that torchvision publishes weights under (``"DEFAULT"``,
        ``"IMAGENET1K_V1"``, ``"AlexNet_Weights.IMAGENET1K_V1"``) is looked up in the folder of
        :func:`torch.hub.get_dir` and downloaded if it is not there; the file's checksum is part
        of its name and is verified.  For a network of timm, ``"pretrained"`` or a tag such as
        ``"a1_in1k"`` is looked up and downloaded by timm.  Anything else is the path of a state
        dict, saved by :func:`torch.save` or, if it ends in ``.safetensors``, by safetensors.

    Raises
    ------
    WeightsError
        The weights cannot be found or read, or they do not fit.
    """
    if weights is None:
        return
    found, source = _fetch(backbone.name, weights)
    if backbone.name.startswith("densenet") and isinstance(found, Mapping):
        found = {
            _OLD_DENSENET_NAME.sub(r"\1\2.", str(name)): tensor for name, tensor in found.items()
        }
    expected = {
        name: spec
        for name, spec in backbone.whole_network.items()
        if not (name.endswith(f".{_COUNTER}") and isinstance(found, Mapping) and name not in found)
    }
    _check_tensors_alone(found, source)
    misfits = _misfits(expected, found, backbone.optional)
    if misfits:
        raise WeightsError(
            f"{source} does not fit {backbone.name}, and nothing was loaded: "
            f"{'; '.join(misfits)}.{_hint(backbone, found, expected)}"
        )
    with torch.no_grad():
        for name, tensor in backbone.network.state_dict().items():
            if name in expected:
                tensor.copy_(found[name])


def _check_tensors_alone(found: Any, source: str) -> None:
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
    expected: Mapping[str, TensorSpec], found: Mapping[str, Tensor], allowed: frozenset[str]
) -> list[str]:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected and name not in allowed]
    common = [name for name in expected if name in found]
    misshapen = [name for name in common if found[name].shape != expected[name].shape]
    floats = [name for name in common if expected[name].is_floating_point]
    not_float = [name for name in floats if not found[name].is_floating_point()]
    not_integer = [
        name for name in common if name not in floats and found[name].is_floating_point()
    ]
    not_finite = [
        name for name in floats if name not in not_float and not found[name].isfinite().all()
    ]
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {expected[name].shape}" for name in misshapen
    ]
    kinds = {
        f"missing (of {len(expected)})": missing,
        "unexpected": unexpected,
        "of another shape": shapes,
        "not floating point": not_float,
        "floating point instead of integers": not_integer,
        "with NaN or infinite values": not_finite,
    }
    return [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names]


def _listed(names: list[Any]) -> str:
    more = len(names) - _N_LISTED
    return ", ".join(map(str, names[:_N_LISTED])) + (f" and {more} more" if more > 0 else "")


def _hint(
    backbone: Backbone, found: Mapping[str, Tensor], expected: Mapping[str, TensorSpec]
) -> str:
    """Name the likely cause: a wrapper's prefix, or images of another size."""
    wanted = next(iter(expected), "")
    for name in map(str, found):
        prefix = name.removesuffix(wanted)
        # A wrapper such as DataParallel puts a prefix before every name.
        if prefix.endswith(".") and all(prefix + other in found for other in expected):
            return f" Remove the prefix {prefix!r} from the names."
    embeddings = [
        name
        for name, spec in expected.items()
        if "pos_embed" in name and name in found and found[name].shape != spec.shape
    ]
    if backbone.image_size is None or not embeddings:
        return ""
    height, width = backbone.image_size
    published = _published_size(height, expected[embeddings[0]].shape, found[embeddings[0]].shape)
    return (
        f" Position embeddings fit only images of the size that they were trained on"
        f"{f', {published} × {published},' if published else ''} and {backbone.name} was built "
        f"for {height} × {width}."
    )


def _published_size(side: int, built: tuple[int, ...], found: tuple[int, ...]) -> int | None:
    """Side of the images that a square grid of position embeddings and a class token is for."""
    if len(built) != 3 or len(found) != 3:
        return None
    ours, theirs = (math.isqrt(max(shape[1] - 1, 0)) for shape in (built, found))
    if ours**2 + 1 != built[1] or theirs**2 + 1 != found[1] or not ours or side % ours:
        return None
    return side // ours * theirs


# ------------------------------------------------------------ where they come from


def _fetch(name: str, weights: str | os.PathLike[str]) -> tuple[Any, str]:
    """Return what is under a published name or a path, unchecked, and its source for messages."""
    if isinstance(weights, str):
        if name.startswith(PREFIX):
            if weights == PRETRAINED or weights in timm_tags(name):
                return download_timm(name, weights), repr(weights)
        elif weights in (members := _published(name)):
            return _download(members[weights]), repr(weights)
    path = os.path.expanduser(os.fspath(weights))
    return _read(path, name), repr(path)


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
            f"Cannot download {member!r} from {member.url} ({first_line(error)}); {offline}."
        ) from None
    except _UNREADABLE as error:
        raise WeightsError(
            f"What came from {member.url}, or was kept from it, is not {member!r} "
            f"({first_line(error)}); {offline}."
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
            f"{path!r} cannot be read as a state dict ({first_line(error)}); save one with "
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
        raise ValueError(first_line(error)) from None
