"""The user's own recordings, listed in a CSV or Parquet file."""

from __future__ import annotations

import ast
import csv
import difflib
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype, is_object_dtype, is_string_dtype

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._bunch import as_dataset
from sklearn_dysarthria.exceptions import MissingFileError, NotAFileError, RecordingError

_DEFAULT_TASK = "task"
_SEGMENTS = "segments"
_SEPARATORS = (",", ";", "\t")
_PARQUET = {".parquet", ".pq"}
_LISTS = (list, tuple, np.ndarray)


def load_recordings(
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    audio: str = "audio",
    patient: str | None = "patient",
    task: str | None = _DEFAULT_TASK,
    root: str | os.PathLike[str] | None = None,
    sep: str | None = None,
    return_X_y: bool = False,
) -> Any:
    """Load a table of recordings from a CSV or Parquet file.

    Everything is checked before anything is returned, except the audio itself, which
    :func:`sklearn_dysarthria.recordings.check_recordings` reads.

    Parameters
    ----------
    path : path-like
        A text file in UTF-8 (with or without byte-order mark) with a header line, or, where the
        name ends in ``.parquet`` or ``.pq``, a Parquet file (needs pyarrow).
    target : str, optional
        Column with the labels; None loads recordings without labels.
    audio : str, default="audio"
        Column with the paths of the recordings.
    patient : str or None, default="patient"
        Column with the patient's id.  Ids are text: "007" is not "7".  None for recordings of
        unknown people, which cannot be split by patient.
    task : str or None, default="task"
        Column with what was recorded.  A file without a column of the default name has no tasks;
        any other name must be there.  None, here as for ``patient``, leaves a column of the
        default name as it is in the file.
    root : path-like, optional
        Folder where relative paths start, by default the one that ``path`` is in.
    sep : str, optional
        Separator of the text file; by default the one of comma, semicolon and tab that splits
        the header most.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch; needs ``target``.

    Returns
    -------
    dataset : :class:`sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_recordings, n_columns)
            The table of recordings: ``audio`` (absolute path), ``patient`` and ``task`` under
            these names regardless of those in the file, then every other column but the target,
            unchanged apart from white space around text; ``segments``, written as
            ``[(0.5, 1.2), (1.5, 2)]``, become lists, and None where the cell is empty.
        target : Series of shape (n_recordings,) or None
            The labels, under the column's own name; whole numbers are integers, even if written
            as 1.0.
        frame : DataFrame
            ``data`` and ``target`` together.
        target_names : ndarray or None
            The classes, sorted.
        feature_names : list of str
            Names of the columns of ``data``.
        filename : str
            Absolute path of the file that was read.
        filenames : ndarray of shape (n_recordings,)
            Absolute paths of the recordings.
        DESCR : str
            What was read, in numbers.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    RecordingError
        The table cannot be used.  One error lists everything that is wrong with it: missing
        columns, values and files, repeated recordings, patients with several labels.
    MissingFileError, NotAFileError
        ``path`` is not a file; both are a :class:`RecordingError` as well.

    Notes
    -----
    Empty cells and the usual signs of a missing value ("NA", "NaN", "None", "null", ...) count
    as missing.  Give a class another name.

    Examples
    --------
    >>> from sklearn_dysarthria.datasets import load_recordings
    >>> X, y = load_recordings(
    ...     "study.csv", target="severity", audio="wav", patient="subject", return_X_y=True
    ... )  # doctest: +SKIP
    """
    if return_X_y and target is None:
        raise ValueError("return_X_y=True needs the name of the column with the labels: target.")
    source = Path(os.path.abspath(os.path.expanduser(path)))
    roles = {"audio": audio, "patient": patient, "task": task, "target": target}
    named = {role: name for role, name in roles.items() if name is not None}
    _check_roles(named)
    texts = [name for role, name in named.items() if role != "target"]
    cells = _read(source, texts, sep)
    if task == _DEFAULT_TASK and _DEFAULT_TASK not in map(str.casefold, cells.columns):
        del named["task"]
    folder = source.parent if root is None else Path(os.path.abspath(os.path.expanduser(root)))
    columns = {role: cells[name] for role, name in named.items() if name in cells.columns}
    if "audio" in columns:
        columns["audio"] = _absolute(columns["audio"], folder)
    problems = _problems(cells, named, columns, folder)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise RecordingError(
            f"{len(problems)} thing{'s are' if len(problems) > 1 else ' is'} wrong with the table "
            f"(its rows are counted from 0, the header left out):\n{lines}",
            path=str(source),
            remedy="",
        )
    labels = None if target is None else _as_labels(columns.pop("target"))
    others = cells.drop(columns=list(named.values()))
    if _SEGMENTS in others:
        others[_SEGMENTS] = pd.Series(map(_segments, others[_SEGMENTS]), others.index, dtype=object)
    data = pd.concat([pd.DataFrame(columns), others], axis=1)
    return as_dataset(
        data,
        labels,
        _description(source, data, labels),
        return_X_y=return_X_y,
        filename=str(source),
    )


