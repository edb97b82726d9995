"""``sklearn-dysarthria train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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

HELP = """Fit the study's model on the whole corpus and write it to one file.

The file holds the fitted model and what must be known about it: the study, versions, classes,
number of patients, date.  It names no patient (only hashes, so that evaluate can tell training
patients).  Loading a model runs the code that is in it: load only files that you trust.

No score is printed, since one on the training patients would say nothing about new ones; that is
what evaluate is for.

\b
Examples:
  sklearn-dysarthria train study.toml
  sklearn-dysarthria train study.toml minsk2020 --output minsk2020.model
  sklearn-dysarthria train synthetic --set model.name=egemaps-svm --set corpus.n_patients=20
"""


def train(
    study_or_corpus: Inputs = None,
    output: Annotated[
        Path, typer.Option(dir_okay=False, help="File for the model; replaced if it exists.")
    ] = Path("study.model"),
    cache: Cache = None,
    n_jobs: Jobs = None,
    on_error: OnError = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Fit and write; the help text stands above."""
    from sklearn_dysarthria.cli._front_end import configure
    from sklearn_dysarthria.cli._model_file import describe_model, write_model
    from sklearn_dysarthria.cli._models import build_model
    from sklearn_dysarthria.cli._output import output_file
    from sklearn_dysarthria.cli._study import read_study
    from sklearn_dysarthria.cli._work import check, counted_patients, load

    verbose = int(not quiet)
    study = read_study(
        study_or_corpus or [], assignments or [], options_of_run(cache, n_jobs, on_error)
    )
    check(study)
    X, y = load(study, verbose=verbose)
    model = build_model(study.model, X, y, verbose=verbose)
    run = study.run
    configure(model, cache=run.cache, n_jobs=run.n_jobs, on_error=run.on_error, verbose=verbose)
    with output_file(output) as unfinished:
        model.fit(X, y)
        write_model(unfinished, model, describe_model(model, study, X, y))
    typer.echo(
        f"{study.model.name} trained on {len(X)} recordings of patients: {counted_patients(X, y)}"
    )
    typer.echo("No score: one on the training patients says nothing about new ones; see evaluate.")
    typer.echo(f"wrote {output}")
