"""Files that a command reads, which none of its outputs may replace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from sklearn_dysarthria.cli._study import Study, is_table_file

# What a comparison writes into its folder.
_OF_COMPARISONS = (
    *("comparison.md", "scores.csv", "predictions.csv"),
    *("intervals.png", "confusion_matrices.png", "roc.png"),
)


def refuse_to_replace(
    outputs: Mapping[str, Path | None], inputs: Iterable[tuple[str, Any]]
) -> None:
    """Refuse an output that is one of the files that a command reads.

    Parameters
    ----------
    outputs : mapping of str to Path or None
        Files by the option that names them; see `files_in` for folders.
    inputs : iterable of (str, object)
        What a file is, and its path; what is no path is passed over.

    Raises
    ------
    typer.BadParameter
        Naming the option and the file, before anything is written.
    """
    existing = {}
    for option, path in outputs.items():
        if path is not None and path.exists():  # what does not exist cannot be replaced
            existing[_identity(path)] = (option, path)
    if not existing:
        return
    for what, path in inputs:
        if not isinstance(path, (str, os.PathLike)):
            continue
        try:
            identity = _identity(path)
        except (OSError, ValueError):  # there is no such file
            continue
        if identity in existing:
            option, output = existing[identity]
            option = option.split(" ")[0]
            raise typer.BadParameter(
                f"{option} would replace {str(output)!r}, which is {what}: give another name."
            )


def _identity(path: Any) -> tuple[int, int]:
    """Return what links, and spellings in another case on some systems, have in common."""
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def files_in(folder: Path) -> dict[str, Path | None]:
    """Return the files that a comparison writes into its folder.

    Parameters
    ----------
    folder : Path
        Of option ``--output``.

    Returns
    -------
    dict of str to Path
        For `refuse_to_replace`.
    """
    return {f"--output {name}": folder / name for name in _OF_COMPARISONS}


def inputs_of(study: Study) -> Iterator[tuple[str, Any]]:
    """Yield the files that a study names: itself, the corpus table, and weights.

    Parameters
    ----------
    study : Study
        Of the command.

    Yields
    ------
    (str, str)
        What the file is, and its path.
    """
    if study.source is not None:
        yield "the study", study.source
    name = study.corpus.get("name")
    if is_table_file(name):
        yield "the table of the corpus", name
    for layer in study.model.params:
        yield from _texts(layer)


def _texts(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _texts(value)
        elif isinstance(value, str):
            yield f"the model's {name}", value


def recordings_of(X: Any) -> Iterator[tuple[str, Any]]:
    """Yield the files of recordings.

    Parameters
    ----------
    X : pandas.DataFrame
        Table of recordings.

    Yields
    ------
    (str, object)
        See `refuse_to_replace`.
    """
    return (("a recording of the corpus", audio) for audio in X["audio"])
