"""Speakers of a workbook and recordings on disk, brought together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import pandas as pd

from sklearn_dysarthria.datasets._layout import listed
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning


def match_recordings(
    recordings: pd.DataFrame,
    strangers: Sequence[str],
    labels: pd.Series,
    tasks: Sequence[str],
    corpus: str,
) -> pd.DataFrame:
    """Keep the recordings of speakers with a label; tell of everything that does not fit.

    Parameters
    ----------
    recordings : DataFrame
        ``patient``, ``task`` and ``audio``, from
        :func:`~sklearn_dysarthria.datasets._layout.list_recordings`.
    strangers : sequence of str
        Files that are no recording of the corpus.
    labels : Series
        Label by patient, missing where it is not known.
    tasks : sequence of str
        Tasks that every speaker should have.
    corpus : str
        Its name, for messages.

    Returns
    -------
    DataFrame
        The rows of ``recordings`` that can be used, a patient's rows together in the order of
        ``labels``.

    Raises
    ------
    RecordingError
        Nothing is left.

    Warns
    -----
    RecordingWarning
        Files and speakers that have no counterpart, and speakers without a label.
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
    unlisted = sorted(have - set(labels.index))
    unlabelled = [p for p in labels.index[labels.isna()] if p in have]
    without_audio = [p for p in labels.index if p not in have]
    findings = [
        (unlisted, "speakers with recordings are not in the workbook and are left out"),
        (unlabelled, "speakers have no label in the workbook and are left out"),
        (without_audio, "speakers of the workbook have no recording"),
        (missing, "recordings are missing"),
        (list(strangers), "files are not recordings of the corpus and are passed over"),
    ]
    told = [f"{len(names)} {what}: {listed(names)}" for names, what in findings if names]
    if kept.empty:
        raise RecordingError(
            f"{corpus} has no recording of a speaker with a label ({'; '.join(told)}).",
            remedy="Compare the workbook and the names of the files with the published ones.",
        )
    if told:
        warnings.warn(f"{corpus}: {'; '.join(told)}.", RecordingWarning, stacklevel=4)
    order = {patient: i for i, patient in enumerate(known)}
    rank = kept["patient"].map(order) * len(tasks) + kept["task"].map(list(tasks).index)
    return kept.loc[rank.sort_values(kind="stable").index].reset_index(drop=True)


def plain_sex(cells: pd.Series) -> pd.Series:
    """Write sex as in the other corpora, "m" or "f"; leave anything else as it is."""
    short = {"m": "m", "male": "m", "f": "f", "female": "f"}
    return cells.map(lambda cell: short.get(str(cell).strip().casefold(), cell))