def _check_roles(named: dict[str, str]) -> None:
    for role, name in named.items():
        if not isinstance(name, str):
            raise ValueError(f"{role}={name!r} is not the name of a column.")
    if len(set(named.values())) < len(named):
        roles = ", ".join(f"{role}={name!r}" for role, name in named.items())
        raise ValueError(f"each column has one role, but {roles}.")


def _read(source: Path, texts: Sequence[str], sep: str | None) -> pd.DataFrame:
    """Return the file's cells under stripped names; the columns ``texts`` hold text as written."""
    where: dict[str, Any] = {"path": str(source), "remedy": ""}
    if source.is_dir():
        raise NotAFileError("this is a directory, not a table.", **where)
    if not source.exists():
        raise MissingFileError("there is no such table.", **where)
    try:
        if source.suffix.lower() in _PARQUET:
            cells = pd.read_parquet(source)
            cells.columns = pd.Index(_unique([str(name).strip() for name in cells.columns]))
        else:
            cells = _read_text(source, texts, sep)
    except UnicodeDecodeError as error:
        problem = f"this is not text in UTF-8 ({error.reason} at byte {error.start})."
        raise RecordingError(problem, path=str(source), remedy="Save it as CSV UTF-8.") from None
    except (ValueError, csv.Error, pd.errors.ParserWarning) as error:  # pandas' are ValueErrors
        raise RecordingError(f"cannot be read as a table: {error}", **where) from None
    stripped = {name: _stripped(cells[name]) for name in cells.columns}
    stripped |= {name: _as_text(stripped[name]) for name in texts if name in stripped}
    return pd.DataFrame(stripped).reset_index(drop=True)


def _read_text(source: Path, texts: Sequence[str], sep: str | None) -> pd.DataFrame:
    with open(source, encoding="utf-8-sig", newline="") as file:
        header = next((line for line in file if line.strip()), "")
    if sep is not None and len(sep) != 1:
        raise ValueError(f"sep={sep!r} is not a single character.")
    if sep is None:
        sep = max(_SEPARATORS, key=lambda candidate: len(_split(header, candidate)))
    names = [name or f"Unnamed: {i}" for i, name in enumerate(_split(header, sep))]
    _check_row_lengths(source, sep, len(names))
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would shift or cut them.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            source,
            sep=sep,
            header=0,
            names=_unique(names),
            dtype={name: str for name in texts if name in names},
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8-sig",
        )


def _check_row_lengths(source: Path, sep: str, n_columns: int) -> None:
    """Raise an error that counts the rows longer than the header, which pandas does not."""
    with open(source, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=sep, skipinitialspace=True)
        lengths = [(reader.line_num, len(cells)) for cells in reader if any(cells)]
    longer = [(line, length) for line, length in lengths[1:] if length > n_columns]
    if longer:
        line, length = longer[0]
        raise ValueError(
            f"{_count(len(longer), 'row')} longer than the header, which has "
            f"{_count(n_columns, 'cell')}: the first, on line {line}, has {length}. Quote cells "
            f"that contain {sep!r}."
        )


def _split(header: str, sep: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([header], delimiter=sep), [])]


