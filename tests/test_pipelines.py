import joblib
import numpy as np
import pytest
from sklearn.base import clone

from sklearn_dysarthria import (
    AdamW,
    Augment,
    EGeMAPSFeatures,
    FocalLoss,
    LogMelDeltaImages,
    Schedule,
    egemaps_svm_patient_model,
    egemaps_svm_pipeline,
    hyper_alexnet_pipeline,
    make_dysarthric_speech,
    sand_convnext_pipeline,
)
from sklearn_dysarthria.pipelines import PRESETS, SAND_BANDS, SAND_OVERSAMPLING

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
    assert sum(len(path.name) == 62 for path in tmp_path.rglob("*")) == len(X)  # entries
    assert 2.0 in [v for k, v in model.get_params().items() if k.endswith("__C")]
    again = clone(model).fit(X, y)
    assert (again.decision_function(X) == model.decision_function(X)).all()


class InOtherUnits(EGeMAPSFeatures):
    """The same features, each in another unit."""

    def transform(self, X):
        units = 10.0 ** (np.arange(88) % 7 - 3)
        return np.asarray(super().transform(X)) * units


@pytest.mark.parametrize(
    ("build", "step"),
    [(egemaps_svm_pipeline, "features"), (egemaps_svm_patient_model, "transformer")],
)
def test_baselines_do_not_depend_on_the_units_of_features(build, step, speech, tmp_path):
    X, y = speech
    scores = build(cache=tmp_path).fit(X, y).decision_function(X)
    scaled = build(cache=tmp_path).set_params(**{step: InOtherUnits(cache=tmp_path)})
    # libsvm stops at a tolerance of 1e-3.
    np.testing.assert_allclose(scaled.fit(X, y).decision_function(X), scores, atol=0.01)


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
    assert alexnet["classify"].backbone.weights is not None
    assert list(convnext.named_steps) == ["images", "classify"]
    assert convnext["images"].n_mels == 256
    assert convnext["images"].freq_ranges == SAND_BANDS
    assert convnext["classify"].backbone.weights is not None


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
def test_arguments(build, tmp_path):
    model = build(preset="quick", cache=tmp_path, classify__lr=0.5)
    assert model["classify"].lr == 0.5
    assert model["classify"].backbone.weights is None
    assert model["images"].cache == tmp_path
    with pytest.raises(ValueError, match=r"preset='huge' must be one of \['paper', 'quick'\]"):
        build(preset="huge")
    with pytest.raises(ValueError, match="Invalid parameter 'learning_rate'"):
        build(classify__learning_rate=1)


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
@pytest.mark.parametrize("preset", ["paper", "quick"])
def test_every_object_that_has_parameters_is_there(build, preset):
    pipeline = build(preset=preset, classify__augment__rotation=10)
    assert pipeline["classify"].augment.rotation == 10
    for name in ("backbone__freeze", "loss__label_smoothing", "lr_schedule__warmup_epochs"):
        pipeline.set_params(**{f"classify__{name}": 1})


def test_pipelines_do_not_share_settings():
    before = repr(PRESETS)
    sand_convnext_pipeline(classify__augment__rotation=77, classify__backbone__freeze="all")
    assert sand_convnext_pipeline()["classify"].augment.rotation == 10
    assert sand_convnext_pipeline()["classify"].backbone.freeze is None
    first = sand_convnext_pipeline(images__n_mels=64)
    assert first["images"].n_mels == 64
    assert sand_convnext_pipeline()["images"].n_mels == 256
    assert repr(PRESETS) == before


def test_the_sand_entrys_training():
    entry = sand_convnext_pipeline(oversample="sand")["classify"].get_params()
    assert entry["oversample"] == SAND_OVERSAMPLING == {1: 21, 2: 5, 3: 2}
    assert (entry["backbone__name"], entry["loss"]) == ("convnext_base", FocalLoss(gamma=2.0))
    assert (entry["optimizer"], entry["lr"], entry["weight_decay"]) == (AdamW(), 1e-4, 0.01)
    assert (entry["lr_schedule"], entry["max_epochs"]) == (Schedule("cosine"), 75)
    assert (entry["batch_size"], entry["stochastic_depth"]) == (16, 0.1)
    assert entry["augment"] == Augment(
        spec=0.7,
        horizontal_flip=0.3,
        vertical_flip=0.5,
        rotation=10,
        color_jitter=(0.2, 0.2, 0.0),
        translation=0.1,
    )
    assert sand_convnext_pipeline(oversample={"ALS": 2})["classify"].oversample == {"ALS": 2}
    assert sand_convnext_pipeline()["classify"].oversample is None
    with pytest.raises(ValueError, match="oversample='SAND' must be 'sand'"):
        sand_convnext_pipeline(oversample="SAND")


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
def test_every_published_parameter_can_be_set_and_survives_cloning(build):
    pipeline = build(preset="quick")
    for name, value in pipeline.get_params().items():
        if "__" in name:
            pipeline.set_params(**{name: value})
    assert clone(pipeline).get_params()["classify__lr"] == pipeline["classify"].lr


@pytest.mark.parametrize("build", [hyper_alexnet_pipeline, sand_convnext_pipeline])
def test_one_saved_pipeline_trains_and_predicts(build, speech, tmp_path):
    """What is loaded makes the images that were trained on, and gives the same answers."""
    X, y = speech
    tiny = {**TINY, "images__fmax": 4000, "classify__random_state": 0}
    if build is sand_convnext_pipeline:
        tiny["images__freq_ranges"] = {"phonation": (50, 3000), "rhythm": (100, 3500)}
    pipeline = build(preset="quick", **tiny)
    seen = []

    def watch(fit):
        def spied(images, *args, **kwargs):
            seen.append(images)
            return fit(images, *args, **kwargs)

        return spied

    classifier = pipeline["classify"]
    classifier.fit = watch(classifier.fit)
    pipeline.fit(X, y)
    del classifier.fit  # an attribute of this object only
    joblib.dump(pipeline, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded[:-1].transform(X), seen[0])
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    one_by_one = np.vstack([loaded.predict_proba(X.iloc[[i]]) for i in range(len(X))])
    np.testing.assert_allclose(one_by_one, pipeline.predict_proba(X), atol=1e-5)


def test_a_step_given_whole_is_left_alone_by_the_preset():
    images = LogMelDeltaImages(n_mels=17)
    pipeline = hyper_alexnet_pipeline(preset="quick", images=images)
    assert pipeline["images"] is images
    assert images.n_mels == 17
    assert pipeline["classify"].backbone.weights is None


@pytest.mark.parametrize("oversample", [[1, 2], 3, "SAND"])
def test_impossible_oversampling(oversample):
    with pytest.raises(ValueError, match="must be 'sand', a dict, or None"):
        sand_convnext_pipeline(oversample=oversample)
