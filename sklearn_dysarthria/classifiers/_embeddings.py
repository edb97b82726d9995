"""Images to vectors, through a frozen backbone."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral, Real
from os import PathLike
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.store import open_store
from sklearn_dysarthria.classifiers._failed_rows import failed_rows
from sklearn_dysarthria.classifiers._frozen import FrozenFeatures
from sklearn_dysarthria.classifiers._generators import torch_seed
from sklearn_dysarthria.classifiers._images import check_images
from sklearn_dysarthria.classifiers._net import resolve_device
from sklearn_dysarthria.nn import build_backbone, check_backbone_name


class BackboneEmbeddings(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn images into the features before a backbone's last layer; nothing is trained.

    Parameters
    ----------
    backbone : str, default="alexnet"
        ``"alexnet"`` (4096 features), ``"convnext_tiny"`` (768), ``"convnext_small"`` (768),
        ``"convnext_base"`` (1024), ``"convnext_large"`` (1536), the small
        ``"convnext_femto"`` (192), any other of torchvision's classifiers of images, such as
        ``"vit_b_16"`` (768) or ``"resnet50"`` (2048), or ``"timm/<name>"`` for any of the
        optional package timm's; :func:`~sklearn_dysarthria.nn.list_backbones` lists the names.
    backbone_depth : int or None, default=None
        Keep only that many of the first stages, seven of AlexNet and five of a ConvNeXt, and
        average their last map over the image.  Other backbones cannot be cut.
    backbone_width : float, default=1.0
        Multiplies the channels of every layer of AlexNet or a ConvNeXt, rounded to multiples of
        8; other than 1 only with ``weights=None``.
    weights : str, path or None, default="IMAGENET1K_V1"
        A torchvision name (downloaded on first use), ``"pretrained"`` or a tag for timm's
        networks, a local state dict, or None for random ones, drawn by `random_state`.  Every
        tensor must match by name and shape.
    batch_size : int, default=32
        Images per forward pass.
    device : str, default="auto"
        Torch device; ``"auto"`` takes the GPU where there is one.
    cache : str, path, RecordingCache, joblib.Memory or None, default=None
        Folder that keeps the features of every image, for this backbone with these weights; of
        ``freeze="all"`` in a classifier with the same backbone too.
    random_state : int, RandomState or None, default=None
        Of the random weights.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    backbone_ : torch.nn.Module
        The network, in evaluation mode.
    image_shape_ : tuple of int
        Channels, height and width of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dysarthria import BackboneEmbeddings
    >>> images = np.zeros((2, 3, 64, 64), dtype="float32")
    >>> BackboneEmbeddings("convnext_femto", weights=None).fit_transform(images).shape
    (2, 192)
    """

    _parameter_constraints = {
        "backbone": [str],
        "backbone_depth": [Interval(Integral, 1, None, closed="left"), None],
        "backbone_width": [Interval(Real, 0, None, closed="neither")],
        "weights": [str, PathLike, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "cache": "no_validation",  # open_store knows what it may be
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone="alexnet",
        *,
        backbone_depth=None,
        backbone_width=1.0,
        weights="IMAGENET1K_V1",
        batch_size=32,
        device="auto",
        cache=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.backbone_depth = backbone_depth
        self.backbone_width = backbone_width
        self.weights = weights
        self.batch_size = batch_size
        self.device = device
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Load the backbone.

        Parameters
        ----------
        X : ndarray of shape (n_samples, 3, height, width)
            Images; only their shape is looked at.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The backbone is unknown, cannot be cut or scaled like this, or does not take images
            of this size.
        WeightsError
            The weights cannot be had, or do not fit tensor by tensor.
        ImportError
            The backbone is one of timm, which is not installed.
        """
        check_backbone_name(self.backbone)
        self.image_shape_ = check_images(self, X).shape[1:]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch_seed(seed, "cpu"):
            network = build_backbone(
                self.backbone,
                weights=self.weights,
                depth=self.backbone_depth,
                width=self.backbone_width,
                image_size=self.image_shape_[1:],
            ).freeze("all")
        self.backbone_ = network.eval()
        return self

    def transform(self, X):
        """Compute the features of every image.

        Parameters
        ----------
        X : ndarray of shape (n_samples, 3, height, width)
            Images; one of NaN becomes a row of NaN.

        Returns
        -------
        ndarray of shape (n_samples, n_features), dtype float32
            Features.
        """
        check_is_fitted(self)
        images = check_images(self, X, shape=self.image_shape_)
        usable = np.flatnonzero(~failed_rows(images))
        device = resolve_device(self.device)
        # A copy on the GPU: transform changes nothing, and pickles load where there is none.
        network = self.backbone_ if device == "cpu" else deepcopy(self.backbone_).to(device)
        features = FrozenFeatures(
            network, device, store=open_store(self.cache), batch_size=self.batch_size
        )
        out = np.full((len(images), self._n_features_out), np.nan, dtype=np.float32)
        if len(usable):
            out[usable] = features(images, usable, self.verbose)
        return out

    @property
    def _n_features_out(self) -> int:
        return self.backbone_.out_features

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "backbone_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True
        return tags
