"""``sklearn-dysarthria evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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

    from sklearn_dysarthria.cli._evaluation import cross_validate, evaluate_file

    if model is not None:
        evaluate_file(study, model, output, verbose, leave_out=known_patients == "leave-out")
        return
    settings = {
        "preset": study.model.preset,
        "parameters": parameters_on_one_line(study.model.params),
    }
    cross_validate(study, output, name=study.model.name, settings=settings, verbose=verbose)
