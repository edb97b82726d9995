"""The Minsk2020 ALS database: sustained vowels of ALS patients and healthy controls."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria.datasets._bunch import as_dataset, read_description
from sklearn_dysarthria.datasets._download import (
    check_sha256,
    download_files,
    obtain_files,
    read_registry,
)
from sklearn_dysarthria.datasets._folders import find_folder, get_data_home
from sklearn_dysarthria.recordings import describe_recording

_COMMIT = "4fa0cfcde7c919e1b68c99fdecd83ff9ac7334de"
_REPOSITORY = "Mak-Sim/Minsk2020_ALS_database"
_MIRRORS = (f"https://raw.githubusercontent.com/{_REPOSITORY}/{_COMMIT}",)
_ARCHIVE = f"https://github.com/{_REPOSITORY}/archive/{_COMMIT}.zip"
_REGISTRY = "minsk2020_sha256.txt"
_RECORDING = re.compile(r"(?P<group>ALS|HC)/(?P<code>\d+)_(?P<vowel>[ai])\.wav")
_VOWEL_OF_TASK = {"phonationA": "a", "phonationI": "i"}
_COLUMN_OF_TARGET = {"als": "diagnosis", "bulbar": "bulbar"}
_FEATURES_FILE = "Minsk2020_ALS_dataset.csv"
_NAMES_IN_XLSX = {
    "Subject code": "code",
    "Age": "age",
    "Sex": "sex",
    "Time from ALS onset (months)": "onset_months",
    "Bulbar/spinal onset": "onset",
    "Presence of the bulbar signs": "bulbar",
}
_COLUMNS = [
    *("audio", "sample_rate", "patient", "task", "diagnosis", "sex", "sex_csv", "age", "age_csv"),
    *("onset_months", "onset", "bulbar"),
]


def fetch_minsk2020_als(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    tasks: str | Sequence[str] = ("phonationA", "phonationI"),
    target: str = "als",
    return_X_y: bool = False,
    as_frame: bool = True,
    verbose: int = 0,
) -> Any:
    """Load the Minsk2020 ALS database (classification), downloading it if necessary.

    =================   ==========================================
    Speakers            64 (31 ALS, 33 healthy controls)
    Recordings          128 (sustained /a/ and /i/ of each speaker)
    Duration            1.2 to 8 s
    Sampling rate       44.1 kHz (one speaker: 48 kHz)
    Download            43 MB, licence GPL-3.0
    =================   ==========================================

    The files are those of a fixed commit of the public repository.  Every file that is read is
    compared with its SHA-256 on every call, so that a damaged or edited copy cannot go unnoticed;
    for the whole corpus that takes a fraction of a second.

    Parameters
    ----------
    data_home : path-like, optional
        Folder that holds the corpora, this one in ``minsk2020/``; by default the environment
        variable ``SKLEARN_DYSARTHRIA_DATA``, else the user's cache folder.  The folder of the
        unpacked corpus itself is accepted as well, and so is the one that GitHub's archive
        unpacks to (``Minsk2020_ALS_database-<commit>``), in either place.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading what is not there.
    tasks : str or sequence of str, default=("phonationA", "phonationI")
        Which recordings: the sustained vowel /a/, /i/, or both.
    target : {"als", "bulbar"}, default="als"
        Label of every recording: ``"als"`` is the diagnosis, "ALS" or "HC"; ``"bulbar"`` the
        presence of bulbar signs, "yes" or "no", known for the 31 ALS patients only, which are
        then the only ones returned.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        Recordings are a table, hence the default.  If False, ``data`` is an object array of
        paths and ``target`` an array, without patients: splits by patient then need the table.
    verbose : int, default=0
        Positive shows the progress of the download.

    Returns
    -------
    dataset : :class:`sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_recordings, 12) or ndarray of shape (n_recordings,)
            The table of recordings, a patient's rows together.  Columns: ``audio`` (absolute
            path), ``sample_rate`` (Hz, of the file), ``patient`` (unique across groups:
            "ALS024" and "HC024" are two people), ``task``, ``diagnosis``, ``sex`` and ``age``
            (years) from the authors' tables, ``sex_csv`` and ``age_csv`` from their feature
            file, ``onset_months`` (since onset), ``onset`` ("bulbar" or "spinal") and
            ``bulbar`` (signs, "yes" or "no"), the last three missing for controls.  Beyond
            ``task`` these columns are metadata: several give the label away.
        target : Series or ndarray of shape (n_recordings,)
            Labels as strings.
        frame : DataFrame of shape (n_recordings, 13)
            ``data`` and ``target`` together; None with ``as_frame=False``.
        target_names : ndarray of str
            The classes in the order of a classifier's ``classes_``.
        feature_names : list of str
            Names of the columns of ``data``.
        filenames : ndarray of shape (n_recordings,)
            Absolute paths of the recordings.
        DESCR : str
            Source, licence, citation, counts and oddities of the corpus.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    CorpusNotFoundError
        The corpus is not on this computer and was not, or could not be, downloaded.
    OSError
        A file on disk is not the published one.
    ValueError
        An unknown task or target.

    References
    ----------
    .. [1] M. Vashkevich, Yu. Rushkevich, "Classification of ALS patients based on acoustic
       analysis of sustained vowel phonations", Biomedical Signal Processing and Control 65
       (2021) 102350, doi:10.1016/j.bspc.2020.102350, arXiv:2012.07347.

    Examples
    --------
    >>> from sklearn_dysarthria.datasets import fetch_minsk2020_als
    >>> X, y = fetch_minsk2020_als(return_X_y=True)  # doctest: +SKIP
    >>> X["patient"].nunique()  # doctest: +SKIP
    64
    """
    chosen = _check_tasks(tasks)
    if target not in _COLUMN_OF_TARGET:
        raise ValueError(f"target={target!r}; choose one of {sorted(_COLUMN_OF_TARGET)}.")
    registry = read_registry(_REGISTRY)
    recordings = _recordings(registry, chosen)
    folder = find_folder(
        get_data_home(data_home),
        "minsk2020",
        lambda place: (place / "ALS_table.xlsx").exists(),
        ("Minsk2020_ALS_database-*", "Minsk2020_ALS_database"),
    )
    needed = [*recordings, "ALS_table.xlsx", "HC_table.xlsx", _FEATURES_FILE]
    files = obtain_files(
        folder,
        needed,
        partial(download_files, folder, registry, _MIRRORS, verbose=verbose),
        title="Minsk2020 ALS database",
        by_hand=f"download {_ARCHIVE} and unpack it so that '{folder / 'ALS_table.xlsx'}' exists",
        download_if_missing=download_if_missing,
    )
    for path, file in files.items():
        check_sha256(file, registry[path])
    table = _read_table(files, recordings)
    labels = table[_COLUMN_OF_TARGET[target]]
    known = labels.notna()
    table = table[known].reset_index(drop=True)
    labels = labels[known].reset_index(drop=True).astype(object).rename("target")
    return as_dataset(
        table,
        labels,
        read_description("minsk2020.rst"),
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _check_tasks(tasks: str | Sequence[str]) -> set[str]:
    chosen = {tasks} if isinstance(tasks, str) else set(tasks)
    unknown = sorted(map(str, chosen - set(_VOWEL_OF_TASK)))
    if unknown or not chosen:
        raise ValueError(f"tasks={tasks!r}; choose from {sorted(_VOWEL_OF_TASK)}.")
    return chosen


def _recordings(paths: Iterable[str], tasks: set[str]) -> dict[str, dict[str, str]]:
    """Return patient, task and diagnosis of the recordings of these tasks, by published path."""
    task_of_vowel = {_VOWEL_OF_TASK[task]: task for task in tasks}
    facts = {}
    for path in sorted(paths):
        match = _RECORDING.fullmatch(path)
        if match and match["vowel"] in task_of_vowel:
            facts[path] = {
                "patient": match["group"] + match["code"],
                "task": task_of_vowel[match["vowel"]],
                "diagnosis": match["group"],
            }
    return facts


def _read_table(files: dict[str, Path], recordings: dict[str, dict[str, str]]) -> pd.DataFrame:
    rows = pd.DataFrame(list(recordings.values()))
    rows["audio"] = [str(files[path]) for path in recordings]
    rows["sample_rate"] = [int(describe_recording(path).sample_rate) for path in rows["audio"]]
    speakers = pd.concat([_read_xlsx(files, group) for group in ("ALS", "HC")])
    speakers = speakers.join(_read_features_file(files[_FEATURES_FILE]))
    return rows.join(speakers, on="patient")[_COLUMNS]


def _read_xlsx(files: dict[str, Path], group: str) -> pd.DataFrame:
    """Read a group's table; its codes and numbers are partly numbers and partly text."""
    cells = pd.read_excel(files[f"{group}_table.xlsx"], dtype=str)
    speakers = cells.rename(columns=_NAMES_IN_XLSX).reindex(columns=list(_NAMES_IN_XLSX.values()))
    speakers["age"] = speakers["age"].astype(int)
    speakers["onset_months"] = speakers["onset_months"].astype(float)
    speakers.index = pd.Index(group + speakers.pop("code").str.zfill(3), name="patient")
    return speakers


def _read_features_file(path: Path) -> pd.DataFrame:
    """Read sex and age of the speakers from the authors' file of features."""
    names = ["ID", "Sex", "Age", "Diagnosis (ALS)"]
    cells = pd.read_csv(path, usecols=names, dtype={"ID": str})
    group = cells["Diagnosis (ALS)"].map({1: "ALS", 0: "HC"})
    return pd.DataFrame(
        {"sex_csv": cells["Sex"].str.lower().to_numpy(), "age_csv": cells["Age"].to_numpy()},
        index=pd.Index(group + cells["ID"].str.zfill(3), name="patient"),
    )
