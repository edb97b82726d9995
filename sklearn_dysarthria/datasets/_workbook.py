"""Speakers listed in an Excel workbook, and the recordings that belong to them.

Names and cells of the published workbooks are not always written alike.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._folders import sample_rates
from sklearn_dysarthria.exceptions import MissingColumnError, RecordingError, RecordingWarning

USE_PUBLISHED = "Use the workbook as it was published."
"""Remedy of errors about a workbook that was changed."""

_MISSING_VALUES = {"", "-", "–", "—", "n/a", "na", "nan"}
_HEADER_WITHIN = 5  # rows


def normalized(name: Any) -> str:
    """Return letters and digits of a name only, in lower case: "ALSFRS--R_end" → "alsfrsrend"."""
    return re.sub(r"[\W_]", "", str(name)).casefold()


def read_sheets(path: Path) -> dict[str, pd.DataFrame]:
    """Return the cells of every sheet of an ``.xlsx`` file, as they are, by the sheet's name.

    Header rows are among the cells.  Raises :class:`RecordingError` if the file is not a workbook.
    """
    try:
        with warnings.catch_warnings():
            # openpyxl warns about styles and validation rules that it does not know.
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            return pd.read_excel(
                path,
                sheet_name=None,
                header=None,
                dtype=object,
                keep_default_na=False,
                engine="openpyxl",
            )
    except Exception as error:  # the parsers below raise anything from KeyError to BadZipFile
        raise RecordingError(
            f"cannot be read as an Excel workbook ({type(error).__name__}: {error}).",
            path=str(path),
            remedy="Download it again.",
        ) from None


def as_speakers(cells: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return a sheet with one row per speaker under its own column names.

    The header is the first row that has a column "ID".  Rows without an ID are dropped, ``-`` and
    similar signs count as missing, and columns whose known cells are all numbers become numbers.
    The index ``patient`` holds the IDs as they are in the sheet.  `where` names the sheet in
    messages.

    Raises :class:`MissingColumnError` if there is no header, and :class:`RecordingError` if an ID
    occurs twice.
    """
    cells = cells.map(_clean)
    is_id = cells.head(_HEADER_WITHIN).map(lambda cell: normalized(cell) == "id")
    top = is_id.any(axis=1).to_numpy(dtype=bool)
    if not top.any():
        first = [str(cell) for cell in cells.head(2).to_numpy().ravel() if not pd.isna(cell)]
        raise MissingColumnError(
            f"{where} has no header with a column 'ID'; it begins with {first[:10]}.",
            remedy=USE_PUBLISHED,
        )
    header = int(top.argmax())
    names = cells.iloc[header]
    table = cells.iloc[header + 1 :].loc[:, names.notna()]
    table.columns = pd.Index(_numbered([str(name) for name in names[names.notna()]]))
    ids = table.pop(find_column(table, ["ID"], where))
    table, ids = table[ids.notna()], ids[ids.notna()]
    # Spreadsheets store whole numbers as 4.0.
    ids = pd.Series(
        [int(x) if isinstance(x, float) and x.is_integer() else x for x in ids], dtype=object
    )
    repeated = dict.fromkeys(ids[ids.map(str).str.upper().duplicated()])
    if repeated:
        raise RecordingError(
            f"{where} lists speakers more than once: {listed(map(repr, repeated))}.",
            remedy=USE_PUBLISHED,
        )
    table.index = pd.Index(ids.to_numpy(dtype=object), name="patient", dtype=object)
    return table.apply(_as_numbers)


def find_column(table: pd.DataFrame, names: Sequence[str], where: str) -> str:
    """Return the table's own name of a column that may be called any of `names`.

    Case, spaces and punctuation do not matter.  `where` names the sheet in messages.  Raises
    :class:`MissingColumnError` if there is no such column, or several are as close.
    """
    for name in names:
        alike = [own for own in table.columns if normalized(own) == normalized(name)]
        if name in alike or len(alike) == 1:
            return name if name in alike else alike[0]
        if alike:
            raise MissingColumnError(
                f"{name!r} could be any of the columns {alike} of {where}.",
                remedy="Name one exactly.",
            )
    raise MissingColumnError(
        f"{names[0]!r} is not among the columns of {where}: {list(table.columns)}.",
        remedy=USE_PUBLISHED,
    )


