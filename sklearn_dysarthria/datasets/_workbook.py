"""Sheets of Excel workbooks, whose names and cells are not always written alike."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import MissingColumnError, RecordingError

_NOTHING = {"", "-", "–", "—", "n/a", "na", "nan"}
_ROWS_TO_LOOK_FOR_HEADER = 5
_REMEDY = "Use the workbook as it was published."


def normalized(name: Any) -> str:
    """Return letters and digits of a name only, in lower case: "ALSFRS--R_end" → "alsfrsrend"."""
    return re.sub(r"[\W_]", "", str(name)).casefold()


def read_sheets(path: Path) -> dict[str, pd.DataFrame]:
    """Read the cells of every sheet of a workbook, as they are.

    Parameters
    ----------
    path : pathlib.Path
        An ``.xlsx`` file.

    Returns
    -------
    dict of str to DataFrame
        Cells by the sheet's name, header rows included.

    Raises
    ------
    RecordingError
        The file is not a workbook.
    """
    try:
        with warnings.catch_warnings():
            # openpyxl warns of styles and validation rules that it does not know.
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

    The header is the first row that has a column "ID"; rows without an ID are dropped, ``-`` and
    its likes are missing, and columns whose known cells are all numbers become numbers.

    Parameters
    ----------
    cells : DataFrame
        A sheet from :func:`read_sheets`.
    where : str
        The sheet, for messages.

    Returns
    -------
    DataFrame
        Indexed by the ID as it is in the sheet (``patient``), in the sheet's order.

    Raises
    ------
    MissingColumnError
        There is no header.
    RecordingError
        An ID occurs twice.
    """
    cells = cells.map(_known)
    header = _header_row(cells)
    if header is None:
        first = [str(cell) for cell in cells.head(2).to_numpy().ravel() if not pd.isna(cell)]
        raise MissingColumnError(
            f"{where} has no header with a column 'ID'; it begins with {first[:10]}.",
            remedy=_REMEDY,
        )
    names = cells.iloc[header]
    table = cells.iloc[header + 1 :].loc[:, names.notna()]
    table.columns = pd.Index(_distinct([str(name) for name in names[names.notna()]]))
    ids = table.pop(find_column(table, ["ID"], where))
    table, ids = table[ids.notna()], ids[ids.notna()]
    ids = pd.Series([_whole(cell) for cell in ids], dtype=object)
    _refuse_repeated(ids, f"{where} lists speakers more than once")
    table.index = pd.Index(ids.to_numpy(dtype=object), name="patient", dtype=object)
    return table.apply(_as_numbers)


def find_column(table: pd.DataFrame, names: Sequence[str], where: str) -> str:
    """Return the table's own name of a column.

    Parameters
    ----------
    table : DataFrame
        The table.
    names : sequence of str
        What the column may be called, give or take case, spaces and punctuation.
    where : str
        The sheet, for messages.

    Returns
    -------
    str
        The name in the table.

    Raises
    ------
    MissingColumnError
        There is none, or several are as close.
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
        remedy=_REMEDY,
    )


def _header_row(cells: pd.DataFrame) -> int | None:
    for i in range(min(_ROWS_TO_LOOK_FOR_HEADER, len(cells))):
        if any(normalized(cell) == "id" for cell in cells.iloc[i]):
            return i
    return None


def _known(cell: Any) -> Any:
    """Strip text; return NaN for a cell that says nothing."""
    if pd.isna(cell):
        return np.nan
    if isinstance(cell, str):
        cell = cell.strip()
        return np.nan if cell.casefold() in _NOTHING else cell
    return cell


def _whole(cell: Any) -> Any:
    """Write 4.0, as spreadsheets keep whole numbers, as 4."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _as_numbers(column: pd.Series) -> pd.Series:
    """Turn a column of numbers, some of them text, into numbers; leave any other alone."""
    numbers = pd.to_numeric(column, errors="coerce")
    if column.notna().any() and (numbers.isna() == column.isna()).all():
        return numbers
    return column


def _distinct(names: list[str]) -> list[str]:
    """Tell apart columns that share a name, as "HNR" and "HNR (2)"."""
    return [
        f"{name} ({names[: i + 1].count(name)})" if name in names[:i] else name
        for i, name in enumerate(names)
    ]


def _refuse_repeated(names: pd.Series, what: str) -> None:
    repeated = list(dict.fromkeys(names[names.map(str).str.upper().duplicated()]))
    if repeated:
        raise RecordingError(f"{what}: {', '.join(map(repr, repeated))}.", remedy=_REMEDY)
