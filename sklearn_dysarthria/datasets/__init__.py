"""Corpora: synthetic speech to try things on, and the loaders of real recordings."""

import lazy_loader as lazy

_EXPORTS = {
    "_csv": ["load_recordings"],
    "_minsk2019": ["fetch_minsk2019_als"],
    "_minsk2020": ["fetch_minsk2020_als"],
    "_minsk_overlap": ["minsk_overlap"],
    "_sand": ["load_sand"],
    "_sand_submission": ["write_sand_submission"],
    "synthetic": ["make_dysarthric_speech"],
    "_voc_als": ["load_voc_als"],
}

__getattr__, __dir__, __all__ = lazy.attach(__name__, submod_attrs=_EXPORTS)
