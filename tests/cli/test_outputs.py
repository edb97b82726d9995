"""Commands never replace what they read."""

import json
import os
import shutil

import pandas as pd
import pytest

from sklearn_dysarthria import load_recordings
from sklearn_dysarthria.persistence import describe_model


@pytest.fixture
def untouched(patients):
    """The folder that the program runs in, and a check that every file of it is as it was."""
    folder = patients.parent
    shutil.copy(patients, folder / "recordings_report.csv")
    shutil.copy(patients, folder / "scores.csv")
    (folder / "weights.pth").write_bytes(b"weights")
    os.symlink(patients, folder / "link.csv")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def check():
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return before == after

    return check


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("preprocess recordings_report.csv", "--report .* is the table of the corpus"),
        ("preprocess patients.csv --report link.csv", "is the table of the corpus"),
        ("preprocess patients.csv --report wav/S001_phonationA.wav", "a recording of the corpus"),
        ("preprocess svm.toml --output patients.csv", "--output .* is the table of the corpus"),
        ("preprocess svm.toml --report svm.toml", "is the study"),
        ("preprocess svm.toml --report a.csv --output ./a.csv", "are both 'a.csv'"),
        ("train svm.toml --output ./patients.csv", "is the table of the corpus"),
        ("train svm.toml --output svm.toml", "is the study"),
        ("train svm.toml --output wav/S002_rhythmPA.wav", "is a recording of the corpus"),
        (
            "train net.toml --set model.params.classify.weights=weights.pth --output weights.pth",
            "is the model's weights",
        ),
        ("predict MODEL patients.csv --output patients.csv", "is one of the tables"),
        ("predict MODEL wav --output wav/S001_rhythmPA.wav", "is a recording of the corpus"),
        ("predict MODEL wav --output MODEL", "is the model file"),
        (
            "evaluate scores.csv --set model.name=egemaps-svm --output .",
            "scores.csv'.* is the table",
        ),
        ("compare scores.csv --output .", "scores.csv'.* is the table"),
    ],
)
def test_inputs_are_not_replaced(run, svm_model, untouched, line, message):
    before = svm_model.read_bytes()
    arguments = [svm_model if word == "MODEL" else word for word in line.split()]
    code, out, err = run(*arguments, "--quiet")
    assert code == 2
    assert out == ""
    assert pd.Series([" ".join(err.split())]).str.contains(message)[0], err
    assert untouched()
    assert svm_model.read_bytes() == before


def test_other_outputs_are_replaced(run, patients, tmp_path):
    (tmp_path / "old.csv").write_text("old")
    code, _, err = run("preprocess", "patients.csv", "--report", "old.csv", "--quiet")
    assert code == 0, err
    assert len(pd.read_csv(tmp_path / "old.csv")) == 20


# ------------------------------------------------------------------- corpora without labels


def test_preprocess_needs_no_labels(run, patients, tmp_path):
    pd.read_csv(patients).drop(columns="label").to_csv(patients, index=False)
    code, out, err = run("preprocess", "svm.toml", "--output", "f.csv", "--quiet")
    assert code == 0, err
    assert "20 of 20 recordings can be used" in out
    features = pd.read_csv(tmp_path / "f.csv")
    assert len(features) == 20
    assert "label" not in features
    code, _, err = run("preprocess", "svm.toml", "--set", "corpus.target=none", "--quiet")
    assert code == 0, err
    code, _, err = run("train", "svm.toml", "--set", "corpus.target=none", "--quiet")
    assert code == 1
    assert "has no labels: corpus.target names their column." in err
    code, _, err = run("preprocess", "svm.toml", "--set", "corpus.target=labl", "--quiet")
    assert code == 1
    assert "There is no column 'labl' for target" in err


def test_preprocess_takes_a_corpus_whose_labels_are_secret(run, patients, monkeypatch):
    X = load_recordings(patients).data

    def load_sand(data_home=None, *, subset: str = "training", return_X_y: bool = False):
        assert (subset, return_X_y) == ("test", True)
        return X, None

    monkeypatch.setattr("sklearn_dysarthria.datasets.load_sand", load_sand)
    secret = ["sand", "--set", "corpus.subset=test", "--quiet"]
    code, out, err = run("preprocess", *secret)
    assert code == 0, err
    assert "20 of 20 recordings can be used" in out
    code, _, err = run("train", *secret, "--set", "model.name=egemaps-svm")
    assert code == 1
    assert "has no labels." in err


def test_labels_are_written_where_there_are_some(run, patients, tmp_path):
    cache = ["--cache", "kept", "--quiet"]
    code, _, err = run("preprocess", "svm.toml", "--output", "f.csv", *cache)
    assert code == 0, err
    assert set(pd.read_csv(tmp_path / "f.csv")["label"]) == {"ALS", "HC"}


def test_number_of_recordings_really_used(run, patients, tmp_path, svm_model):
    assert describe_model(svm_model)["recordings"] == 20
    (patients.parent / "wav" / "S003_rhythmPA.wav").write_bytes(b"not audio")
    with pytest.warns(UserWarning, match="S003_rhythmPA.wav") as message:
        code, out, err = run("train", "svm.toml", "--on-error", "nan", "--quiet")
    assert code == 0, err
    assert len(message) == 1
    assert "trained on 19 recordings (of 20; the others cannot be used)" in out
    facts = describe_model(tmp_path / "study.model")
    assert (facts["recordings"], facts["recordings_left_out"]) == (19, 1)
    assert len(facts["recordings_sha256"]) == 19
    assert "S001" not in json.dumps(facts)
