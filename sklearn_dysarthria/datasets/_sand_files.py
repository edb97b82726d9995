"""Where the SAND challenge's workbooks and recordings are, and what its sheets are for."""

from __future__ import annotations

import numbers
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria.datasets._download import DATA_HOME_VARIABLE, get_data_home
from sklearn_dysarthria.datasets._layout import (
    find_folder,
    list_recordings,
    listed,
    refuse_doubles,
    task_folders,
    walk_files,
)
from sklearn_dysarthria.datasets._workbook import as_speakers, normalized, read_sheets
from sklearn_dysarthria.exceptions import CorpusNotFoundError, RecordingError

N_CLASSES = {1: 5, 2: 4}
"""Number of classes, which count from 1, by the challenge's task."""

_DEPTH = 2  # folders between the corpus's own and a workbook
_SITE = "https://www.sand.icar.cnr.it"


def check_task(task: Any) -> None:
    """Raise :class:`ValueError` unless this is one of the challenge's tasks."""
    is_number = isinstance(task, numbers.Integral) and not isinstance(task, bool)
    if not is_number or task not in N_CLASSES:
        raise ValueError(
            f"task={task!r}; the challenge has tasks 1 and 2 (what was spoken is another "
            "parameter, tasks)."
        )


def speaker_id(cell: Any) -> str:
    """Write an ID as in the names of the files: 4, "4" and "id4" are all "ID004".

    Parameters
    ----------
    cell : object
        The ID as somebody wrote it.

    Returns
    -------
    str
        "ID" and at least three digits; anything that is no such ID as text in capitals.
    """
    text = str(cell).strip().upper()
    match = re.fullmatch(r"(?:ID)?0*(\d+)(?:\.0)?", text)
    return f"ID{int(match[1]):03d}" if match else text


def sand_folder(data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the corpus, which need not exist."""
    stems = {f"sandtask{task}{end}" for task in (1, 2) for end in ("", "test")}

    def is_corpus(place: Path) -> bool:
        return any(_stem(path) in stems for path in walk_files(place, _DEPTH))

    return find_folder(get_data_home(data_home), "sand", is_corpus, ["SAND*", "sand_*"])


def _stem(path: Path) -> str:
    return normalized(path.stem) if path.suffix.casefold() == ".xlsx" else ""


def _remedy(folder: Path, task: int, subset: str) -> str:
    name = f"sand_task{task}_test.xlsx" if subset == "test" else f"sand_task_{task}.xlsx"
    place = folder / f"task{task}"
    return (
        f"Get the data from the SAND challenge ({_SITE}, registration) and lay them out as "
        f"'{place / name}' and '{place / subset / 'phonationA' / 'ID000_phonationA.wav'}' and so "
        f"on; data_home or the environment variable {DATA_HOME_VARIABLE} chooses another place."
    )


def find_workbook(folder: Path, task: int, subset: str) -> Path:
    """Return the workbook of a challenge's task.

    Parameters
    ----------
    folder : pathlib.Path
        The corpus's folder.
    task : {1, 2}
        The challenge's task.
    subset : {"training", "test"}
        Which of its workbooks.

    Returns
    -------
    pathlib.Path
        The workbook.

    Raises
    ------
    CorpusNotFoundError
        There is none.
    RecordingError
        There are several.
    """
    stem = f"sandtask{task}{'test' if subset == 'test' else ''}"
    files = walk_files(folder, _DEPTH) if folder.is_dir() else iter(())
    found = [path for path in files if _stem(path) == stem]
    if not found:
        raise CorpusNotFoundError(
            f"There is no {subset} workbook of SAND's task {task} in '{folder}'. "
            f"{_remedy(folder, task, subset)}"
        )
    if len(found) > 1:
        raise RecordingError(
            f"SAND's task {task} has several {subset} workbooks: {listed(map(str, found))}.",
            remedy="Remove all but one.",
        )
    return found[0]


def find_recordings(
    folder: Path, workbook: Path, task: int, subset: str, tasks: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """List the recordings that belong to a workbook.

    Parameters
    ----------
    folder : pathlib.Path
        The corpus's folder.
    workbook : pathlib.Path
        The workbook, from :func:`find_workbook`.
    task : {1, 2}
        The challenge's task.
    subset : {"training", "test"}
        Whose recordings.
    tasks : list of str
        Spoken tasks to list.

    Returns
    -------
    recordings : DataFrame
        ``patient`` (as :func:`speaker_id` writes it), ``task`` and ``audio``.
    strangers : list of str
        Other files beside them.

    Raises
    ------
    CorpusNotFoundError
        The folder of a spoken task is missing.
    RecordingError
        Two files are the same recording of the same speaker.
    """
    places = [
        folder / f"task{task}" / subset,
        folder / f"task{task}_{subset}" / subset,
        workbook.parent / subset,
        workbook.parent,
    ]
    place = next((place for place in places if task_folders(place)), places[0])
    absent = [name for name in tasks if name not in task_folders(place)]
    if absent:
        raise CorpusNotFoundError(
            f"The {subset} recordings of SAND's task {task} are not complete in '{place}': there "
            f"is no folder {listed(absent)}. {_remedy(folder, task, subset)}"
        )
    recordings, strangers = list_recordings(place, tasks)
    recordings = recordings.assign(patient=recordings["patient"].map(speaker_id))
    refuse_doubles(recordings)  # ID000 and ID0000 are one speaker
    return recordings, strangers


def read_workbook(path: Path) -> dict[str, pd.DataFrame]:
    """Read a workbook's sheets by what they are for.

    Parameters
    ----------
    path : pathlib.Path
        The workbook.

    Returns
    -------
    dict of str to DataFrame
        Some of "all" (every speaker of the workbook), "baseline_training" and
        "baseline_validation" (the organisers' split); each indexed by :func:`speaker_id`, with
        the ID as it is in the sheet in column ``ID``.

    Raises
    ------
    RecordingError
        The workbook has none of these sheets, or lists a speaker twice.
    """
    found: dict[str, pd.DataFrame] = {}
    sheets = read_sheets(path)
    for name, cells in sheets.items():
        purpose = _purpose(name) or ("all" if len(sheets) == 1 else None)
        if purpose is None:
            continue
        speakers = as_speakers(cells, f"the sheet {name!r} of '{path}'")
        speakers["ID"] = speakers.index
        speakers.index = speakers.index.map(speaker_id)
        repeated = speakers.index[speakers.index.duplicated()]
        if purpose in found or len(repeated):
            what = f"lists {listed(repeated)} twice" if len(repeated) else "has a double"
            raise RecordingError(
                f"the sheet {name!r} {what}.", path=str(path), remedy="Use the published workbook."
            )
        found[purpose] = speakers
    parts = [found[part] for part in ("baseline_training", "baseline_validation") if part in found]
    if "all" not in found and len(parts) == 2:
        # A speaker in both is one speaker; load_sand tells of it.
        both = pd.concat(parts)
        found["all"] = both[~both.index.duplicated()]
    if "all" not in found:
        raise RecordingError(
            f"none of the sheets {list(sheets)} lists the speakers.",
            path=str(path),
            remedy="Use the published workbook.",
        )
    return found


def _purpose(sheet: str) -> str | None:
    name = normalized(sheet)
    if "baseline" in name:
        return "baseline_validation" if "valid" in name else "baseline_training"
    return "all" if re.search("(training|testing|test)set", name) else None
