"""Mistakes are found before the training, and the remedies that messages name exist."""

import json
import shutil
import zipfile

import joblib
import pandas as pd
import pytest

from sklearn_dysarthria.persistence import FORMAT


@pytest.fixture
def no_training(monkeypatch):
    def fit(*args, **kwargs):
        raise AssertionError("began to train")

    monkeypatch.setattr("sklearn_dysarthria.PatientVotingClassifier.fit", fit)


@pytest.fixture
def no_loading(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("began to load")

    monkeypatch.setattr("sklearn_dysarthria.datasets.load_recordings", load)


@pytest.mark.usefixtures("no_training")
@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.RecordingWarning")
@pytest.mark.parametrize("command", ["train svm.toml", "evaluate svm.toml", "compare svm.toml"])
def test_patients_without_anything_usable(run, patients, command, is_one_sentence):
    for task in ("phonationA", "rhythmPA"):
        (patients.parent / "wav" / f"S004_{task}.wav").write_bytes(b"not audio")
    methods = ["--methods", "egemaps-svm-vote"] if command.startswith("compare") else []
    code, _, err = run(*command.split(), *methods, "--on-error", "nan", "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert "1 patient has no usable recording: S004; leave" in err


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["abstain_below=0.9"], "abstain_below needs model.voting.abstain_label"),
        (["abstain_below=0.9", "abstain_label=HC", "voting=hard"], "is one of the classes"),
        (["abstain_below=0.9", "abstain_label=3", "voting=hard"], "must be of the labels' type"),
        (["abstain_below=0.9", "abstain_label=?", "voting=soft"], "needs probabilities"),
        (["voting=weighted", "task_weights={phonationA = 1}"], "rhythmPA"),
    ],
)
def test_votes_that_do_not_fit(run, patients, entries, message, is_one_sentence):
    changes = [part for entry in entries for part in ("--set", f"model.voting.{entry}")]
    code, _, err = run("train", "svm.toml", *changes, "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert message in err


@pytest.mark.usefixtures("no_loading")
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("run.n_jobs=0", "run.n_jobs must be 1 or more, or -1"),
        ("evaluation.n_splits=1", "evaluation.n_splits must be 2 or more, not 1"),
        ("evaluation.n_repeats=0", "evaluation.n_repeats must be 1 or more, not 0"),
        ("evaluation.n_resamples=0", "evaluation.n_resamples must be 1 or more"),
        ("evaluation.random_state=-1", "evaluation.random_state must be 0 or more"),
        ("evaluation.confidence=2", "evaluation.confidence must be between 0 and 1, not 2"),
        ("evaluation.scoring=quadratic_kapa", "Did you mean 'quadratic_kappa'"),
    ],
)
def test_numbers_out_of_range(run, patients, entry, message, is_one_sentence):
    code, _, err = run("evaluate", "svm.toml", "--set", entry, "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert message in err


def test_no_processes_in_prediction(run, corpus, svm_model, is_one_sentence):
    code, _, err = run("predict", svm_model, corpus / "wav", "--n-jobs", "0")
    assert code == 1
    assert is_one_sentence(err)


def test_images_in_a_table_are_refused_before_the_work(run, patients, monkeypatch):
    def transform(*args):
        raise AssertionError("began to compute")

    monkeypatch.setattr("sklearn_dysarthria.LogMelDeltaImages.transform", transform)
    code, out, err = run("preprocess", "net.toml", "--output", "f.csv", "--quiet")
    assert (code, out) == (1, "")
    assert "give --output a name in .npz" in err


# -------------------------------------------------------------------------- remedies exist


def test_remedies_are_those_of_the_command(run, patients, svm_model):
    _, _, err = run("evaluate", "svm.toml", "--set", "evaluation.n_splits=90", "--quiet")
    assert "by evaluation.n_splits" in err
    assert "--folds" not in err
    _, _, err = run("compare", "svm.toml", "--folds", "90", "--quiet")
    assert "by --folds or evaluation.n_splits" in err
    pd.read_csv(patients).rename(columns={"patient": "who"}).to_csv(patients, index=False)
    _, _, err = run("predict", svm_model, "patients.csv", "--quiet")
    assert "(--patient-column none does without)" in err
    assert "=None" not in err
    _, _, err = run("train", "svm.toml", "--quiet")
    assert '(corpus.patient="none" does without)' in err
    assert "1 thing is wrong" in err


def test_which_class_is_ill(run, patients, is_one_sentence):
    table = pd.read_csv(patients)
    table["label"] = table["label"].map({"ALS": "x", "HC": "y"})
    table.to_csv(patients, index=False)
    code, _, err = run("evaluate", "svm.toml", "--quiet")
    assert code == 1
    assert is_one_sentence(err)
    assert "Give evaluation.positive." in err
    code, _, err = run("evaluate", "svm.toml", "--set", "evaluation.positive=z", "--quiet")
    assert "evaluation.positive='z' must be one of two classes; the labels are ['x', 'y']" in err


def test_labels_written_as_decimals(run, patients):
    table = pd.read_csv(patients)
    table["label"] = table["label"].map({"ALS": 1.0, "HC": 0.0})
    table.to_csv(patients, index=False)
    changes = ["--set", "evaluation.positive=1", "--set", "evaluation.n_resamples=20"]
    code, out, err = run("evaluate", "svm.toml", *changes, "--quiet")
    assert code == 0, err
    assert "positive class: 1\n" in out


# -------------------------------------------------------------------------- damaged models


def rewritten(path, target, model=None, **changes):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        facts = json.loads(old.read("metadata.json"))
        facts = {name: value for name, value in (facts | changes).items() if value is not None}
        new.writestr("metadata.json", json.dumps(facts))
        new.writestr("model.joblib", old.read("model.joblib") if model is None else model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": b"no pickle"},
            "cannot be loaded (",
        ),
        ({"model": b""}, "cannot be loaded (EOFError"),
        ({"model": "a number"}, "holds no model of patients"),
        ({"tasks": None}, "lacks 'tasks'"),
        ({"patients_sha256": None}, "lacks 'patients_sha256'"),
        ({"recordings_sha256": 3}, "lacks 'recordings_sha256'"),
        ({"versions": []}, "lacks 'versions'"),
        ({"study": {"model": 3}}, "lacks 'study'"),
        ({"format": 1}, f"has format 1; this version reads {FORMAT}"),
    ],
)
def test_damaged_models(run, corpus, svm_model, tmp_path, is_one_sentence, changes, message):
    if changes.get("model") == "a number":
        joblib.dump(3, tmp_path / "3.joblib")
        changes = {"model": (tmp_path / "3.joblib").read_bytes()}
    rewritten(svm_model, tmp_path / "a.model", **changes)
    code, out, err = run("predict", "a.model", corpus / "wav", "--quiet")
    assert (code, out) == (1, "")
    assert is_one_sentence(err)
    assert message in err


