"""Networks, losses and batch augmentations as plain torch modules.

Nothing here knows of scikit-learn or skorch; :mod:`sklearn_dysarthria.classifiers` wraps these
modules into estimators.
"""

from sklearn_dysarthria._utils.torch_stack import require_torch_stack

# Before anything below imports torch: releases that do not match fail here, in one sentence.
require_torch_stack()

from sklearn_dysarthria.nn._augment import SpecAugment  # noqa: E402
from sklearn_dysarthria.nn._backbones import BACKBONES, Backbone, build_backbone  # noqa: E402
from sklearn_dysarthria.nn._hyper import HyperClassifierModule, HyperLinear  # noqa: E402
from sklearn_dysarthria.nn._losses import FocalLoss  # noqa: E402
from sklearn_dysarthria.nn._models import ConvNeXtModule, HyperAlexNetModule  # noqa: E402
from sklearn_dysarthria.nn._weights import load_backbone_weights  # noqa: E402

__all__ = [
    "BACKBONES",
    "Backbone",
    "ConvNeXtModule",
    "FocalLoss",
    "HyperAlexNetModule",
    "HyperClassifierModule",
    "HyperLinear",
    "SpecAugment",
    "build_backbone",
    "load_backbone_weights",
]