def check_cells(cells: pd.Series, valid: pd.Series, problem: str) -> None:
    """Raise :class:`RecordingError` that names the cells, by patient, that are not valid."""
    invalid = cells[cells.notna() & ~valid]
    if len(invalid):
        named = ", ".join(f"{cell!r} ({patient})" for patient, cell in invalid.items())
        raise RecordingError(f"{problem}: {named}.", remedy=USE_PUBLISHED)


def match_recordings(
    recordings: pd.DataFrame,
    other_files: Sequence[str],
    labels: pd.Series,
    tasks: Sequence[str],
    corpus: str,
) -> pd.DataFrame:
    """Keep the recordings of speakers with a label, and warn about everything else.

    `recordings` and `other_files` are those of `list_recordings`; `labels` are by patient, missing
    where not known; `tasks` are those that every speaker should have; `corpus` is a name for
    messages.  Return the usable rows, a patient's rows together in the order of `labels`.

    Raises :class:`RecordingError` if nothing is left.  One :class:`RecordingWarning` lists files
    and speakers that have no counterpart, and speakers without a label.
    """
    have = set(recordings["patient"])
    known = labels.index[labels.notna()]
    kept = recordings[recordings["patient"].isin(known)]
    present = set(zip(kept["patient"], kept["task"], strict=True))
    missing = [
        f"{patient}_{task}"
        for patient in known
        if patient in have
        for task in tasks
        if (patient, task) not in present
    ]
    findings = {
        "speakers with recordings are not in the workbook and are left out": sorted(
            have - set(labels.index)
        ),
        "speakers have no label in the workbook and are left out": [
            patient for patient in labels.index[labels.isna()] if patient in have
        ],
        "speakers of the workbook have no recording": [
            patient for patient in labels.index if patient not in have
        ],
        "recordings are missing": missing,
        "files are not recordings of the corpus and are skipped": other_files,
    }
    found = [f"{len(n)} {what}: {listed(map(repr, n))}" for what, n in findings.items() if n]
    if kept.empty:
        raise RecordingError(
            f"{corpus} has no recording of a speaker with a label ({'; '.join(found)}).",
            remedy="Compare the workbook and the names of the files with the published ones.",
        )
    if found:
        warnings.warn(f"{corpus}: {'; '.join(found)}.", RecordingWarning, stacklevel=3)
    order = {patient: i for i, patient in enumerate(known)}
    rank = kept["patient"].map(order) * len(tasks) + kept["task"].map(list(tasks).index)
    return kept.loc[rank.sort_values(kind="stable").index].reset_index(drop=True)


def describe_recordings(
    recordings: pd.DataFrame,
    speakers: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    where: str,
) -> pd.DataFrame:
    """Return the table of recordings: file, rate, patient, task, and columns of the workbook.

    `recordings` is from `match_recordings`, `speakers` from `as_speakers`.  `columns` gives the
    spellings of a column in the workbook by its name in the table.  Column ``sex`` is written as
    "m" or "f" where it is a known spelling of that.  `where` names the sheet in messages.
    """
    table = recordings[["audio"]].copy()
    table["sample_rate"] = sample_rates(recordings["audio"])
    table[["patient", "task"]] = recordings[["patient", "task"]]
    theirs = speakers.loc[recordings["patient"]].reset_index(drop=True)
    for name, spellings in columns.items():
        table[name] = theirs[find_column(speakers, spellings, where)]
    sexes = {"m": "m", "male": "m", "f": "f", "female": "f"}
    table["sex"] = table["sex"].map(lambda cell: sexes.get(str(cell).strip().casefold(), cell))
    return table


def _clean(cell: Any) -> Any:
    """Strip text; return NaN for an empty cell or a sign of a missing value."""
    cell = cell.strip() if isinstance(cell, str) else cell
    return np.nan if pd.isna(cell) or str(cell).casefold() in _MISSING_VALUES else cell


def _as_numbers(column: pd.Series) -> pd.Series:
    """Turn a column of numbers, some of them text, into numbers; return any other as it is."""
    numbers = pd.to_numeric(column, errors="coerce")
    if column.notna().any() and (numbers.isna() == column.isna()).all():
        return numbers
    return column


def _numbered(names: list[str]) -> list[str]:
    """Give columns that share a name different ones: "HNR" and "HNR (2)"."""
    return [
        f"{name} ({names[: i + 1].count(name)})" if name in names[:i] else name
        for i, name in enumerate(names)
    ]
