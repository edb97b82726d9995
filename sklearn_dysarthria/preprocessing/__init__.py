"""Steps that change which rows, or which parts of a recording, the later steps see."""

import lazy_loader as lazy

_EXPORTS = {
    "_noise": ["AddNoise"],
    "_sampling": ["RecordingOverSampler"],
    "_vad": ["EnergyVAD"],
}

__getattr__, __dir__, __all__ = lazy.attach(__name__, submod_attrs=_EXPORTS)
