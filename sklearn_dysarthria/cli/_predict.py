"""``sklearn-dysarthria predict``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.cli._options import Cache, Jobs, OnError, Quiet, counted, warn

HELP = """Decide about the patients behind recordings.

Takes a file of train, and any number of recordings, folders (searched to the bottom) and CSV or
parquet tables (columns audio, patient and task; no labels are needed).  Prints a row per patient:
the class, how sure of it the model is (confidence) and whether that was too little (abstained),
how many recordings counted, their votes, and the probability of each class (decision values for a
model without probabilities, such as the SVM).

Patients of the training set, and tasks that the model was not trained on, draw a warning.

The name of a file says whose recording it is, and of which task: ID000_phonationA.wav is task
phonationA of patient ID000.  A name that does not end in a known task is a patient of its own.
--pattern describes other names; a table needs none.

Loading a model runs the code that is in it: load only files that you trust.  The output is a
research result, not a diagnosis.

\b
Examples:
  sklearn-dysarthria predict study.model ID000_phonationA.wav ID000_rhythmPA.wav
  sklearn-dysarthria predict study.model recordings/ --pattern "{patient}/{task}.wav"
  sklearn-dysarthria predict study.model recordings/ --on-error nan --output decisions.csv
  sklearn-dysarthria predict study.model new_patients.csv --format json
"""


def predict(
    model: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="File of train.", metavar="MODEL")
    ],
    paths: Annotated[
        list[Path],
        typer.Argument(help="Recordings, folders, CSV or parquet tables.", metavar="PATHS..."),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(
            help="How files are named: {patient} and {task} stand for themselves, * for "
            "anything. '{patient}' alone makes every file a patient of its own."
        ),
    ] = None,
    audio_column: Annotated[str, typer.Option(help="Column of tables with the paths.")] = "audio",
    patient_column: Annotated[
        str,
        typer.Option(help="Column of tables with the patients; 'none' takes rows for patients."),
    ] = "patient",
    task_column: Annotated[str, typer.Option(help="Column of tables with the tasks.")] = "task",
    style: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option(
            "--format", help="'table', 'csv' or 'json'; the output file's, or else a table."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write here instead of printing.")
    ] = None,
    cache: Cache = None,
    n_jobs: Jobs = None,
    on_error: OnError = None,
    quiet: Quiet = False,
) -> None:
    """Load, decide, print; the help text stands above."""
    from sklearn_dysarthria.cli._files import check_outputs, output_file, recordings_of
    from sklearn_dysarthria.cli._study import is_table_file
    from sklearn_dysarthria.persistence import describe_model, known_patients, load_model

    if n_jobs == 0:
        raise ValueError("--n-jobs must be 1 or more, or -1 for all cores, not 0.")
    outputs = [("--output", output)]
    tables = [("one of the tables", path) for path in paths if is_table_file(str(path))]
    check_outputs(outputs, [("the model file", model), *tables])
    description = describe_model(model)
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"There is no file or folder {str(missing[0])!r}.")

    import warnings

    from sklearn_dysarthria.cli._file_names import recordings_from
    from sklearn_dysarthria.exceptions import PatientLeakWarning
    from sklearn_dysarthria.features import configure_transformers

    columns = {"audio": audio_column, "patient": patient_column, "task": task_column}
    table = recordings_from(paths, pattern=pattern, tasks=description["tasks"], columns=columns)
    check_outputs(outputs, recordings_of(table))
    if not quiet:
        n_patients = table["patient"].nunique()
        typer.echo(
            f"{counted(len(table), 'recording')} of {counted(n_patients, 'patient')}", err=True
        )
    fitted = load_model(model)
    _check_tasks_are_known(fitted, table, all_of_them=on_error != "nan")
    configure_transformers(
        fitted,
        cache=None if cache is None else str(cache),
        n_jobs=n_jobs,
        on_error=on_error or "raise",
        verbose=int(not quiet),
    )
    with warnings.catch_warnings():
        # Training patients draw a warning below, in words that fit: this is no cross-validation.
        warnings.simplefilter("ignore", PatientLeakWarning)
        decided = fitted.predict_patients(table, on_unusable=on_error or "raise")
    if decided["prediction"].isna().all():
        raise ValueError("None of the recordings can be used.")
    known, _ = known_patients(description, table, by_samples=False)
    if known:
        warn(
            f"{len(known)} of these patients were in the training set ({listed(known)}): their "
            "answers are no test."
        )
    _warn_about_tasks(description["tasks"], table)
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    text = _as_text(decided, style or suffix)
    if output is None:
        typer.echo(text, nl=False)
        return
    with output_file(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {output}")


def _check_tasks_are_known(model: Any, table: Any, *, all_of_them: bool) -> None:
    """Check that a model with frequency ranges by task has one for each recording.

    With `all_of_them` False, one recording will do.
    """
    import pandas as pd

    from sklearn_dysarthria._utils.tasks import name_for_task
    from sklearn_dysarthria.features import recording_transformers

    tasks = table["task"] if "task" in table else pd.Series(None, table.index, dtype=object)
    for transformer in recording_transformers(model):
        ranges = transformer.get_params(deep=False).get("freq_ranges")
        if ranges is None:
            continue
        fits = [name_for_task(task, ranges) is not None for task in tasks]
        if all(fits) or (any(fits) and not all_of_them):
            continue
        row = table.iloc[fits.index(False)]
        task = tasks.iloc[fits.index(False)]
        what = "does not follow from its name" if pd.isna(task) else f"is taken for {task!r}"
        raise ValueError(
            f"The task of {str(row['audio'])!r} {what}, and the model has frequency ranges for "
            f"{', '.join(map(repr, ranges))} only: describe the names by --pattern, such as "
            '"{patient}_{task}.wav", or give a table with the column task.'
        )


def _warn_about_tasks(trained: list[str], table: Any) -> None:
    """Warn about recordings whose task is unknown, or new to the model."""
    if not trained:
        return
    tasks = table["task"].dropna() if "task" in table else table["audio"][:0]
    new = sorted(set(tasks.astype(str)) - set(trained))
    names = ", ".join(trained)
    if new:
        warn(
            f"the model was not trained on {', '.join(map(repr, new))}, but on {names}: its "
            "decisions on other tasks are untested."
        )
    if len(tasks) < len(table):
        warn(
            f"the task of {len(table) - len(tasks)} of {len(table)} recordings is not known, and "
            f"the model was trained on {names}: describe the names by --pattern, or give a table."
        )


def _as_text(decided: Any, style: str) -> str:
    """Write decisions as CSV or JSON with all digits, or as aligned columns with three decimals."""
    table = decided.rename_axis("patient").reset_index()
    if style == "csv":
        return table.to_csv(index=False, lineterminator="\n")
    if style == "json":
        records = [_record(row) for row in table.to_dict("records")]
        return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
    return table.to_string(index=False, float_format="{:.3f}".format, na_rep="-") + "\n"


_GROUPS = {"proba_": "probabilities", "decision_": "decision_values", "votes_": "votes"}


def _record(row: dict[Any, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in row.items():
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, float) and math.isnan(value):
            value = None
        for prefix, group in _GROUPS.items():
            if str(name).startswith(prefix):
                record.setdefault(group, {})[str(name).removeprefix(prefix)] = value
                break
        else:
            record[str(name)] = value
    return record
