"""One file for a fitted model and for what must be known about it before it is loaded.

The file is a ZIP archive of ``metadata.json``, which is read first and runs nothing, and of
``model.joblib``, whose loading can run any code: only files that one trusts are for loading.
"""

from __future__ import annotations

import datetime
import io
import json
import platform
import zipfile
import zlib
from importlib import metadata as installed
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from sklearn_dysarthria.cli._front_end import configure
from sklearn_dysarthria.cli._known import hash_of, recording_hashes
from sklearn_dysarthria.cli._study import Study
from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids

FORMAT = 2
_BLOCK = 2**20
_FACTS, _MODEL = "metadata.json", "model.joblib"
_ALWAYS = ("sklearn-dysarthria", "scikit-learn", "numpy", "joblib")
_OF_NETS = ("torch", "torchvision", "skorch")
# Releases of these may store the same estimator in another way.
_DECISIVE = ("sklearn-dysarthria", "scikit-learn", "torch", "skorch")
# What the commands look up, and of which kind it is.
_NEEDED: dict[str, type] = {
    "versions": dict,
    "trained": str,
    "study": dict,
    "classes": list,
    "tasks": list,
    "patients_sha256": list,
    "recordings_sha256": list,
}


def describe_model(
    model: Any, study: Study, X: Any, y: Any, *, n_left_out: int = 0
) -> dict[str, Any]:
    """Collect what a model file says about the model.

    Parameters
    ----------
    model : estimator
        Fitted.
    study : Study
        What it was fitted by.
    X, y : table of recordings, array-like of shape (n_recordings,)
        What it was fitted on, without the recordings that could not be used.
    n_left_out : int, default=0
        How many those are.

    Returns
    -------
    dict
        Plain values; patients and recordings only as hashes.
    """
    label_of = one_label_per_patient(patient_ids(X), np.asarray(y))
    packages = [*_ALWAYS, *(_OF_NETS if _has_net(model) else ())]
    classes = np.asarray(model.classes_).tolist()
    tasks = sorted(set(X["task"].dropna().astype(str))) if "task" in X.columns else []
    return {
        "format": FORMAT,
        "python": platform.python_version(),
        "versions": {name: installed.version(name) for name in packages},
        "trained": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "study": study.settings(),
        "study_sha256": study.sha256(),
        "classes": classes,
        "patients_per_class": {str(label): int((label_of == label).sum()) for label in classes},
        "recordings": len(X),
        "recordings_left_out": n_left_out,
        "tasks": tasks,
        "patients_sha256": sorted(map(hash_of, label_of.index)),
        "recordings_sha256": sorted({found for found in recording_hashes(X) if found}),
    }


def _has_net(model: Any, depth: int = 8) -> bool:
    if hasattr(model, "net_"):
        return True
    parts = vars(model).values() if hasattr(model, "get_params") and depth else ()
    inside = [p for part in parts for p in (part if isinstance(part, list) else [part])]
    inside = [p[-1] if isinstance(p, tuple) and p else p for p in inside]
    return any(_has_net(part, depth - 1) for part in inside if hasattr(part, "get_params"))


def write_model(path: Path, model: Any, facts: dict[str, Any]) -> None:
    """Write a fitted model and its description to one file.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    model : estimator
        Fitted; keeps neither cache nor progress bars.
    facts : dict
        See `describe_model`.
    """
    configure(model, cache=None, mmap_folder=None, n_jobs=None, verbose=0, on_error="raise")
    stored = io.BytesIO()
    joblib.dump(model, stored)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FACTS, json.dumps(facts, indent=2, default=str))
        archive.writestr(_MODEL, stored.getbuffer())


def read_facts(path: Path) -> dict[str, Any]:
    """Read the description of a model, which runs nothing.

    Parameters
    ----------
    path : Path
        A file of `write_model`.

    Returns
    -------
    dict
        See `describe_model`.

    Raises
    ------
    ValueError
        The file is none of ours, is damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(_FACTS))
            known = isinstance(facts, dict) and "format" in facts
            archive.getinfo(_MODEL)
    except _BROKEN_ARCHIVE:
        known = False
    if not known:
        raise ValueError(f"{path} is no model that 'sklearn-dysarthria train' wrote.")
    if facts["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {facts['format']!r}; this version reads {FORMAT}: train again."
        )
    lacking = [name for name, kind in _NEEDED.items() if not isinstance(facts.get(name), kind)]
    if not lacking and not isinstance(_model_settings(facts).get("name"), str):
        lacking = ["study"]
    if lacking:
        raise ValueError(
            f"{path} is damaged, its description lacks {', '.join(map(repr, lacking))}: copy it "
            "again, or train again."
        )
    return facts


# Bytes that changed on the way show as any of these.
_BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error),
    *(NotImplementedError, RuntimeError),
)


def _model_settings(facts: dict[str, Any]) -> dict[str, Any]:
    settings = facts["study"].get("model")
    return settings if isinstance(settings, dict) else {}


def read_model(path: Path) -> tuple[Any, dict[str, Any]]:
    """Load a model, unless other versions would have to make sense of it.

    Parameters
    ----------
    path : Path
        A file of `write_model` from somebody whom one trusts.

    Returns
    -------
    model, facts : estimator, dict
        The fitted model, and its description.

    Raises
    ------
    ValueError
        The file is none of ours, is damaged, or was written with incompatible versions.
    """
    facts = read_facts(path)
    wrong = []
    for name in _DECISIVE:
        written = facts["versions"].get(name)
        if written is not None and _release(written) != _release(_version(name)):
            wrong.append(f"{name} {written} (here: {_version(name)})")
    if wrong:
        raise ValueError(
            f"{path} was written with {', '.join(wrong)}: install what it was written with, or "
            "train again."
        )
    mend = "copy it again, or train again."
    try:
        # Straight from the file, since weights are large.
        with zipfile.ZipFile(path) as archive, archive.open(_MODEL) as stored:
            model = joblib.load(stored)
            while stored.read(_BLOCK):  # the checksum is compared at the very end
                pass
    except Exception as error:  # a pickle that is broken raises whatever its bytes happen to say
        if not _is_whole(path):
            raise ValueError(f"{path} is damaged: {mend}") from None
        told = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The model in {path} cannot be loaded ({type(error).__name__}: {told}): {mend}"
        ) from None
    if not (hasattr(model, "predict_patients") and hasattr(model, "classes_")):
        raise ValueError(f"{path} is damaged, it holds no model of patients: {mend}")
    return model, facts


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except _BROKEN_ARCHIVE:
        return False


def _version(name: str) -> str:
    try:
        return installed.version(name)
    except installed.PackageNotFoundError:
        return "none"


def _release(version: str) -> tuple[str, ...]:
    return tuple(version.split("+")[0].split(".")[:2])
