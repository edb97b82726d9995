"""preprocess, train, evaluate and predict, through the program."""

import io
import json
import shutil
import tomllib
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, matthews_corrcoef

from sklearn_dysarthria import load_model, load_recordings
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.features import front_end, run_front_end
from sklearn_dysarthria.persistence import describe_model, settings_hash
from sklearn_dysarthria.report import build_methods


def as_csv(out):
    return pd.read_csv(io.StringIO(out)).set_index("patient")


METHODS = {"net": "sand-convnext", "svm": "egemaps-svm-vote"}


def params_of(corpus, kind):
    study = tomllib.loads((corpus / f"{kind}.toml").read_text())
    return study["model"].get("params", {})


def python_model(corpus, kind):
    """Build what the study says without the program; return it and the corpus."""
    X, y = load_recordings(corpus / "patients.csv", target="label", return_X_y=True)
    (model,) = build_methods([METHODS[kind]], X, random_state=0).values()
    for step, params in params_of(corpus, kind).items():
        model.estimator.named_steps[step].set_params(**params)
    return model.set_params(voting="soft"), X, y


# ------------------------------------------------------------------------------ preprocess


def test_preprocess_reports_every_recording(run, patients, tmp_path):
    code, out, err = run("preprocess", "patients.csv", "--quiet")
    assert (code, err) == (0, "")
    assert "20 of 20 recordings can be used" in out
    assert "--cache FOLDER keeps them" in out
    (tmp_path / "wav" / "S003_rhythmPA.wav").write_bytes(b"not audio")
    code, out, err = run("preprocess", "patients.csv", "--quiet")
    assert code == 1
    assert "19 of 20 recordings can be used" in out
    assert "1 × UnreadableAudioError" in out
    assert err.startswith(
        "Error: 1 of 20 recordings cannot be used; recordings_report.csv says why"
    )
    report = pd.read_csv(tmp_path / "recordings_report.csv").set_index("audio")
    broken = report.loc[str(tmp_path / "wav" / "S003_rhythmPA.wav")]
    assert broken["ok"] == "no"
    assert broken["patient"] == "S003"
    assert (report["ok"] == "yes").sum() == 19
    code, _, _ = run("preprocess", "patients.csv", "--quiet", "--allow-unusable")
    assert code == 0


def test_preprocess_writes_what_the_model_is_given(run, corpus, tmp_path):
    cache = ["--cache", corpus / "cache", "--quiet"]
    code, out, err = run("preprocess", corpus / "net.toml", "--output", "images.npz", *cache)
    assert code == 0, err
    assert "shape 3 × 32 × 32" in out
    written = np.load(tmp_path / "images.npz")
    model, X, y = python_model(corpus, "net")
    pipeline = model.estimator
    np.testing.assert_array_equal(written["values"], pipeline[:-1].fit_transform(X))
    assert written["label"].tolist() == y.tolist()
    assert written["patient"].tolist() == X["patient"].tolist()

    code, out, err = run("preprocess", corpus / "svm.toml", "--output", "new/f.csv", *cache)
    assert code == 0, err
    features = pd.read_csv(tmp_path / "new" / "f.csv")
    pipeline = python_model(corpus, "svm")[0].estimator
    computed = pipeline[0].set_output(transform="pandas").fit_transform(X)
    np.testing.assert_array_equal(features[computed.columns].astype(np.float32), computed)

    code, _, err = run("preprocess", corpus / "net.toml", "--output", "images.csv", *cache)
    assert code == 1
    assert "give --output a name in .npz" in err
    assert not (tmp_path / "images.csv").exists()


