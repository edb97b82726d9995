"""``sklearn-dysarthria evaluate``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any

import typer

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.cli._options import (
    Assignments,
    Cache,
    Inputs,
    Jobs,
    OnError,
    Quiet,
    checked_scoring,
    counted,
    options_of_run,
    warn,
)


class KnownPatients(enum.StrEnum):
    """What to do with patients who were in the training set."""

    refuse = "refuse"
    leave_out = "leave-out"


HELP = """Estimate how well the study's model does on patients whom it has not met.

Cross-validates by patient: no patient is ever in the training and the test part of a fold.
Prints the same table, and writes the same files, as compare does for several models.

With --model, a file of train is judged on the corpus instead.  That is refused if patients of
the corpus were in the training set, by their names (other people may bear the same ones) or by
a recording with the same samples under another name; --known-patients leave-out leaves them out.
Loading a model runs the code that is in it: load only files that you trust.

\b
Examples:
  sklearn-dysarthria evaluate study.toml
  sklearn-dysarthria evaluate study.toml --set evaluation.n_repeats=5 --cache features
  sklearn-dysarthria evaluate held_out.csv --model study.model --set corpus.target=diagnosis
"""


def evaluate(
    study_or_corpus: Inputs = None,
    model: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            exists=True,
            help="Judge this file of train on the corpus, instead of cross-validating.",
            show_default=False,
        ),
    ] = None,
    known_patients: Annotated[
        KnownPatients,
        typer.Option(
            help="With --model: training patients in the corpus are an error, or left out."
        ),
    ] = KnownPatients.refuse,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for table, CSV files and figures.")
    ] = Path("evaluation"),
    cache: Cache = None,
    n_jobs: Jobs = None,
    on_error: OnError = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Judge, print and save; the help text stands above."""
    from sklearn_dysarthria.cli._corpus import check_corpus
    from sklearn_dysarthria.cli._files import (
        cache_folder,
        check_outputs,
        files_in,
        inputs_of,
        output_folder,
    )
    from sklearn_dysarthria.cli._models import check_names
    from sklearn_dysarthria.cli._study import StudyError, read_study

    if model is None and known_patients is not KnownPatients.refuse:
        raise typer.BadParameter("--known-patients is for --model.")
    study = read_study(
        study_or_corpus or [], assignments or [], options_of_run(cache, n_jobs, on_error)
    )
    check_outputs(files_in(output), [("the model file", model), *inputs_of(study)])
    check_corpus(study.corpus)
    if model is None:
        check_names(study.model)
    elif study.model.name is not None and study.source is None:
        raise StudyError("--model brings its own model: leave --set model.… out.")
    checked_scoring(study.evaluation.scoring)
    verbose = int(not quiet)
    with cache_folder(study.run.cache) as kept, output_folder(output):
        if model is None:
            result = _cross_validated(study, kept, output, verbose)
        else:
            leave_out = known_patients is KnownPatients.leave_out
            result = _held_out(study, model, kept, output, verbose, leave_out=leave_out)
        typer.echo(result.to_markdown())
        for path in result.save(output):
            typer.echo(f"wrote {path}")


def _cross_validated(study: Any, cache: str, output: Path, verbose: int) -> Any:
    from sklearn_dysarthria import report
    from sklearn_dysarthria.cli._corpus import (
        check_folds,
        corpus_on_one_line,
        load_corpus,
        positive_of,
    )
    from sklearn_dysarthria.cli._files import check_outputs, files_in, recordings_of
    from sklearn_dysarthria.cli._models import build_model, parameters_on_one_line
    from sklearn_dysarthria.features import configure_transformers, find_unusable_recordings

    build_model(study.model)
    X, y = load_corpus(study.corpus, verbose=verbose)
    check_outputs(files_in(output), recordings_of(X))
    evaluation, run = study.evaluation, study.run
    check_folds(X, y, evaluation.n_splits)
    positive = positive_of(evaluation.positive, y)
    checked_scoring(evaluation.scoring, y)
    model = build_model(study.model, X, y)
    configure_transformers(model, cache=cache, on_error=run.on_error)
    if run.on_error == "nan":
        find_unusable_recordings(model, X, n_jobs=run.n_jobs, verbose=verbose)
    return report.compare(
        X,
        y,
        methods={study.model.name: model},
        n_splits=evaluation.n_splits,
        n_repeats=evaluation.n_repeats,
        positive=positive,
        scoring=evaluation.scoring,
        confidence=evaluation.confidence,
        n_resamples=evaluation.n_resamples,
        n_jobs=run.n_jobs,
        random_state=evaluation.random_state,
        verbose=verbose,
        settings={
            "preset": study.model.preset,
            "parameters": parameters_on_one_line(study.model.params),
            "corpus": corpus_on_one_line(study.corpus),
        },
    )


def _held_out(
    study: Any, path: Path, cache: str, output: Path, verbose: int, *, leave_out: bool
) -> Any:
    from sklearn_dysarthria.cli._corpus import corpus_on_one_line, load_corpus, positive_of
    from sklearn_dysarthria.cli._files import check_outputs, files_in, recordings_of
    from sklearn_dysarthria.features import configure_transformers
    from sklearn_dysarthria.persistence import describe_model, load_model
    from sklearn_dysarthria.report import evaluate_held_out

    description = describe_model(path)
    X, y = load_corpus(study.corpus, verbose=verbose)
    check_outputs(files_in(output), recordings_of(X))
    X, y = _without_known(description, path, X, y, leave_out=leave_out)
    model = load_model(path)
    evaluation, run = study.evaluation, study.run
    checked_scoring(evaluation.scoring, model.classes_)
    configure_transformers(
        model, cache=cache, n_jobs=run.n_jobs, on_error=run.on_error, verbose=verbose
    )
    return evaluate_held_out(
        model,
        X,
        y,
        name=description["study"]["model"]["name"],
        positive=positive_of(evaluation.positive, model.classes_),
        scoring=evaluation.scoring,
        confidence=evaluation.confidence,
        n_resamples=evaluation.n_resamples,
        random_state=evaluation.random_state,
        settings={
            "model": f"{path}, trained {description['trained']}",
            "corpus": corpus_on_one_line(study.corpus),
        },
    )


def _without_known(
    description: Any, path: Path, X: Any, y: Any, *, leave_out: bool
) -> tuple[Any, Any]:
    """Raise an error for patients whom the model was trained on, or leave them out."""
    from sklearn_dysarthria.persistence import known_patients

    known, renamed = known_patients(description, X)
    if not known and not renamed:
        return X, y
    if not leave_out:
        found = []
        if known:
            found.append(
                f"{counted(len(known), 'patient')} of this corpus "
                f"{'was' if len(known) == 1 else 'were'} in the training set of "
                f"{path} ({listed(known)})"
            )
        if renamed:
            found.append(
                f"{counted(len(renamed), 'patient')} of this corpus "
                f"{'has' if len(renamed) == 1 else 'have'} recordings that {path} "
                f"was trained on under another name ({listed(renamed)})"
            )
        raise ValueError(
            f"{' and '.join(found)}, so that the score would flatter it: give other patients, or "
            "leave these out by --known-patients leave-out."
        )
    kept = ~X["patient"].isin([*known, *renamed]).to_numpy()
    if not kept.any():
        raise ValueError(f"All patients of this corpus were in the training set of {path}.")
    if known:
        warn(f"{len(known)} training patients are left out ({listed(known)}).")
    if renamed:
        warn(
            f"{counted(len(renamed), 'patient')} whose recordings were trained on under "
            f"another name are left out ({listed(renamed)})."
        )
    return X[kept], y[kept]
