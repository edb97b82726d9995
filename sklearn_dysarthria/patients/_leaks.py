"""Patients on both sides of a split: prevented where possible, warned of elsewhere."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV

from sklearn_dysarthria._utils.routing import parts_given_groups
from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.exceptions import PatientLeakWarning
from sklearn_dysarthria.patients._splits import StratifiedPatientKFold

AROUND_THE_PIPELINE = (
    "CalibratedClassifierCV with cv=StratifiedPatientKFold(), around the whole Pipeline that "
    "begins with the table"
)
"""How a model gets probabilities; inside the Pipeline, folds do not know the patients."""


class TrainingPatients:
    """The training patients and their recordings, kept as hashes so that no name is stored.

    `patients` names the patient of every row of the training set, `table`.
    """

    def __init__(self, table: pd.DataFrame, patients: Any) -> None:
        self.patients = {_hash(patient) for patient in patients}
        self.recordings = set(_recordings(table, patients))

    def warn_about(self, table: pd.DataFrame, patients: Any) -> None:
        """Warn if *other* recordings of training patients are about to be classified.

        A score on the training recordings themselves is not mistaken for a test.
        """
        recordings = zip(patients, _recordings(table, patients), strict=True)
        known = {
            patient
            for patient, recording in recordings
            if recording not in self.recordings and _hash(patient) in self.patients
        }
        if not known:
            return
        warnings.warn(
            f"{len(known)} of these patients were in the training set with other recordings "
            f"({listed(sorted(map(str, known)))}): a score on them flatters the model. "
            "Split by patient: cv=StratifiedPatientKFold().",
            PatientLeakWarning,
            stacklevel=4,
        )


def _recordings(table: pd.DataFrame, patients: Any) -> list[bytes]:
    return [_hash((p, _identity(a))) for p, a in zip(patients, table["audio"], strict=True)]


def _identity(audio: Any) -> Any:
    if isinstance(audio, (str, os.PathLike)):
        return os.fspath(audio)
    return hashlib.sha256(np.ascontiguousarray(audio).tobytes()).digest()


def _hash(value: Any) -> bytes:
    return hashlib.sha256(repr(_plain(value)).encode()).digest()[:16]


def _plain(value: Any) -> Any:
    """Return a number in one form: pandas turns integers into floats if a value is missing."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Real) and float(value).is_integer():
        return int(float(value))
    return value


def split_searches_by_patient(estimator: Any, stacklevel: int = 3) -> None:
    """Make the searches inside a recording-level model, about to be fitted, split by patient.

    A search whose ``cv`` is a number (or left out) would split rows, and put recordings of one
    patient on both sides.  It gets as many folds of patients instead, where patients can be handed
    to it.  Any other part that splits rows while it is fitted draws a warning.

    `estimator` is changed in place.  `stacklevel` is as that of `warnings.warn`, counted from the
    caller: 3 is the caller of a decorated ``fit`` that calls this.
    """
    for path, part in list(parts_given_groups(estimator)):
        if isinstance(part, BaseSearchCV) and (part.cv is None or isinstance(part.cv, Integral)):
            folds = StratifiedPatientKFold(5 if part.cv is None else int(part.cv), shuffle=False)
            estimator.set_params(**{f"{path}__cv" if path else "cv": folds})
    for part in _parts(estimator):
        how = _splits_rows(part)
        if how:
            warnings.warn(
                f"{type(part).__name__}({how}) splits recordings, not patients, while it is "
                f"fitted: recordings of one patient may be on both sides. {_remedy(how)}, or give "
                "it one row per patient (PatientFeaturesClassifier).",
                PatientLeakWarning,
                stacklevel=stacklevel + 1,
            )


def _remedy(how: str) -> str:
    if not how.startswith("cv="):
        return "Switch that off"
    # Folds of patients alone would be the next error: behind a transformer, the rows no longer
    # have a column patient.
    return (
        "Put it around the whole Pipeline that begins with the table, and give it "
        "cv=StratifiedPatientKFold()"
    )


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield every estimator inside, including those that a search is going to try."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    for part in parts:
        if not hasattr(part, "get_params") or isinstance(part, type):
            continue
        yield part
        for name in ("param_grid", "param_distributions"):
            grids = getattr(part, name, {})
            for grid in [grids] if isinstance(grids, dict) else grids:
                for tried in grid.values():
                    for value in tried if isinstance(tried, (list, tuple)) else ():
                        if hasattr(value, "get_params") and not isinstance(value, type):
                            yield from _parts(value)


def _splits_rows(part: Any) -> str | None:
    """Return the parameter that makes an estimator split rows by itself, if there is one."""
    if type(part).__module__.startswith("sklearn_dysarthria."):
        return None  # ours hold out whole patients, or raise an error
    parameters = part.get_params(deep=False)
    cv = parameters.get("cv", "none here")
    if cv is None or isinstance(cv, Real):
        return f"cv={cv}"
    if hasattr(cv, "split") and not uses_groups(cv):
        return f"cv={type(cv).__name__}"
    if parameters.get("early_stopping") is True:
        return "early_stopping=True"
    if parameters.get("probability") is True:
        return "probability=True"
    patience = parameters.get("n_iter_no_change")
    if patience is not None:
        from sklearn.ensemble import GradientBoostingClassifier  # slow, and for the fit only

        if isinstance(part, GradientBoostingClassifier):
            return f"n_iter_no_change={patience}"
    return None


def uses_groups(splitter: Any) -> bool:
    """Return whether a splitter does anything with ``groups``."""
    requests = getattr(splitter, "get_metadata_routing", None)
    return requests is None or bool(requests().consumes("split", {"groups"}))
