import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sklearn_dysarthria import cli, make_dysarthric_speech
from sklearn_dysarthria.report import METHODS

VOTE = ["--methods", "egemaps-svm-vote"]


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """Run the program in an empty folder; return exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sklearn-dysarthria", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    monkeypatch.setattr("warnings.formatwarning", None)  # put back what main() replaces
    return call


@pytest.fixture
def study(tmp_path):
    """CSV file of eight patients with text ids and labels."""
    X, y = make_dysarthric_speech(
        n_patients=10, duration=0.5, sample_rate=8000, folder=tmp_path / "wav", random_state=0
    )
    table = X[["audio", "patient", "task"]].assign(label=np.where(y == 1, "ALS", "HC"))
    table["audio"] = [os.path.relpath(path, tmp_path) for path in table["audio"]]
    table.to_csv(tmp_path / "study.csv", index=False)
    return tmp_path / "study.csv"


def is_one_sentence(err):
    assert "Traceback" not in err
    lines = [line for line in err.strip().splitlines() if line]
    return len(lines) == 1 and lines[0].startswith("Error: ")


def test_help_teaches():
    result = CliRunner().invoke(cli.app, ["compare", "--help"])
    assert result.exit_code == 0
    for method in METHODS:
        assert method in result.output
    assert "sklearn-dysarthria compare study.csv --target-column severity" in result.output
    assert "No patient is ever" in result.output
    options = set(re.findall(r"^  (--[a-z-]+)", result.output, flags=re.MULTILINE))
    assert {"--folds", "--positive", "--output", "--quiet", "--n-jobs", "--cache"} <= options


def test_without_a_command_the_commands_are_shown():
    result = CliRunner().invoke(cli.app, [])
    assert "compare" in result.output


def test_synthetic_corpus_into_a_relative_folder(run, tmp_path):
    arguments = ["--patients", 10, "--folds", 2, "--output", "new/results", "--quiet"]
    code, out, err = run("compare", "synthetic", *VOTE, *arguments)
    assert code == 0
    assert err == ""
    assert "| egemaps-svm-vote |" in out
    assert "- corpus: synthetic" in out
    files = sorted(path.name for path in (tmp_path / "new" / "results").iterdir())
    assert files == [
        "comparison.md",
        "confusion_matrices.png",
        "intervals.png",
        "predictions.csv",
        "roc.png",
        "scores.csv",
    ]
    assert "wrote new/results/scores.csv" in out.replace(os.sep, "/")


def test_own_recordings(run, study, tmp_path):
    arguments = ["--folds", 2, "--positive", "HC", "--cache", "cache"]
    code, out, err = run("compare", study, "--methods", " egemaps-svm-vote ,", *arguments)
    assert code == 0, err
    assert "comparing" in err  # the progress bar
    assert "- positive class: HC" in out
    assert (tmp_path / "cache").is_dir()
    predictions = pd.read_csv(tmp_path / "comparison" / "predictions.csv")
    assert set(predictions["truth"]) == {"HC", "ALS"}


def test_number_as_positive_class(run, study):
    table = pd.read_csv(study)
    table.assign(label=(table["label"] == "ALS").astype(int)).to_csv(study, index=False)
    code, out, _ = run("compare", study, *VOTE, "--folds", 2, "--positive", "0", "--quiet")
    assert code == 0
    assert "- positive class: 0" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Unknown corpus 'nowhere'"),
        (["nowhere.csv"], "there is no such table"),
        (["--methods", "alexnet"], "Unknown methods ['alexnet']"),
        (["--methods", ","], "no methods to compare"),
        ([*VOTE, "--alexnet-weights", "none"], "which is not compared"),
        (["study.csv", *VOTE, "--positive", "sick", "--quiet"], "positive='sick'"),
        (["study.csv", *VOTE, "--folds", "9", "--quiet"], "n_splits=9"),
        (["study.csv", *VOTE, "--n-jobs", "0", "--quiet"], "n_jobs == 0"),
    ],
)
@pytest.mark.usefixtures("study")
def test_mistakes_end_in_one_sentence(run, tmp_path, arguments, message):
    code, out, err = run("compare", *arguments)
    assert code == 1
    assert out == ""
    assert is_one_sentence(err)
    assert message in err


def test_table_without_columns(run, study):
    pd.read_csv(study)[["audio", "task"]].to_csv(study, index=False)
    code, out, err = run("compare", study, *VOTE)
    assert code == 1
    assert out == ""
    assert "'patient'" in err
    assert "'label'" in err
    assert "Traceback" not in err


def test_broken_recording(run, study):
    broken = study.parent / "wav" / "S003_rhythmPA.wav"
    broken.write_bytes(b"not audio")
    code, _, err = run("compare", study, *VOTE, "--folds", 2, "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert "S003_rhythmPA.wav" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "--folds"),
        (["--patients", "3"], "--patients"),
        (["--preset", "huge"], "--preset"),
        (["--output", __file__], "is a file"),
    ],
)
def test_usage_errors(run, arguments, message):
    code, _, err = run("compare", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_corpus_that_cannot_be_downloaded(run, monkeypatch, tmp_path):
    import requests

    def unreachable(*_, **__):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests.Session, "get", unreachable)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("SKLEARN_DYSARTHRIA_DATA", str(tmp_path / "empty"))
    code, _, err = run("compare", "minsk2020", *VOTE, "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert "Minsk2020 ALS database is not complete" in err
    assert "no connection" in err
    assert "SKLEARN_DYSARTHRIA_DATA" in err


def test_interrupt(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_dysarthria.datasets.make_dysarthric_speech", interrupted)
    code, _, err = run("compare", *VOTE)
    assert code == 130
    assert "Traceback" not in err


def test_warnings_take_one_line(run, study):
    code, _, err = run("compare", study, *VOTE, "--folds", 2, "--quiet")
    assert code == 0
    assert err == ""
    table = pd.read_csv(study)
    few = set(table.loc[table["label"] == "HC", "patient"].unique()[:2])
    table[~table["patient"].isin(few)].to_csv(study, index=False)
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_dysarthria.cli", "compare", study, *VOTE]
        + ["--folds", "2", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=study.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Warning: Fewer than 5 patients in a class (HC: 3)")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_that_takes_no_files_is_told_before_the_work(run, monkeypatch):
    def comparing(*args, **kwargs):
        raise AssertionError("began to compare")

    monkeypatch.setattr("sklearn_dysarthria.report.compare", comparing)
    code, out, err = run("compare", "synthetic", *VOTE, "--quiet", "--output", "/proc")
    assert code == 1
    assert out == ""
    assert err.startswith("Error: ")
