"""Decisions about patients, for people and for other programs."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

FORMATS = ("table", "csv", "json")
_GROUPS = {"proba_": "probabilities", "decision_": "decision_values", "votes_": "votes"}


def with_lost_patients(decided: pd.DataFrame, patients: Any) -> pd.DataFrame:
    """Put patients without a usable recording back among the others, without a decision.

    Parameters
    ----------
    decided : pandas.DataFrame
        One row per patient, indexed by patient.
    patients : array-like
        All patients in order.

    Returns
    -------
    pandas.DataFrame
        A row per patient.
    """
    if len(decided) == len(patients):
        return decided
    complete = decided.astype({"prediction": object}).reindex(patients)
    counts = [n for n in complete if n == "n_recordings" or str(n).startswith("votes_")]
    return complete.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


def as_text(decided: pd.DataFrame, style: str) -> str:
    """Spell decisions out.

    Parameters
    ----------
    decided : pandas.DataFrame
        One row per patient, as of ``predict_patients``.
    style : {"table", "csv", "json"}
        Aligned columns with three decimals; or all digits.

    Returns
    -------
    str
        Ends with a line break.
    """
    table = decided.rename_axis("patient").reset_index()
    if style == "csv":
        return table.to_csv(index=False, lineterminator="\n")
    if style == "json":
        records = [_record(row) for row in table.to_dict("records")]
        return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
    return table.to_string(index=False, float_format="{:.3f}".format, na_rep="-") + "\n"


def _record(row: dict[Any, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, float) and math.isnan(value):
            value = None
        for prefix, group in _GROUPS.items():
            if str(name).startswith(prefix):
                record.setdefault(group, {})[str(name).removeprefix(prefix)] = value
                break
        else:
            record[str(name)] = value
    return record
