"""What the loaders of corpora return."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch


def read_description(file_name: str) -> str:
    """Return the text of a file in ``sklearn_dysarthria/datasets/descr``."""
    descr = resources.files("sklearn_dysarthria.datasets") / "descr" / file_name
    return descr.read_text(encoding="utf-8")


def as_dataset(
    table: pd.DataFrame,
    labels: pd.Series | None,
    description: str,
    *,
    return_X_y: bool,
    as_frame: bool = True,
    **others: Any,
) -> Any:
    """Return a table of recordings and its labels (None: not known) as a Bunch.

    With ``return_X_y`` they are a pair ``(data, target)``; without ``as_frame``, ``data`` is an
    object array of paths and ``target`` an array.  `description` becomes ``DESCR``, and `others`
    further attributes.
    """
    filenames = table["audio"].to_numpy(dtype=object)
    values = None
    if labels is not None:
        values = labels.to_numpy(dtype=str) if labels.dtype == object else labels.to_numpy()
    data: Any = table if as_frame else filenames
    target: Any = labels if as_frame else values
    if return_X_y:
        return data, target
    frame = table if labels is None else table.assign(**{str(labels.name): labels})
    return Bunch(
        data=data,
        target=target,
        frame=frame if as_frame else None,
        target_names=None if values is None else np.unique(values),
        feature_names=list(table.columns) if as_frame else ["audio"],
        filenames=filenames,
        DESCR=description,
        **others,
    )
