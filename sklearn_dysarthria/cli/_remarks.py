"""What is to be said about recordings that a model was not made, or not tested, for."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.cli._front_end import recording_transformers
from sklearn_dysarthria.cli._known import named, training_patients


def remarks_on(facts: dict[str, Any], table: pd.DataFrame) -> list[str]:
    """Tell training patients and unknown tasks among recordings that were decided about.

    Parameters
    ----------
    facts : dict
        See :func:`~sklearn_dysarthria.cli._model_file.describe_model`.
    table : pandas.DataFrame
        Recordings.

    Returns
    -------
    list of str
        One sentence each.
    """
    remarks = []
    known = training_patients(facts, table["patient"])
    if known:
        remarks.append(
            f"{len(known)} of these patients were in the training set ({named(known)}): their "
            "answers are no test."
        )
    if facts["tasks"]:
        told = table["task"] if "task" in table else pd.Series(None, table.index, dtype=object)
        new = sorted(set(told.dropna().astype(str)) - set(facts["tasks"]))
        trained = ", ".join(facts["tasks"])
        if new:
            remarks.append(
                f"the model was not trained on {', '.join(map(repr, new))}, but on {trained}: "
                "what it makes of other tasks nobody has tested."
            )
        if told.isna().any():
            remarks.append(
                f"the task of {told.isna().sum()} of {len(table)} recordings is not known, and "
                f"the model was trained on {trained}: --pattern, or a table, tells it."
            )
    return remarks


def refuse_unknown_tasks(model: Any, table: pd.DataFrame, *, all_of_them: bool) -> None:
    """Refuse recordings of unknown task where a model has frequency ranges by task.

    Parameters
    ----------
    model : estimator
        Fitted.
    table : pandas.DataFrame
        Recordings; without column ``task`` where no task is known.
    all_of_them : bool
        False refuses only where nothing would be left.

    Raises
    ------
    ValueError
        Naming the file, and how its task is told.
    """
    tasks = table["task"] if "task" in table else pd.Series(None, table.index, dtype=object)
    for transformer in recording_transformers(model):
        ranges = transformer.get_params(deep=False).get("freq_ranges")
        if ranges is None:
            continue
        fits = [name_for_task(task, ranges) is not None for task in tasks]
        if all(fits) or (any(fits) and not all_of_them):
            continue
        row = table.iloc[fits.index(False)]
        task = tasks.iloc[fits.index(False)]
        what = "is not told by its name" if pd.isna(task) else f"is taken for {task!r}"
        raise ValueError(
            f"The task of {str(row['audio'])!r} {what}, and the model has frequency ranges for "
            f"{', '.join(map(repr, ranges))} only: describe the names by --pattern, such as "
            '"{patient}_{task}.wav", or give a table with the column task.'
        )
