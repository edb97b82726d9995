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
    import numpy as np
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
    """Return the name of the function that loads a corpus.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.

    Returns
    -------
    str
        A function of :mod:`sklearn_dysarthria.datasets`.

    Raises
    ------
    StudyError
        No corpus is named, or the name is unknown.
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
    """Check table ``[corpus]`` against the parameters of its loader, without importing that.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.

    Returns
    -------
    dict
        Arguments for the loader.

    Raises
    ------
    StudyError
        An argument is unknown, of another type, or missing.
    """
    parameters = parameters_of(loader_of(corpus))
    fields: dict[str, Any] = {
        name: (annotation, ... if required else None)
        for name, (annotation, required) in parameters.items()
        if name not in _OURS
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
    """Check table ``[corpus]`` before anything is imported.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.

    Raises
    ------
    StudyError
        See `corpus_arguments`.
    MissingFileError
        There is no such table file.
    """
    corpus_arguments(corpus)
    if is_table_file(corpus["name"]) and not os.path.exists(corpus["name"]):
        raise MissingFileError("there is no such table.", path=corpus["name"], remedy="")


def load_corpus(
    corpus: Mapping[str, Any], *, verbose: int = 0, need_labels: bool = True
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Load the recordings and their labels.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.
    verbose : int, default=0
        1 shows progress.
    need_labels : bool, default=True
        Raise an error if the corpus has no labels.

    Returns
    -------
    X, y : DataFrame, ndarray of shape (n_recordings,) or None
        Recordings and labels, numbered from 0; None if there are no labels.

    Raises
    ------
    ValueError
        The corpus has no labels, or what the loader says.
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

    Parameters
    ----------
    error : RecordingError
        Says that a role of the table can be None.
    remedy : str
        What to say instead; ``\1`` is the role.

    Returns
    -------
    RecordingError
        Of the same class.
    """
    problem = re.sub(r"\((\w+)=None does without\)", remedy, error.problem)
    return type(error)(problem, row=error.row, path=error.path, remedy=error.remedy)


def corpus_on_one_line(corpus: Mapping[str, Any]) -> str:
    """Return the corpus and its arguments on one line."""
    rest = [f"{name} {value}" for name, value in corpus.items() if name != "name"]
    return ", ".join([str(corpus.get("name")), *rest])


def check_folds(X: Any, y: Any, n_splits: int, option: str = "") -> None:
    """Check that some class has a patient for each fold.

    Parameters
    ----------
    X, y : table of recordings, array-like of shape (n_recordings,)
        The corpus.
    n_splits : int
        Folds.
    option : str, default=""
        Option of the command that says how many, beside the study.

    Raises
    ------
    ValueError
        In one sentence that says how many there may be.
    """
    from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids

    sizes = one_label_per_patient(patient_ids(X), y).value_counts()
    if n_splits > sizes.max():
        counted = ", ".join(f"{label}: {n}" for label, n in sizes.items())
        raise ValueError(
            f"n_splits={n_splits} folds are more than any class has patients ({counted}): give "
            f"{sizes.max()} or fewer, by {f'{option} or ' if option else ''}evaluation.n_splits."
        )


def label_like(spelled: Any, y: Any) -> Any:
    """Return the label that the user spelled, with the type that labels have.

    Parameters
    ----------
    spelled : object
        As written; None for no label.
    y : array-like
        Labels.

    Returns
    -------
    object
        The label, or what was written if no label is spelled like that.
    """
    import pandas as pd

    labels = pd.unique(pd.Series(y)).tolist()
    matches = [label for label in labels if spelled is not None and _is_spelled(label, spelled)]
    return matches[0] if matches else spelled


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
    """Return the class that counts as ill, or say before any work why there is none.

    Parameters
    ----------
    spelled : object
        ``evaluation.positive``.
    y : array-like
        Labels.
    option : str, default=""
        Option of the command that says which, beside the study.

    Returns
    -------
    object
        One of the labels; None for more than two classes.

    Raises
    ------
    StudyError
        It is no label, has to be given, or is not for so many classes.
    """
    import numpy as np

    from sklearn_dysarthria.report import positive_class

    labels = np.unique(np.asarray(y))
    positive = label_like(spelled, y)
    known = labels.tolist()
    is_label = any(label == positive and type(label) is type(positive) for label in known)
    if positive is not None and (len(known) > 2 or not is_label):
        raise StudyError(
            f"evaluation.positive={spelled!r} must be one of two classes; the labels are {known}."
        )
    try:
        return positive_class(labels, positive)
    except ValueError as error:
        if len(known) != 2:
            raise
        where = f"{option} or evaluation.positive" if option else "evaluation.positive"
        raise StudyError(f"Which of {known} is the positive class? Give {where}.") from error
