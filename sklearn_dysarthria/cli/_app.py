"""The program: its commands, its version, and how it ends."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from sklearn_dysarthria.cli import _compare, _evaluate, _predict, _preprocess, _train

HELP = """Recognise dysarthria in ALS from short recordings, one decision per patient.

A study is a TOML file whose tables are parameters: [corpus] says which recordings, [model] which
model, [evaluation] how to judge it, [run] how to compute.

\b
Examples:
  sklearn-dysarthria compare synthetic --methods egemaps-svm-vote
  sklearn-dysarthria preprocess study.toml --cache features
  sklearn-dysarthria evaluate study.toml --cache features
  sklearn-dysarthria train study.toml --output study.model
  sklearn-dysarthria predict study.model recordings/

Results go to standard output, progress and warnings to standard error.  Exit codes: 0 all went
well, 1 something that you can correct (one sentence says what), 2 wrong use of a command, 130
interrupted.
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=HELP,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from sklearn_dysarthria import __version__

        typer.echo(f"sklearn-dysarthria {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command(help=_preprocess.HELP)(_preprocess.preprocess)
app.command(help=_train.HELP)(_train.train)
app.command(help=_evaluate.HELP)(_evaluate.evaluate)
app.command(help=_predict.HELP)(_predict.predict)
app.command(help=_compare.HELP)(_compare.compare)


def _one_line(message: Any, *_: Any, **__: Any) -> str:
    """Format a warning without the line of code that it comes from."""
    return f"Warning: {' '.join(str(message).split())}\n"


def main() -> None:
    """Run the program; what a user can correct ends in one sentence, not in a traceback."""
    warnings.formatwarning = _one_line
    try:
        app()
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
