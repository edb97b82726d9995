"""scikit-learn classifiers around torch networks, trained by skorch."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_backbone": ["BackboneClassifier"],
        "_convnext": ["ConvNeXtSeverityClassifier"],
        "_embeddings": ["BackboneEmbeddings"],
        "_failed_rows": ["SkipFailedRows"],
        "_hierarchical": ["HierarchicalClassifier"],
        "_hyper_alexnet": ["HyperAlexNetClassifier"],
        "_hyper_linear": ["HyperLinearClassifier"],
        "_resampled": ["ResampledClassifier"],
        "_seed_ensemble": ["SeedEnsembleClassifier"],
    },
)
