"""Predictions for SAND's test set, in the form in which the challenge takes them."""

from __future__ import annotations

import numbers
import os
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria.datasets._layout import listed
from sklearn_dysarthria.datasets._sand_files import (
    N_CLASSES,
    check_task,
    find_workbook,
    read_workbook,
    sand_folder,
    speaker_id,
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
        The test patients' IDs as the file shall have them, in its order, for example the
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
        A test patient has no prediction or several, another patient has one, or a prediction is
        not one of the task's classes.  Nothing is written then.

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
    check_task(task)
    predicted = _by_patient(patients, predictions)
    if speaker_ids is None:
        workbook = find_workbook(sand_folder(data_home), task, "test")
        speaker_ids = read_workbook(workbook)["all"]["ID"]
    wanted = {speaker_id(own): own for own in speaker_ids}
    if len(wanted) < len(list(speaker_ids)):
        raise ValueError("speaker_ids name a patient more than once.")
    _refuse("are predicted more than once", predicted.index[predicted.index.duplicated()])
    _refuse("of the test set have no prediction", [p for p in wanted if p not in predicted.index])
    _refuse("are not in the test set", [p for p in predicted.index if p not in wanted])
    classes = range(1, N_CLASSES[task] + 1)
    strange = [
        f"{patient}: {_plain(label)!r}"
        for patient, label in predicted.items()
        if not _is_class(label, classes)
    ]
    _refuse(f"have predictions that are not one of the classes {list(classes)}", strange)
    table = pd.DataFrame(
        {
            "ID": list(wanted.values()),
            "CLASS": [int(predicted[patient]) for patient in wanted],
        }
    )
    table.to_csv(Path(path), index=False)
    return table


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
    ids, labels = [speaker_id(patient) for patient in patients], list(predictions)
    if len(ids) != len(labels):
        raise ValueError(f"there are {len(ids)} patients, but {len(labels)} predictions.")
    return pd.Series(labels, index=ids, dtype=object)


def _is_class(label: Any, classes: range) -> bool:
    is_number = isinstance(label, numbers.Real) and not isinstance(label, bool)
    return is_number and label in classes


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _refuse(what: str, culprits: Any) -> None:
    if len(culprits):
        raise ValueError(f"{len(culprits)} patients {what}: {listed(list(culprits))}.")
