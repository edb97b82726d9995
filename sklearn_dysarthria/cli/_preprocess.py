"""``sklearn-dysarthria preprocess``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sklearn_dysarthria.cli._options import (
    Assignments,
    Cache,
    Inputs,
    Jobs,
    Quiet,
    options_of_run,
)

HELP = """Check every recording, and compute the features or images of the study's model.

Reads all recordings and writes a report with a row for each: can it be used, and if not, why.
Ends with exit code 1 if there are any that cannot, unless --allow-unusable is given.  No labels
are needed.

With --cache (or run.cache in the study), the model's features or images are computed and kept
there, where train and evaluate find them; with --output they are also written to a file.

\b
Examples:
  sklearn-dysarthria preprocess study.csv
  sklearn-dysarthria preprocess study.toml --cache features
  sklearn-dysarthria preprocess study.toml --output images.npz
  sklearn-dysarthria preprocess minsk2020 --set model.name=egemaps-svm --output egemaps.csv
"""


def preprocess(
    study_or_corpus: Inputs = None,
    report: Annotated[
        Path, typer.Option(dir_okay=False, help="CSV file for the report on recordings.")
    ] = Path("recordings_report.csv"),
    output: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="File for features or images: .npz, or .csv for features."
        ),
    ] = None,
    allow_unusable: Annotated[
        bool,
        typer.Option(
            "--allow-unusable", help="Leave recordings that cannot be used out, and end with 0."
        ),
    ] = False,
    cache: Cache = None,
    n_jobs: Jobs = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Check, compute, write; the help text stands above."""
    from sklearn_dysarthria.cli._corpus import check_corpus, load_corpus
    from sklearn_dysarthria.cli._files import check_outputs, inputs_of, output_file, recordings_of
    from sklearn_dysarthria.cli._models import build_model, check_names
    from sklearn_dysarthria.cli._study import read_study

    verbose = int(not quiet)
    study = read_study(study_or_corpus, assignments, options_of_run(cache, n_jobs, None))
    wanted = study.run.cache is not None or output is not None
    if output is not None and output.suffix.lower() not in (".npz", ".csv"):
        raise typer.BadParameter(f"--output {output} must end in .npz or .csv.")
    outputs = [("--report", report), ("--output", output)]
    if output is not None and os.path.realpath(output) == os.path.realpath(report):
        raise typer.BadParameter(f"--output and --report are both {str(output)!r}.")
    check_outputs(outputs, inputs_of(study))
    check_corpus(study.corpus)
    if study.model.name is not None or wanted:
        check_names(study.model)

    from sklearn_dysarthria.features import configure_transformers, front_end, run_front_end
    from sklearn_dysarthria.recordings import check_recordings

    if study.model.name is not None or wanted:
        model = build_model(study.model)
        is_table = hasattr(front_end(model)[-1], "get_feature_names_out")
        if output is not None and output.suffix.lower() == ".csv" and not is_table:
            raise ValueError("Images do not fit into a CSV file: give --output a name in .npz.")
    X, y = load_corpus(study.corpus, verbose=verbose, need_labels=False)
    check_outputs(outputs, recordings_of(X))
    clean, found = check_recordings(X, y, n_jobs=study.run.n_jobs, verbose=verbose)
    with output_file(report) as unfinished:
        _report_of(X, found).to_csv(unfinished, index=False)
    bad = found[~found["ok"]]
    typer.echo(f"{len(clean)} of {len(X)} recordings can be used.")
    for error, number in bad["error"].value_counts().items():
        typer.echo(f"  {number} × {error}")
    lost = sorted(set(X["patient"].astype(str)) - set(clean["patient"].astype(str)))
    if lost:
        typer.echo(f"{len(lost)} patients are left without any: {', '.join(lost)}.")
    typer.echo(f"wrote {report}")
    if len(bad) and not allow_unusable:
        typer.echo(
            f"Error: {len(bad)} of {len(X)} recordings cannot be used; {report} says why. Repair "
            "or remove them, or give --allow-unusable.",
            err=True,
        )
        raise typer.Exit(1)
    if not wanted:
        typer.echo(
            "No features were computed: --cache FOLDER keeps them for train and evaluate, "
            "--output FILE writes them."
        )
        return
    model = build_model(study.model, clean, None if y is None else y[found["ok"].to_numpy()])
    on_error = "nan" if allow_unusable else "raise"
    configure_transformers(
        model, cache=study.run.cache, n_jobs=study.run.n_jobs, verbose=verbose, on_error=on_error
    )
    values, failed = run_front_end(front_end(model), clean)
    kept = ~failed
    shape = " × ".join(map(str, values.shape[1:]))
    typer.echo(f"{kept.sum()} recordings turned into values of shape {shape}.")
    if study.run.cache is not None:
        typer.echo(f"kept in {study.run.cache}")
    if output is not None:
        last = front_end(model)[-1]
        is_table = values.ndim == 2 and hasattr(last, "get_feature_names_out")
        names = list(map(str, last.get_feature_names_out())) if is_table else None
        with output_file(output) as unfinished:
            rows = clean[kept]
            labels = None if y is None else y[rows.index]
            _write(unfinished, rows, labels, values[kept], names)
        typer.echo(f"wrote {output}")


def _report_of(X: Any, found: Any) -> Any:
    """Put whose recording it is before what was found."""
    rows = found.reset_index(drop=True)
    rows["ok"] = rows["ok"].map({True: "yes", False: "no"})
    for place, name in enumerate(n for n in ("patient", "task") if n in X.columns):
        rows.insert(place, name, X[name].to_numpy())
    rows.insert(0, "audio", [_path_of(audio) for audio in X["audio"]])
    return rows


def _path_of(audio: Any) -> str:
    return str(audio) if isinstance(audio, (str, Path)) else ""


def _write(path: Path, table: Any, y: Any, values: Any, names: list[str] | None) -> None:
    import numpy as np
    import pandas as pd

    facts = {"audio": [_path_of(audio) for audio in table["audio"]]}
    facts |= {n: list(table[n].astype(str)) for n in ("patient", "task") if n in table.columns}
    if path.suffix.lower() == ".csv":
        # Shortest decimals that give the same float32 again.
        features = pd.DataFrame(np.asarray(values), columns=names)
        described = pd.DataFrame(facts if y is None else {**facts, "label": y})
        pd.concat([described, features], axis=1).to_csv(path, index=False)
        return
    arrays: dict[str, Any] = {"values": values}
    if y is not None:  # without Python objects, which would need pickle to be read again
        arrays["label"] = y.astype(str) if y.dtype.kind == "O" else y
    arrays |= {name: np.array(cells, dtype=str) for name, cells in facts.items()}
    if names is not None:
        arrays["feature_names"] = np.array(names, dtype=str)
    np.savez_compressed(path, **arrays)
