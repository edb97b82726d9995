"""SAND: severity of dysarthria in ALS, the challenge of ICASSP 2026."""

from __future__ import annotations

import numbers
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import PredefinedSplit

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._bunch import as_dataset, read_description
from sklearn_dysarthria.datasets._folders import (
    DATA_HOME_VARIABLE,
    check_one_file_each,
    check_task_folders,
    find_folder,
    get_data_home,
    list_recordings,
    task_folders,
    walk_files,
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
from sklearn_dysarthria.exceptions import CorpusNotFoundError, RecordingError, RecordingWarning

_SITE = "https://www.sand.icar.cnr.it"
_SUBSETS = ("training", "baseline_training", "baseline_validation", "test")
_SIDES = ("baseline_training", "baseline_validation")  # of the organisers' split
_N_CLASSES = {1: 5, 2: 4}  # by the challenge's task; they count from 1
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
_DEPTH = 2  # folders between the corpus's own and a workbook


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
        itself is accepted as well.
    task : {1, 2}, default=1
        The challenge's task: the class now (1), or, for patients only, the class at the last
        visit (2), from recordings of the first visit.
    subset : {"training", "baseline_training", "baseline_validation", "test"}
        Which speakers: those of the challenge's training set (the default), of one side of the
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
            The classes; None where the workbook has none, as in the test set.
        frame : DataFrame
            ``data`` and ``target`` together; None with ``as_frame=False``.
        target_names : ndarray of int or None
            The classes in the order of a classifier's ``classes_``.
        feature_names : list of str
            Names of the columns of ``data``.
        filenames : ndarray of shape (n_recordings,)
            Absolute paths of the recordings.
        baseline_split : :class:`sklearn.model_selection.PredefinedSplit` or None
            The organisers' split over the rows of ``data``, by patient, to be passed as ``cv``
            to scikit-learn; None unless ``subset="training"`` and every speaker is on one side
            of it.
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
        Recordings or speakers have no counterpart; one warning lists them.  Others list speakers
        who are on both sides or on neither side of the organisers' split, and those whose class
        differs between sheets; the sheet that was asked for counts.

    See Also
    --------
    write_sand_submission : Write predictions for the test set as the challenge expects them.

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
    _check_task(task)
    if subset not in _SUBSETS:
        raise ValueError(f"subset={subset!r}; choose one of {list(_SUBSETS)}.")
    chosen = choose_tasks(tasks)
    folder = _find_corpus(data_home)
    files = "test" if subset == "test" else "training"
    workbook = _find_workbook(folder, task, files)
    sheets = _read_workbook(workbook)
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
    recordings, other_files = _list_recordings(folder, workbook, task, files, chosen)
    if sheet != "all":  # the rest of the training set has recordings, too
        others = sheets["all"].index.difference(labels.index)
        recordings = recordings[~recordings["patient"].isin(others)]
    usable = pd.Series(0, index=labels.index) if labels.isna().all() else labels
    rows = match_recordings(
        recordings, other_files, usable, chosen, f"SAND, task {task}, {subset} set"
    )
    y = None
    if labels.notna().any():
        y = rows["patient"].map(labels).astype(int).rename("target")
    return as_dataset(
        describe_recordings(rows, sheets[sheet], _COLUMNS[task], where),
        y,
        read_description("sand.rst"),
        return_X_y=return_X_y,
        as_frame=as_frame,
        baseline_split=_baseline_split(rows["patient"], sheets) if subset == "training" else None,
        speaker_ids=sheets[sheet]["ID"],
    )


def write_sand_submission(
    path: str | os.PathLike[str],
    patients: Any,
    predictions: Any = None,
    *,
    task: int = 1,
    data_home: str | os.PathLike[str] | None = None,
    speaker_ids: Any = None,
) -> pd.DataFrame:
    """Write predictions for SAND's test set: columns ID and CLASS, one row per patient.

    Parameters
    ----------
    path : path-like
        The CSV file to write.
    patients : DataFrame, or sequence of IDs
        What ``predict_patients`` of a patient model returns (indexed by patient, with column
        ``prediction``), or the patients' IDs, each once: "ID004", "4" and 4 are the same.
    predictions : sequence of int, optional
        Class of every patient, where ``patients`` are IDs.
    task : {1, 2}, default=1
        The challenge's task; its classes are 1 to 5, or 1 to 4.
    data_home : path-like, optional
        Where the test set's workbook is; see :func:`load_sand`.
    speaker_ids : sequence, optional
        The test patients' IDs as they should appear in the file, in its order, for example the
        attribute ``speaker_ids`` of ``load_sand(subset="test")``; by default those of the test
        set's workbook.

    Returns
    -------
    DataFrame
        What was written: ``ID`` (as in the workbook, in its order) and ``CLASS``.

    Raises
    ------
    CorpusNotFoundError
        The test set's workbook is not there.
    ValueError
        A test patient has no prediction or several, a patient is not in the test set, or a
        prediction is not one of the task's classes.  Nothing is written in that case.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_dysarthria.datasets import write_sand_submission
    >>> path = Path(tempfile.mkdtemp()) / "submission.csv"
    >>> table = write_sand_submission(path, ["ID011", "ID004"], [5, 3], speaker_ids=[4, 11])
    >>> print(path.read_text())
    ID,CLASS
    4,3
    11,5
    <BLANKLINE>
    """
    _check_task(task)
    predicted = _by_patient(patients, predictions)
    if speaker_ids is None:
        workbook = _find_workbook(_find_corpus(data_home), task, "test")
        speaker_ids = _read_workbook(workbook)["all"]["ID"]
    wanted = {_speaker_id(own): own for own in speaker_ids}
    if len(wanted) < len(list(speaker_ids)):
        raise ValueError("speaker_ids name a patient more than once.")
    classes = range(1, _N_CLASSES[task] + 1)
    problems: dict[str, list[str]] = {
        "are predicted more than once": list(predicted.index[predicted.index.duplicated()]),
        "of the test set have no prediction": [p for p in wanted if p not in predicted.index],
        "are not in the test set": [p for p in predicted.index if p not in wanted],
        f"have predictions that are not one of the classes {list(classes)}": [
            f"{patient}: {label.item() if hasattr(label, 'item') else label!r}"
            for patient, label in predicted.items()
            if not _is_class(label, classes)
        ],
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"{len(found)} patients {problem}: {listed(map(repr, found))}.")
    table = pd.DataFrame(
        {
            "ID": list(wanted.values()),
            "CLASS": [int(predicted[patient]) for patient in wanted],
        }
    )
    table.to_csv(Path(path), index=False, lineterminator="\n")
    return table


def _check_task(task: Any) -> None:
    is_number = isinstance(task, numbers.Integral) and not isinstance(task, bool)
    if not is_number or task not in _N_CLASSES:
        raise ValueError(
            f"task={task!r}; the challenge has tasks 1 and 2 (what was spoken is another "
            "parameter, tasks)."
        )


def _speaker_id(cell: Any) -> str:
    """Write an ID as in the names of the files: 4, "4" and "id4" are all "ID004"."""
    text = str(cell).strip().upper()
    match = re.fullmatch(r"(?:ID)?0*(\d+)(?:\.0)?", text)
    return f"ID{int(match[1]):03d}" if match else text


def _find_corpus(data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the corpus, which need not exist."""
    stems = {f"sandtask{task}{end}" for task in (1, 2) for end in ("", "test")}

    def has_workbook(place: Path) -> bool:
        return any(_workbook_stem(path) in stems for path in walk_files(place, _DEPTH))

    return find_folder(get_data_home(data_home), "sand", has_workbook, ["SAND*", "sand_*"])


def _workbook_stem(path: Path) -> str:
    return normalized(path.stem) if path.suffix.casefold() == ".xlsx" else ""


def _remedy(folder: Path, task: int, subset: str) -> str:
    name = f"sand_task{task}_test.xlsx" if subset == "test" else f"sand_task_{task}.xlsx"
    place = folder / f"task{task}"
    return (
        f"Get the data from the SAND challenge ({_SITE}, registration) and lay them out as "
        f"'{place / name}' and '{place / subset / 'phonationA' / 'ID000_phonationA.wav'}' and so "
        f"on; data_home or the environment variable {DATA_HOME_VARIABLE} chooses another place."
    )


def _find_workbook(folder: Path, task: int, subset: str) -> Path:
    """Return the workbook of a challenge's task, subset being "training" or "test"."""
    stem = f"sandtask{task}{'test' if subset == 'test' else ''}"
    found = [path for path in walk_files(folder, _DEPTH) if _workbook_stem(path) == stem]
    if not found:
        raise CorpusNotFoundError(
            f"There is no {subset} workbook of SAND's task {task} in '{folder}'. "
            f"{_remedy(folder, task, subset)}"
        )
    if len(found) > 1:
        raise RecordingError(
            f"SAND's task {task} has several {subset} workbooks: "
            f"{listed(repr(str(path)) for path in found)}.",
            remedy="Remove all but one.",
        )
    return found[0]


def _list_recordings(
    folder: Path, workbook: Path, task: int, subset: str, tasks: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """List the recordings that belong to a workbook, and other files beside them."""
    places = [
        folder / f"task{task}" / subset,
        folder / f"task{task}_{subset}" / subset,
        workbook.parent / subset,
        workbook.parent,
    ]
    place = next((place for place in places if task_folders(place)), places[0])
    problem = f"The {subset} recordings of SAND's task {task} are not complete"
    check_task_folders(place, tasks, problem, _remedy(folder, task, subset))
    recordings, other_files = list_recordings(place, tasks)
    recordings = recordings.assign(patient=recordings["patient"].map(_speaker_id))
    check_one_file_each(recordings)  # ID000 and ID0000 are one speaker
    return recordings, other_files


def _read_workbook(path: Path) -> dict[str, pd.DataFrame]:
    """Read a workbook's sheets by their purpose.

    They are some of "all" (every speaker of the workbook), "baseline_training" and
    "baseline_validation" (the organisers' split), each indexed by `_speaker_id`, with the ID as it
    is in the sheet in column ``ID``.  Raises :class:`RecordingError` if the workbook has none of
    these sheets, or lists a speaker twice.
    """
    found: dict[str, pd.DataFrame] = {}
    sheets = read_sheets(path)
    for name, cells in sheets.items():
        purpose = _purpose(name) or ("all" if len(sheets) == 1 else None)
        if purpose is None:
            continue
        speakers = as_speakers(cells, f"the sheet {name!r} of '{path}'")
        speakers["ID"] = speakers.index
        speakers.index = speakers.index.map(_speaker_id)
        repeated = speakers.index[speakers.index.duplicated()]
        if purpose in found or len(repeated):
            problem = "has the purpose of another sheet"
            if len(repeated):
                problem = f"lists {listed(map(repr, repeated))} twice"
            raise RecordingError(
                f"the sheet {name!r} {problem}.", path=str(path), remedy=USE_PUBLISHED
            )
        found[purpose] = speakers
    sides = [found[side] for side in _SIDES if side in found]
    if "all" not in found and len(sides) == 2:
        # A speaker on both sides counts once; load_sand warns about that.
        both = pd.concat(sides)
        found["all"] = both[~both.index.duplicated()]
    if "all" not in found:
        raise RecordingError(
            f"none of the sheets {list(sheets)} lists the speakers.",
            path=str(path),
            remedy=USE_PUBLISHED,
        )
    return found


def _purpose(sheet: str) -> str | None:
    name = normalized(sheet)
    if "baseline" in name:
        return "baseline_validation" if "valid" in name else "baseline_training"
    return "all" if re.search("(training|testing|test)set", name) else None


def _labels(speakers: pd.DataFrame, task: int, where: str, *, required: bool) -> pd.Series:
    """Return every speaker's class; all are missing where there is no such column."""
    try:
        cells = speakers[find_column(speakers, _LABEL[task], where)]
    except RecordingError:
        if required:
            raise
        return pd.Series(np.nan, index=speakers.index)
    numbers = _as_classes(cells)
    problem = f"{where} has classes that are not 1 to {_N_CLASSES[task]}"
    check_cells(cells, numbers.isin(range(1, _N_CLASSES[task] + 1)), problem)
    if required and cells.isna().all():
        raise RecordingError(f"{where} has no classes.", remedy=USE_PUBLISHED)
    return numbers


def _warn_about_contradictions(sheets: dict[str, pd.DataFrame], task: int, subset: str) -> None:
    """Warn about speakers on whom the sheets of a workbook do not agree."""
    found = []
    classes = {
        name: speakers[find_column(speakers, _LABEL[task], name)]
        for name, speakers in sheets.items()
        if any(normalized(own) == normalized(n) for n in _LABEL[task] for own in speakers)
    }
    for side in _SIDES:
        if "all" in classes and side in classes:
            theirs = classes[side]
            own = classes["all"].reindex(theirs.index)
            differ = own.notna() & theirs.notna() & (_as_classes(own) != _as_classes(theirs))
            if differ.any():
                found.append(
                    f"class of the training sheet not that of {side.replace('_', ' ')}: "
                    f"{listed(map(repr, theirs.index[differ]))}"
                )
    if subset != "training" and all(side in sheets for side in _SIDES):
        both = sorted(set.intersection(*(set(sheets[side].index) for side in _SIDES)))
        if both:
            found.append(f"on both sides of the organisers' split: {listed(map(repr, both))}")
    if found:
        warnings.warn(
            f"SAND, task {task}: the sheets of the workbook contradict each other: "
            f"{'; '.join(found)}.",
            RecordingWarning,
            stacklevel=3,
        )


def _as_classes(cells: pd.Series) -> pd.Series:
    """Write 4, 4.0 and "4" alike."""
    return pd.to_numeric(cells, errors="coerce").astype(float)


def _baseline_split(patients: pd.Series, sheets: dict[str, pd.DataFrame]) -> Any:
    """Return the organisers' split over recordings, or None where the workbook has no clean one."""
    if not all(side in sheets for side in _SIDES):
        return None
    training, validation = (set(sheets[side].index) for side in _SIDES)
    both = sorted(training & validation)
    neither = sorted(set(patients) - training - validation)
    if both or neither:
        which, names = ("both sides", both) if both else ("neither side", neither)
        warnings.warn(
            "SAND: baseline_split is None, because the organisers' split has speakers on "
            f"{which}: {listed(map(repr, names))}.",
            RecordingWarning,
            stacklevel=3,
        )
        return None
    return PredefinedSplit(np.where(patients.isin(validation), 0, -1))


def _by_patient(patients: Any, predictions: Any) -> pd.Series:
    if isinstance(patients, pd.DataFrame):
        if predictions is not None or "prediction" not in patients:
            raise ValueError(
                "a table as patients needs a column 'prediction', as predict_patients returns it, "
                "and goes without predictions."
            )
        patients, predictions = patients.index, patients["prediction"]
    if predictions is None:
        raise ValueError("predictions are missing: give one class per patient.")
    ids, labels = [_speaker_id(patient) for patient in patients], list(predictions)
    if len(ids) != len(labels):
        raise ValueError(f"there are {len(ids)} patients, but {len(labels)} predictions.")
    return pd.Series(labels, index=ids, dtype=object)


def _is_class(label: Any, classes: range) -> bool:
    is_number = isinstance(label, numbers.Real) and not isinstance(label, bool)
    return is_number and label in classes
