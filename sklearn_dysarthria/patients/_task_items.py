"""A patient's recordings, paired across tasks into the items that a fusion is trained on."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria._utils.memory_maps import chunks, drop_pages
from sklearn_dysarthria.recordings._table import as_objects


@dataclass(frozen=True)
class TaskRecordings:
    """Usable recordings, as vectors or images, and what pairs them.

    Parameters
    ----------
    values : ndarray of shape (n_recordings, ...)
        What a transformer made of them.
    patients, tasks : ndarray of object of shape (n_recordings,)
        Patient and task of each.
    audio : sequence of length n_recordings
        Their cells of column ``audio``; paths give them an order.
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
        """Pair each patient's recordings across tasks.

        A patient has as many items as recordings of the task that has most of them.  The k-th
        item holds the k-th recording of every task; shorter lists begin again.

        Parameters
        ----------
        tasks : sequence
            Tasks in the order of an item's entries.
        patients : iterable
            Whose items to make, in this order; those without a chosen recording have none.
        chosen : ndarray of bool of shape (n_recordings,), optional
            Recordings to make do with; all by default.

        Returns
        -------
        TaskItems
            They refer to the recordings, which are not copied.
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

    Indexed like an array of shape (n_items, n_tasks, ...), which is never made as a whole, so
    that a recording that occurs in several items is kept once.

    Parameters
    ----------
    values : ndarray of shape (n_recordings, ...)
        The recordings.
    rows : ndarray of int of shape (n_items, n_tasks)
        Recording of every task; -1 where the task is missing.
    patients : ndarray of object of shape (n_items,)
        Whose item it is.
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
        """Average over each patient's items.

        Parameters
        ----------
        values : ndarray of shape (n_items, n_columns)
            One row per item.
        patients : sequence
            Patients in the order of the result; NaN for those without items.

        Returns
        -------
        ndarray of shape (n_patients, n_columns)
            Means.
        """
        frame = pd.DataFrame(values).groupby(self.patients, sort=False).mean()
        return frame.reindex(pd.Index(patients, dtype=object)).to_numpy()


def sorted_patients(patients: Iterable[Any]) -> list[Any]:
    """Return each patient once, in an order that does not depend on the given one."""
    return sorted(set(patients), key=lambda patient: (type(patient).__name__, _words(patient)))


def _words(value: Any) -> tuple[list[Any], str]:
    """Take text apart so that numbers in it compare as numbers; nothing for arrays of samples."""
    if isinstance(value, (np.ndarray, list)):
        return [], ""
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    words = re.split(r"([0-9]+)", text)
    # The text itself decides between "07" and "7".
    return [int(word) if number % 2 else word for number, word in enumerate(words)], text
