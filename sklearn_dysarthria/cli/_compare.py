"""``sklearn-dysarthria compare``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from sklearn_dysarthria.cli._options import (
    Assignments,
    Cache,
    Inputs,
    Jobs,
    OnError,
    Quiet,
    checked_scoring,
    options_of_run,
)

_SYNTHETIC_PATIENTS = 60


class Preset(enum.StrEnum):
    """Sizes of the compared methods."""

    quick = "quick"
    paper = "paper"


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
        str | None,
        typer.Option(help="Comma-separated names, as above; all if left out.", show_default=False),
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="'quick' fits two cores; 'paper' is as published.")
    ] = Preset.quick,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Folds of patients (evaluation.n_splits; 5).", show_default=False),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1, help="Repetitions of the folds (evaluation.n_repeats; 1).", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of everything random (0).", show_default=False),
    ] = None,
    n_jobs: Jobs = None,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for table, CSV files and figures.")
    ] = Path("comparison"),
    cache: Cache = None,
    data_home: Annotated[
        str | None, typer.Option(help="Where corpora are kept.", show_default=False)
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="What to predict on a corpus by name: on minsk2020 'als' or 'bulbar'.",
            show_default=False,
        ),
    ] = None,
    target_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a CSV or parquet file that holds the label ('label').",
            show_default=False,
        ),
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="The class that counts as ill.", show_default=False)
    ] = None,
    patients: Annotated[
        int | None, typer.Option(min=10, help="Patients of 'synthetic' (60).", show_default=False)
    ] = None,
    alexnet_weights: Annotated[
        str | None,
        typer.Option(help="File or torchvision name, instead of the preset's; 'none' is random."),
    ] = None,
    convnext_weights: Annotated[
        str | None,
        typer.Option(help="File or torchvision name, instead of the preset's; 'none' is random."),
    ] = None,
    on_error: OnError = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Load the corpus, compare, print and save; the help text stands above."""
    from sklearn_dysarthria import report
    from sklearn_dysarthria.cli._corpus import (
        check_corpus,
        check_folds,
        corpus_on_one_line,
        load_corpus,
        positive_of,
    )
    from sklearn_dysarthria.cli._files import (
        cache_folder,
        check_outputs,
        files_in,
        inputs_of,
        output_folder,
        recordings_of,
    )
    from sklearn_dysarthria.cli._models import build_model, check_names
    from sklearn_dysarthria.cli._study import is_none, read_study

    verbose = int(not quiet)
    names = _names_in(methods) if methods is not None else list(report.METHODS)
    given = {"hyper-alexnet": alexnet_weights, "sand-convnext": convnext_weights}
    weights = {
        name: None if is_none(value) else value
        for name, value in given.items()
        if value is not None
    }
    report.check_methods(names, preset.value, weights)
    options: dict[str, Any] = {
        "evaluation.n_splits": folds,
        "evaluation.n_repeats": repeats,
        "evaluation.random_state": seed,
        "evaluation.positive": positive,
        "model.random_state": seed,
        **options_of_run(cache, n_jobs, on_error),
    }
    study = read_study(study_or_corpus or [], assignments or [], options)
    corpus = _completed(
        study.corpus,
        {
            "--data-home": data_home,
            "--target": target,
            "--target-column": target_column,
            "--patients": patients,
        },
        seed,
        from_file=study.source is not None,
    )
    # What can be wrong is tried before hours are spent.
    check_outputs(files_in(output), inputs_of(study))
    check_corpus(corpus)
    if study.model.name is not None:
        check_names(study.model)
    evaluation, run = study.evaluation, study.run
    checked_scoring(evaluation.scoring)

    from sklearn_dysarthria.features import configure_transformers, find_unusable_recordings

    if study.model.name is not None:
        build_model(study.model)
    X, y = load_corpus(corpus, verbose=verbose)
    check_outputs(files_in(output), recordings_of(X))
    check_folds(X, y, evaluation.n_splits, "--folds")
    positive_class = positive_of(evaluation.positive, y, "--positive")
    checked_scoring(evaluation.scoring, y)
    with output_folder(output), cache_folder(run.cache) as kept:
        models = report.build_methods(
            names,
            X,
            preset=preset.value,
            random_state=evaluation.random_state,
            weights=weights,
            verbose=verbose,
        )
        if study.model.name is not None:
            models["study"] = build_model(study.model, X, y)
        for model in models.values():
            configure_transformers(model, cache=kept, on_error=run.on_error)
            if run.on_error == "nan":
                find_unusable_recordings(model, X, n_jobs=run.n_jobs, verbose=verbose)
        result = report.compare(
            X,
            y,
            methods=models,
            n_splits=evaluation.n_splits,
            n_repeats=evaluation.n_repeats,
            positive=positive_class,
            scoring=evaluation.scoring,
            confidence=evaluation.confidence,
            n_resamples=evaluation.n_resamples,
            n_jobs=run.n_jobs,
            random_state=evaluation.random_state,
            verbose=verbose,
            settings={"preset": preset.value, "corpus": corpus_on_one_line(corpus)},
        )
        typer.echo(result.to_markdown())
        for path in result.save(output):
            typer.echo(f"wrote {path}")


def _names_in(methods: str) -> list[str]:
    return [name.strip() for name in methods.split(",") if name.strip()]


_KEY_OF_OPTION = {
    "--data-home": "data_home",
    "--target": "target",
    "--target-column": "target",
    "--patients": "n_patients",
}


def _completed(
    corpus: dict[str, Any], options: dict[str, Any], seed: int | None, *, from_file: bool
) -> dict[str, Any]:
    """Return table ``[corpus]`` with the options of its loader; those of another are errors."""
    from sklearn_dysarthria.cli._corpus import loader_of
    from sklearn_dysarthria.cli._signatures import parameters_of
    from sklearn_dysarthria.cli._study import is_table_file

    corpus = {"name": "synthetic", **corpus} if "name" not in corpus else dict(corpus)
    known = parameters_of(loader_of(corpus))
    is_table = is_table_file(corpus["name"])
    for option, value in options.items():
        if value is None:
            continue
        of_tables = {"--target": False, "--target-column": True}.get(option, is_table)
        if _KEY_OF_OPTION[option] not in known or of_tables != is_table:
            raise typer.BadParameter(f"{option} is not for the corpus {corpus['name']!r}.")
        corpus[_KEY_OF_OPTION[option]] = value
    if corpus["name"] == "synthetic" and not from_file:
        corpus.setdefault("n_patients", _SYNTHETIC_PATIENTS)
    if "random_state" in known and seed is not None:
        corpus["random_state"] = seed
    return corpus