# ---------------------------------------------------------- patients and tasks in prediction


def test_training_patients_in_prediction(run, corpus, patients, svm_model, other_samples):
    other_samples(patients)
    code, _, err = run("predict", svm_model, patients.parent / "wav", "--quiet")
    assert code == 0
    assert err == (
        "Warning: 10 of these patients were in the training set (S001, S002, S003, S004, S005 "
        "and 5 more): their answers are no test.\n"
    )
    shutil.copy(corpus / "wav" / "S001_phonationA.wav", "new_phonationA.wav")
    assert run("predict", svm_model, "new_phonationA.wav", "--quiet")[::2] == (0, "")


def test_other_tasks_in_prediction(run, corpus, svm_model, net_model, is_one_sentence):
    shutil.copy(corpus / "wav" / "S001_phonationA.wav", "new_rhythmKA.wav")
    shutil.copy(corpus / "wav" / "S001_phonationA.wav", "new.wav")
    for pattern in ([], ["--pattern", "{patient}_{task}.wav"]):
        code, _, err = run("predict", svm_model, "new_rhythmKA.wav", *pattern, "--quiet")
        assert code == 0
        assert "not trained on 'rhythmKA', but on phonationA, rhythmPA" in err
    code, _, err = run("predict", svm_model, "new.wav", "--quiet")
    assert code == 0
    assert "the task of 1 of 1 recordings is not known" in err
    for other in ([], ["new_rhythmKA.wav"], ["--on-error", "nan"]):
        code, out, err = run("predict", net_model, "new.wav", *other, "--quiet")
        assert (code, out) == (1, "")
        assert is_one_sentence(err)
        assert "new.wav' does not follow from its name" in err
        assert "--pattern" in err


@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.SmallClassWarning")
def test_training_recordings_under_other_names(run, patients, svm_model, other_samples):
    originals = {path: path.read_bytes() for path in (patients.parent / "wav").iterdir()}
    other_samples(patients)
    table = pd.read_csv(patients)
    table["patient"] = "new-" + table["patient"]
    table.to_csv(patients, index=False)
    few = ["--set", "evaluation.n_resamples=20", "--quiet"]
    code, out, err = run("evaluate", "patients.csv", "--model", svm_model, *few)
    assert code == 0, err
    assert "no recording the samples of a training recording" in out
    path = patients.parent / "wav" / "S002_rhythmPA.wav"
    path.write_bytes(originals[path])
    code, _, err = run("evaluate", "patients.csv", "--model", svm_model, *few)
    assert code == 1
    assert "1 patient of this corpus has recordings" in err
    assert "under another name (new-S002)" in err
    leave_out = ["--known-patients", "leave-out"]
    code, _, err = run("evaluate", "patients.csv", "--model", svm_model, *few, *leave_out)
    assert code == 0, err
    assert "trained on under another name are left out (new-S002)" in err
    decided = pd.read_csv(patients.parent / "evaluation" / "predictions.csv")
    assert "new-S002" not in set(decided["patient"])
