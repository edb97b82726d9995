"""The corpus of a study: its loader, the arguments of that, and the labels it holds."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from sklearn_dysarthria.cli._signatures import parameters_of
from sklearn_dysarthria.cli._study import (
    StudyError,
    Table,
    did_you_mean,
    is_table_file,
    validated,
)
from sklearn_dysarthria.exceptions import MissingFileError, RecordingError

if TYPE_CHECKING:
    import pandas as pd

CORPORA = {
    "synthetic": "make_dysarthric_speech",
    "minsk2020": "fetch_minsk2020_als",
    "minsk2019": "fetch_minsk2019_als",
    "voc_als": "load_voc_als",
    "sand": "load_sand",
}
"""Function of :mod:`sklearn_dysarthria.datasets` behind every name."""

DEFAULT_LABEL = "label"
"""Column of a table file that holds the labels."""

# Arguments that the program gives by itself.
_OURS = {"path", "return_X_y", "as_frame", "verbose"}


def loader_of(corpus: Mapping[str, Any]) -> str:
    """Return the name of the function in :mod:`sklearn_dysarthria.datasets` that loads a corpus.

    Raises a StudyError if table ``[corpus]`` names no corpus, or an unknown one.
    """
    name = corpus.get("name")
    misspelled = difflib.get_close_matches("name", corpus, n=1) if name is None else []
    if misspelled:
        raise StudyError(f"Unknown key {misspelled[0]!r} in [corpus]. Did you mean 'name'?")
    what = f"{', '.join(map(repr, CORPORA))}, or a .csv or .parquet file"
    if name is None:
        raise StudyError(f"Which corpus? Give {what}, on the command line or as corpus.name.")
    if not isinstance(name, str):
        raise StudyError(f"corpus.name must be text, not {name!r}.")
    if is_table_file(name):
        return "load_recordings"
    if name not in CORPORA:
        hint = did_you_mean(name, CORPORA, listed=False)
        raise StudyError(f"Unknown corpus {name!r}: give {what}.{hint}")
    return CORPORA[name]


def corpus_arguments(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Return table ``[corpus]`` as arguments for its loader, which is not imported.

    Raises a StudyError if an argument is unknown or of another type.
    """
    parameters = parameters_of(loader_of(corpus))
    fields: dict[str, Any] = {
        name: (annotation, None) for name, annotation in parameters.items() if name not in _OURS
    }
    table = create_model("Corpus", __base__=Table, name=(str, ...), **fields)
    is_table = is_table_file(corpus["name"])
    title = "" if is_table else f", {corpus['name']}"
    arguments = validated(table, corpus, "corpus", title=title).model_dump(exclude_unset=True)
    name = arguments.pop("name")
    if is_table:
        return {"path": name, "target": DEFAULT_LABEL, **arguments}
    return {"random_state": 0, **arguments} if "random_state" in parameters else arguments


def check_corpus(corpus: Mapping[str, Any]) -> None:
    """Check table ``[corpus]``, and that its table file exists, before anything is imported."""
    corpus_arguments(corpus)
    if is_table_file(corpus["name"]) and not os.path.exists(corpus["name"]):
        raise MissingFileError("there is no such table.", path=corpus["name"], remedy="")


def load_corpus(
    corpus: Mapping[str, Any], *, verbose: int = 0, need_labels: bool = True
) -> tuple[pd.DataFrame, Any]:
    """Load the recordings and their labels, both numbered from 0.

    Labels are None where there are none, which with `need_labels` is a ValueError.
    """
    import numpy as np

    from sklearn_dysarthria import datasets
    from sklearn_dysarthria.recordings import as_table

    name, arguments = loader_of(corpus), corpus_arguments(corpus)
    loader, parameters = getattr(datasets, name), parameters_of(name)
    if "verbose" in parameters:
        arguments["verbose"] = verbose
    if is_table_file(corpus["name"]):
        X, y = _load_table(
            loader, arguments, may_lack_labels=not need_labels and "target" not in corpus
        )
    else:
        X, y = loader(**arguments, **({"return_X_y": True} if "return_X_y" in parameters else {}))
    if y is None and need_labels:
        hint = ": corpus.target names their column" if is_table_file(corpus["name"]) else ""
        raise ValueError(f"The corpus {corpus_on_one_line(corpus)} has no labels{hint}.")
    return as_table(X).reset_index(drop=True), None if y is None else np.asarray(y)


def _load_table(
    loader: Any, arguments: dict[str, Any], *, may_lack_labels: bool
) -> tuple[Any, Any]:
    try:
        if may_lack_labels:
            alone = loader(**{**arguments, "target": None})
            if DEFAULT_LABEL not in alone.data.columns:
                return alone.data, None
        loaded = loader(**arguments)
    except RecordingError as error:
        # The loader's remedy is Python; here it is an entry of the study.
        raise with_remedy(error, r'(corpus.\1="none" does without)') from None
    return loaded.data, loaded.target


def with_remedy(error: RecordingError, remedy: str) -> RecordingError:
    r"""Return an error of ``load_recordings`` with the remedy that a command has.

    It replaces "(role=None does without)"; ``\1`` in it is the role.
    """
    problem = re.sub(r"\((\w+)=None does without\)", remedy, error.problem)
    return type(error)(problem, row=error.row, path=error.path, remedy=error.remedy)


def corpus_on_one_line(corpus: Mapping[str, Any]) -> str:
    """Return the corpus and its arguments on one line."""
    rest = [f"{name} {value}" for name, value in corpus.items() if name != "name"]
    return ", ".join([str(corpus.get("name")), *rest])


def check_folds(X: Any, y: Any, n_splits: int, option: str = "") -> None:
    """Raise a ValueError if there are more folds than any class has patients.

    `option` is that of the command which sets the number, beside the study.
    """
    from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids

    sizes = one_label_per_patient(patient_ids(X), y).value_counts()
    if n_splits > sizes.max():
        counted = ", ".join(f"{label}: {n}" for label, n in sizes.items())
        raise ValueError(
            f"n_splits={n_splits} folds are more than any class has patients ({counted}): give "
            f"{sizes.max()} or fewer, by {f'{option} or ' if option else ''}evaluation.n_splits."
        )


def _is_spelled(label: Any, spelled: Any) -> bool:
    if str(label) == str(spelled):
        return True
    # 1, 1.0 and "1.0" are one label among numbers; True and "1" are others.
    if isinstance(label, (bool, str)) or isinstance(spelled, bool):
        return False
    try:
        return float(spelled) == float(label)
    except (TypeError, ValueError):
        return False


def positive_of(spelled: Any, y: Any, option: str = "") -> Any:
    """Return the class that counts as ill, one of the labels; None for more than two classes.

    Raises a StudyError, before any work, if ``evaluation.positive`` as it is `spelled` is no label,
    is missing where it is needed, or is given for more classes.  `option` is that of the command
    which sets it, beside the study.
    """
    import numpy as np

    from sklearn_dysarthria.report import positive_class

    labels = np.unique(np.asarray(y))
    known = labels.tolist()
    matches = [label for label in known if spelled is not None and _is_spelled(label, spelled)]
    if spelled is not None and (len(known) > 2 or not matches):
        raise StudyError(
            f"evaluation.positive={spelled!r} must be one of two classes; the labels are {known}."
        )
    try:
        return positive_class(labels, matches[0] if matches else None)
    except ValueError as error:
        if len(known) != 2:
            raise
        where = f"{option} or evaluation.positive" if option else "evaluation.positive"
        raise StudyError(f"Which of {known} is the positive class? Give {where}.") from error
