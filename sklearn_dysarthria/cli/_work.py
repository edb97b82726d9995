"""What the commands that work on a study do alike."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import typer

from sklearn_dysarthria.cli._checks import StudyError
from sklearn_dysarthria.cli._corpora import corpus_arguments, load_corpus
from sklearn_dysarthria.cli._study import Study
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids


def check(study: Study) -> None:
    """Find what is wrong with the corpus and the model of a study before anything is read.

    Parameters
    ----------
    study : Study
        Of a command that needs both.

    Raises
    ------
    StudyError
        An entry is missing, unknown, or of a wrong type.
    """
    from sklearn_dysarthria.cli._models import build_model

    corpus_arguments(study.corpus)
    build_model(study.model)


def load(study: Study, *, verbose: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Load the corpus of a study with rows that are told apart by their index.

    Parameters
    ----------
    study : Study
        Names the corpus.
    verbose : int
        1 shows progress.

    Returns
    -------
    X, y : DataFrame, ndarray of shape (n_recordings,)
        Recordings and labels, numbered from 0.

    Raises
    ------
    ValueError
        There are no labels, or what the loader says.
    """
    X, y = load_corpus(study.corpus, verbose=verbose)
    return as_table(X).reset_index(drop=True), np.asarray(y)


def load_recordings_at_least(
    study: Study, *, verbose: int
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Do as `load`, but return None for labels that the corpus does not have.

    Parameters
    ----------
    study : Study
        Names the corpus.
    verbose : int
        1 shows progress.

    Returns
    -------
    X, y : DataFrame, ndarray of shape (n_recordings,) or None
        Recordings and labels, numbered from 0.
    """
    X, y = load_corpus(study.corpus, verbose=verbose, need_labels=False)
    return as_table(X).reset_index(drop=True), None if y is None else np.asarray(y)


def check_folds(X: Any, y: Any, n_splits: int, option: str = "") -> None:
    """Refuse more folds than any class has patients.

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
        The label, or what was written where none is spelled like that.
    """
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
    from sklearn_dysarthria.report._compare import _positive_class

    labels = np.unique(np.asarray(y))
    positive = label_like(spelled, y)
    known = labels.tolist()
    is_label = any(label == positive and type(label) is type(positive) for label in known)
    if positive is not None and (len(known) > 2 or not is_label):
        raise StudyError(
            f"evaluation.positive={spelled!r} must be one of two classes; the labels are {known}."
        )
    try:
        return _positive_class(labels, positive)
    except ValueError as error:
        if len(known) != 2:
            raise
        where = f"{option} or evaluation.positive" if option else "evaluation.positive"
        raise StudyError(f"Which of {known} is the positive class? Give {where}.") from error


@contextmanager
def cache_folder(chosen: str | None) -> Iterator[str]:
    """Yield the chosen folder for features, or one that is removed afterwards.

    Parameters
    ----------
    chosen : str or None
        Path.

    Yields
    ------
    str
        Path.
    """
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def tell(message: str) -> None:
    """Say something about the work, apart from its results."""
    typer.echo(message, err=True)


def counted_patients(X: pd.DataFrame, y: Any) -> str:
    """Return the number of patients by class on one line."""
    sizes = one_label_per_patient(patient_ids(X), y).value_counts().sort_index()
    return ", ".join(f"{label}: {n}" for label, n in sizes.items())


def counted(number: int, noun: str) -> str:
    """Return ``"1 patient"``, ``"2 patients"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def on_one_line(layers: list[dict[str, Any]]) -> str:
    """Spell the parameters of a study as assignments, later ones winning."""
    found: dict[str, Any] = {}

    def collect(table: dict[str, Any], prefix: str) -> None:
        for name, value in table.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value

    for layer in layers:
        collect(layer, "")
    return ", ".join(f"{name}={value}" for name, value in found.items()) or "the preset's"
