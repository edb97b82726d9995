import functools
import os
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from sklearn_dysarthria import cli, datasets
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.report import METHODS

VOTE = ["--methods", "egemaps-svm-vote"]
TABLE = ["patients.csv", *VOTE, "--quiet", "--set", "evaluation.n_resamples=50"]


def test_help_teaches():
    result = CliRunner().invoke(cli.app, ["compare", "--help"])
    assert result.exit_code == 0
    for method in METHODS:
        assert method in result.output
    assert "sklearn-dysarthria compare study.csv --target-column severity" in result.output
    assert "No patient is ever" in result.output
    options = set(re.findall(r"^  (--[a-z-]+)", result.output, flags=re.MULTILINE))
    assert {"--folds", "--positive", "--output", "--quiet", "--n-jobs", "--cache"} <= options


def test_synthetic_corpus_into_a_relative_folder(run, tmp_path):
    arguments = ["--patients", 10, "--folds", 2, "--output", "new/results", "--quiet"]
    short = ["--set", "corpus.duration=0.5", "--set", "evaluation.n_resamples=50"]
    code, out, err = run("compare", "synthetic", *VOTE, *arguments, *short)
    assert code == 0
    assert err == ""
    assert "| egemaps-svm-vote |" in out
    assert re.search("- corpus: synthetic,.* n_patients 10", out)
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


def test_own_recordings(run, patients, tmp_path):
    arguments = ["--folds", 2, "--positive", "HC", "--cache", "cache"]
    code, out, err = run("compare", patients, "--methods", " egemaps-svm-vote ,", *arguments)
    assert code == 0, err
    assert "comparing" in err  # the progress bar
    assert "- positive class: HC" in out
    assert "- preset: quick" in out
    assert (tmp_path / "cache").is_dir()
    predictions = pd.read_csv(tmp_path / "comparison" / "predictions.csv")
    assert set(predictions["truth"]) == {"HC", "ALS"}


def test_number_as_positive_class(run, patients):
    table = pd.read_csv(patients)
    table.assign(label=(table["label"] == "ALS").astype(int)).to_csv(patients, index=False)
    code, out, _ = run("compare", *TABLE, "--folds", 2, "--positive", "0")
    assert code == 0
    assert "- positive class: 0" in out


def test_a_study_takes_part_beside_the_methods(run, corpus, tmp_path):
    more = ["--set", "evaluation.scoring='matthews_corrcoef'", "--cache", corpus / "cache"]
    code, out, err = run("compare", corpus / "net.toml", *VOTE, "--quiet", *more)
    assert code == 0, err
    assert re.search(r"^\| egemaps-svm-vote +\|.*\n\| study +\|", out, flags=re.MULTILINE)
    assert "- cross-validation: 2 folds" in out
    assert re.search(r"- matthews_corrcoef: egemaps-svm-vote -?\d.*; study ", out)
    scores = pd.read_csv(tmp_path / "comparison" / "scores.csv")
    assert "matthews_corrcoef" in set(scores["metric"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "Unknown corpus 'nowhere'"),
        (["minsk202"], "Did you mean 'minsk2020'"),
        (["nowhere.csv"], "there is no such table"),
        (["--methods", "alexnet"], "Unknown methods ['alexnet']"),
        (["--methods", ","], "no methods to compare"),
        ([*VOTE, "--alexnet-weights", "none"], "which is not compared"),
        ([*TABLE, "--positive", "sick"], "positive='sick'"),
        ([*TABLE, "--folds", "100"], "n_splits=100 folds are more than any class has patients"),
        ([*TABLE, "--n-jobs", "0"], "run.n_jobs must be 1 or more"),
        ([*TABLE, "--set", "evaluation.scoring=auc"], "evaluation.scoring"),
    ],
)
@pytest.mark.usefixtures("patients")
def test_mistakes_end_in_one_sentence(run, tmp_path, is_one_sentence, arguments, message):
    code, out, err = run("compare", *arguments)
    assert code == 1
    assert out == ""
    assert is_one_sentence(err)
    assert message in err
    assert not (tmp_path / "comparison").exists()


def test_table_without_columns(run, patients):
    pd.read_csv(patients)[["audio", "task"]].to_csv(patients, index=False)
    code, out, err = run("compare", patients, *VOTE)
    assert code == 1
    assert out == ""
    assert "'patient'" in err
    assert "'label'" in err
    assert "Traceback" not in err


def test_broken_recording(run, patients, is_one_sentence):
    broken = patients.parent / "wav" / "S003_rhythmPA.wav"
    broken.write_bytes(b"not audio")
    code, _, err = run("compare", *TABLE, "--folds", 2)
    assert code == 1
    assert is_one_sentence(err)
    assert "S003_rhythmPA.wav" in err
    assert not (patients.parent / "comparison").exists()
    with pytest.warns(RecordingWarning) as noted:
        code, out, _ = run("compare", *TABLE, "--folds", 2, "--on-error", "nan")
    assert code == 0
    assert any("S003_rhythmPA.wav" in str(warning.message) for warning in noted)
    assert "- recordings: 20" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "1"], "--folds"),
        (["--patients", "3"], "--patients"),
        (["--preset", "huge"], "--preset"),
        (["--output", __file__], "is a file"),
        (["--on-error", "skip"], "neither 'raise' nor 'nan'"),
        (["minsk2020", "--patients", "20"], "--patients is not for the corpus 'minsk2020'"),
        (["synthetic", "--target", "als"], "--target is not for the corpus 'synthetic'"),
        (["a.csv", "--target", "als"], "--target is not for the corpus 'a.csv'"),
        (["a.csv", "--data-home", "x"], "--data-home is not for"),
        (["minsk2020", "--target-column", "als"], "--target-column is not for"),
        (["minsk2020", "synthetic"], "one study file and one corpus"),
    ],
)
def test_usage_errors(run, arguments, message):
    code, _, err = run("compare", *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_corpus_that_cannot_be_downloaded(run, monkeypatch, tmp_path, is_one_sentence):
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


def test_interrupt(run, monkeypatch, tmp_path):
    @functools.wraps(datasets.make_dysarthric_speech)
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "make_dysarthric_speech", interrupted)
    code, _, err = run("compare", *VOTE)
    assert code == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_told_before_the_work(run, patients, monkeypatch):
    def comparing(*args, **kwargs):
        raise AssertionError("began to compare")

    monkeypatch.setattr("sklearn_dysarthria.report.compare", comparing)
    code, out, err = run("compare", patients, *VOTE, "--quiet", "--output", "/proc")
    assert code == 1
    assert out == ""
    assert err.startswith("Error: ")
