"""Corpora as they lie on disk: which folder is the corpus, and which files are its recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings import describe_recording

TASKS = (
    *("phonationA", "phonationE", "phonationI", "phonationO", "phonationU"),
    *("rhythmPA", "rhythmTA", "rhythmKA"),
)
"""The eight recordings that VOC-ALS and SAND have of every speaker."""

_NAMED = 5  # how many culprits a message names before it only counts the others


def is_litter(path: Path) -> bool:
    """Tell what operating systems and office programs leave behind from a corpus's own files."""
    name = path.name
    return name.startswith((".", "~$")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def find_folder(
    home: Path, folder: str, is_corpus: Callable[[Path], bool], unpacked: Sequence[str] = ()
) -> Path:
    """Return the folder that holds a corpus.

    Parameters
    ----------
    home : pathlib.Path
        The data home, or the unpacked corpus itself.
    folder : str
        The corpus's folder inside the data home.
    is_corpus : callable
        Takes a folder, tells whether it is this corpus's.
    unpacked : sequence of str
        Patterns of the folders that the corpus's archive unpacks to, accepted inside ``home``
        and inside ``folder``.

    Returns
    -------
    pathlib.Path
        The first that is the corpus of: its folder, an unpacked archive in it or in ``home``,
        ``home`` itself; its folder where none is.
    """
    own = home / folder
    for place in [own, *_matching(own, unpacked), *_matching(home, unpacked), home]:
        if place.is_dir() and is_corpus(place):
            return place
    return own


def _matching(parent: Path, patterns: Sequence[str]) -> list[Path]:
    return [found for pattern in patterns for found in sorted(parent.glob(pattern))]


def walk_files(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files of a folder and of ``depth`` levels below it, the upper ones first.

    Folders that may not be read are passed over: they may lie beside a corpus by chance.
    """
    level = [folder]
    for _ in range(depth + 1):
        below: list[Path] = []
        for parent in level:
            if not os.access(parent, os.R_OK | os.X_OK):
                continue
            for path in sorted(parent.iterdir()):
                if path.is_dir() and not is_litter(path):
                    below.append(path)
                elif not is_litter(path):
                    yield path
        level = below


def task_folders(folder: Path) -> dict[str, Path]:
    """Return the folders named after a task, by task; upper and lower case do not matter.

    Raises
    ------
    RecordingError
        Two folders differ in case only, so that either could be meant.
    """
    if not folder.is_dir():
        return {}
    known = {task.casefold(): task for task in TASKS}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        task = known.get(path.name.casefold())
        if task is None or not path.is_dir():
            continue
        if task in found:
            both = listed([found[task], path])
            raise RecordingError(
                f"these folders differ in upper and lower case only: {both}.",
                remedy="Put their recordings into one.",
            )
        found[task] = path
    return found


def list_recordings(folder: Path, tasks: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """List the recordings ``<task>/<speaker>_<task>.wav``.

    Parameters
    ----------
    folder : pathlib.Path
        Parent of the folders named after tasks.
    tasks : sequence of str
        Those to list, in this order.

    Returns
    -------
    recordings : DataFrame
        ``patient`` (as in the file's name, in capitals), ``task`` and ``audio``.
    strangers : list of str
        Files in these folders that are no such recording, relative to ``folder``.

    Raises
    ------
    RecordingError
        Two files are the same recording of the same speaker.
    """
    rows: list[tuple[str, str, str]] = []
    strangers: list[str] = []
    folders = task_folders(folder)
    for task in tasks:
        pattern = re.compile(rf"(?P<patient>[^_]+)_{task}\.wav", re.IGNORECASE)
        for path in sorted(folders[task].iterdir()) if task in folders else ():
            match = pattern.fullmatch(path.name)
            if match and path.is_file() and not is_litter(path):
                rows.append((match["patient"].upper(), task, str(path)))
            elif not is_litter(path):
                strangers.append(path.relative_to(folder).as_posix())
    recordings = pd.DataFrame(rows, columns=["patient", "task", "audio"])
    refuse_doubles(recordings)
    return recordings, strangers


def refuse_doubles(recordings: pd.DataFrame) -> None:
    """Raise :class:`RecordingError` if two files are the same task of the same speaker."""
    twice = recordings[recordings.duplicated(["patient", "task"], keep=False)]
    if len(twice):
        raise RecordingError(
            f"these files claim to be the same recording: {listed(twice['audio'])}.",
            remedy="Remove all but one.",
        )


def rate_of(path: str) -> float:
    """Return the sampling rate in a file's header in Hz; NaN where it cannot be read.

    Whoever reads the audio reports that file with its row, so that one damaged file does not
    keep the others from being loaded.
    """
    try:
        return describe_recording(path).sample_rate
    except RecordingError:
        return float("nan")


def sample_rates(paths: pd.Series) -> pd.Series:
    """Return the sampling rates in the files' headers in Hz, as integers where all are known."""
    rates = paths.map(rate_of).astype(float)
    return rates.astype(int) if rates.notna().all() else rates


def choose_tasks(tasks: str | Sequence[str] | None) -> list[str]:
    """Return the tasks to load, each once, in the corpus's order.

    Parameters
    ----------
    tasks : str, sequence of str or None
        None chooses all; a group ("phonation", "rhythm") stands for its tasks.

    Returns
    -------
    list of str
        A subset of :data:`TASKS`.

    Raises
    ------
    ValueError
        An unknown task, or none at all.
    """
    if tasks is None:
        return list(TASKS)
    groups = {"phonation", "rhythm"}
    names = [tasks] if isinstance(tasks, str) else tasks
    is_list = isinstance(names, Iterable)
    asked = {name for name in names if isinstance(name, str)} if is_list else set()
    if not asked or len(asked) < len({repr(name) for name in names}) or asked - groups - set(TASKS):
        raise ValueError(
            f"tasks={tasks!r}; choose from {list(TASKS)}, or the groups 'phonation' and 'rhythm'."
        )
    wanted = tuple(asked & groups)
    return [task for task in TASKS if task in asked or (wanted and task.startswith(wanted))]


def listed(culprits: Iterable[Any]) -> str:
    """Name the first culprits and count the others."""
    names = [repr(str(culprit)) for culprit in culprits]
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
