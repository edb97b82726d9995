"""Steps that change which rows, or which parts of a recording, the later steps see."""

from sklearn_dysarthria._utils.lazy import attach

_EXPORTS = {
    "_noise": ["AddNoise"],
    "_resampled": ["ResampledClassifier"],
    "_sampling": ["RecordingOverSampler"],
    "_vad": ["EnergyVAD"],
}

__getattr__, __dir__, __all__ = attach(__name__, _EXPORTS)
