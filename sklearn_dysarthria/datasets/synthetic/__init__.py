"""Synthetic dysarthric speech: from the severity of a speaker to samples."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submod_attrs={"_corpus": ["make_dysarthric_speech"]}
)
