"""Read every recording of a table once, and report which can be used."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings._audio import describe_recording, load_waveform
from sklearn_dysarthria.recordings._map import map_recordings
from sklearn_dysarthria.recordings._table import as_table, one_label_per_patient, patient_ids

ONE_DEFAULT_FRAME = 2048 / 22050
"""Seconds in one frame of the default front end (``n_fft=2048`` at 22 050 Hz)."""


def _inspect(row: Any, min_duration: float) -> dict[str, Any]:
    facts: dict[str, Any] = {"ok": False, "error": None, "message": None}
    facts |= {"sample_rate": np.nan, "n_channels": pd.NA, "duration": np.nan}
    try:
        info = describe_recording(row)
        facts |= {"sample_rate": info.sample_rate, "n_channels": info.n_channels}
        facts["duration"] = info.duration
        load_waveform(row, min_duration=min_duration)
        facts["ok"] = True
    except RecordingError as error:
        facts |= {"error": type(error).__name__, "message": str(error)}
    return facts


def check_recordings(
    X: Any,
    y: Any = None,
    *,
    min_duration: float = ONE_DEFAULT_FRAME,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every recording once and report which can be used.

    Parameters
    ----------
    X : table of recordings
        See the module's description.
    y : array-like of shape (n_recordings,), optional
        Labels; checked to be one per patient when ``X`` has a column ``patient``.
    min_duration : float, default=2048/22050
        Seconds below which a recording counts as too short: one frame of the default front end.
    n_jobs : int, optional
        Number of threads; None means 1 unless in a :func:`joblib.parallel_config` context.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    clean : pandas.DataFrame
        The table without its unusable rows.
    report : pandas.DataFrame
        One row per row of ``X``, in its order and with its index: ``ok`` (so that
        ``y[report["ok"]]`` goes with ``clean``), ``error`` (class name) and ``message``,
        ``sample_rate`` (Hz), ``n_channels`` and ``duration`` (s) as recorded.

    Raises
    ------
    PatientError
        A patient's rows carry different labels.
    MissingColumnError
        ``y`` is given, and column ``patient`` lacks a value.
    ValueError
        ``y`` has another length than ``X``.
    """
    table = as_table(X)
    if y is not None and len(y) != len(table):
        raise ValueError(f"y has {len(y)} labels for {len(table)} recordings.")
    if y is not None and "patient" in table.columns:
        one_label_per_patient(patient_ids(table), y)
    facts = map_recordings(
        partial(_inspect, min_duration=min_duration),
        table,
        n_jobs=n_jobs,
        verbose=verbose,
        desc="checking recordings",
    )
    columns = ["ok", "error", "message", "sample_rate", "n_channels", "duration"]
    report = pd.DataFrame(facts, index=table.index, columns=columns)
    report["ok"] = report["ok"].astype(bool)
    return table[report["ok"].to_numpy()], report
