"""A patient's recordings of several tasks, fused inside one network."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submod_attrs={"_classifier": ["TaskFusionClassifier"]}
)