def _unique(names: list[str]) -> list[str]:
    repeated = {name: None for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"the header has {_quoted(repeated)} more than once.")
    return names


def _stripped(cells: pd.Series) -> pd.Series:
    if not (is_object_dtype(cells.dtype) or is_string_dtype(cells.dtype)):
        return cells
    return cells.map(lambda cell: (cell.strip() or np.nan) if isinstance(cell, str) else cell)


def _as_text(cells: pd.Series) -> pd.Series:
    """Write numbers as text: Parquet keeps ids as integers, and as floats where one is missing."""

    def write(cell: Any) -> Any:
        if pd.isna(cell):
            return np.nan
        return f"{cell:.0f}" if isinstance(cell, float) and cell.is_integer() else str(cell)

    return pd.Series([write(cell) for cell in cells], index=cells.index, dtype=object)


def _as_labels(cells: pd.Series) -> pd.Series:
    """Write whole numbers as such, and give text the dtype of every release of pandas."""
    if is_float_dtype(cells.dtype):  # 1.0, as spreadsheets and pandas spell 1 where a cell is empty
        return cells.astype("int64")
    return cells if is_numeric_dtype(cells.dtype) else cells.astype(object)


def _absolute(paths: pd.Series, folder: Path) -> pd.Series:
    def locate(path: Any) -> Any:
        return path if pd.isna(path) else os.path.abspath(folder / os.path.expanduser(path))

    return paths.map(locate)


def _problems(
    cells: pd.DataFrame, named: dict[str, str], columns: dict[str, pd.Series], folder: Path
) -> list[str]:
    """Return everything that is wrong with the table, one sentence each."""
    found = [*_missing_columns(cells, named), *_ambiguous_columns(cells, named)]
    if not len(cells):
        return [*found, "There are no rows."]
    found += [_rows_without(role, named[role], columns[role]) for role in columns]
    if "audio" in columns:
        found += _bad_paths(columns["audio"].dropna(), folder)
    if _SEGMENTS in cells and _SEGMENTS not in named.values():
        found.append(_bad_segments(cells[_SEGMENTS]))
    if "target" in columns:
        bad_labels = _bad_labels(columns["target"].dropna(), named["target"])
        found.append(bad_labels)
        if "patient" in columns and not bad_labels:
            found.append(
                _contradictory_labels(columns["patient"], columns["target"], named["target"])
            )
    return [problem for problem in found if problem]


def _missing_columns(cells: pd.DataFrame, named: dict[str, str]) -> list[str]:
    known = {name.casefold(): name for name in cells.columns}
    found = []
    for role, name in named.items():
        if name in cells.columns:
            continue
        close = difflib.get_close_matches(name.casefold(), known, n=1)
        hint = f" Did you mean {known[close[0]]!r}?" if close else ""
        optional = f" ({role}=None does without)" if role in ("patient", "task") else ""
        found.append(f"There is no column {name!r} for {role}{optional}.{hint}")
    if found:
        found[-1] += f" The columns are {', '.join(map(repr, cells.columns)) or 'none at all'}."
    return found


def _ambiguous_columns(cells: pd.DataFrame, named: dict[str, str]) -> list[str]:
    taken = {*cells.columns} - {*named.values()} | {named.get("target")}
    return [
        f"Column {name!r} is to become {role!r}, but there is another column of that name."
        for role, name in named.items()
        if role != "target" and role in taken and name in cells.columns
    ]


def _rows_without(role: str, name: str, cells: pd.Series) -> str:
    rows = cells.index[cells.isna()]
    if not len(rows):
        return ""
    what = "label" if role == "target" else role
    return f"{_count(len(rows), 'row')} without {what} in column {name!r}: {_quoted(rows)}."


