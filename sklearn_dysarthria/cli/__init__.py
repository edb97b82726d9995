"""Command line: ``sklearn-dysarthria preprocess | train | evaluate | predict | compare``."""

from sklearn_dysarthria.cli._app import app, main

__all__ = ["app", "main"]
