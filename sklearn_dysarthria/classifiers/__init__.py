"""scikit-learn classifiers around torch networks, trained by skorch."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_augment": ["Augment"],
        "_backbone_classifier": ["BackboneClassifier"],
        "_backbones": ["Backbone"],
        "_class_weights": ["EffectiveNumber"],
        "_convnext": ["ConvNeXtSeverityClassifier"],
        "_early_stopping": ["EarlyStopping"],
        "_embeddings": ["BackboneEmbeddings"],
        "_failed_rows": ["SkipFailedRows"],
        "_heads": ["HyperHead"],
        "_hierarchical": ["HierarchicalClassifier"],
        "_hyper_alexnet": ["HyperAlexNetClassifier"],
        "_hyper_linear": ["HyperLinearClassifier"],
        "_losses": ["Coral", "Corn", "CrossEntropy", "CumulativeLink", "FocalLoss"],
        "_optimizers": ["SGD", "Adam", "AdamW", "RMSprop"],
        "_schedules": ["Schedule"],
        "_resampled": ["ResampledClassifier"],
        "_seed_ensemble": ["SeedEnsembleClassifier"],
    },
)