def _bad_paths(paths: pd.Series, folder: Path) -> list[str]:
    found = []
    folders = [path for path in dict.fromkeys(paths) if os.path.isdir(path)]
    if folders:
        what = "is a folder" if len(folders) == 1 else "are folders"
        found.append(
            f"{_count(len(folders), 'recording')} {what} (give one row per file in it): "
            f"{_quoted(folders)}."
        )
    missing = [path for path in dict.fromkeys(paths) if not os.path.exists(path)]
    if missing:
        # On Windows both signs separate folders.
        backslashes = os.sep == "/" and any("\\" in path for path in missing)
        hint = " (folders are separated by '/')" if backslashes else ""
        found.append(
            f"{_count(len(missing), 'file')} missing, with relative paths starting at "
            f"{str(folder)!r}{hint}: {_quoted(missing)}."
        )
    # On Windows, two spellings in upper and lower case are the same file.
    repeated = dict.fromkeys(paths[paths.map(os.path.normcase).duplicated()])
    if repeated:
        found.append(f"{_count(len(repeated), 'recording')} in several rows: {_quoted(repeated)}.")
    return found


def _bad_labels(labels: pd.Series, name: str) -> str:
    """Describe labels that no classifier takes, in clearer words than a classifier would."""
    others = [label for label in labels if not isinstance(label, (str, int, float, np.generic))]
    if others:
        return f"Labels in column {name!r} are neither text nor numbers: {_quoted(others)}."
    if is_numeric_dtype(labels.dtype):
        values = labels.astype(float)
        fractions = dict.fromkeys(values[(values % 1 != 0) | (values.abs() > 2**53)])
        if fractions:
            return (
                f"Labels in column {name!r} are not whole numbers: {_quoted(fractions)} (classes "
                "are whole numbers or text)."
            )
    elif labels.map(lambda label: isinstance(label, str)).nunique() > 1:
        return f"Labels in column {name!r} are partly text and partly numbers."
    return ""


def _contradictory_labels(patients: pd.Series, labels: pd.Series, name: str) -> str:
    several = labels.groupby(patients, sort=False).nunique() > 1
    found = []
    for patient in several.index[several]:
        theirs = labels[patients == patient].dropna().unique()
        found.append(f"{patient!r} ({', '.join(sorted(map(str, theirs)))})")
    if not found:
        return ""
    return f"{_count(len(found), 'patient')} with several labels in {name!r}: {listed(found)}."


def _bad_segments(cells: pd.Series) -> str:
    rows = []
    for row, cell in cells.items():
        try:
            _segments(cell)
        except ValueError:
            rows.append(row)
    if not rows:
        return ""
    return (
        f"{_count(len(rows), 'row')} whose segments are no list of (start, end) pairs in seconds, "
        f"such as '[(0.5, 1.2), (1.5, 2)]': {_quoted(rows)}."
    )


def _segments(cell: Any) -> list[tuple[float, float]] | None:
    """Return the segments that a cell spells, in seconds; None for the whole recording.

    A cell is text such as ``"[(0.5, 1.2), (1.5, 2)]"`` or ``"[[0.5, 1.2]]"``, a list as Parquet
    keeps it, or empty.  Anything else is a ``ValueError``.
    """
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None
    if isinstance(cell, str):
        try:
            cell = ast.literal_eval(cell)  # literals only: nothing in the file is run
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError("not a list") from error
    if not isinstance(cell, _LISTS):
        raise ValueError("not a list")
    if not all(isinstance(part, _LISTS) and len(part) == 2 for part in cell):
        raise ValueError("not a list of pairs")
    ends = [end for part in cell for end in part]
    if not all(isinstance(x, (int, float, np.number)) and not isinstance(x, bool) for x in ends):
        raise ValueError("not pairs of numbers")
    segments = [(float(start), float(end)) for start, end in cell]
    if not all(0 <= start < end < math.inf for start, end in segments):
        raise ValueError("not intervals that end after they start")
    return segments


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _quoted(values: Iterable[Any]) -> str:
    return listed(map(repr, values))


def _description(source: Path, data: pd.DataFrame, labels: pd.Series | None) -> str:
    lines = [f"{_count(len(data), 'recording')} read from {source}."]
    if "patient" in data:
        lines.append(f"Patients: {data['patient'].nunique()}.")
    if labels is not None:
        counts = ", ".join(f"{label}: {n}" for label, n in labels.value_counts().items())
        lines.append(f"Recordings by {labels.name}: {counts}.")
    return "\n".join(lines)
