"""From recordings to numbers: images, openSMILE functionals, and both side by side."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_egemaps": ["EGeMAPSFeatures"],
        "_images": ["LogMelDeltaImages"],
        "_with_context": ["ImagesWithContext"],
    },
)
