"""``sklearn-dysarthria predict``."""

from __future__ import annotations

import enum
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from sklearn_dysarthria.cli._options import Cache, Jobs, OnError, Quiet


class Format(enum.StrEnum):
    """How decisions are written."""

    table = "table"
    csv = "csv"
    json = "json"


HELP = """Decide about the patients behind recordings.

Takes a file of train, and any number of recordings, folders (searched to the bottom) and CSV or
parquet tables (columns audio, patient and task; no labels are needed).  Prints a row per patient:
the class, how sure of it the model is (confidence) and whether that was too little (abstained),
how many recordings counted, their votes, and the probability of each class (decision values for a
model without probabilities, such as the SVM).

Patients of the training set, and tasks that the model was not trained on, draw a warning.

Whose recording a file is, and of which task, is told by its name: ID000_phonationA.wav is task
phonationA of patient ID000.  A name that does not end in a known task is a patient of its own.
--pattern describes other names; a table says it all.

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
            "anything. '{patient}' alone makes every file a patient of its own.",
            show_default=False,
        ),
    ] = None,
    audio_column: Annotated[str, typer.Option(help="Column of tables with the paths.")] = "audio",
    patient_column: Annotated[
        str,
        typer.Option(help="Column of tables with the patients; 'none' takes rows for patients."),
    ] = "patient",
    task_column: Annotated[str, typer.Option(help="Column of tables with the tasks.")] = "task",
    style: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="'table', 'csv' or 'json'; the output file's, or else a table.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write here instead of printing.", show_default=False),
    ] = None,
    cache: Cache = None,
    n_jobs: Jobs = None,
    on_error: OnError = None,
    quiet: Quiet = False,
) -> None:
    """Load, decide, print; the help text stands above."""
    from sklearn_dysarthria.cli._decisions import as_text, with_lost_patients
    from sklearn_dysarthria.cli._front_end import configure
    from sklearn_dysarthria.cli._inputs import recordings_of, refuse_to_replace
    from sklearn_dysarthria.cli._model_file import read_facts, read_model
    from sklearn_dysarthria.cli._output import output_file
    from sklearn_dysarthria.cli._paths import recordings_from
    from sklearn_dysarthria.cli._remarks import refuse_unknown_tasks, remarks_on
    from sklearn_dysarthria.cli._study import is_table_file
    from sklearn_dysarthria.cli._work import cache_folder, counted, tell
    from sklearn_dysarthria.exceptions import PatientLeakWarning

    if n_jobs == 0:
        raise ValueError("--n-jobs must be 1 or more, or -1 for all cores, not 0.")
    refuse_to_replace({"--output": output}, [("the model file", model)])
    facts = read_facts(model)
    columns = {"audio": audio_column, "patient": patient_column, "task": task_column}
    table = recordings_from(paths, pattern=pattern, tasks=facts["tasks"], columns=columns)
    inputs = [("one of the tables", path) for path in paths if is_table_file(str(path))]
    refuse_to_replace({"--output": output}, [*inputs, *recordings_of(table)])
    patients = list(dict.fromkeys(table["patient"]))
    if not quiet:
        tell(f"{counted(len(table), 'recording')} of {counted(len(patients), 'patient')}")
    fitted, _ = read_model(model)
    refuse_unknown_tasks(fitted, table, all_of_them=on_error != "nan")
    chosen = None if cache is None else str(cache)
    # Only with on_error="nan" are the features read twice, and worth a folder nobody asked for.
    with cache_folder(chosen) if on_error == "nan" else nullcontext(chosen) as kept:
        configure(
            fitted,
            cache=kept,
            n_jobs=n_jobs,
            on_error=on_error or "raise",
            verbose=int(not quiet),
        )
        with warnings.catch_warnings():
            # Told below, in words that fit: nobody cross-validates here.
            warnings.simplefilter("ignore", PatientLeakWarning)
            if on_error == "nan":
                decided = _decide_where_possible(fitted, table)
            else:
                decided = fitted.predict_patients(table)
    for remark in remarks_on(facts, table):
        tell(f"Warning: {remark}")
    decided = with_lost_patients(decided, patients)
    text = as_text(decided, style.value if style is not None else _style_of(output))
    if output is None:
        typer.echo(text, nl=False)
        return
    with output_file(output) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {output}")


def _style_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    return suffix if suffix in ("csv", "json") else "table"


def _decide_where_possible(model: Any, table: Any) -> Any:
    """Decide about the patients who have a recording that can be used."""
    from sklearn_dysarthria.cli._front_end import compute, front_end
    from sklearn_dysarthria.exceptions import RecordingWarning

    # Computed here to see who is left, and found in the cache by the model.
    _, failed = compute(front_end(model), table, fit=False)
    usable = set(table.loc[~failed, "patient"])
    lost = [p for p in dict.fromkeys(table["patient"]) if p not in usable]
    if not usable:
        raise ValueError("None of the recordings can be used.")
    if lost:
        warnings.warn(
            f"{len(lost)} patients have no usable recording and get no decision: "
            f"{', '.join(map(str, lost))}.",
            RecordingWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)  # said above, with the reasons
        return model.predict_patients(table[table["patient"].isin(usable)])
