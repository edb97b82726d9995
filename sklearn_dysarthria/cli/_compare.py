"""``sklearn-dysarthria compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sklearn_dysarthria.cli._options import (
    Assignments,
    Cache,
    Inputs,
    Jobs,
    OnError,
    OutputFolder,
    Quiet,
    checked_scoring,
    options_of_run,
)

_SYNTHETIC_PATIENTS = 60
Weights = Annotated[
    str | None,
    typer.Option(help="File or torchvision name, instead of the preset's; 'none' is random."),
]


# "\b" keeps the lines that follow as they are.
HELP = """Cross-validate the published systems against eGeMAPS and an SVM.

Prints a table of patient-level figures with 95 % intervals and writes it to the output folder,
with every out-of-fold decision, confusion matrices and ROC curves.  No patient is ever in the
training and the test part of a fold.

\b
Methods:
  egemaps-svm-vote          eGeMAPS of each recording, SVM, vote per patient
  egemaps-svm-side-by-side  eGeMAPS of all the patient's tasks, one SVM
  hyper-alexnet             AlexNet whose head a hypernetwork generates
  sand-convnext             ConvNeXt entry to the SAND challenge

The corpus is 'synthetic' if none is named.  Of a study file, [corpus], [evaluation] and [run]
count; with a [model], that model takes part beside the methods, under the name 'study'.

\b
Examples:
  sklearn-dysarthria compare synthetic --methods egemaps-svm-vote
  sklearn-dysarthria compare study.csv --target-column severity
  sklearn-dysarthria compare minsk2020 --n-jobs 2 --output results
  sklearn-dysarthria compare study.toml --methods egemaps-svm-vote
"""


def compare(
    study_or_corpus: Inputs = None,
    methods: Annotated[
        str | None, typer.Option(help="Comma-separated names, as above; all if left out.")
    ] = None,
    preset: Annotated[
        Literal["quick", "paper"],
        typer.Option(help="'quick' fits two cores; 'paper' is as published."),
    ] = "quick",
    folds: Annotated[
        int | None, typer.Option(min=2, help="Folds of patients (evaluation.n_splits; 5).")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Repetitions of the folds (evaluation.n_repeats; 1).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random (0).")] = None,
    n_jobs: Jobs = None,
    output: OutputFolder = Path("comparison"),
    cache: Cache = None,
    data_home: Annotated[str | None, typer.Option(help="Where corpora are kept.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="What to predict on a corpus by name: on minsk2020 'als' or 'bulbar'."),
    ] = None,
    target_column: Annotated[
        str | None,
        typer.Option(help="Column of a CSV or parquet file that holds the label ('label')."),
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The class that counts as ill.")] = None,
    patients: Annotated[
        int | None, typer.Option(min=10, help="Patients of 'synthetic' (60).")
    ] = None,
    alexnet_weights: Weights = None,
    convnext_weights: Weights = None,
    on_error: OnError = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Load the corpus, compare, print and save; the help text stands above."""
    from sklearn_dysarthria import report
    from sklearn_dysarthria.cli._corpus import check_corpus
    from sklearn_dysarthria.cli._files import check_outputs, files_in, inputs_of
    from sklearn_dysarthria.cli._models import check_names
    from sklearn_dysarthria.cli._study import is_none, read_study

    verbose = int(not quiet)
    names = list(report.METHODS)
    if methods is not None:
        names = [name.strip() for name in methods.split(",") if name.strip()]
    given = {"hyper-alexnet": alexnet_weights, "sand-convnext": convnext_weights}
    weights = {
        name: None if is_none(value) else value
        for name, value in given.items()
        if value is not None
    }
    report.check_methods(names, preset, weights)
    options: dict[str, Any] = {
        "evaluation.n_splits": folds,
        "evaluation.n_repeats": repeats,
        "evaluation.random_state": seed,
        "evaluation.positive": positive,
        "model.random_state": seed,
        **options_of_run(cache, n_jobs, on_error),
    }
    study = read_study(study_or_corpus, assignments, options)
    corpus = _completed(
        study.corpus,
        {
            "--data-home": ("data_home", data_home),
            "--target": ("target", target),
            "--target-column": ("target", target_column),
            "--patients": ("n_patients", patients),
        },
        seed,
        from_file=study.source is not None,
    )
    study = study.model_copy(update={"corpus": corpus})
    check_outputs(files_in(output), inputs_of(study))
    check_corpus(corpus)
    if study.model.name is not None:
        check_names(study.model)
    checked_scoring(study.evaluation.scoring)

    from sklearn_dysarthria.cli._evaluation import cross_validate

    def build_named(X: Any) -> dict[str, Any]:
        seed = study.evaluation.random_state
        return report.build_methods(
            names, X, preset=preset, random_state=seed, weights=weights, verbose=verbose
        )

    cross_validate(
        study,
        output,
        name=None if study.model.name is None else "study",
        settings={"preset": preset},
        build_others=build_named,
        options=("--folds", "--positive"),
        verbose=verbose,
    )


def _completed(
    corpus: dict[str, Any],
    options: dict[str, tuple[str, Any]],
    seed: int | None,
    *,
    from_file: bool,
) -> dict[str, Any]:
    """Return table ``[corpus]`` with the options of its loader; those of another are errors.

    Each option has the key that it sets, and a value, None if the option was not given.
    """
    from sklearn_dysarthria.cli._corpus import loader_of
    from sklearn_dysarthria.cli._signatures import parameters_of
    from sklearn_dysarthria.cli._study import is_table_file

    corpus = {"name": "synthetic", **corpus} if "name" not in corpus else dict(corpus)
    known = parameters_of(loader_of(corpus))
    is_table = is_table_file(corpus["name"])
    for option, (key, value) in options.items():
        if value is None:
            continue
        of_tables = {"--target": False, "--target-column": True}.get(option, is_table)
        if key not in known or of_tables != is_table:
            raise typer.BadParameter(f"{option} is not for the corpus {corpus['name']!r}.")
        corpus[key] = value
    if corpus["name"] == "synthetic" and not from_file:
        corpus.setdefault("n_patients", _SYNTHETIC_PATIENTS)
    if "random_state" in known and seed is not None:
        corpus["random_state"] = seed
    return corpus
