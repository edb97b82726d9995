"""``sklearn-dysarthria evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.cli._options import (
    Assignments,
    Cache,
    Inputs,
    Jobs,
    OnError,
    OutputFolder,
    Quiet,
    checked_scoring,
    counted,
    options_of_run,
    warn,
)

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
        ),
    ] = None,
    known_patients: Annotated[
        Literal["refuse", "leave-out"],
        typer.Option(
            help="With --model: training patients in the corpus are an error, or left out."
        ),
    ] = "refuse",
    output: OutputFolder = Path("evaluation"),
    cache: Cache = None,
    n_jobs: Jobs = None,
    on_error: OnError = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Judge, print and save; the help text stands above."""
    from sklearn_dysarthria.cli._corpus import check_corpus
    from sklearn_dysarthria.cli._files import check_outputs, files_in, inputs_of
    from sklearn_dysarthria.cli._models import check_names, parameters_on_one_line
    from sklearn_dysarthria.cli._study import StudyError, read_study

    if model is None and known_patients != "refuse":
        raise typer.BadParameter("--known-patients is for --model.")
    study = read_study(study_or_corpus, assignments, options_of_run(cache, n_jobs, on_error))
    check_outputs(files_in(output), [("the model file", model), *inputs_of(study)])
    check_corpus(study.corpus)
    if model is None:
        check_names(study.model)
    elif study.model.name is not None and study.source is None:
        raise StudyError("--model brings its own model: leave --set model.… out.")
    checked_scoring(study.evaluation.scoring)
    verbose = int(not quiet)
    if model is not None:
        _held_out(study, model, output, verbose, leave_out=known_patients == "leave-out")
        return

    from sklearn_dysarthria.cli._cross_validation import cross_validate

    settings = {
        "preset": study.model.preset,
        "parameters": parameters_on_one_line(study.model.params),
    }
    cross_validate(study, output, name=study.model.name, settings=settings, verbose=verbose)


def _held_out(study: Any, path: Path, output: Path, verbose: int, *, leave_out: bool) -> None:
    from sklearn_dysarthria.cli._corpus import corpus_on_one_line, load_corpus, positive_of
    from sklearn_dysarthria.cli._files import (
        cache_folder,
        check_outputs,
        files_in,
        output_folder,
        recordings_of,
        show_comparison,
    )
    from sklearn_dysarthria.features import configure_transformers
    from sklearn_dysarthria.persistence import describe_model, load_model
    from sklearn_dysarthria.report import evaluate_held_out

    evaluation, run = study.evaluation, study.run
    with cache_folder(run.cache) as kept, output_folder(output):
        description = describe_model(path)
        X, y = load_corpus(study.corpus, verbose=verbose)
        check_outputs(files_in(output), recordings_of(X))
        X, y = _without_known(description, path, X, y, leave_out=leave_out)
        model = load_model(path)
        checked_scoring(evaluation.scoring, model.classes_)
        configure_transformers(
            model, cache=kept, n_jobs=run.n_jobs, on_error=run.on_error, verbose=verbose
        )
        result = evaluate_held_out(
            model,
            X,
            y,
            name=description["study"]["model"]["name"],
            positive=positive_of(evaluation.positive, model.classes_),
            **evaluation.model_dump(exclude={"positive", "n_splits", "n_repeats"}),
            settings={
                "model": f"{path}, trained {description['trained']}",
                "corpus": corpus_on_one_line(study.corpus),
            },
        )
        show_comparison(result, output)


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
