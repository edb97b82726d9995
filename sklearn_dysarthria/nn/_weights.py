"""Pretrained weights: every tensor fits, or nothing is loaded."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn._weight_sources import fetch_state_dict

if TYPE_CHECKING:
    from sklearn_dysarthria.nn._backbone import Backbone, TensorSpec

_N_LISTED = 5
# The batches seen by a normalisation layer: no output depends on it, and files saved by early
# releases of torch lack it.
_COUNTER = "num_batches_tracked"
# torchvision's published DenseNets still have the names of its first release.
_OLD_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


def load_backbone_weights(
    backbone_name: str, backbone: Backbone, weights: str | os.PathLike[str] | None
) -> None:
    """Load pretrained weights into a backbone, strictly.

    Every tensor that the published network has before its last layer must be there, under
    its published name, with the same shape and finite values; so must those beyond a cut by
    ``depth``.  Tensors of the last layer and of auxiliary heads may be absent or of any shape, as
    they are not used, and so may the batch counters of normalisation layers.  Nothing else may be
    there.  The backbone is changed only after all of this has been checked.

    Parameters
    ----------
    backbone_name : str
        Name given to :func:`build_backbone`.
    backbone : Backbone
        Changed in place.
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
        The weights cannot be had, or they do not fit.
    """
    if weights is None:
        return
    found, source = fetch_state_dict(backbone_name, weights)
    if backbone_name.startswith("densenet") and isinstance(found, Mapping):
        found = {
            _OLD_DENSENET_NAME.sub(r"\1\2.", str(name)): tensor for name, tensor in found.items()
        }
    _load_strictly(backbone, found, source)


def _load_strictly(backbone: Backbone, found: Any, source: str) -> None:
    expected = {
        name: spec
        for name, spec in backbone.whole_network.items()
        if not (name.endswith(f".{_COUNTER}") and isinstance(found, Mapping) and name not in found)
    }
    _refuse_other_than_tensors(found, source)
    misfits = _misfits(expected, found, backbone.optional)
    if misfits:
        raise WeightsError(
            f"{source} does not fit {backbone.name}, and nothing was loaded: "
            f"{'; '.join(misfits)}.{_hint(backbone, found, expected)}"
        )
    with torch.no_grad():
        for name, tensor in backbone.torchvision_state_dict().items():
            if name in expected:
                tensor.copy_(found[name])


def _refuse_other_than_tensors(found: Any, source: str) -> None:
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
