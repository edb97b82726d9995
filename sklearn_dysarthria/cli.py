"""Command line: ``sklearn-dysarthria compare``."""

from __future__ import annotations

import enum
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Recognise dysarthria in ALS from short recordings, one decision per patient.",
)


class Preset(enum.StrEnum):
    """Sizes of the compared methods."""

    quick = "quick"
    paper = "paper"


class Target(enum.StrEnum):
    """What to predict on Minsk2020."""

    als = "als"
    bulbar = "bulbar"


@app.callback()
def _program() -> None:
    """Make Typer expect a command name even while there is only one command."""


# "\b" keeps the lines that follow as they are.
_COMPARE_HELP = """Cross-validate the published systems against eGeMAPS and an SVM.

Prints a table of patient-level figures with 95 % intervals and writes it to the output folder,
with every out-of-fold decision, confusion matrices and ROC curves.  No patient is ever in the
training and the test part of a fold.

\b
Methods:
  egemaps-svm-vote          eGeMAPS of each recording, SVM, vote per patient
  egemaps-svm-side-by-side  eGeMAPS of all the patient's tasks, one SVM
  hyper-alexnet             AlexNet whose head a hypernetwork generates
  sand-convnext             ConvNeXt entry to the SAND challenge

\b
Examples:
  sklearn-dysarthria compare synthetic --methods egemaps-svm-vote
  sklearn-dysarthria compare study.csv --target-column severity
  sklearn-dysarthria compare minsk2020 --n-jobs 2 --output results
"""


@app.command(help=_COMPARE_HELP)
def compare(
    corpus: Annotated[
        str,
        typer.Argument(
            help="'synthetic', 'minsk2020', or a CSV or parquet file with columns audio, patient, "
            "task and the target."
        ),
    ] = "synthetic",
    methods: Annotated[
        str | None,
        typer.Option(help="Comma-separated names, as above; all if left out.", show_default=False),
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="'quick' fits two cores; 'paper' is as published.")
    ] = Preset.quick,
    folds: Annotated[int, typer.Option(min=2, help="Folds of patients.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Repetitions of the folds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes; -1 is all cores.")] = 1,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for table, CSV files and figures.")
    ] = Path("comparison"),
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps features for the next run.", show_default=False),
    ] = None,
    data_home: Annotated[
        Path | None, typer.Option(help="Where corpora are kept.", show_default=False)
    ] = None,
    target: Annotated[Target, typer.Option(help="What to predict on minsk2020.")] = Target.als,
    target_column: Annotated[
        str, typer.Option(help="Column of a CSV file that holds the label.")
    ] = "label",
    positive: Annotated[
        str | None, typer.Option(help="The class that counts as ill.", show_default=False)
    ] = None,
    patients: Annotated[int, typer.Option(min=10, help="Patients of 'synthetic'.")] = 60,
    alexnet_weights: Annotated[
        str | None,
        typer.Option(help="File or torchvision name, instead of the preset's; 'none' is random."),
    ] = None,
    convnext_weights: Annotated[
        str | None,
        typer.Option(help="File or torchvision name, instead of the preset's; 'none' is random."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Load the corpus, compare, print and save; the help text stands above."""
    from sklearn_dysarthria.report import METHODS, check_methods
    from sklearn_dysarthria.report import compare as run

    verbose = int(not quiet)
    names = _names_in(methods) if methods is not None else list(METHODS)
    given = {"hyper-alexnet": alexnet_weights, "sand-convnext": convnext_weights}
    weights = {
        name: None if value.lower() == "none" else value
        for name, value in given.items()
        if value is not None
    }
    # What can be wrong is tried before hours are spent.
    check_methods(names, preset.value, weights)
    X, y = _load(corpus, data_home, target, target_column, patients, seed, verbose)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output):
        pass  # a folder that takes no files is told now
    result = run(
        X,
        y,
        methods=names,
        preset=preset.value,
        n_splits=folds,
        n_repeats=repeats,
        positive=_same_type(positive, y),
        weights=weights,
        cache=cache,
        n_jobs=n_jobs,
        random_state=seed,
        verbose=verbose,
    )
    result.settings["corpus"] = (
        f"{corpus}, target {target.value}" if corpus == "minsk2020" else corpus
    )
    typer.echo(result.to_markdown())
    for path in result.save(output):
        typer.echo(f"wrote {path}")


def _load(
    corpus: str,
    data_home: Path | None,
    target: Target,
    target_column: str,
    patients: int,
    seed: int,
    verbose: int,
) -> tuple[Any, Any]:
    from sklearn_dysarthria import datasets

    if corpus == "synthetic":
        return datasets.make_dysarthric_speech(
            n_patients=patients, random_state=seed, verbose=verbose
        )
    if corpus == "minsk2020":
        return datasets.fetch_minsk2020_als(
            data_home=data_home, target=target.value, return_X_y=True, verbose=verbose
        )
    if Path(corpus).suffix.lower() in {".csv", ".tsv", ".parquet", ".pq"}:
        return datasets.load_recordings(corpus, target=target_column, return_X_y=True)
    raise ValueError(
        f"Unknown corpus {corpus!r}: give 'synthetic', 'minsk2020', or a .csv or .parquet file."
    )


def _names_in(methods: str) -> list[str]:
    return [name.strip() for name in methods.split(",") if name.strip()]


def _same_type(positive: str | None, y: Any) -> Any:
    """Return the label that the user spelled, with the type that labels have."""
    if positive is None:
        return None
    matches = [label for label in set(y) if str(label) == positive]
    return matches[0] if matches else positive


def _one_line(message: Any, *_: Any, **__: Any) -> str:
    """Show a warning to somebody who does not care which line of code it comes from."""
    return f"Warning: {message}\n"


def main() -> None:
    """Run the program; what a user can mend ends in one sentence, not in a traceback."""
    warnings.formatwarning = _one_line
    try:
        app()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
