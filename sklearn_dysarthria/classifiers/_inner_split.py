"""The inner validation set that early stopping looks at: whole patients of the training fold."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from sklearn_dysarthria.recordings import one_label_per_patient


def hold_out_patients(
    labels: np.ndarray, patients: np.ndarray, fraction: float, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into a training and a validation part without dividing any patient.

    Parameters
    ----------
    labels, patients : ndarray of shape (n_samples,)
        Class and patient of every row; a patient has one class.
    fraction : float
        Fraction of each class's patients to hold out, at least one where a class has two.
    random_state : int
        Seed of the choice.

    Returns
    -------
    train, valid : ndarray of int
        Row indices.

    Raises
    ------
    ValueError
        No class has two patients, so that nobody can be held out.
    """
    rng = check_random_state(random_state)
    label_of = one_label_per_patient(patients, labels)
    held_out: list[object] = []
    for label in np.unique(labels):
        members = label_of.index[label_of == label].to_numpy()
        n_held_out = min(max(1, round(fraction * len(members))), len(members) - 1)
        held_out.extend(rng.permutation(members)[:n_held_out])
    if not held_out:
        raise ValueError("early_stopping needs a class with at least two patients to hold one out.")
    is_valid = np.isin(np.asarray(patients, dtype=object), np.array(held_out, dtype=object))
    return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)
