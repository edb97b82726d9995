"""How a vote is decided, ties included."""

from __future__ import annotations

import numpy as np


def winner(votes: np.ndarray, scores: np.ndarray) -> int:
    """Return the class with most votes; ties by score, then by closeness to the middle.

    Parameters
    ----------
    votes, scores : ndarray of shape (n_classes,)
        Votes for each of the ordered classes, and what breaks a tie between them.

    Returns
    -------
    int
        Position of the class; the lower of two that are equally extreme.
    """
    middle = (len(votes) - 1) / 2
    tied = np.flatnonzero(np.isclose(votes, votes.max(), rtol=1e-9, atol=1e-12))
    best = scores[tied].max()
    tied = tied[np.isclose(scores[tied], best, rtol=1e-9, atol=1e-12)]
    return int(min(tied, key=lambda code: (abs(code - middle), code)))


def winners(votes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the `winner` of every row of votes and scores, of shape (n_votes, n_classes)."""
    return np.array([winner(*row) for row in zip(votes, scores, strict=True)], dtype=int)
