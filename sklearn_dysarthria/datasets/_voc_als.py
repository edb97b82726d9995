"""VOC-ALS: vowels and syllables of ALS patients and healthy speakers, with clinical scores."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._bunch import as_dataset, read_description
from sklearn_dysarthria.datasets._folders import (
    DATA_HOME_VARIABLE,
    check_task_folders,
    find_folder,
    get_data_home,
    is_system_file,
    list_recordings,
)
from sklearn_dysarthria.datasets._tasks import choose_tasks
from sklearn_dysarthria.datasets._workbook import (
    USE_PUBLISHED,
    as_speakers,
    check_cells,
    describe_recordings,
    find_column,
    match_recordings,
    normalized,
    read_sheets,
)
from sklearn_dysarthria.exceptions import (
    CorpusNotFoundError,
    LabelLeakWarning,
    RecordingError,
    RecordingWarning,
)

_TARGETS = ("als", "dysarthria", "speech_item")
_CATEGORY = ("Category", "Group", "Diagnosis")
_COLUMNS = {"sex": ("Sex", "Gender"), "age": ("Age (years)", "Age")}
_SPEECH = ("ALSFRS-R_SpeechSubscore", "ALSFRS-R_Speech", "ALSFRS-R SpeechScore", "SpeechSubscore")
_DIAGNOSES = {"als": "ALS", "hc": "HC", "healthy": "HC", "control": "HC", "ct": "HC"}
_NO_DYSARTHRIA = 4


def load_voc_als(
    data_home: str | os.PathLike[str] | None = None,
    *,
    target: str = "dysarthria",
    tasks: str | Sequence[str] | None = None,
    metadata: str | Sequence[str] = (),
    controls: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Any:
    """Load VOC-ALS (classification) from a copy on this computer.

    =================   ==========================================================
    Speakers            153 (102 ALS patients, 51 healthy)
    Recordings          1224 (five vowels and three syllables of each speaker)
    Sampling rate       8 kHz
    Where to get it     Synapse, doi:10.7303/syn53009474 (needs a free account)
    =================   ==========================================================

    Parameters
    ----------
    data_home : path-like, optional
        Folder that holds the corpora, this one in ``voc_als/``; by default the environment
        variable ``SKLEARN_DYSARTHRIA_DATA``, else the user's cache folder.  The folder of the
        corpus itself is accepted as well.
    target : {"dysarthria", "speech_item", "als"}, default="dysarthria"
        Label of every recording.  ``"dysarthria"`` is "yes" where the speech item of the
        ALSFRS-R is below 4, else "no"; ``"speech_item"`` the item itself, 0 (no useful speech)
        to 4 (normal); ``"als"`` the diagnosis, "ALS" or "HC".
    tasks : str or sequence of str, optional
        Which recordings: names of tasks (``"phonationA"``, ..., ``"rhythmKA"``), or the groups
        ``"phonation"`` and ``"rhythm"``; all eight by default.
    metadata : str or sequence of str, default=()
        Further columns of the workbook to have in ``data``, by their names there; case, spaces
        and punctuation do not matter.
    controls : bool, default=True
        Whether healthy speakers are included.  The item is rated in patients only; a healthy
        speaker counts as 4, without dysarthria (inferred: the sources do not say what they
        count as).  False leaves the patients.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        If False, ``data`` is an object array of paths and ``target`` an array, without
        patients: splits by patient then need the table.

    Returns
    -------
    dataset : :class:`sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_recordings, 6 + n_metadata) or ndarray of paths
            The table of recordings, a patient's rows together: ``audio`` (absolute path),
            ``sample_rate`` (Hz, of the file; missing where the file cannot be read),
            ``patient``, ``task``, ``sex`` ("m" or "f"), ``age`` (years), then the columns
            asked for by ``metadata``.
        target : Series or ndarray of shape (n_recordings,)
            Labels: strings, or integers with ``target="speech_item"``.
        frame : DataFrame
            ``data`` and ``target`` together; None with ``as_frame=False``.
        target_names : ndarray
            The classes in the order of a classifier's ``classes_``.
        feature_names : list of str
            Names of the columns of ``data``.
        filenames : ndarray of shape (n_recordings,)
            Absolute paths of the recordings.
        speakers : DataFrame
            The whole workbook, one row per speaker of ``data``, indexed by patient; ``-`` is
            missing.  For describing the speakers, not for classifying them.
        leaking_columns : list of str
            Columns of ``speakers`` that give away, by themselves, who is a patient.
        DESCR : str
            Source, citation, counts and caveats of the corpus.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    CorpusNotFoundError
        The corpus, or all recordings of a task, are not there.
    MissingColumnError
        The workbook lacks a column that is needed; the error lists those it has.
    RecordingError
        The workbook cannot be read, contradicts itself, or fits no recording.
    ValueError
        An unknown task or target.

    Warns
    -----
    RecordingWarning
        Recordings or speakers have no counterpart; one warning lists them.  Another names
        healthy speakers whose speech item is below 4.
    LabelLeakWarning
        ``metadata`` names columns in which all healthy speakers are alike, most often because
        they were not examined, and patients are not: such a column gives the label away.  With
        ``controls=False``, only the speech item itself does.

    References
    ----------
    .. [1] R. Dubbioso et al., "Voice signals database of ALS patients with different dysarthria
       severity and healthy controls", Scientific Data 11 (2024) 800,
       doi:10.1038/s41597-024-03597-2.

    Examples
    --------
    >>> from sklearn_dysarthria.datasets import load_voc_als
    >>> X, y = load_voc_als(target="als", tasks="rhythm", return_X_y=True)  # doctest: +SKIP
    >>> X["patient"].nunique()  # doctest: +SKIP
    153
    """
    if target not in _TARGETS:
        raise ValueError(f"target={target!r}; choose one of {sorted(_TARGETS)}.")
    if target == "als" and not controls:
        raise ValueError(
            "target='als' separates patients from healthy speakers: it needs controls=True."
        )
    chosen = choose_tasks(tasks)
    folder, workbook = _find_corpus(data_home, chosen)
    where = f"the sheet 'VOC-ALS_Data' of '{workbook}'"
    speakers = _read_speakers(workbook, where)
    diagnoses = _diagnoses(speakers, where)
    leaking = _leaking_columns(speakers, diagnoses)
    if target == "als":
        labels = diagnoses
    else:
        labels = _speech_items(speakers, diagnoses, where, warn=controls)
    if target == "dysarthria":
        labels = labels.map({item: "no" if item == _NO_DYSARTHRIA else "yes" for item in range(5)})
    names = [metadata] if isinstance(metadata, str) else list(metadata)
    extra = list(dict.fromkeys(find_column(speakers, [name], where) for name in names))
    recordings, other_files = list_recordings(folder, chosen)
    if not controls:
        healthy = diagnoses.index[diagnoses == "HC"]
        recordings = recordings[~recordings["patient"].isin(healthy)]
        labels = labels.drop(healthy)
    rows = match_recordings(recordings, other_files, labels, chosen, "VOC-ALS")
    if controls and (names := [name for name in extra if name in leaking]):
        _warn_about_leak(
            "every healthy speaker has the same cell, or none, in "
            f"{', '.join(map(repr, names))}, and patients do not; do not pass them to a classifier."
        )
    elif not controls and extra and (item := find_column(speakers, _SPEECH, where)) in extra:
        _warn_about_leak(f"the label is made from {item!r}; do not pass it to a classifier.")
    y = rows["patient"].map(labels).rename("target")
    columns = _COLUMNS | {name: (name,) for name in extra}
    return as_dataset(
        describe_recordings(rows, speakers, columns, where),
        y.astype(int) if target == "speech_item" else y.astype(object),
        read_description("voc_als.rst"),
        return_X_y=return_X_y,
        as_frame=as_frame,
        speakers=speakers.loc[rows["patient"].unique()],
        leaking_columns=leaking,
    )


def _workbook(folder: Path) -> Path | None:
    found = [
        path
        for path in sorted(folder.glob("*.[xX][lL][sS][xX]"))
        if normalized(path.stem) == "vocals" and not is_system_file(path)
    ]
    return found[0] if found else None


def _find_corpus(
    data_home: str | os.PathLike[str] | None, tasks: Sequence[str]
) -> tuple[Path, Path]:
    """Return the folder of the corpus and its workbook."""
    folder = find_folder(
        get_data_home(data_home),
        "voc_als",
        lambda place: _workbook(place) is not None,
        ["VOC-ALS*", "syn53009474*"],
    )
    remedy = (
        "Get VOC-ALS from Synapse (https://doi.org/10.7303/syn53009474, free account) and lay it "
        f"out as '{folder / 'VOC-ALS.xlsx'}' and '{folder / 'phonationA' / 'CT001_phonationA.wav'}'"
        f" and so on; data_home or the environment variable {DATA_HOME_VARIABLE} chooses another "
        "place."
    )
    workbook = _workbook(folder)
    if workbook is None:
        raise CorpusNotFoundError(f"There is no VOC-ALS.xlsx in '{folder}'. {remedy}")
    choice = f"Choose the others with tasks, or: {remedy}"
    check_task_folders(folder, tasks, "VOC-ALS is not complete", choice)
    return folder, workbook


def _read_speakers(workbook: Path, where: str) -> pd.DataFrame:
    sheets = read_sheets(workbook)
    named = [name for name in sheets if normalized(name) == "vocalsdata"]
    if not named and len(sheets) > 1:
        raise RecordingError(
            f"there is no sheet 'VOC-ALS_Data', only {list(sheets)}.",
            path=str(workbook),
            remedy=USE_PUBLISHED,
        )
    speakers = as_speakers(sheets[(named or list(sheets))[0]], where)
    speakers.index = speakers.index.map(lambda name: str(name).upper())
    return speakers


def _diagnoses(speakers: pd.DataFrame, where: str) -> pd.Series:
    cells = speakers[find_column(speakers, _CATEGORY, where)]
    diagnoses = cells.map(lambda cell: _DIAGNOSES.get(normalized(cell)), na_action="ignore")
    unknown = cells[diagnoses.isna() & cells.notna()]
    if len(unknown):
        raise RecordingError(
            f"{where} has categories other than 'ALS' and 'HC': "
            f"{listed(repr(str(cell)) for cell in unknown)}.",
            remedy=USE_PUBLISHED,
        )
    return diagnoses


def _speech_items(
    speakers: pd.DataFrame, diagnoses: pd.Series, where: str, *, warn: bool
) -> pd.Series:
    items = speakers[find_column(speakers, _SPEECH, where)]
    # One cell that is not a number leaves the others of its column as they are: perhaps text.
    numbers = pd.to_numeric(items, errors="coerce")
    check_cells(items, numbers.isin(range(5)), f"{where} has speech items that are not 0 to 4")
    ill = numbers.index[(diagnoses == "HC") & (numbers < _NO_DYSARTHRIA)]
    if warn and len(ill):
        named = ", ".join(f"{patient} ({numbers[patient]:g})" for patient in ill)
        warnings.warn(
            f"VOC-ALS: healthy speakers have a speech item below {_NO_DYSARTHRIA} and count as "
            f"dysarthric: {named}.",
            RecordingWarning,
            stacklevel=3,
        )
    return numbers.where(numbers.notna() | (diagnoses != "HC"), _NO_DYSARTHRIA).astype(float)


def _leaking_columns(speakers: pd.DataFrame, diagnoses: pd.Series) -> list[str]:
    """Return the columns where all healthy speakers are alike and some patient is not."""
    cells = speakers.astype(object).where(speakers.notna(), None)
    healthy, patients = cells[diagnoses == "HC"], cells[diagnoses == "ALS"]
    return [
        name
        for name in map(str, speakers)
        if len(healthy)
        and healthy[name].nunique(dropna=False) == 1
        and (len(healthy) > 1 or healthy[name].iloc[0] is None)
        and set(patients[name]) - {healthy[name].iloc[0]}
    ]


def _warn_about_leak(which: str) -> None:
    warnings.warn(f"metadata that give the label away: {which}", LabelLeakWarning, stacklevel=3)
