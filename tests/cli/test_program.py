"""The program as a whole: help, version, and the documentation's commands."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import sklearn_dysarthria
from sklearn_dysarthria import cli
from sklearn_dysarthria.persistence import describe_model

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "command_line.rst"
EXAMPLE = ROOT / "examples" / "study.toml"
PROGRAM = get_command(cli.app)
COMMANDS = list(PROGRAM.commands)
# What is computed in the test of the page; the rest of the example is as it stands there.
SMALL = (
    "corpus.duration=0.5 model.params.images.image_size=32 model.params.classify.max_epochs=1 "
    "evaluation.n_resamples=20"
)

needs_page = pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")


def page_commands():
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    return re.findall(r"^   \$ (sklearn-dysarthria .*)$", text, flags=re.MULTILINE)


def help_commands():
    texts = [PROGRAM.help, *(command.help for command in PROGRAM.commands.values())]
    return re.findall(r"^ +(sklearn-dysarthria .*)$", "\n".join(texts), flags=re.MULTILINE)


def test_without_a_command_the_commands_are_shown():
    result = CliRunner().invoke(cli.app, [])
    for command in ["preprocess", "train", "evaluate", "predict", "compare"]:
        assert command in result.output


def test_version():
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"sklearn-dysarthria {sklearn_dysarthria.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_examples(command):
    result = CliRunner().invoke(cli.app, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.count(f"  sklearn-dysarthria {command} ") >= 3


@pytest.mark.parametrize("line", sorted({*page_commands(), *help_commands()}))
def test_shown_commands_are_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.model").touch()
    _, *arguments = shlex.split(line)
    name, *rest = arguments
    PROGRAM.commands[name].make_context(name, rest)


def test_a_command_that_is_not_understood_is_noticed():
    with pytest.raises(Exception, match="No such option: --outptu"):
        PROGRAM.commands["train"].make_context("train", ["--outptu", "x"])


@needs_page
def test_the_pages_walk_through(run, tmp_path):
    if not EXAMPLE.is_file():
        pytest.skip("the examples are not here")
    text = PAGE.read_text(encoding="utf-8").split("In order\n========")[1].split("\n===")[0]
    lines = re.findall(r"^   \$ (sklearn-dysarthria .*)$", text, flags=re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["preprocess", "evaluate", "train", "predict"]
    shutil.copy(EXAMPLE, tmp_path / "study.toml")
    smaller = [part for entry in SMALL.split() for part in ("--set", entry)]
    for line in lines:
        _, name, *arguments = shlex.split(line)
        code, out, err = run(name, *arguments, *([] if name == "predict" else smaller))
        assert code == 0, err
    assert re.search(r"^patient +prediction", out)
    assert out.count("\n") == 13
    assert sklearn_dysarthria.load_model("study.model").voting == "soft"
    # Paths in a study start at its folder.
    corpus = describe_model("study.model")["study"]["corpus"]
    assert corpus["folder"] == str(tmp_path / "recordings")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        *("study.toml", "recordings", "recordings_report.csv", "cache", "evaluation", "study.model")
    }
