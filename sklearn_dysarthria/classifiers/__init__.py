"""scikit-learn classifiers around torch networks, trained by skorch."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_convnext": ["ConvNeXtSeverityClassifier"],
        "_embeddings": ["BackboneEmbeddings"],
        "_failed_rows": ["SkipFailedRows"],
        "_hyper_alexnet": ["HyperAlexNetClassifier"],
        "_hyper_linear": ["HyperLinearClassifier"],
    },
)
