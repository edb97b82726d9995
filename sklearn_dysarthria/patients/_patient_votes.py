"""The votes and scores of recordings, gathered by patient and by task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd


def tasks_in_order(tasks: Iterable[Any]) -> list[Any]:
    """Return each task once, sorted; raise ValueError for names that have no common order."""
    found = set(tasks)
    try:
        return sorted(found)
    except TypeError:
        kinds = sorted({type(task).__name__ for task in found})
        raise ValueError(
            f"column 'task' holds names of several types ({', '.join(kinds)}): make all of them "
            "strings."
        ) from None


class PatientVotes:
    """What the recordings of each patient say.

    Parameters
    ----------
    codes : ndarray of shape (n_recordings,)
        Position of each recording's predicted class; -1 for recordings without a vote.
    scores : ndarray of shape (n_recordings, n_classes)
        Scores of recordings.
    patients : ndarray of shape (n_recordings,)
        Patient of every recording.

    Attributes
    ----------
    names : pandas.Index
        Patients in order of first appearance.
    votes : ndarray of shape (n_patients, n_classes)
        Numbers of votes.
    summed : ndarray of shape (n_patients, n_classes)
        Sums of the scores of the recordings that vote.
    """

    def __init__(self, codes: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> None:
        self.names = pd.Index(pd.unique(patients), name="patient", dtype=object)
        self.voting = codes >= 0
        everybody = self.names.get_indexer(pd.Index(patients, dtype=object))
        self.numbers = everybody[self.voting]
        self.scores = scores[self.voting]
        shape = len(self.names), scores.shape[1]
        self.votes = np.zeros(shape, dtype=int)
        self.summed = np.zeros(shape)
        np.add.at(self.votes, (self.numbers, codes[self.voting]), 1)
        np.add.at(self.summed, self.numbers, self.scores)

    def task_means(self, tasks: np.ndarray, order: list[Any]) -> np.ndarray:
        """Average the scores of each patient's recordings within each task.

        Parameters
        ----------
        tasks : ndarray of shape (n_recordings,)
            Task of every recording.
        order : list
            Tasks, in the order of the result.

        Returns
        -------
        ndarray of shape (n_patients, n_tasks, n_classes)
            Means; NaN where a patient has no vote of a task.
        """
        by_task = [self.numbers, tasks[self.voting]]
        means = pd.DataFrame(self.scores).groupby(by_task, sort=False).mean()
        wanted = pd.MultiIndex.from_product([range(len(self.names)), order])
        shape = len(self.names), len(order), self.scores.shape[1]
        if not len(self.names):
            return np.empty(shape)
        return means.reindex(wanted).to_numpy().reshape(shape)
