"""Recordings that could not be used, and patients that they leave without any."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import PatientError, RecordingWarning


def with_unique_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, with numbers for row labels if these are not unique."""
    return table if table.index.is_unique else table.reset_index(drop=True)


def rows_labelled(table: pd.DataFrame, labels: set[Any]) -> np.ndarray:
    """Return which rows have one of these labels."""
    return np.fromiter((label in labels for label in table.index), bool, len(table))


def no_usable_recording(patient: Any) -> PatientError:
    """Return the error about a patient without a usable recording."""
    return PatientError(
        f"patient {patient!r} has no usable recording.",
        remedy="Leave the patient out, or repair the recordings.",
    )


def check_no_patient_lost(patients: np.ndarray, failed: np.ndarray) -> None:
    """Raise PatientError if all recordings of a patient failed."""
    for patient in pd.unique(patients[failed]):
        if failed[patients == patient].all():
            raise no_usable_recording(patient)


def check_on_unusable(on_unusable: Any) -> None:
    """Raise ValueError unless the parameter `on_unusable` is one of its two values."""
    if on_unusable not in ("raise", "nan"):
        raise ValueError(f"on_unusable={on_unusable!r} must be 'raise' or 'nan'.")


def with_lost_patients(decided: pd.DataFrame, patients: pd.Index) -> pd.DataFrame:
    """Add a row without a decision for every patient that has no usable recording.

    `decided` has a row per patient with a decision, indexed by patient; `patients` are all, in the
    order of the result.  Without a decision, counts (``n_recordings``, ``n_tasks`` and
    ``votes_<class>``) are 0, and all else is missing; one warning lists these patients.
    """
    lost = patients[~patients.isin(decided.index)]
    if not len(lost):
        return decided
    warnings.warn(
        f"{len(lost)} patients have no usable recording and get no decision: "
        f"{', '.join(map(str, lost))}.",
        RecordingWarning,
        stacklevel=3,
    )
    complete = decided.astype({"prediction": object}).reindex(patients)
    counts = [name for name in complete if str(name).startswith(("n_", "votes_"))]
    return complete.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


def warn_unusable(
    table: pd.DataFrame, patients: np.ndarray, failed: np.ndarray, consequence: str, stacklevel: int
) -> None:
    """Warn once, listing the recordings that `failed` (a mask of rows) and their patients.

    `consequence` completes "... recordings could not be used and"; `stacklevel` is as that of
    `warnings.warn`, counted from the caller.
    """
    lost = [
        f"{label!r} (patient {patient!r})"
        for label, patient in zip(table.index[failed], patients[failed], strict=True)
    ]
    warnings.warn(
        f"{failed.sum()} of {len(table)} recordings could not be used and {consequence}: "
        f"rows {', '.join(lost)}.",
        RecordingWarning,
        stacklevel=stacklevel + 1,
    )
