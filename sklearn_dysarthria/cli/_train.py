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
number of patients, date.  It names no patient (only hashes of names and of samples, so that
evaluate can tell training patients).  Loading a model runs the code that is in it: load only
files that you trust.

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
    import warnings

    import numpy as np

    from sklearn_dysarthria.cli._front_end import configure, refuse_unusable_patients
    from sklearn_dysarthria.cli._inputs import inputs_of, recordings_of, refuse_to_replace
    from sklearn_dysarthria.cli._model_file import describe_model, write_model
    from sklearn_dysarthria.cli._models import build_model
    from sklearn_dysarthria.cli._output import output_file
    from sklearn_dysarthria.cli._study import read_study
    from sklearn_dysarthria.cli._work import cache_folder, check, counted_patients, load
    from sklearn_dysarthria.exceptions import RecordingWarning

    verbose = int(not quiet)
    study = read_study(
        study_or_corpus or [], assignments or [], options_of_run(cache, n_jobs, on_error)
    )
    refuse_to_replace({"--output": output}, inputs_of(study))
    check(study)
    X, y = load(study, verbose=verbose)
    refuse_to_replace({"--output": output}, recordings_of(X))
    model = build_model(study.model, X, y, verbose=verbose)
    run = study.run
    used = np.ones(len(X), dtype=bool)
    with output_file(output) as unfinished, warnings.catch_warnings():
        if run.on_error == "raise":
            configure(model, cache=run.cache, n_jobs=run.n_jobs, on_error="raise", verbose=verbose)
            model.fit(X, y)
        else:
            with cache_folder(run.cache) as kept:
                configure(model, cache=kept, n_jobs=run.n_jobs, on_error="nan", verbose=verbose)
                used = ~refuse_unusable_patients(model, X, n_jobs=run.n_jobs, verbose=verbose)
                warnings.simplefilter("ignore", RecordingWarning)  # said just now, with the reasons
                model.fit(X, y)
        facts = describe_model(model, study, X[used], y[used], n_left_out=len(X) - len(X[used]))
        write_model(unfinished, model, facts)
    left_out = f" (of {len(X)}; the others cannot be used)" if len(X[used]) < len(X) else ""
    typer.echo(
        f"{study.model.name} trained on {len(X[used])} recordings{left_out} of patients: "
        f"{counted_patients(X, y)}"
    )
    typer.echo("No score: one on the training patients says nothing about new ones; see evaluate.")
    typer.echo(f"wrote {output}")