def test_preprocessed_features_are_found_again(run, corpus, tmp_path, monkeypatch):
    run("preprocess", corpus / "svm.toml", "--cache", "kept", "--quiet")

    def computed(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr("sklearn_dysarthria.EGeMAPSFeatures._features", computed)
    code, _, err = run("train", corpus / "svm.toml", "--cache", "kept", "--quiet")
    assert code == 0, err
    with pytest.raises(AssertionError, match="computed again"):
        run("train", corpus / "svm.toml", "--quiet")
    assert not (tmp_path / ".study").exists()


# ------------------------------------------------------------------------ train and predict


@pytest.mark.parametrize("kind", ["net", "svm"])
def test_predictions_are_those_of_python(run, corpus, request, kind):
    path = request.getfixturevalue(f"{kind}_model")
    model, X, y = python_model(corpus, kind)
    expected = model.fit(X, y).predict_patients(X)
    # Names of files, names of folders and tables all lead to the same recordings.
    for paths in [[corpus / "wav"], sorted((corpus / "wav").iterdir()), [corpus / "patients.csv"]]:
        code, out, err = run("predict", path, *paths, "--format", "csv", "--quiet")
        assert code == 0, err
        decided = as_csv(out).loc[expected.index]
        assert decided["prediction"].tolist() == expected["prediction"].tolist()
        scores = [c for c in expected if c.startswith(("proba_", "decision_", "votes_"))]
        assert len(scores) == 4
        # Older pandas reads numbers from CSV to the last digit but one.
        np.testing.assert_allclose(decided[scores], expected[scores].astype(float), rtol=1e-14)


def test_training_and_prediction_see_the_same_images(corpus, net_model):
    loaded = load_model(net_model)
    model, X, _ = python_model(corpus, "net")
    in_training, _ = run_front_end(front_end(model), X)
    in_prediction = loaded.estimator_[:-1].transform(X)
    assert in_training.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(in_prediction, in_training)


def test_model_file_tells_about_itself(corpus, net_model):
    facts = describe_model(net_model)
    assert facts["classes"] == ["ALS", "HC"]
    assert facts["patients_per_class"] == {"ALS": 5, "HC": 5}
    assert facts["tasks"] == ["phonationA", "rhythmPA"]
    assert facts["study"]["corpus"] == {"name": str(corpus / "patients.csv")}
    assert facts["study"]["model"]["params"] == [params_of(corpus, "net")]
    assert facts["study"]["evaluation"]["n_splits"] == 2
    assert facts["study_sha256"] == settings_hash(facts["study"])
    assert {"scikit-learn", "sklearn-dysarthria", "torch", "skorch"} <= set(facts["versions"])
    assert "S001" not in json.dumps(facts)
    assert load_model(net_model).estimator_.named_steps["images"].cache is None


def changed_facts(path, target, **changes):
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        facts = json.loads(old.read("metadata.json"))
        facts["versions"] |= changes.pop("versions", {})
        new.writestr("metadata.json", json.dumps({**facts, **changes}))
        new.writestr("model.joblib", old.read("model.joblib"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": {"scikit-learn": "0.24.2"}}, "was written with scikit-learn 0.24.2 (here: "),
        ({"versions": {"torch": "1.0.0"}}, "was written with torch 1.0.0"),
        ({"format": 99}, "has format 99"),
    ],
)
def test_other_versions_are_refused(
    run, corpus, svm_model, tmp_path, monkeypatch, is_one_sentence, changes, message
):
    changed_facts(svm_model, tmp_path / "old.model", **changes)

    def loading(*args):
        raise AssertionError("loaded")

    monkeypatch.setattr("joblib.load", loading)
    code, out, err = run("predict", "old.model", corpus / "wav", "--quiet")
    assert (code, out) == (1, "")
    assert is_one_sentence(err)
    assert message in err


def test_patch_releases_are_accepted(svm_model, tmp_path):
    version = describe_model(svm_model)["versions"]["scikit-learn"]
    changed = ".".join([*version.split(".")[:2], "99"])
    changed_facts(svm_model, tmp_path / "a.model", versions={"scikit-learn": changed})
    assert load_model(tmp_path / "a.model").classes_.tolist() == ["ALS", "HC"]


def test_other_files_are_no_models(run, corpus, svm_model, tmp_path, is_one_sentence):
    (tmp_path / "a.model").write_bytes(b"a pickle, perhaps")
    stored = svm_model.read_bytes()
    (tmp_path / "b.model").write_bytes(stored[: len(stored) // 2])
    damaged = bytearray(stored)
    middle = stored.index(b"PatientVotingClassifier", stored.index(b"model.joblib"))
    damaged[middle] ^= 1
    (tmp_path / "c.model").write_bytes(damaged)
    messages = ["is no model that", "is no model that", "is damaged"]
    for name, message in zip("abc", messages, strict=True):
        code, _, err = run("predict", f"{name}.model", corpus / "wav", "--quiet")
        assert code == 1
        assert is_one_sentence(err)
        assert message in err


def test_interrupted_training_leaves_nothing(run, corpus, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklearn_dysarthria.PatientVotingClassifier.fit", interrupted)
    code, _, err = run("train", corpus / "svm.toml", "--output", "new/a.model", "--quiet")
    assert code == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_formats(run, corpus, svm_model, tmp_path):
    wav = corpus / "wav" / "S001_phonationA.wav"
    code, out, err = run("predict", svm_model, wav)
    assert code == 0
    assert out.splitlines()[0].split()[:2] == ["patient", "prediction"]
    assert "1 recording of 1 patient" in err
    code, out, _ = run("predict", svm_model, wav, "--output", "a.json", "--quiet")
    assert out == "wrote a.json\n"
    (decided,) = json.loads((tmp_path / "a.json").read_text())
    assert decided["patient"] == "S001"
    assert sum(decided["votes"].values()) == 1
    assert set(decided["decision_values"]) == {"ALS", "HC"}
    code, _, _ = run("predict", svm_model, wav, "--output", "a.csv", "--quiet")
    assert as_csv((tmp_path / "a.csv").read_text()).index.tolist() == ["S001"]


def test_every_file_a_patient(run, corpus, svm_model):
    arguments = ["--pattern", "{patient}", "--format", "csv", "--quiet"]
    code, out, err = run("predict", svm_model, corpus / "wav", *arguments)
    assert code == 0, err
    decided = as_csv(out)
    assert len(decided) == 20
    assert set(decided["n_recordings"]) == {1}


@pytest.mark.parametrize("kind", ["net", "svm"])
def test_broken_recordings_in_prediction(run, patients, request, is_one_sentence, kind):
    path = request.getfixturevalue(f"{kind}_model")
    wav = patients.parent / "wav"
    expected = as_csv(run("predict", path, wav, "--format", "csv", "--quiet")[1])
    (wav / "S003_rhythmPA.wav").write_bytes(b"not audio")
    for task in ("phonationA", "rhythmPA"):
        (wav / f"S004_{task}.wav").write_bytes(b"not audio")
    arguments = ["predict", path, wav, "--format", "csv", "--quiet"]
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert is_one_sentence(err)
    assert "S003_rhythmPA.wav" in err
    with pytest.warns(RecordingWarning) as noted:
        code, out, err = run(*arguments, "--on-error", "nan")
    assert code == 0, err
    warned = " ".join(str(warning.message) for warning in noted)
    assert "S003_rhythmPA.wav" in warned
    assert "1 patients have no usable recording and get no decision: S004" in warned
    decided = as_csv(out)
    assert decided.index.tolist() == expected.index.tolist()
    assert pd.isna(decided.loc["S004", "prediction"])
    assert decided.loc["S004", "n_recordings"] == 0
    assert decided.loc["S003", "n_recordings"] == 1
    others = ~decided.index.isin(["S003", "S004"])
    scores = [name for name in decided if name.startswith(("proba_", "decision_"))]
    np.testing.assert_allclose(decided[scores][others], expected[scores][others], rtol=1e-5)


def test_nothing_left_to_decide_about(run, svm_model, tmp_path, recwarn):
    (tmp_path / "a.wav").write_bytes(b"not audio")
    code, _, err = run("predict", svm_model, "a.wav", "--on-error", "nan", "--quiet")
    assert code == 1
    assert "None of the recordings can be used" in err


# -------------------------------------------------------------------------------- evaluate


def test_evaluate_is_a_cross_validation_by_patient(run, corpus, tmp_path):
    scoring = "evaluation.scoring=['matthews_corrcoef', 'average_precision']"
    arguments = ["--cache", corpus / "cache", "--quiet", "--set", scoring]
    code, out, err = run("evaluate", corpus / "svm.toml", *arguments)
    assert code == 0, err
    assert "| egemaps-svm " in out
    assert "- cross-validation: 2 folds of patients" in out
    predictions = pd.read_csv(tmp_path / "evaluation" / "predictions.csv")
    own = predictions[predictions["method"] == "egemaps-svm"]
    assert own["patient"].is_unique
    assert len(own) == 10
    scores = pd.read_csv(tmp_path / "evaluation" / "scores.csv").set_index(["method", "metric"])
    value, low, high = scores.loc[("egemaps-svm", "matthews_corrcoef")]
    assert value == pytest.approx(matthews_corrcoef(own["truth"], own["prediction"]))
    assert low <= value <= high
    by_fold = [
        average_precision_score(fold["truth"] == "ALS", fold["score_ALS"])
        for _, fold in own.groupby("fold")
    ]
    precision = scores.loc[("egemaps-svm", "average_precision"), "value"]
    assert precision == pytest.approx(np.mean(by_fold))


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        ("quadratic_kappa", "'quadratic_kappa' is not for the labels ['ALS', 'HC']"),
        ("coverage", "is for models that abstain"),
        ("roc_au", "Did you mean 'roc_auc'"),
    ],
)
def test_scorers_that_do_not_fit_are_told_before_the_work(
    run, corpus, monkeypatch, is_one_sentence, scorer, message
):
    def comparing(*args, **kwargs):
        raise AssertionError("began to compare")

    monkeypatch.setattr("sklearn_dysarthria.report.compare", comparing)
    chosen = ["--set", f"evaluation.scoring={scorer}", "--quiet"]
    code, _, err = run("evaluate", corpus / "svm.toml", *chosen)
    assert code == 1
    assert is_one_sentence(err)
    assert message in err


def test_scores_of_ordered_classes_and_of_missing_probabilities(run, patients, tmp_path):
    table = pd.read_csv(patients)
    levels = {p: 1 + i % 2 for i, p in enumerate(table["patient"].unique())}
    table.assign(label=table["patient"].map(levels)).to_csv(patients, index=False)
    scoring = "evaluation.scoring=['neg_mae_classes', 'neg_log_loss', 'recall']"
    code, out, err = run("evaluate", "svm.toml", "--set", scoring, "--quiet")
    assert code == 0, err
    assert "neg_log_loss: egemaps-svm has no probabilities; majority class " in out
    decided = pd.read_csv(tmp_path / "evaluation" / "predictions.csv")
    own = decided[decided["method"] == "egemaps-svm"]
    scores = pd.read_csv(tmp_path / "evaluation" / "scores.csv").set_index(["method", "metric"])
    expected = -(own["truth"] - own["prediction"]).abs().mean()
    value = scores.loc[("egemaps-svm", "neg_mae_classes"), "value"]
    assert value == pytest.approx(expected)
    # scikit-learn's own speak of the positive class, here the larger number.
    ill = own[own["truth"] == 2]
    value = scores.loc[("egemaps-svm", "recall"), "value"]
    assert value == pytest.approx((ill["prediction"] == 2).mean())


@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.SmallClassWarning")
def test_training_patients_are_no_test(run, patients, svm_model, other_samples, is_one_sentence):
    arguments = ["--model", svm_model, "--quiet", "--set", "evaluation.n_resamples=50"]
    code, out, err = run("evaluate", "patients.csv", *arguments)
    assert (code, out) == (1, "")
    assert is_one_sentence(err)
    assert "10 patients of this corpus were in the training set" in err
    assert not (patients.parent / "evaluation").exists()
    code, _, err = run("evaluate", "patients.csv", *arguments, "--known-patients", "leave-out")
    assert code == 1
    assert "All patients of this corpus" in err

    table = pd.read_csv(patients)
    new = table["patient"].map(lambda patient: f"new-{patient}")
    keep = table["patient"].isin(["S001", "S002"])
    table.assign(patient=new.where(~keep, table["patient"])).to_csv(patients, index=False)
    other_samples(patients)
    code, _, err = run("evaluate", "patients.csv", *arguments)
    assert "2 patients of this corpus" in err
    code, out, err = run("evaluate", "patients.csv", *arguments, "--known-patients", "leave-out")
    assert code == 0, err
    assert "Warning: 2 training patients are left out (S001, S002)" in err
    decided = pd.read_csv(patients.parent / "evaluation" / "predictions.csv")
    assert set(decided["patient"]) == set(new[~keep])
    folder = patients.parent / "wav"
    predicted = as_csv(run("predict", svm_model, folder, "--format", "csv", "--quiet")[1])[
        "prediction"
    ]
    own = decided[decided["method"] == "egemaps-svm"].set_index("patient")["prediction"]
    assert own.to_dict() == {f"new-{p}": predicted[p] for p in predicted.index[2:]}


def test_labels_that_the_model_does_not_know(run, patients, svm_model, other_samples):
    other_samples(patients)
    table = pd.read_csv(patients)
    names = table["patient"] + "x"
    table.assign(patient=names, label="mild").to_csv(patients, index=False)
    code, _, err = run("evaluate", "patients.csv", "--model", svm_model, "--quiet")
    assert code == 1
    assert "has the labels ['mild']" in err


def test_positive_class_of_a_model_is_one_of_its_classes(
    run, patients, svm_model, other_samples, is_one_sentence
):
    other_samples(patients)
    table = pd.read_csv(patients)
    table.assign(patient=table["patient"] + "x").to_csv(patients, index=False)
    wrong = ["--set", "evaluation.positive=als", "--quiet"]
    code, _, err = run("evaluate", "patients.csv", "--model", svm_model, *wrong)
    assert code == 1
    assert is_one_sentence(err)
    assert "evaluation.positive='als' must be one of two classes" in err


def test_known_patients_are_for_a_model(run, corpus):
    code, _, err = run("evaluate", corpus / "svm.toml", "--known-patients", "leave-out")
    assert code == 2
    assert "--known-patients is for --model" in err


def test_a_full_set_of_files_is_replaced(run, corpus, svm_model, tmp_path):
    shutil.copy(svm_model, tmp_path / "study.model")
    before = (tmp_path / "study.model").read_bytes()
    new = ["--set", "model.params.classify.estimator.C=9", "--cache", corpus / "cache"]
    code, out, err = run("train", corpus / "svm.toml", *new, "--quiet")
    assert code == 0, err
    assert "trained on 20 recordings of patients: ALS: 5, HC: 5" in out
    assert (tmp_path / "study.model").read_bytes() != before
    assert (tmp_path / "study.model").stat().st_mode & 0o444
