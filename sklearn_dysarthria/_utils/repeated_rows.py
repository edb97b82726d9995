"""Rows that a sampler repeats, as positions: the rows themselves are not copied."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class RepeatedRows(NamedTuple):
    """X of a classifier with ``_takes_repeated_rows``, which learns some rows repeatedly.

    Labels and groups of the same fit go with the rows of `array`, once each.
    """

    array: Any
    """Array of shape (n_samples, ...)."""
    positions: np.ndarray
    """Rows to learn from, in order; any number of times each."""

    def among(self, usable: np.ndarray) -> np.ndarray:
        """Return the positions that are among those of usable rows."""
        return self.positions[np.isin(self.positions, usable)]
