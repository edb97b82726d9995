"""Files that commands write: never one that they read, and whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from sklearn_dysarthria.cli._study import Study, entries_of, is_table_file

COMPARISON_FILES = (
    *("comparison.md", "scores.csv", "predictions.csv"),
    *("intervals.png", "confusion_matrices.png", "roc.png"),
)
"""What a comparison writes into its folder."""


def check_outputs(
    outputs: Iterable[tuple[str, Path | None]], inputs: Iterable[tuple[str, Any]]
) -> None:
    """Raise a usage error if an output is one of the files that a command reads.

    An output is the option that names it, and its path; an input is what it is, and its path.
    Inputs that are no files (samples, names) are passed over.
    """
    existing = [(option, path) for option, path in outputs if path is not None and path.exists()]
    for what, read in inputs if existing else ():
        if not isinstance(read, (str, os.PathLike)) or not os.path.exists(read):
            continue
        for option, path in existing:
            if os.path.samefile(read, path):
                raise typer.BadParameter(
                    f"{option} would replace {str(path)!r}, which is {what}: give another name."
                )


def files_in(folder: Path) -> list[tuple[str, Path]]:
    """Return the files that a comparison writes into the folder of ``--output``."""
    return [("--output", folder / name) for name in COMPARISON_FILES]


def show_comparison(result: Any, folder: Path) -> None:
    """Print a comparison, and write it into a folder."""
    typer.echo(result.to_markdown())
    for path in result.save(folder):
        typer.echo(f"wrote {path}")


def inputs_of(study: Study) -> Iterator[tuple[str, Any]]:
    """Yield the files that a study names, as `check_outputs` takes them.

    They are itself, the table of the corpus, and any text among the model's parameters that names a
    file, such as weights.
    """
    if study.source is not None:
        yield "the study", study.source
    if is_table_file(study.corpus.get("name")):
        yield "the table of the corpus", study.corpus["name"]
    for layer in study.model.params:
        for dotted, value in entries_of(layer):
            if isinstance(value, str):
                yield f"the model's {dotted.rpartition('.')[2]}", value


def recordings_of(X: Any) -> Iterator[tuple[str, Any]]:
    """Yield the recordings of a table, as `check_outputs` takes them."""
    return (("a recording of the corpus", audio) for audio in X["audio"])


@contextmanager
def cache_folder(chosen: str | None) -> Iterator[str]:
    """Yield the chosen folder for features, or a temporary one."""
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Make a folder and its parents, and remove what was made if the work fails.

    A folder that takes no files is an error at once.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield folder
    except BaseException:
        for path in made:  # the innermost first; a folder with something in it stays
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, of the same suffix, that appears under its name at the end.

    The place is checked at once, and its folder made; an older file stays until the new one is
    complete.
    """
    with output_folder(path.absolute().parent) as folder:
        handle, name = tempfile.mkstemp(dir=folder, suffix=path.suffix, prefix=f".{path.stem}-")
        os.close(handle)
        unfinished = Path(name)
        try:
            yield unfinished
            # mkstemp keeps others out; the result is a file like any other.
            umask = os.umask(0)
            os.umask(umask)
            unfinished.chmod(0o666 & ~umask)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
