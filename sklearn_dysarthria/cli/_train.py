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
evaluate can recognise training patients).  Loading a model runs the code that is in it: load only
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
    from sklearn_dysarthria.cli._corpus import check_corpus, load_corpus
    from sklearn_dysarthria.cli._files import (
        cache_folder,
        check_outputs,
        inputs_of,
        output_file,
        recordings_of,
    )
    from sklearn_dysarthria.cli._models import build_model, check_names
    from sklearn_dysarthria.cli._study import read_study

    verbose = int(not quiet)
    study = read_study(study_or_corpus, assignments, options_of_run(cache, n_jobs, on_error))
    outputs = [("--output", output)]
    check_outputs(outputs, inputs_of(study))
    check_corpus(study.corpus)
    check_names(study.model)

    import warnings

    import numpy as np

    from sklearn_dysarthria.exceptions import RecordingWarning
    from sklearn_dysarthria.features import configure_transformers, find_unusable_recordings
    from sklearn_dysarthria.persistence import save_model
    from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids

    build_model(study.model)
    X, y = load_corpus(study.corpus, verbose=verbose)
    check_outputs(outputs, recordings_of(X))
    model = build_model(study.model, X, y, verbose=verbose)
    run = study.run
    how = {"n_jobs": run.n_jobs, "on_error": run.on_error, "verbose": verbose}
    used = np.ones(len(X), dtype=bool)
    with output_file(output) as unfinished, warnings.catch_warnings():
        if run.on_error == "raise":
            configure_transformers(model, cache=run.cache, **how).fit(X, y)
        else:
            with cache_folder(run.cache) as kept:
                configure_transformers(model, cache=kept, **how)
                used = ~find_unusable_recordings(model, X, n_jobs=run.n_jobs, verbose=verbose)
                # Each of them has drawn a warning just now, with the reason.
                warnings.simplefilter("ignore", RecordingWarning)
                model.fit(X, y)
        left_out = len(X) - int(used.sum())
        save_model(model, unfinished, X[used], y[used], study=study.settings(), n_left_out=left_out)
    of_all = f" (of {len(X)}; the others cannot be used)" if left_out else ""
    sizes = one_label_per_patient(patient_ids(X), y).value_counts().sort_index()
    typer.echo(
        f"{study.model.name} trained on {used.sum()} recordings{of_all} of patients: "
        f"{', '.join(f'{label}: {n}' for label, n in sizes.items())}"
    )
    typer.echo("No score: one on the training patients says nothing about new ones; see evaluate.")
    typer.echo(f"wrote {output}")
