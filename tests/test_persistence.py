"""Model files from Python."""

import json
import os
import zipfile

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dysarthria import (
    PatientVotingClassifier,
    egemaps_svm_patient_model,
    load_model,
    make_dysarthric_speech,
    save_model,
)
from sklearn_dysarthria.features import recording_transformers
from sklearn_dysarthria.persistence import describe_model, known_patients, settings_hash


@pytest.fixture(scope="module")
def speech():
    X, y = make_dysarthric_speech(
        n_patients=6, duration=0.5, sample_rate=8000, classes=["HC", "ALS"], random_state=0
    )
    return X.assign(loudness=[float(np.abs(a).mean()) for a in X["audio"]]), y


@pytest.fixture(scope="module")
def saved(speech, tmp_path_factory):
    """A small model, and its file."""
    loudness = ColumnTransformer([("loudness", "passthrough", ["loudness"])])
    model = PatientVotingClassifier(make_pipeline(loudness, LogisticRegression()), voting="soft")
    path = tmp_path_factory.mktemp("models") / "a.model"
    save_model(model.fit(*speech), path, *speech)
    return model, path


def test_a_loaded_model_decides_as_the_saved_one(saved, speech):
    model, path = saved
    loaded = load_model(path)
    assert loaded.predict_patients(speech[0]).equals(model.predict_patients(speech[0]))
    assert load_model(os.fspath(path)).classes_.tolist() == ["ALS", "HC"]


def test_a_description_names_no_patient_and_needs_no_loading(saved, speech, monkeypatch):
    monkeypatch.setattr("joblib.load", None)
    description = describe_model(saved[1])
    assert description["classes"] == ["ALS", "HC"]
    assert description["patients_per_class"] == {"ALS": 3, "HC": 3}
    assert description["recordings"] == len(speech[0])
    assert description["tasks"] == ["phonationA", "rhythmPA"]
    assert description["study"] == {"model": {"name": "PatientVotingClassifier"}}
    assert "torch" not in description["versions"]
    assert not any(patient in json.dumps(description) for patient in speech[0]["patient"])


def test_known_patients_are_found_by_name_and_by_samples(saved, speech):
    X, _ = speech
    description = describe_model(saved[1])
    others = X.assign(audio=[a[::-1].copy() for a in X["audio"]], patient="new-" + X["patient"])
    assert known_patients(description, others) == ([], [])
    named = others.assign(patient=X["patient"])
    assert known_patients(description, named) == (list(X["patient"].unique()), [])
    samples = [*others["audio"][:3], X["audio"].iloc[3], *others["audio"][4:]]
    renamed = others.assign(audio=samples)
    patient = others["patient"].iloc[3]
    assert known_patients(description, renamed) == ([], [patient])
    cut = renamed.assign(segments=[[(0.0, 0.1)]] * len(renamed))
    assert known_patients(description, cut) == ([], [patient])
    assert known_patients(description, renamed, by_samples=False) == ([], [])


def test_a_saved_model_keeps_neither_cache_nor_tolerance(speech, tmp_path):
    X, y = speech
    model = egemaps_svm_patient_model(cache=tmp_path / "cache")
    for transformer in recording_transformers(model):
        transformer.set_params(on_error="nan", n_jobs=1)
    before = [part.get_params() for part in recording_transformers(model.fit(X, y))]
    save_model(model, tmp_path / "a.model", X, y, n_left_out=3)
    assert [part.get_params() for part in recording_transformers(model)] == before
    for transformer in recording_transformers(load_model(tmp_path / "a.model")):
        chosen = {name: getattr(transformer, name) for name in ("cache", "n_jobs", "on_error")}
        assert chosen == {"cache": None, "n_jobs": None, "on_error": "raise"}
    assert describe_model(tmp_path / "a.model")["recordings_left_out"] == 3


def test_settings_are_hashed_without_regard_to_order(saved, speech, tmp_path):
    assert settings_hash({"a": 1, "b": {"c": 2, "d": 3}}) == settings_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})
    study = {"model": {"name": "mine"}, "note": 3}
    save_model(saved[0], tmp_path / "a.model", *speech, study=study)
    description = describe_model(tmp_path / "a.model")
    assert description["study"] == study
    assert description["study_sha256"] == settings_hash(study)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.model").write_bytes(b"something else")
    with zipfile.ZipFile(tmp_path / "b.model", "w") as archive:
        archive.writestr("metadata.json", "3")
    for name in ("a.model", "b.model"):
        for read in (describe_model, load_model):
            with pytest.raises(ValueError, match=f"{name} is no model that"):
                read(tmp_path / name)
