"""The table of recordings: its forms, its rows and the checks of its columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingColumnError,
    PatientError,
    RecordingError,
)

_OWN_COLUMNS = ("audio", "sample_rate", "patient", "task", "segments")


class Row(dict[Any, Any]):
    """One row of a table: its cells by column, and its label as ``name``.

    Like a pandas Series, without the 0.1 ms that making one and looking into it take, which is a
    quarter of the time to find a result in the cache.
    """

    name: Any = None


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table in order; of columns that share a name the last one counts."""
    # As lists: pandas takes far longer to iterate.
    columns = [table.iloc[:, i].to_numpy(dtype=object).tolist() for i in range(table.shape[1])]
    rows = []
    for label, *cells in zip(table.index, *columns, strict=True):
        row = Row(zip(table.columns, cells, strict=True))
        row.name = label
        rows.append(row)
    return rows


def distinct_rows(table: pd.DataFrame) -> list[tuple[Row, list[int]]]:
    """Return the rows of a table without their copies, each with the positions of row and copies.

    Copies, as a sampler makes them, agree in their label and in every cell.
    """
    if table.index.is_unique:
        return [(row, [position]) for position, row in enumerate(rows_of(table))]
    # Copies share the objects in their cells.  Equal arrays are not looked for: that costs more.
    cells = [
        [id(cell) for cell in column] if column.dtype == object else pd.factorize(column)[0]
        for column in (table.iloc[:, i] for i in range(table.shape[1]))
    ]
    keys = pd.DataFrame(dict(enumerate([pd.factorize(table.index)[0], *cells])))
    copy_of = keys.groupby(list(keys), sort=False).ngroup()
    positions = [group.tolist() for group in copy_of.groupby(copy_of).groups.values()]
    return list(
        zip(rows_of(table.iloc[[first for first, *_ in positions]]), positions, strict=True)
    )


def as_table(X: Any) -> pd.DataFrame:
    """Return ``X`` as a table of recordings, without reading any audio.

    Parameters
    ----------
    X : DataFrame, or list, 1-D array or Series of paths
        Recordings, one per row.

    Returns
    -------
    pandas.DataFrame
        ``X`` itself when it already is a table, a new table with the single column ``audio``
        otherwise (a Series keeps its index).

    Raises
    ------
    MissingColumnError
        A DataFrame without column ``audio``.
    AudioTypeError
        Anything else that is not a sequence of recordings.
    RecordingError
        Two columns share one of the names that the package reads.
    """
    if isinstance(X, pd.DataFrame):
        if "audio" not in X.columns:
            raise MissingColumnError(
                f"the table of recordings has no column 'audio'; it has {list(X.columns)}."
            )
        for name in _OWN_COLUMNS:
            if list(X.columns).count(name) > 1:
                raise RecordingError(
                    f"the table of recordings has several columns {name!r}.",
                    remedy="Rename all but one of them.",
                )
        return X
    if isinstance(X, (str, bytes, os.PathLike)):
        raise AudioTypeError("got a single path.", remedy="Give a list of paths.")
    if isinstance(X, pd.Series):
        return pd.DataFrame({"audio": X})
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype.kind not in "OUST"):
        raise AudioTypeError(
            f"got an array of shape {X.shape} and type {X.dtype} where recordings are expected.",
            remedy="Give a DataFrame with column 'audio', or a 1-D sequence of paths.",
        )
    if not isinstance(X, (Sequence, np.ndarray)):
        raise AudioTypeError(
            f"got {type(X).__name__} where a table of recordings is expected.",
            remedy="Give a DataFrame with column 'audio', or a 1-D sequence of paths.",
        )
    audio = np.empty(len(X), dtype=object)
    audio[:] = list(X)
    return pd.DataFrame({"audio": audio})


def column(X: Any, name: str, needed_for: str) -> np.ndarray:
    """Return a column of the table as an object array without missing values.

    Parameters
    ----------
    X : table of recordings
        See the module's description.
    name : str
        Column to read.
    needed_for : str
        Completes "column ... is needed ..." in the error message.

    Returns
    -------
    ndarray of shape (n_recordings,), dtype object
        The values.

    Raises
    ------
    MissingColumnError
        There is no such column, or it has a missing value (the error names the row).
    """
    table = as_table(X)
    if name not in table.columns:
        raise MissingColumnError(f"column {name!r} is needed {needed_for}.")
    values = table[name]
    missing = values.isna().to_numpy()
    if missing.any():
        raise MissingColumnError(
            f"column {name!r}, needed {needed_for}, has no value here.",
            row=table.index[int(missing.argmax())],
            remedy="Fill it in, or leave the row out.",
        )
    return values.to_numpy(dtype=object)


def patient_ids(X: Any, needed_for: str = "to keep each patient on one side of a split") -> Any:
    """Return the patient of every row; see :func:`column`."""
    return column(X, "patient", needed_for)


def as_objects(values: Any) -> np.ndarray:
    """Return a 1-D object array of any values, tuples and lists included."""
    out = np.empty(len(values), dtype=object)
    out[:] = list(values)
    return out


def one_label_per_patient(patients: Any, y: Any) -> pd.Series:
    """Collapse row labels to patient labels.

    Parameters
    ----------
    patients, y : array-like of shape (n_recordings,)
        Patient and label of every row.

    Returns
    -------
    pandas.Series
        Label of every patient, indexed by patient, in order of first appearance.

    Raises
    ------
    PatientError
        Two rows of one patient carry different labels; the message names the patient.
    ValueError
        The lengths differ.
    """
    labels = pd.Series(np.asarray(y), dtype=object)
    patients = as_objects(patients)
    if labels.ndim != 1 or len(labels) != len(patients):
        raise ValueError(f"y has {len(labels)} labels for {len(patients)} recordings.")
    groups = labels.groupby(patients, sort=False)
    clash = groups.nunique(dropna=False) > 1
    if clash.any():
        patient = clash.index[clash][0]
        patient = patient.item() if isinstance(patient, np.generic) else patient
        found = sorted(map(str, labels[patients == patient].unique()))
        raise PatientError(f"patient {patient!r} carries different labels: {', '.join(found)}.")
    return groups.first()
