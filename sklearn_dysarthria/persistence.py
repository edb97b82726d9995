"""One file for a fitted model and for what must be known about it before it is loaded.

The file is a ZIP archive of ``metadata.json``, which is read first and runs nothing, and of
``model.joblib``, a pickle: loading it can run any code, so load only files that you trust.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import platform
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from importlib import metadata as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
_DESCRIPTION, _MODEL = "metadata.json", "model.joblib"
_BLOCK = 2**20
_ALWAYS = ("sklearn-dysarthria", "scikit-learn", "numpy", "joblib")
_FOR_NETWORKS = ("torch", "torchvision", "skorch")
# Releases of these may store the same estimator in another way.
_DECISIVE = ("sklearn-dysarthria", "scikit-learn", "torch", "skorch")
# Entries that readers of a description rely on.
_NEEDED: dict[str, type] = {
    "versions": dict,
    "trained": str,
    "study": dict,
    "classes": list,
    "tasks": list,
    "patients_sha256": list,
    "recordings_sha256": list,
}
# A damaged archive raises any of these.
_DAMAGED = (
    *(zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error),
    *(NotImplementedError, RuntimeError),
)
_REMEDY = "copy it again, or train again."


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    X: Any,
    y: Any,
    *,
    study: Mapping[str, Any] | None = None,
    n_left_out: int = 0,
) -> Path:
    """Write a fitted model, and a description of it, to one file.

    Parameters
    ----------
    model : estimator
        Fitted; decides per patient.  In the file, its transformers of recordings have neither
        cache nor progress bars, and raise on a recording that cannot be used.
    path : str or path
        Replaced if it exists.
    X : table of recordings with column ``patient``
        What the model was fitted on.  The file names no patient and holds no recording: it keeps
        hashes, by which `known_patients` finds training patients again.
    y : array-like of shape (n_recordings,)
        Their labels.
    study : mapping, optional
        Settings that led to the model, as plain values; ``study["model"]["name"]`` names it.  By
        default the name of its class.
    n_left_out : int, default=0
        How many recordings could not be used, and are not in `X`.

    Returns
    -------
    Path
        The file.

    See Also
    --------
    load_model : Reads the file.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_dysarthria import egemaps_svm_patient_model, load_model
    >>> from sklearn_dysarthria import make_dysarthric_speech, save_model
    >>> X, y = make_dysarthric_speech(n_patients=6, duration=0.6, random_state=0)
    >>> model = egemaps_svm_patient_model().fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(model, os.path.join(folder, "a.model"), X, y)
    ...     loaded = load_model(path)
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True
    """
    import joblib
    import numpy as np

    from sklearn_dysarthria.features import configure_transformers, recording_transformers
    from sklearn_dysarthria.features._front_end import estimators_in
    from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids

    X = as_table(X)
    study = {"model": {"name": type(model).__name__}} if study is None else dict(study)
    label_of = one_label_per_patient(patient_ids(X), np.asarray(y))
    classes = np.asarray(model.classes_).tolist()
    has_network = any(hasattr(part, "net_") for part in estimators_in(model))
    packages = [*_ALWAYS, *(_FOR_NETWORKS if has_network else ())]
    description = {
        "format": FORMAT,
        "python": platform.python_version(),
        "versions": {name: installed.version(name) for name in packages},
        "trained": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "study": study,
        "study_sha256": settings_hash(study),
        "classes": classes,
        "patients_per_class": {str(label): int((label_of == label).sum()) for label in classes},
        "recordings": len(X),
        "recordings_left_out": n_left_out,
        "tasks": sorted(set(X["task"].dropna().astype(str))) if "task" in X.columns else [],
        "patients_sha256": sorted(map(_patient_hash, label_of.index)),
        "recordings_sha256": sorted({found for found in _recording_hashes(X) if found}),
    }
    stored = io.BytesIO()
    own = [(part, part.get_params(deep=False)) for part in recording_transformers(model)]
    try:
        configure_transformers(
            model, cache=None, mmap_folder=None, n_jobs=None, verbose=0, on_error="raise"
        )
        joblib.dump(model, stored)
    finally:  # without a copy, since a network may be large
        for transformer, parameters in own:
            transformer.set_params(**parameters)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_DESCRIPTION, json.dumps(description, indent=2, default=str))
        archive.writestr(_MODEL, stored.getbuffer())
    return Path(path)


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings, in which the order of entries does not count.

    Parameters
    ----------
    settings : mapping
        Plain values.

    Returns
    -------
    str
        Hexadecimal.
    """
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def describe_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the description of a saved model, without loading the model: no code of it runs.

    Parameters
    ----------
    path : str or path
        File of `save_model`.

    Returns
    -------
    dict
        ``versions`` of packages, time when it was ``trained``, ``study``, ``classes``, ``tasks``,
        ``patients_per_class``, number of ``recordings``, and hashes of patients and recordings.

    Raises
    ------
    ValueError
        `save_model` did not write the file, or it is damaged or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read(_DESCRIPTION))
            archive.getinfo(_MODEL)
    except _DAMAGED:
        found = None
    if not isinstance(found, dict) or "format" not in found:
        raise ValueError(f"{path} is no model that 'sklearn-dysarthria train' wrote.")
    if found["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {found['format']!r}; this version reads {FORMAT}: train again."
        )
    lacking = [name for name, kind in _NEEDED.items() if not isinstance(found.get(name), kind)]
    if not lacking:
        settings = found["study"].get("model")
        if not (isinstance(settings, dict) and isinstance(settings.get("name"), str)):
            lacking = ["study"]
    if lacking:
        raise ValueError(
            f"{path} is damaged, its description lacks {', '.join(map(repr, lacking))}: {_REMEDY}"
        )
    return found


