"""From files, folders and tables on the command line to a table of recordings.

The names of files say whose recordings they are, and of which task.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from sklearn_dysarthria._utils.audio_files import AUDIO_SUFFIXES, find_audio_files
from sklearn_dysarthria._utils.tasks import task_group
from sklearn_dysarthria.cli._corpus import with_remedy
from sklearn_dysarthria.cli._study import did_you_mean, is_none, is_table_file
from sklearn_dysarthria.exceptions import RecordingError

DEFAULT_PATTERN = "{patient}_{task}"
_FIELDS = ("patient", "task")
_KNOWN_GROUPS = ("phonation", "rhythm")


def recordings_from(
    paths: Sequence[Path],
    *,
    pattern: str | None = None,
    tasks: Iterable[str] = (),
    columns: Mapping[str, str | None] | None = None,
) -> pd.DataFrame:
    """List the recordings behind paths, with their patients and tasks.

    Paths exist, and are recordings, folders, which are searched to the bottom, or tables as of
    `load_recordings`, which need no labels and whose `columns` ``audio``, ``patient`` and ``task``
    may have other names.  `pattern` says how files are named; None takes ``{patient}_{task}``
    where the task is a known one, or one of `tasks`, which the model was trained on, and every
    other file for a patient of its own.  The table has the columns ``audio``, ``patient`` and
    ``task`` (None where unknown), and is numbered from 0.

    Raises a ValueError if there are no recordings, one occurs twice, a name does not fit the
    pattern, or two files pass for the same recording.
    """
    regex = pattern_to_regex(DEFAULT_PATTERN if pattern is None else pattern)
    suffix = _suffix_of(pattern)
    frames = []
    for path in paths:
        if is_table_file(str(path)) and not path.is_dir():
            frames.append(_from_table(path, columns or {}))
        elif path.is_dir():
            found = find_audio_files(path, (suffix,) if suffix else AUDIO_SUFFIXES)
            if not found:
                kinds = suffix or "audio"
                raise ValueError(f"There are no {kinds} files in the folder {str(path)!r}.")
            frames.append(_from_names(found, regex, pattern, tasks))
        else:
            frames.append(_from_names([path], regex, pattern, tasks))
    table = pd.concat(frames, ignore_index=True)
    _check_recordings_differ(table)
    if table["task"].isna().all():
        table = table.drop(columns="task")
    return table


def pattern_to_regex(pattern: str) -> re.Pattern[str]:
    """Return the regular expression that a pattern of file names is, for paths without suffix.

    The field ``{patient}`` must be in it, and ``{task}`` may; ``*`` is anything within a name, and
    slashes separate folders.  A suffix at the end does not count here.  Raises a usage error if
    the pattern has an unknown field, or no ``{patient}``.
    """
    stem = pattern[: -len(_suffix_of(pattern))] if _suffix_of(pattern) else pattern
    parts = re.split(r"\{(\w*)\}", stem.replace("\\", "/"))
    names = parts[1::2]
    for name in names:
        if name not in _FIELDS or names.count(name) > 1:
            what = "twice" if name in _FIELDS else "an unknown field"
            hint = did_you_mean(name, _FIELDS)
            raise typer.BadParameter(f"--pattern {pattern!r} has {{{name}}}, {what}.{hint}")
    if "patient" not in names:
        raise typer.BadParameter(f"--pattern {pattern!r} does not say where the {{patient}} is.")
    literals = ["[^/]*".join(map(re.escape, text.split("*"))) for text in parts[::2]]
    # The patient takes as much as it can and the task as little, on whichever side it stands:
    # in "ID_07_phonationA" the patient is "ID_07".
    fields = [f"(?P<{name}>[^/]+{'?' if name == 'task' else ''})" for name in names]
    joined = "".join(t + f for t, f in zip(literals, [*fields, ""], strict=True))
    return re.compile(f"(?:.*/)?{joined}")


def _suffix_of(pattern: str | None) -> str:
    suffix = Path(pattern or "").suffix.lower()
    return suffix if suffix in AUDIO_SUFFIXES else ""


def _from_names(
    files: Sequence[Path], regex: re.Pattern[str], pattern: str | None, tasks: Iterable[str]
) -> pd.DataFrame:
    known = set(tasks)
    rows = []
    for file in files:
        path = file.absolute()
        match = regex.fullmatch(path.with_suffix("").as_posix())
        found = match.groupdict() if match else {}
        if pattern is None:
            task = found.get("task")
            if task not in known and task_group(task or "") not in _KNOWN_GROUPS:
                found = {"patient": path.stem}
        elif not match:
            raise ValueError(f"The name of {str(file)!r} does not fit --pattern {pattern!r}.")
        rows.append({"audio": str(path), "task": None, **found})
    return pd.DataFrame(rows, columns=["audio", "patient", "task"], dtype=object)


def _from_table(path: Path, columns: Mapping[str, Any]) -> pd.DataFrame:
    from sklearn_dysarthria.datasets import load_recordings

    named = {role: None if is_none(name) else name for role, name in columns.items()}
    try:
        X = load_recordings(path, **named).data
    except RecordingError as error:
        # The loader's remedy is Python; here it is an option.
        raise with_remedy(error, r"(--\1-column none does without)") from None
    if named.get("patient", "patient") is None:  # every recording is a patient of its own
        X = X.assign(patient=X["audio"])
    # Segments and the like are part of the recording; whether the rest is in the file or not,
    # no model looks at it.
    kept = [name for name in ("audio", "sample_rate", "patient", "task", "segments") if name in X]
    table = X[kept].astype({"audio": object, "patient": object})
    return table if "task" in table else table.assign(task=None)


def _check_recordings_differ(table: pd.DataFrame) -> None:
    same = table.index[table["audio"].map(os.path.realpath).duplicated()]
    if len(same):
        raise ValueError(f"The recording {table.loc[same[0], 'audio']!r} is named twice.")
    keys = pd.MultiIndex.from_frame(table[["patient", "task"]].fillna(""))
    folders = table["audio"].map(os.path.dirname)
    twins = table[keys.duplicated(keep=False)]
    for _, group in twins.groupby(["patient", twins["task"].fillna("")], sort=False):
        if folders[group.index].nunique() > 1:
            first, second = group["audio"].iloc[:2]
            raise ValueError(
                f"{first!r} and {second!r} are both taken for patient "
                f"{group['patient'].iloc[0]!r}: describe the names by --pattern, or list the "
                "recordings in a table with the columns audio and patient."
            )
