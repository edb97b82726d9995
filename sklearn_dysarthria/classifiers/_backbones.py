"""The pretrained network in front, as a parameter object."""

from __future__ import annotations

from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject


class Backbone(ParameterObject):
    """A network that turns images into features, and where its weights come from.

    Parameter object of the classifiers of images, ``backbone=Backbone("resnet50")``.  A string
    stands for the backbone of that name with published weights.

    Parameters
    ----------
    name : str, default="alexnet"
        Any of :func:`sklearn_dysarthria.nn.list_backbones`, such as ``"alexnet"`` (4096 features),
        ``"convnext_tiny"`` (768), ``"convnext_base"`` (1024), the small ``"convnext_femto"``
        (192), ``"vit_b_16"`` (768) or ``"resnet50"`` (2048); or ``"timm/<architecture>"`` if timm
        is installed.  A vision transformer is built for the size of the images; torchvision's
        must be square.
    weights : str, path or None, default="IMAGENET1K_V1"
        A name published by torchvision (downloaded on first use), ``"pretrained"`` or a tag for
        timm's networks, a local state dict, or None for random ones.  Every tensor must match by
        name and shape.
    freeze : int, "all" or None, default=None
        Number of leading stages that keep their weights (of AlexNet five convolutional, two
        linear), or all of them.  ``"all"`` applies the backbone once per image of a fit instead
        of once per epoch, with the same result, unless training images are augmented or mixed;
        batches that callbacks are shown then hold ``features`` instead of ``X``, and a callback
        that changes the backbone is an error.
    depth : int or None, default=None
        Keep only that many of the first stages, seven of AlexNet and five of a ConvNeXt (the stem
        being the first), and average their last map over the image.  Other backbones cannot be
        cut.
    width : float, default=1.0
        Factor on the number of channels of AlexNet or a ConvNeXt, rounded to multiples of 8;
        other than 1 only with ``weights=None``.

    See Also
    --------
    sklearn_dysarthria.nn.build_backbone : Builds the network.

    Examples
    --------
    >>> from sklearn_dysarthria import Backbone
    >>> Backbone("convnext_tiny", freeze="all")
    Backbone(freeze='all', name='convnext_tiny')
    """

    kind = "a Backbone"

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "name": [str],
        "weights": [str, PathLike, None],  # the loader knows which names exist
        "freeze": [Interval(Integral, 0, None, closed="left"), StrOptions({"all"}), None],
        "depth": [Interval(Integral, 1, None, closed="left"), None],
        "width": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, name="alexnet", *, weights="IMAGENET1K_V1", freeze=None, depth=None, width=1.0
    ):
        self.name = name
        self.weights = weights
        self.freeze = freeze
        self.depth = depth
        self.width = width

    @classmethod
    def _from_name(cls, name: str, parameter: str) -> Backbone:
        """Return the backbone of a name; `_validate_params` knows which exist."""
        return cls(name)

    def _validate_params(self) -> None:
        """Raise ValueError for a backbone that does not exist, ImportError for one without timm."""
        from sklearn_dysarthria.nn import check_backbone_name

        super()._validate_params()
        check_backbone_name(self.name)

    def _module_arguments(self) -> dict[str, Any]:
        """Return the arguments of a network of :mod:`sklearn_dysarthria.nn` for this backbone."""
        return {
            "backbone": self.name,
            "weights": self.weights,
            "freeze": self.freeze,
            "depth": self.depth,
            "width": self.width,
        }