def load_model(path: str | os.PathLike[str]) -> Any:
    """Load a model of `save_model`.

    The model is a pickle, and loading a pickle runs the code that is in it: load only files that
    you trust.

    Parameters
    ----------
    path : str or path
        File of `save_model` or of ``sklearn-dysarthria train``.

    Returns
    -------
    estimator
        Fitted; decides per patient.

    Raises
    ------
    ValueError
        `save_model` did not write the file, it is damaged, or it was written with a release of
        this package, scikit-learn, torch or skorch that may store models in another way.
    """
    versions = describe_model(path)["versions"]
    wrong = []
    for name in _DECISIVE:
        written, here = versions.get(name), _version(name)
        if written is not None and _release(written) != _release(here):
            wrong.append(f"{name} {written} (here: {here})")
    if wrong:
        raise ValueError(
            f"{path} was written with {', '.join(wrong)}: install what it was written with, or "
            "train again."
        )
    import joblib

    try:
        # Straight from the file, since weights are large.
        with zipfile.ZipFile(path) as archive, archive.open(_MODEL) as stored:
            model = joblib.load(stored)
            while stored.read(_BLOCK):  # the checksum is compared at the very end
                pass
    except Exception as error:  # a damaged pickle can raise anything
        if not _has_right_checksums(path):
            raise ValueError(f"{path} is damaged: {_REMEDY}") from None
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The model in {path} cannot be loaded ({type(error).__name__}: {reason}): {_REMEDY}"
        ) from None
    if not (hasattr(model, "predict_patients") and hasattr(model, "classes_")):
        raise ValueError(f"{path} is damaged, it holds no model of patients: {_REMEDY}")
    return model


def known_patients(
    description: Mapping[str, Any], X: pd.DataFrame, *, by_samples: bool = True
) -> tuple[list[Any], list[Any]]:
    """Find the patients among recordings whom a model was trained on.

    Parameters
    ----------
    description : mapping
        See `describe_model`.
    X : pandas.DataFrame
        Table of recordings with column ``patient``.
    by_samples : bool, default=True
        Read the recordings too, and compare their decoded samples with those of the training.

    Returns
    -------
    by_name, by_samples : list, list
        Patients who have the name of a training patient, and others of whom a recording was
        trained on under another name; in order of first appearance.  The same people under other
        names, in other recordings, or in the same ones cut, resampled or made louder, are not
        found.
    """
    import pandas as pd

    from sklearn_dysarthria.recordings import patient_ids

    patients = patient_ids(X)
    names = set(description["patients_sha256"])
    by_name = [p for p in pd.unique(patients) if _patient_hash(p) in names]
    if not by_samples:
        return by_name, []
    samples = set(description["recordings_sha256"])
    met = [p for p, found in zip(patients, _recording_hashes(X), strict=True) if found in samples]
    return by_name, [patient for patient in dict.fromkeys(met) if patient not in by_name]


def _patient_hash(patient: Any) -> str:
    """Return the hash of a name as text: a table file holds text, a program perhaps numbers."""
    return hashlib.sha256(str(patient).encode()).hexdigest()


def _recording_hashes(X: pd.DataFrame) -> Iterable[str | None]:
    """Yield a hash of each recording's decoded samples without regard to segments.

    None stands for a recording that cannot be read; what needs the recording reports that.
    """
    import numpy as np

    from sklearn_dysarthria.exceptions import RecordingError
    from sklearn_dysarthria.recordings import load_waveform

    whole = X.drop(columns="segments", errors="ignore")
    for i in range(len(whole)):
        try:
            samples = load_waveform(whole.iloc[i])
        except RecordingError:
            yield None
        else:
            yield hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()[:32]


def _has_right_checksums(path: str | os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except _DAMAGED:
        return False


def _version(name: str) -> str:
    try:
        return installed.version(name)
    except installed.PackageNotFoundError:
        return "none"


def _release(version: str) -> tuple[str, ...]:
    return tuple(version.split("+")[0].split(".")[:2])
