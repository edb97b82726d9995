"""Networks, losses and batch augmentations as plain torch modules.

Nothing here knows of scikit-learn or skorch; :mod:`sklearn_dysarthria.classifiers` wraps these
modules into estimators.
"""

from sklearn_dysarthria.nn._torch_versions import require_torch_stack

# Before anything below imports torch: releases that do not match fail here, in one sentence.
require_torch_stack()

from sklearn_dysarthria.nn._augment import Augmentation, SpecAugment  # noqa: E402
from sklearn_dysarthria.nn._backbone import Backbone  # noqa: E402
from sklearn_dysarthria.nn._backbones import (  # noqa: E402
    BACKBONES,
    build_backbone,
    check_backbone_name,
    list_backbones,
)
from sklearn_dysarthria.nn._batch_norm import (  # noqa: E402
    is_batch_too_small,
    normalises_batches,
    without_batch_of_one,
)
from sklearn_dysarthria.nn._fusion import (  # noqa: E402
    FUSIONS,
    FUSIONS_WITH_ABSENT_VECTOR,
    FUSIONS_WITH_WEIGHTS,
    AttentionFusion,
    ConcatFusion,
    FiLMFusion,
    GatedFusion,
)
from sklearn_dysarthria.nn._hyper import HyperClassifierModule, HyperLinear  # noqa: E402
from sklearn_dysarthria.nn._image_augment import AugmentChain, ImageAugment  # noqa: E402
from sklearn_dysarthria.nn._losses import FocalLoss  # noqa: E402
from sklearn_dysarthria.nn._mixing import BatchMixing, MixedTarget  # noqa: E402
from sklearn_dysarthria.nn._models import (  # noqa: E402
    BackboneModule,
    ConvNeXtModule,
    HyperAlexNetModule,
    count_parameters,
)
from sklearn_dysarthria.nn._ordinal import (  # noqa: E402
    CoralLoss,
    CornLoss,
    CumulativeLinkLoss,
    OrdinalNetwork,
    ordinal_probabilities,
)
from sklearn_dysarthria.nn._task_fusion import TaskFusionModule  # noqa: E402
from sklearn_dysarthria.nn._weights import load_backbone_weights  # noqa: E402

__all__ = [
    "BACKBONES",
    "FUSIONS",
    "FUSIONS_WITH_ABSENT_VECTOR",
    "FUSIONS_WITH_WEIGHTS",
    "AttentionFusion",
    "AugmentChain",
    "Augmentation",
    "Backbone",
    "BackboneModule",
    "BatchMixing",
    "ConcatFusion",
    "ConvNeXtModule",
    "CoralLoss",
    "CornLoss",
    "CumulativeLinkLoss",
    "FiLMFusion",
    "FocalLoss",
    "GatedFusion",
    "HyperAlexNetModule",
    "HyperClassifierModule",
    "HyperLinear",
    "ImageAugment",
    "MixedTarget",
    "OrdinalNetwork",
    "SpecAugment",
    "TaskFusionModule",
    "build_backbone",
    "check_backbone_name",
    "count_parameters",
    "is_batch_too_small",
    "list_backbones",
    "load_backbone_weights",
    "normalises_batches",
    "ordinal_probabilities",
    "without_batch_of_one",
]
