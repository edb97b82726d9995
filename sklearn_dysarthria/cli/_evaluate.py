"""``sklearn-dysarthria evaluate``."""

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
    options_of_run,
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
    from sklearn_dysarthria.cli._corpora import described
    from sklearn_dysarthria.cli._inputs import files_in, inputs_of, refuse_to_replace
    from sklearn_dysarthria.cli._output import output_folder
    from sklearn_dysarthria.cli._scoring import add_scores, check_scoring
    from sklearn_dysarthria.cli._study import read_study
    from sklearn_dysarthria.cli._work import cache_folder

    if model is None and known_patients is not KnownPatients.refuse:
        raise typer.BadParameter("--known-patients is for --model.")
    study = read_study(
        study_or_corpus or [], assignments or [], options_of_run(cache, n_jobs, on_error)
    )
    inputs = [("the model file", model), *inputs_of(study)]
    refuse_to_replace(files_in(output), inputs)
    scorers = check_scoring(study.evaluation.scoring)
    verbose = int(not quiet)
    with cache_folder(study.run.cache) as kept, output_folder(output):
        if model is None:
            result = _cross_validated(study, kept, output, scorers, verbose)
        else:
            leave_out = known_patients is KnownPatients.leave_out
            result = _held_out(study, model, kept, output, scorers, verbose, leave_out=leave_out)
        result.settings["corpus"] = described(study.corpus)
        result = add_scores(
            result,
            scorers,
            confidence=study.evaluation.confidence,
            n_resamples=study.evaluation.n_resamples,
            random_state=study.evaluation.random_state,
        )
        typer.echo(result.to_markdown())
        for path in result.save(output):
            typer.echo(f"wrote {path}")


def _cross_validated(study: Any, cache: str, output: Path, scorers: Any, verbose: int) -> Any:
    from sklearn_dysarthria import report
    from sklearn_dysarthria.cli._front_end import configure, refuse_unusable_patients
    from sklearn_dysarthria.cli._inputs import files_in, recordings_of, refuse_to_replace
    from sklearn_dysarthria.cli._models import build_model
    from sklearn_dysarthria.cli._scoring import try_scorers
    from sklearn_dysarthria.cli._work import check, check_folds, load, on_one_line, positive_of

    check(study)
    X, y = load(study, verbose=verbose)
    refuse_to_replace(files_in(output), recordings_of(X))
    evaluation = study.evaluation
    check_folds(X, y, evaluation.n_splits)
    positive = positive_of(evaluation.positive, y)
    try_scorers(scorers, y)
    built = build_model(study.model, X, y)
    configure(built, cache=cache, on_error=study.run.on_error)
    if study.run.on_error == "nan":
        refuse_unusable_patients(built, X, n_jobs=study.run.n_jobs, verbose=verbose)
    result = report.compare(
        X,
        y,
        methods={study.model.name: built},
        n_splits=evaluation.n_splits,
        n_repeats=evaluation.n_repeats,
        positive=positive,
        confidence=evaluation.confidence,
        n_resamples=evaluation.n_resamples,
        n_jobs=study.run.n_jobs,
        random_state=evaluation.random_state,
        verbose=verbose,
    )
    result.settings["preset"] = study.model.preset
    result.settings["parameters"] = on_one_line(study.model.params)
    return result


def _held_out(
    study: Any,
    path: Path,
    cache: str,
    output: Path,
    scorers: Any,
    verbose: int,
    *,
    leave_out: bool,
) -> Any:
    from sklearn_dysarthria.cli._checks import StudyError
    from sklearn_dysarthria.cli._corpora import corpus_arguments
    from sklearn_dysarthria.cli._front_end import configure
    from sklearn_dysarthria.cli._inputs import files_in, recordings_of, refuse_to_replace
    from sklearn_dysarthria.cli._model_file import read_facts, read_model
    from sklearn_dysarthria.cli._scoring import evaluate_held_out, try_scorers
    from sklearn_dysarthria.cli._work import load, positive_of

    corpus_arguments(study.corpus)
    facts = read_facts(path)
    if study.model.name is not None and study.source is None:
        raise StudyError("--model brings its own model: leave --set model.… out.")
    X, y = load(study, verbose=verbose)
    refuse_to_replace(files_in(output), recordings_of(X))
    X, y = _without_known(facts, path, X, y, leave_out=leave_out)
    fitted, facts = read_model(path)
    try_scorers(scorers, fitted.classes_)
    evaluation = study.evaluation
    positive = positive_of(evaluation.positive, fitted.classes_)
    configure(
        fitted,
        cache=cache,
        n_jobs=study.run.n_jobs,
        on_error=study.run.on_error,
        verbose=verbose,
    )
    name = facts["study"]["model"]["name"]
    result = evaluate_held_out(
        name,
        fitted,
        X,
        y,
        positive=positive,
        confidence=evaluation.confidence,
        n_resamples=evaluation.n_resamples,
        random_state=evaluation.random_state,
    )
    result.settings["model"] = f"{path}, trained {facts['trained']}"
    return result


def _without_known(facts: Any, path: Path, X: Any, y: Any, *, leave_out: bool) -> tuple[Any, Any]:
    """Refuse patients whom the model has met, by name or by samples, or leave them out."""
    from sklearn_dysarthria.cli._known import named, renamed_patients, training_patients
    from sklearn_dysarthria.cli._work import counted, tell
    from sklearn_dysarthria.recordings import patient_ids

    known = training_patients(facts, patient_ids(X))
    renamed = [patient for patient in renamed_patients(facts, X) if patient not in known]
    if not known and not renamed:
        return X, y
    if not leave_out:
        told = []
        if known:
            told.append(
                f"{counted(len(known), 'patient')} of this corpus "
                f"{'was' if len(known) == 1 else 'were'} in the training set of "
                f"{path} ({named(known)})"
            )
        if renamed:
            told.append(
                f"{counted(len(renamed), 'patient')} of this corpus "
                f"{'has' if len(renamed) == 1 else 'have'} recordings that {path} "
                f"was trained on under another name ({named(renamed)})"
            )
        raise ValueError(
            f"{' and '.join(told)}, so that the score would flatter it: give other patients, or "
            "leave these out by --known-patients leave-out."
        )
    kept = ~X["patient"].isin([*known, *renamed]).to_numpy()
    if not kept.any():
        raise ValueError(f"All patients of this corpus were in the training set of {path}.")
    if known:
        tell(f"Warning: {len(known)} training patients are left out ({named(known)}).")
    if renamed:
        tell(
            f"Warning: {counted(len(renamed), 'patient')} whose recordings were trained on under "
            f"another name are left out ({named(renamed)})."
        )
    return X[kept], y[kept]
