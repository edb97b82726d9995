"""From recordings to numbers: images, openSMILE functionals, and both side by side."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_egemaps": ["EGeMAPSFeatures"],
        "_front_end": [
            "configure_transformers",
            "find_unusable_recordings",
            "front_end",
            "recording_transformers",
            "run_front_end",
        ],
        "_images": ["LogMelDeltaImages"],
        "_with_context": ["ImagesWithContext"],
    },
)
