"""Images to vectors, through a frozen backbone."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria.classifiers._backbones import Backbone
from sklearn_dysarthria.classifiers._frozen import FrozenFeatures
from sklearn_dysarthria.classifiers._generators import torch_seed
from sklearn_dysarthria.classifiers._images import check_images
from sklearn_dysarthria.classifiers._net import resolve_device
from sklearn_dysarthria.classifiers._parameter_objects import TakesParameterObjects
from sklearn_dysarthria.nn import build_backbone
from sklearn_dysarthria.recordings import open_store


class BackboneEmbeddings(ClassNamePrefixFeaturesOutMixin, TransformerMixin, TakesParameterObjects):
    """Turn images into the features before a backbone's last layer; nothing is trained.

    Parameters
    ----------
    backbone : str or Backbone, default="alexnet"
        A name such as ``"alexnet"`` (4096 features), or a :class:`~sklearn_dysarthria.Backbone`,
        which says where the weights come from and how many stages are kept.  Random weights are
        drawn by `random_state`.  All of it is frozen, whatever its `freeze` says.
    batch_size : int, default=32
        Images per forward pass.
    device : str, default="auto"
        Torch device; ``"auto"`` takes the GPU where there is one.
    cache : str, path, RecordingCache, joblib.Memory or None, default=None
        Folder that keeps the features of every image, for this backbone with these weights; a
        classifier with the same backbone and ``freeze="all"`` uses them too.
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
    >>> from sklearn_dysarthria import Backbone, BackboneEmbeddings
    >>> images = np.zeros((2, 3, 64, 64), dtype="float32")
    >>> femto = Backbone("convnext_femto", weights=None)
    >>> BackboneEmbeddings(femto).fit_transform(images).shape
    (2, 192)
    """

    _parameter_objects: ClassVar = {"backbone": Backbone}
    _parameter_constraints = {
        "backbone": [str, Backbone],
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
        batch_size=32,
        device="auto",
        cache=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
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
        forget_fit(self)
        backbone = self._object("backbone")
        self.image_shape_ = check_images(self, X).shape[1:]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with torch_seed(seed, "cpu"):
            network = build_backbone(
                backbone.name,
                weights=backbone.weights,
                depth=backbone.depth,
                width=backbone.width,
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
        check_is_fitted(self, "backbone_")
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
