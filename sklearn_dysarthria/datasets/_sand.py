"""SAND: severity of dysarthria in ALS, the challenge of ICASSP 2026."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import PredefinedSplit

from sklearn_dysarthria.datasets._bunch import as_dataset
from sklearn_dysarthria.datasets._download import read_description
from sklearn_dysarthria.datasets._layout import choose_tasks, listed, sample_rates
from sklearn_dysarthria.datasets._matching import match_recordings, plain_sex
from sklearn_dysarthria.datasets._sand_files import (
    N_CLASSES,
    check_task,
    find_recordings,
    find_workbook,
    read_workbook,
    sand_folder,
)
from sklearn_dysarthria.datasets._workbook import find_column, normalized
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning

SUBSETS = ("training", "baseline_training", "baseline_validation", "test")
_LABEL = {1: ["Class"], 2: ["ALSFRS--R_end", "ALSFRSR_end"]}
_COLUMNS: dict[int, dict[str, list[str]]] = {
    1: {"sex": ["Sex"], "age": ["Age"]},
    2: {
        "sex": ["Sex"],
        "age": ["Age"],
        "months": ["Months"],
        "severity_start": ["ALSFRS--R_start"],
    },
}


def load_sand(
    data_home: str | os.PathLike[str] | None = None,
    *,
    task: int = 1,
    subset: str = "training",
    tasks: str | Sequence[str] | None = None,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Any:
    """Load the data of the SAND challenge (classification) from a copy on this computer.

    =================   ============================================================
    Speakers            339: 205 patients with ALS, 134 healthy
    Recordings          2712 (five vowels and three syllables of each speaker)
    Classes             1 to 4: patients, from severe to no dysarthria; 5: healthy
    Sampling rate       8 kHz
    Where to get it     https://www.sand.icar.cnr.it (registration)
    =================   ============================================================

    Parameters
    ----------
    data_home : path-like, optional
        Folder that holds the corpora, this one in ``sand/``; by default the environment variable
        ``SKLEARN_DYSARTHRIA_DATA``, else the user's cache folder.  The folder of the corpus
        itself is accepted, too.
    task : {1, 2}, default=1
        The challenge's task: the class now (1), or, of patients, the class at the last visit
        (2), from recordings of the first visit.
    subset : {"training", "baseline_training", "baseline_validation", "test"}
        Whose recordings: of the challenge's training set (the default), of one side of the
        organisers' split of it, or of the test set, whose classes are not published.
    tasks : str or sequence of str, optional
        Which recordings: names of spoken tasks (``"phonationA"``, ..., ``"rhythmKA"``), or the
        groups ``"phonation"`` and ``"rhythm"``; all eight by default.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        If False, ``data`` is an object array of paths and ``target`` an array, without
        patients: splits by patient then need the table.

    Returns
    -------
    dataset : :class:`sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_recordings, 6 or 8) or ndarray of paths
            The table of recordings, a patient's rows together: ``audio`` (absolute path),
            ``sample_rate`` (Hz, of the file; missing where the file cannot be read),
            ``patient`` ("ID004"), ``task``, ``sex`` ("m" or "f"), ``age`` (years), and in
            task 2 ``months`` (between first and last visit) and ``severity_start`` (class at
            the first visit), which the challenge offers as inputs.
        target : Series or ndarray of int of shape (n_recordings,), or None
            The classes; None where the workbook leaves them open, as in the test set.
        frame : DataFrame
            ``data`` and ``target`` together; None with ``as_frame=False``.
        target_names : ndarray of int or None
            The classes in the order of a classifier's ``classes_``.
        feature_names : list of str
            Names of the columns of ``data``.
        filenames : ndarray of shape (n_recordings,)
            Absolute paths of the recordings.
        baseline_split : :class:`sklearn.model_selection.PredefinedSplit` or None
            The organisers' split over the rows of ``data``, by patient, as ``cv`` for anything
            of scikit-learn's; None unless ``subset="training"`` and every speaker is on one
            side of it.
        speaker_ids : Series
            Every speaker's ID as written in the workbook (the test set's are integers), by
            patient; it includes speakers without recordings.
        DESCR : str
            Source, citation, counts and caveats of the corpus.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    CorpusNotFoundError
        The workbook, or all recordings of a spoken task, are not there.
    MissingColumnError
        The workbook lacks a column that is needed; the error lists those it has.
    RecordingError
        The workbook cannot be read, contradicts itself, or fits no recording.
    ValueError
        An unknown task or subset.

    Warns
    -----
    RecordingWarning
        Recordings or speakers have no counterpart; one warning lists them.  Others tell of
        speakers who are on both or on neither side of the organisers' split, and of those whose
        class is another one in another sheet; the sheet that was asked for counts.

    See Also
    --------
    write_sand_submission : Write predictions for the test set as the challenge wants them.

    References
    ----------
    .. [1] G. Sannino et al., "SAND: The challenge on speech analysis for neurodegenerative
       disease assessment", arXiv:2604.16445.

    Examples
    --------
    >>> from sklearn_dysarthria.datasets import load_sand
    >>> sand = load_sand(task=1)  # doctest: +SKIP
    >>> cross_val_score(model, sand.data, sand.target, cv=sand.baseline_split)  # doctest: +SKIP
    """
    check_task(task)
    if subset not in SUBSETS:
        raise ValueError(f"subset={subset!r}; choose one of {list(SUBSETS)}.")
    chosen = choose_tasks(tasks)
    folder = sand_folder(data_home)
    files = "test" if subset == "test" else "training"
    workbook = find_workbook(folder, task, files)
    sheets = read_workbook(workbook)
    sheet = "all" if subset in ("training", "test") else subset
    if sheet not in sheets:
        raise RecordingError(
            f"has no sheet with the organisers' {subset.replace('_', ' ')} set.",
            path=str(workbook),
            remedy="Use subset='training', or the published workbook.",
        )
    where = f"the {subset} sheet of '{workbook}'"
    labels = _labels(sheets[sheet], task, where, required=subset != "test")
    _warn_about_contradictions(sheets, task, subset)
    recordings, strangers = find_recordings(folder, workbook, task, files, chosen)
    if sheet != "all":  # the rest of the training set is no stranger
        others = sheets["all"].index.difference(labels.index)
        recordings = recordings[~recordings["patient"].isin(others)]
    usable = pd.Series(0, index=labels.index) if labels.isna().all() else labels
    rows = match_recordings(
        recordings, strangers, usable, chosen, f"SAND, task {task}, {subset} set"
    )
    y = None
    if labels.notna().any():
        y = rows["patient"].map(labels).astype(int).rename("target")
    return as_dataset(
        _as_table(rows, sheets[sheet], _COLUMNS[task], where),
        y,
        read_description("sand.rst"),
        return_X_y=return_X_y,
        as_frame=as_frame,
        baseline_split=_baseline_split(rows["patient"], sheets) if subset == "training" else None,
        speaker_ids=sheets[sheet]["ID"],
    )


def _labels(speakers: pd.DataFrame, task: int, where: str, *, required: bool) -> pd.Series:
    """Return every speaker's class; all are missing where there is no such column."""
    try:
        cells = speakers[find_column(speakers, _LABEL[task], where)]
    except RecordingError:
        if required:
            raise
        return pd.Series(np.nan, index=speakers.index)
    classes = range(1, N_CLASSES[task] + 1)
    numbers = _as_classes(cells)
    strange = cells[cells.notna() & ~numbers.isin(classes)]
    if len(strange):
        named = [f"{cell!r} ({patient})" for patient, cell in strange.items()]
        raise RecordingError(
            f"{where} has classes that are not 1 to {N_CLASSES[task]}: {', '.join(named)}.",
            remedy="Use the workbook as it was published.",
        )
    if required and cells.isna().all():
        raise RecordingError(
            f"{where} has no classes.", remedy="Use the workbook as it was published."
        )
    return numbers


def _warn_about_contradictions(sheets: dict[str, pd.DataFrame], task: int, subset: str) -> None:
    """Tell of speakers about whom the sheets of a workbook do not agree."""
    told = []
    classes = {
        name: speakers[find_column(speakers, _LABEL[task], name)]
        for name, speakers in sheets.items()
        if any(normalized(own) == normalized(n) for n in _LABEL[task] for own in speakers)
    }
    if "all" in classes:
        for name, others in classes.items():
            own = classes["all"].reindex(others.index)
            torn = others.index[
                own.notna() & others.notna() & (_as_classes(own) != _as_classes(others))
            ]
            if len(torn):
                side = name.replace("_", " ")
                told.append(f"class of the training sheet not that of {side}: {listed(torn)}")
    sides = [sheets.get(f"baseline_{side}") for side in ("training", "validation")]
    if subset != "training" and all(side is not None for side in sides):
        both = sorted(set(sides[0].index) & set(sides[1].index))  # type: ignore[union-attr]
        if both:
            told.append(f"on both sides of the organisers' split: {listed(both)}")
    if told:
        warnings.warn(
            f"SAND, task {task}: the sheets of the workbook contradict each other: "
            f"{'; '.join(told)}.",
            RecordingWarning,
            stacklevel=3,
        )


def _as_classes(cells: pd.Series) -> pd.Series:
    """Write 4, 4.0 and "4" alike."""
    return pd.to_numeric(cells, errors="coerce").astype(float)


def _as_table(
    rows: pd.DataFrame, speakers: pd.DataFrame, columns: dict[str, list[str]], where: str
) -> pd.DataFrame:
    table = rows[["audio"]].copy()
    table["sample_rate"] = sample_rates(rows["audio"])
    table[["patient", "task"]] = rows[["patient", "task"]]
    theirs = speakers.loc[rows["patient"]].reset_index(drop=True)
    for name, names in columns.items():
        table[name] = theirs[find_column(speakers, names, where)]
    table["sex"] = plain_sex(table["sex"])
    return table


def _baseline_split(patients: pd.Series, sheets: dict[str, pd.DataFrame]) -> Any:
    """Return the organisers' split over recordings, or None where the workbook has no clean one."""
    sides = [sheets.get(f"baseline_{side}") for side in ("training", "validation")]
    if any(side is None for side in sides):
        return None
    training, validation = (set(side.index) for side in sides if side is not None)
    torn = sorted(training & validation)
    lost = sorted(set(patients) - training - validation)
    if torn or lost:
        sides_told = f"both sides: {listed(torn)}" if torn else f"neither side: {listed(lost)}"
        warnings.warn(
            f"SAND: baseline_split is None, because the organisers' split has speakers on "
            f"{sides_told}.",
            RecordingWarning,
            stacklevel=3,
        )
        return None
    return PredefinedSplit(np.where(patients.isin(validation), 0, -1))
