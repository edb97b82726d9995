"""Options and messages that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STUDY.toml|CORPUS",
        help="A study file, a corpus, or both; the corpus replaces the file's. Corpora: "
        "'synthetic', 'minsk2020', 'minsk2019', 'voc_als', 'sand', or a CSV or parquet file with "
        "the columns audio, patient, task and the target.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An entry of the study by its dotted name, as in "
        "--set model.params.images.n_mels=128. May be repeated.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        file_okay=False, help="Folder that keeps features and images for the next run (run.cache)."
    ),
]
Jobs = Annotated[
    int | None, typer.Option("--n-jobs", help="Processes; -1 is all cores (run.n_jobs; 1).")
]
OutputFolder = Annotated[
    Path, typer.Option(file_okay=False, help="Folder for table, CSV files and figures.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


def checked_on_error(value: str | None) -> str | None:
    """Return one of the two ways to treat a recording that cannot be used."""
    if value not in (None, "raise", "nan"):
        raise typer.BadParameter(f"{value!r} is neither 'raise' nor 'nan'.")
    return value


OnError = Annotated[
    str | None,
    typer.Option(
        metavar="[raise|nan]",
        callback=checked_on_error,
        help="A recording that cannot be used stops the work (raise), or is left out with a "
        "warning (nan) (run.on_error; raise).",
    ),
]


def options_of_run(
    cache: Path | None, n_jobs: int | None, on_error: str | None
) -> dict[str, object]:
    """Return the options of every command as entries of a study."""
    return {
        "run.cache": None if cache is None else str(cache),
        "run.n_jobs": n_jobs,
        "run.on_error": on_error,
    }


def checked_scoring(scoring: str | list[str], labels: Any = None) -> None:
    """Raise a StudyError if ``evaluation.scoring`` is unknown, or not for these labels."""
    if not scoring:
        return
    from sklearn_dysarthria.cli._study import StudyError
    from sklearn_dysarthria.report import check_scoring

    try:
        check_scoring(scoring, labels)
    except ValueError as error:
        raise StudyError(f"evaluation.{error}") from None


def warn(message: str) -> None:
    """Print a warning, apart from the results."""
    typer.echo(f"Warning: {message}", err=True)


def counted(number: int, noun: str) -> str:
    """Return ``"1 patient"``, ``"2 patients"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
