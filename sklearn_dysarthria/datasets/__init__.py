"""Corpora: synthetic speech to try things on, and the loaders of real recordings."""

from sklearn_dysarthria._utils.lazy import attach

_EXPORTS = {
    "_csv": ["load_recordings"],
    "_minsk2020": ["fetch_minsk2020_als"],
    "_synthetic": ["make_dysarthric_speech"],
}

__getattr__, __dir__, __all__ = attach(__name__, _EXPORTS)
