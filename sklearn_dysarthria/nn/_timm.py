"""Backbones of the optional package timm, by name."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn._backbone import Backbone, Published, blocks_as_stages

PREFIX = "timm/"
PRETRAINED = "pretrained"
_MINIMUM_SIZE = 32
_MINIMUM_SIZE_OF_INCEPTION = 75


def require_timm(name: str) -> Any:
    """Return the module timm, which the backbone of a name needs; ImportError if not installed."""
    try:
        import timm
    except ImportError:
        raise ImportError(f"{name} needs the package timm: pip install timm.") from None
    return timm


def timm_names() -> list[str]:
    """List timm's architectures, with the prefix and without the tags of pretrained weights."""
    return [PREFIX + name for name in require_timm("The list of them").list_models()]


def is_timm_name(name: str) -> bool:
    """Check whether timm knows ``"timm/<architecture>"`` or ``"timm/<architecture>.<tag>"``."""
    timm = require_timm(name)
    architecture, _, tag = name.removeprefix(PREFIX).partition(".")
    return timm.is_model(architecture) and (not tag or tag in timm_tags(name))


def timm_tags(name: str) -> list[str]:
    """List the tags under which timm publishes weights for a name; there may be none."""
    require_timm(name)
    from timm.models import get_arch_pretrained_cfgs

    architecture = name.removeprefix(PREFIX).partition(".")[0]
    full_names = get_arch_pretrained_cfgs(architecture)
    return [full.partition(".")[2] for full in full_names if "." in full]


def build_timm(
    name: str,
    *,
    stochastic_depth_prob: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> Backbone:
    """Build a network of timm's without its classifier, with random weights.

    ``stochastic_depth_prob`` is timm's ``drop_path_rate``; None is the network's own.
    ``image_size`` is height and width of the images, for networks that are built for one size.
    ValueError if the size does not fit, or the network has no stochastic depth.
    """
    timm = require_timm(name)
    short = name.removeprefix(PREFIX)
    published = timm.models.get_pretrained_cfg(short)
    fixed_size: tuple[int, int] | None = None
    options: dict[str, Any] = {}
    if published.fixed_input_size:
        fixed_size = image_size or tuple(published.input_size[1:])
        options["img_size"] = fixed_size
    if stochastic_depth_prob is not None:
        options["drop_path_rate"] = stochastic_depth_prob
    try:
        network = timm.create_model(short, **options)
        _check_patches(network, fixed_size)
    except TypeError as error:
        if "drop_path_rate" in str(error):
            raise ValueError(f"{name} has no stochastic depth; leave it at None.") from None
        raise
    except (AssertionError, ValueError, RuntimeError) as error:
        height, width = image_size or published.input_size[1:]
        raise ValueError(
            f"{name} cannot be built for images of {height} × {width} ({first_line(error)}); its "
            f"published size is {published.input_size[1]} × {published.input_size[2]}."
        ) from None
    whole = frozenset(network.state_dict())
    network.reset_classifier(0)
    published_tensors = Published.of(network)
    return Backbone(
        name,
        network,
        published_tensors._replace(optional=whole - published_tensors.required.keys()),
        blocks_as_stages(network),
        getattr(network, "head_hidden_size", network.num_features),
        1 if fixed_size is not None else _minimum_size(short),
        fixed_size,
    )


def download_timm(name: str, weights: str) -> dict[str, Tensor]:
    """Return the state dict of the whole network, in timm's current names, from its cache or hub.

    ``weights`` is a tag, or ``"pretrained"`` for the one in ``name`` or timm's first.  WeightsError
    if they are not there and cannot be downloaded.
    """
    timm = require_timm(name)
    short = name.removeprefix(PREFIX)
    if weights != PRETRAINED:
        short = f"{short.partition('.')[0]}.{weights}"
    try:
        # With the classifier and at its own size: only so does timm load strictly, too.
        return timm.create_model(short, pretrained=True).state_dict()
    except Exception as error:  # the hub's client may raise anything
        raise WeightsError(
            f"Cannot get the weights of timm's {short!r} ({first_line(error)}); download them on "
            "another computer and give the path of the state dict as weights."
        ) from error


def _check_patches(network: Any, size: tuple[int, int] | None) -> None:
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if size is None or not isinstance(patch, tuple):
        return
    if any(side % step for side, step in zip(size, patch, strict=True)):
        # timm would leave out what is beyond the last whole patch.
        raise ValueError(f"sides must be multiples of its patches of {patch[0]} × {patch[1]}")


def _minimum_size(short: str) -> int:
    return _MINIMUM_SIZE_OF_INCEPTION if short.startswith("inception_") else _MINIMUM_SIZE


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    # The unpickler of a text file says no more than a number.
    return f"{type(error).__name__}: {line}" if line.isdigit() else line
