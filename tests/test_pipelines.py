import numpy as np
import pytest
from sklearn.base import clone

from sklearn_dysarthria import (
    egemaps_svm_patient_model,
    egemaps_svm_pipeline,
    hyper_alexnet_pipeline,
    make_dysarthric_speech,
    sand_convnext_pipeline,
)
from sklearn_dysarthria.pipelines import PRESETS, SAND_BANDS

TINY = {"images__n_mels": 16, "images__image_size": 64, "images__sample_rate": 8000}
TINY |= {"images__n_fft": 256, "images__hop_length": 128, "classify__max_epochs": 1}


@pytest.fixture(scope="module")
def speech():
    return make_dysarthric_speech(n_patients=6, duration=0.6, sample_rate=8000, random_state=0)


@pytest.mark.parametrize("build", [egemaps_svm_pipeline, egemaps_svm_patient_model])
def test_baselines(build, speech, tmp_path):
    X, y = speech
    model = build(C=2.0, cache=tmp_path).fit(X, y)
    assert set(model.predict(X)) <= {0, 1}
    assert any(tmp_path.rglob("*.pkl"))
    assert 2.0 in [v for k, v in model.get_params().items() if k.endswith("__C")]
    again = clone(model).fit(X, y)
    assert (again.decision_function(X) == model.decision_function(X)).all()


def test_features_of_missing_tasks_take_the_mean(speech):
    X, y = speech
    keep = np.arange(len(X)) != 3
    model = egemaps_svm_patient_model().fit(X[keep], y[keep])
    assert len(model.predict_patients(X[keep])) == 6


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
def test_networks_learn_and_answer(build, speech):
    X, y = speech
    tiny = {**TINY, "images__fmax": 4000, "classify__random_state": 0}
    if build is sand_convnext_pipeline:
        tiny["images__freq_ranges"] = None
    model = build(preset="quick", **tiny).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), 2)
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_published_configurations():
    alexnet, convnext = hyper_alexnet_pipeline(), sand_convnext_pipeline()
    images = alexnet["images"].get_params()
    assert (images["sample_rate"], images["n_fft"], images["hop_length"]) == (22050, 2048, 512)
    assert (images["n_mels"], images["image_size"]) == (224, 224)
    assert alexnet["classify"].weights is not None
    assert list(convnext.named_steps) == ["vad", "images", "classify"]
    assert convnext["images"].n_mels == 256
    assert convnext["images"].freq_ranges == SAND_BANDS
    assert convnext["classify"].weights is not None


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
def test_arguments(build, tmp_path):
    model = build(preset="quick", cache=tmp_path, classify__lr=0.5)
    assert model["classify"].lr == 0.5
    assert model["classify"].weights is None
    assert model["images"].cache == tmp_path
    with pytest.raises(ValueError, match=r"preset='huge' must be one of \['paper', 'quick'\]"):
        build(preset="huge")
    with pytest.raises(ValueError, match="Invalid parameter 'learning_rate'"):
        build(classify__learning_rate=1)


def test_pipelines_do_not_share_settings():
    before = repr(PRESETS)
    first = sand_convnext_pipeline(images__n_mels=64)
    assert first["images"].n_mels == 64
    assert sand_convnext_pipeline()["images"].n_mels == 256
    assert repr(PRESETS) == before
