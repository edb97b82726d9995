"""Folders of corpora: where a corpus lies, and which files in it are its recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._tasks import TASKS
from sklearn_dysarthria.exceptions import CorpusNotFoundError, RecordingError
from sklearn_dysarthria.recordings import describe_recording

DATA_HOME_VARIABLE = "SKLEARN_DYSARTHRIA_DATA"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of the folder that holds the corpora, one folder per corpus.

    Where `data_home` is None it is the environment variable ``SKLEARN_DYSARTHRIA_DATA``, and where
    that is unset or empty ``sklearn_dysarthria`` in the user's cache folder.  Only a download
    creates it.
    """
    chosen = os.environ.get(DATA_HOME_VARIABLE) if data_home is None else data_home
    if not chosen:
        import pooch

        return Path(pooch.os_cache("sklearn_dysarthria"))
    return Path(os.path.abspath(os.path.expanduser(chosen)))


def find_folder(
    home: Path, folder: str, is_corpus: Callable[[Path], bool], unpacked: Sequence[str] = ()
) -> Path:
    """Return the folder that holds a corpus, by the answer of `is_corpus` about a folder.

    It is the first of these: ``home / folder``, a folder that the corpus's archive unpacks to (by
    the patterns in `unpacked`) in there or in `home`, and `home` itself.  If none holds the corpus,
    it is ``home / folder``.
    """
    own = home / folder
    archives = [
        found
        for parent in (own, home)
        for pattern in unpacked
        for found in sorted(parent.glob(pattern))
    ]
    for place in [own, *archives, home]:
        if place.is_dir() and is_corpus(place):
            return place
    return own


def is_system_file(path: Path) -> bool:
    """Return whether an operating system or an office program has left this file or folder."""
    name = path.name
    return name.startswith((".", "~$")) or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def walk_files(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the files of a folder and of ``depth`` levels below it, the upper levels first.

    Folders that must not be read are skipped: they may lie beside a corpus by chance.
    """
    level = [folder]
    for _ in range(depth + 1):
        below: list[Path] = []
        for parent in level:
            try:
                paths = sorted(parent.iterdir())
            except (PermissionError, FileNotFoundError):
                continue
            for path in paths:
                if is_system_file(path):
                    continue
                if path.is_dir():
                    below.append(path)
                else:
                    yield path
        level = below


def locate_files(folder: Path, paths: Iterable[str]) -> dict[str, Path]:
    """Return the published files of a corpus that are on disk, by their published paths.

    The paths are at most one folder deep.  Upper and lower case do not matter, because Windows and
    macOS may have changed them.  Of two names that differ in case only, the published one counts.
    """
    present = {path.relative_to(folder).as_posix(): path for path in walk_files(folder, 1)}
    any_case = {name.casefold(): path for name, path in present.items()}
    located = {path: present.get(path, any_case.get(path.casefold())) for path in paths}
    return {path: file for path, file in located.items() if file is not None and file.is_file()}


def task_folders(folder: Path) -> dict[str, Path]:
    """Return the folders named after a task, by task; upper and lower case do not matter.

    Raises :class:`RecordingError` if two folders differ in case only: either could be meant.
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
            raise RecordingError(
                f"these folders differ in upper and lower case only: '{found[task]}' and '{path}'.",
                remedy="Put their recordings into one.",
            )
        found[task] = path
    return found


def check_task_folders(folder: Path, tasks: Sequence[str], problem: str, remedy: str) -> None:
    """Raise :class:`CorpusNotFoundError` if there is no folder for one of these tasks."""
    present = task_folders(folder)
    absent = [task for task in tasks if task not in present]
    if absent:
        raise CorpusNotFoundError(
            f"{problem} in '{folder}': there is no folder {listed(map(repr, absent))}. {remedy}"
        )


def list_recordings(folder: Path, tasks: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """List the recordings ``<task>/<speaker>_<task>.wav`` of these tasks, in their order.

    Return a table of ``patient`` (as in the file's name, in capitals), ``task`` and ``audio``, and
    the other files in these folders, relative to `folder`.  Raises :class:`RecordingError` if two
    files are the same recording of the same speaker.
    """
    rows: list[tuple[str, str, str]] = []
    other_files: list[str] = []
    folders = task_folders(folder)
    for task in tasks:
        pattern = re.compile(rf"(?P<patient>[^_]+)_{task}\.wav", re.IGNORECASE)
        for path in sorted(folders[task].iterdir()) if task in folders else ():
            match = pattern.fullmatch(path.name)
            if is_system_file(path):
                continue
            if match and path.is_file():
                rows.append((match["patient"].upper(), task, str(path)))
            else:
                other_files.append(path.relative_to(folder).as_posix())
    recordings = pd.DataFrame(rows, columns=["patient", "task", "audio"])
    check_one_file_each(recordings)
    return recordings, other_files


def check_one_file_each(recordings: pd.DataFrame) -> None:
    """Raise :class:`RecordingError` if two files are the same task of the same speaker."""
    repeated = recordings[recordings.duplicated(["patient", "task"], keep=False)]
    if len(repeated):
        raise RecordingError(
            f"these files claim to be the same recording: {listed(map(repr, repeated['audio']))}.",
            remedy="Remove all but one.",
        )


def sample_rates(paths: pd.Series) -> pd.Series:
    """Return the sampling rates in the files' headers in Hz, as integers where all are known.

    The rate of a file that cannot be read is NaN.  What reads the audio reports that file with its
    row, so that one damaged file does not keep the others from being loaded.
    """

    def rate(path: str) -> float:
        try:
            return describe_recording(path).sample_rate
        except RecordingError:
            return float("nan")

    rates = paths.map(rate).astype(float)
    return rates.astype(int) if rates.notna().all() else rates
