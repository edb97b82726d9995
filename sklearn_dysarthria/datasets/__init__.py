"""Corpora: synthetic speech to try things on, and the loaders of real recordings."""

import lazy_loader as lazy

_EXPORTS = {
    "_minsk2019": ["fetch_minsk2019_als"],
    "_minsk2020": ["fetch_minsk2020_als"],
    "_minsk_overlap": ["minsk_overlap"],
    "_own_tables": ["load_recordings"],
    "_sand": ["load_sand", "write_sand_submission"],
    "_voc_als": ["load_voc_als"],
    "synthetic": ["make_dysarthric_speech"],
}

__getattr__, __dir__, __all__ = lazy.attach(__name__, submod_attrs=_EXPORTS)
