"""Corpora by name: loaders of the package, and the arguments that each of them takes."""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from sklearn_dysarthria.cli._checks import StudyError, check_values, did_you_mean
from sklearn_dysarthria.cli._study import is_table_file
from sklearn_dysarthria.exceptions import RecordingError

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


def loader_of(corpus: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the function that loads a corpus.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.

    Returns
    -------
    callable
        Out of :mod:`sklearn_dysarthria.datasets`.

    Raises
    ------
    StudyError
        No corpus is named, or none of that name is known.
    """
    from sklearn_dysarthria import datasets

    name = corpus.get("name")
    misspelled = difflib.get_close_matches("name", corpus, n=1) if name is None else []
    if misspelled:
        raise StudyError(f"Unknown key {misspelled[0]!r} in [corpus]. Did you mean 'name'?")
    what = f"{', '.join(map(repr, available()))}, or a .csv or .parquet file"
    if name is None:
        raise StudyError(f"Which corpus? Give {what}, on the command line or as corpus.name.")
    if not isinstance(name, str):
        raise StudyError(f"corpus.name must be text, not {name!r}.")
    if is_table_file(name):
        return datasets.load_recordings
    if name not in CORPORA or not hasattr(datasets, CORPORA[name]):
        hint = did_you_mean(name, available(), listed=False)
        raise StudyError(f"Unknown corpus {name!r}: give {what}.{hint}")
    return getattr(datasets, CORPORA[name])


def available() -> list[str]:
    """Return the names of the corpora that this version can load."""
    from sklearn_dysarthria import datasets

    return [name for name, loader in CORPORA.items() if hasattr(datasets, loader)]


def corpus_arguments(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Check table ``[corpus]`` against the loader's own arguments.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.

    Returns
    -------
    dict
        Arguments for `loader_of`.

    Raises
    ------
    StudyError
        An argument is unknown, of another type, or missing.
    """
    loader = loader_of(corpus)
    parameters = inspect.signature(loader).parameters
    hints = typing.get_type_hints(loader)
    known = {name: hints.get(name, Any) for name in parameters if name not in _OURS}
    where = f"corpus, {corpus['name']}" if not is_table_file(corpus["name"]) else "corpus"
    given = {name: value for name, value in corpus.items() if name != "name"}
    try:
        arguments = check_values("corpus", given, {**known, "name": str})
    except StudyError as error:
        raise StudyError(str(error).replace("[corpus]", f"[{where}]")) from None
    if is_table_file(corpus["name"]):
        return {"path": corpus["name"], "target": DEFAULT_LABEL, **arguments}
    if "random_state" in known:
        arguments.setdefault("random_state", 0)
    missing = [
        name
        for name in known
        if parameters[name].default is inspect.Parameter.empty and name not in arguments
    ]
    if missing:
        raise StudyError(f"Corpus {corpus['name']!r} needs corpus.{missing[0]}.")
    return arguments


def load_corpus(
    corpus: Mapping[str, Any], *, verbose: int = 0, need_labels: bool = True
) -> tuple[Any, Any]:
    """Load the recordings and their labels.

    Parameters
    ----------
    corpus : mapping
        Table ``[corpus]``.
    verbose : int, default=0
        1 shows progress.
    need_labels : bool, default=True
        Refuse a corpus without labels.

    Returns
    -------
    X, y : table of recordings, array-like of shape (n_recordings,) or None
        As the loader returns them; None where there are no labels.

    Raises
    ------
    ValueError
        The corpus has no labels, or what the loader says.
    """
    loader, arguments = loader_of(corpus), corpus_arguments(corpus)
    parameters = inspect.signature(loader).parameters
    if "verbose" in parameters:
        arguments["verbose"] = verbose
    if is_table_file(corpus["name"]):
        X, y = _load_table(
            loader, arguments, may_lack_labels=not need_labels and "target" not in corpus
        )
    else:
        if "return_X_y" in parameters:
            arguments["return_X_y"] = True
        X, y = loader(**arguments)
    if y is None and need_labels:
        hint = ": corpus.target names their column" if is_table_file(corpus["name"]) else ""
        raise ValueError(f"The corpus {described(corpus)} has no labels{hint}.")
    return X, y


def _load_table(
    loader: Callable[..., Any], arguments: dict[str, Any], *, may_lack_labels: bool
) -> tuple[Any, Any]:
    try:
        if may_lack_labels:
            alone = loader(**{**arguments, "target": None})
            if DEFAULT_LABEL not in alone.data.columns:
                return alone.data, None
        loaded = loader(**arguments)
    except RecordingError as error:
        # The loader's remedy is Python; here it is an entry of the study.
        raise reworded(error, r'(corpus.\1="none" does without)') from None
    return loaded.data, loaded.target


def reworded(error: RecordingError, remedy: str) -> RecordingError:
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


def described(corpus: Mapping[str, Any]) -> str:
    """Return the corpus and its arguments on one line."""
    rest = [f"{name} {value}" for name, value in corpus.items() if name != "name"]
    return ", ".join([str(corpus.get("name")), *rest])
