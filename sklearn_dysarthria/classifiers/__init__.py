"""scikit-learn classifiers around torch networks, trained by skorch."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_backbone": ["BackboneClassifier"],
        "_convnext": ["ConvNeXtSeverityClassifier"],
        "_embeddings": ["BackboneEmbeddings"],
        "_failed_rows": ["SkipFailedRows"],
        "_hierarchical": ["HierarchicalClassifier"],
        "_hyper_alexnet": ["HyperAlexNetClassifier"],
        "_hyper_linear": ["HyperLinearClassifier"],
        "_seed_ensemble": ["SeedEnsembleClassifier"],
    },
)
