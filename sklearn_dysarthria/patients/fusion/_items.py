"""From a table of recordings to the items that a fusion is trained on.

The usable recordings of some tasks are paired across tasks, patient by patient.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from sklearn_dysarthria._utils.failed_rows import failed_rows, partly_invalid_rows
from sklearn_dysarthria._utils.memory_maps import chunks, drop_pages
from sklearn_dysarthria._utils.tasks import tasks_in_order
from sklearn_dysarthria.exceptions import PatientError, RecordingWarning
from sklearn_dysarthria.patients._leaks import split_searches_by_patient
from sklearn_dysarthria.patients._unusable import (
    check_no_patient_lost,
    rows_labelled,
    warn_unusable,
    with_unique_labels,
)
from sklearn_dysarthria.recordings import column, noted_failures, patient_ids
from sklearn_dysarthria.recordings._table import as_objects


@dataclass(frozen=True)
class TaskRecordings:
    """Usable recordings, as vectors or images, and what pairs them.

    `values`, of shape (n_recordings, ...), is what a transformer made of them; `audio` are their
    cells of that column, in which paths give them an order.
    """

    values: np.ndarray
    patients: np.ndarray
    tasks: np.ndarray
    audio: Sequence[Any]

    @cached_property
    def ranks(self) -> np.ndarray:
        """Rank of every recording in an order that the rows of the table do not determine.

        By path, in which ``take_2`` comes before ``take_10``; where there is none, or the same
        one several times, by content.
        """
        contents = [
            hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
            for part in chunks(self.values)
            for values in self.values[part]
        ]
        keys = list(zip(map(_words, self.audio), contents, strict=True))
        ranks = np.empty(len(keys), dtype=np.intp)
        ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
        return ranks

    def pair(
        self, tasks: Sequence[Any], patients: Iterable[Any], chosen: np.ndarray | None = None
    ) -> TaskItems:
        """Pair recordings across tasks, patient by patient in the given order.

        A patient has as many items as recordings of the task that has most of them.  The k-th item
        holds the k-th recording of every task; shorter lists begin again.  Only recordings of the
        mask `chosen`, of shape (n_recordings,), count if there is one; patients without any have no
        items.  The items refer to the recordings, which are not copied.
        """
        rows_of: dict[tuple[Any, Any], list[int]] = {}
        for row in np.argsort(self.ranks).tolist():
            if chosen is None or chosen[row]:
                rows_of.setdefault((self.patients[row], self.tasks[row]), []).append(row)
        owners: list[Any] = []
        rows: list[list[int]] = []
        for patient in patients:
            lists = [rows_of.get((patient, task), []) for task in tasks]
            for k in range(max(map(len, lists))):
                owners.append(patient)
                rows.append([members[k % len(members)] if members else -1 for members in lists])
        return TaskItems(
            self.values, np.array(rows, dtype=np.intp).reshape(-1, len(tasks)), as_objects(owners)
        )


@dataclass(frozen=True)
class TaskItems:
    """Items of several recordings, one per task; looks like an array of all of them.

    Indexed like an array of shape (n_items, n_tasks, ...), which is never made as a whole, so that
    a recording that occurs in several items is kept once.  `values` are the recordings, of shape
    (n_recordings, ...); `rows`, of shape (n_items, n_tasks), says which of them is the item's of
    every task, -1 where the task is missing; `patients` has the owner of each item.
    """

    values: np.ndarray
    rows: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Gather items; what stands for a missing recording means nothing (see `present`)."""
        gathered = self.values[self.rows[index]]
        drop_pages(self.values)
        return gathered

    @property
    def present(self) -> np.ndarray:
        """Which tasks an item has, of shape (n_items, n_tasks)."""
        return self.rows >= 0

    def mean_by_patient(self, values: np.ndarray, patients: Sequence[Any] | pd.Index) -> np.ndarray:
        """Average rows of items over each patient's items, in the order of `patients`.

        A patient without items has NaN.
        """
        frame = pd.DataFrame(values).groupby(self.patients, sort=False).mean()
        return frame.reindex(pd.Index(patients, dtype=object)).to_numpy()


def sorted_patients(patients: Iterable[Any]) -> list[Any]:
    """Return each patient once, in an order that does not depend on the given one."""
    return sorted(set(patients), key=lambda patient: (type(patient).__name__, _words(patient)))


def checked_tasks(tasks: Any, found: np.ndarray) -> list[Any]:
    """Return the tasks to fuse, each once: those asked for, or by default all that were found.

    ValueError if none is asked for, or one twice, or one that was not found.
    """
    available = tasks_in_order(found)
    if tasks is None:
        return available
    wanted = list(tasks)
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"tasks={wanted} must name at least one task, and each only once.")
    unknown = [task for task in wanted if task not in available]
    if unknown:
        raise ValueError(
            f"tasks names {unknown[0]!r}, of which the training set has no recording; it has "
            f"{available}."
        )
    return wanted


def fit_to_recordings(
    transformer: Any, table: pd.DataFrame, y: Any, tasks: Sequence[Any]
) -> tuple[Any, TaskRecordings]:
    """Return a clone of a transformer fitted to recordings of some tasks, and its output.

    PatientError if a patient has no usable recording of any of the tasks; ValueError if the
    transformer makes neither vectors nor images, or parts of them are NaN or infinite.
    """
    table, kept = _selected(table, tasks, "are not among those to fuse")
    labels = _safe_indexing(y, kept)
    transformer = clone(transformer)
    split_searches_by_patient(transformer)
    with noted_failures() as failures:
        if hasattr(transformer, "fit_transform"):
            transformed = transformer.fit_transform(table, labels)
        else:
            transformed = transformer.fit(table, labels).transform(table)
    return transformer, _usable(table, transformed, failures)


def recordings_of(
    transformer: Any,
    table: pd.DataFrame,
    tasks: Sequence[Any],
    left_out: Collection[Any],
    shape: tuple[int, ...],
    on_unusable: str = "raise",
) -> TaskRecordings:
    """Transform the usable recordings of some tasks by a fitted transformer.

    Recordings of other tasks are left out, with a warning unless they are of `left_out`, tasks of
    the training set that were not to be fused.  PatientError if a patient has no usable recording
    of any of the tasks, except with ``on_unusable="nan"``; ValueError if a recording has another
    shape than in training.
    """
    table, _ = _selected(table, tasks, "were not trained on", left_out, on_unusable)
    if not len(table):
        nothing = np.empty(0, dtype=object)
        return TaskRecordings(np.empty((0, *shape), np.float32), nothing, nothing, [])
    with noted_failures() as failures:
        transformed = transformer.transform(table)
    recordings = _usable(table, transformed, failures, on_unusable)
    if recordings.values.shape[1:] != shape:
        raise ValueError(
            f"the transformer makes recordings of shape {recordings.values.shape[1:]}, but the "
            f"network was trained on {shape}."
        )
    return recordings


def warn_untrained_absence(items: TaskItems, tasks: Sequence[Any], met: np.ndarray) -> None:
    """Warn of tasks missing from items whose absence the training has not met (`met`)."""
    new = ~items.present.all(axis=0) & ~met
    if new.any():
        named = [task for task, is_new in zip(tasks, new, strict=True) if is_new]
        warnings.warn(
            f"tasks {named} are missing or withheld here, which never happened in training: the "
            "vector that stands for an absent task was not trained. Set task_dropout above 0.",
            RecordingWarning,
            stacklevel=5,
        )


def _selected(
    table: pd.DataFrame,
    tasks: Sequence[Any],
    why: str,
    warned: Collection[Any] = (),
    on_unusable: str = "raise",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows of the tasks, with labels that tell them apart, and their positions."""
    table = with_unique_labels(table)
    found = column(table, "task", "to fuse tasks")
    wanted = np.fromiter((task in tasks for task in found), bool, len(found))
    ignored = sorted(set(found[~wanted]) - set(warned), key=str)
    if ignored:
        warnings.warn(f"tasks {ignored} {why} and are left out.", RecordingWarning, stacklevel=5)
    patients = patient_ids(table, "to decide per patient")
    lost = set(patients) - set(patients[wanted])
    if lost and on_unusable == "raise":
        patient = next(patient for patient in patients if patient in lost)
        raise PatientError(
            f"patient {patient!r} has no recording of the tasks {list(tasks)}.",
            remedy="Leave the patient out.",
        )
    return table[wanted], np.flatnonzero(wanted)


def _usable(
    table: pd.DataFrame, transformed: Any, failures: set[Any], on_unusable: str = "raise"
) -> TaskRecordings:
    """Leave out the recordings that failed, with one warning that lists them."""
    values = _vectors_or_images(table, transformed)
    failed = failed_rows(values)
    failed |= rows_labelled(
        table, failures
    )  # an imputer behind the transformer may have filled them
    patients = patient_ids(table)
    if failed.any():
        if on_unusable == "raise":
            check_no_patient_lost(patients, failed)
        warn_unusable(table, patients, failed, "count as missing", stacklevel=5)
        values = values[~failed]
    table = table[~failed]
    return TaskRecordings(
        values, patients[~failed], table["task"].to_numpy(dtype=object), table["audio"].tolist()
    )


def _vectors_or_images(table: pd.DataFrame, transformed: Any) -> np.ndarray:
    values = transformed.toarray() if issparse(transformed) else np.asarray(transformed)
    is_known = values.ndim == 2 or (values.ndim == 4 and values.shape[1] == 3)
    if not is_known or values.dtype.kind not in "fiu" or len(values) != len(table):
        raise ValueError(
            "the transformer must make numeric feature vectors of shape (n_recordings, n_features) "
            f"or images of shape (n_recordings, 3, height, width); for {len(table)} recordings it "
            f"made shape {values.shape} and type {values.dtype}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float32, copy=False)
    invalid = partly_invalid_rows(values)
    if invalid.any():
        raise ValueError(
            f"the transformer's output has NaN or infinity inside rows "
            f"{table.index[invalid].tolist()}; begin with an imputer, or correct the recordings."
        )
    return values


def _words(value: Any) -> tuple[list[Any], str]:
    """Take text apart so that numbers in it compare as numbers; nothing for arrays of samples."""
    if isinstance(value, (np.ndarray, list)):
        return [], ""
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    words = re.split(r"([0-9]+)", text)
    # The text itself decides between "07" and "7".
    return [int(word) if number % 2 else word for number, word in enumerate(words)], text
