"""openSMILE features against openSMILE itself."""

import os
import pathlib
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import opensmile
import pandas as pd
import pytest
import soundfile
import soxr

from sklearn_dysarthria import EGeMAPSFeatures, make_dysarthric_speech
from sklearn_dysarthria.exceptions import (
    RecordingWarning,
    SilentAudioError,
    TooShortAudioError,
)
from sklearn_dysarthria.recordings import open_store

SETTINGS = [
    ("eGeMAPSv02", "Functionals"),
    ("eGeMAPSv02", "LowLevelDescriptors"),
    ("GeMAPSv01b", "Functionals"),
    ("ComParE_2016", "Functionals"),
    ("ComParE_2016", "LowLevelDescriptors"),
    ("ComParE_2016", "LowLevelDescriptors_Deltas"),
    ("emobase", "Functionals"),
    ("emobase", "LowLevelDescriptors_Deltas"),
]


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    X, _ = make_dysarthric_speech(
        n_patients=2, duration=1.0, random_state=0, folder=tmp_path_factory.mktemp("speech")
    )
    return X.iloc[:3]


def smile(feature_set, feature_level):
    return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[feature_level])


def moments(frames):
    values = frames.to_numpy(dtype=np.float64)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])


@pytest.mark.parametrize(("feature_set", "feature_level"), SETTINGS)
def test_equal_to_opensmile(speech, feature_set, feature_level):
    transformer = EGeMAPSFeatures(feature_set=feature_set, feature_level=feature_level)
    features = transformer.fit_transform(speech)
    theirs = smile(feature_set, feature_level)
    names = list(theirs.feature_names)
    if feature_level != "Functionals":
        names = [f"{n}_mean" for n in names] + [f"{n}_std" for n in names]
    assert features.dtype == np.float32
    assert list(transformer.get_feature_names_out()) == names
    assert len(set(names)) == len(names)
    assert features.shape == (3, len(names))
    assert transformer.n_features_out_ == len(names)
    for row, path in zip(features, speech["audio"], strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        for frames in (theirs.process_file(path), theirs.process_signal(samples, rate)):
            if feature_level == "Functionals":
                assert np.array_equal(row, frames.to_numpy()[0])
            else:
                np.testing.assert_allclose(row, moments(frames), rtol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_sample_rate(speech, rate):
    samples, recorded = soundfile.read(speech["audio"].iloc[0], dtype="float32")
    ours = EGeMAPSFeatures(sample_rate=rate).transform(speech[:1])[0]
    resampled = samples if rate == recorded else soxr.resample(samples, recorded, rate, "HQ")
    theirs = smile("eGeMAPSv02", "Functionals").process_signal(resampled, rate)
    np.testing.assert_allclose(ours, theirs.to_numpy()[0], rtol=1e-5)


def test_segments(speech):
    samples, rate = soundfile.read(speech["audio"].iloc[0], dtype="float32")
    X = speech[:1].assign(segments=[[(0.1, 0.4), (0.5, 0.9)]])
    kept = np.concatenate([samples[1600:6400], samples[8000:14400]])
    theirs = smile("eGeMAPSv02", "Functionals").process_signal(kept, rate)
    assert np.array_equal(EGeMAPSFeatures().transform(X), theirs.to_numpy())


def test_pandas_output_keeps_index_and_names(speech):
    X = speech.set_axis(["b", "a", "b"])
    transformer = EGeMAPSFeatures().set_output(transform="pandas")
    frame = transformer.fit_transform(X)
    assert list(frame.index) == ["b", "a", "b"]
    assert list(frame.columns) == list(smile("eGeMAPSv02", "Functionals").feature_names)
    assert np.array_equal(frame.to_numpy(), EGeMAPSFeatures().transform(X))
    assert set(frame.dtypes) == {np.dtype(np.float32)}
    series = transformer.transform(X["audio"])
    assert list(series.index) == ["b", "a", "b"]
    assert list(transformer.transform(list(X["audio"])).index) == [0, 1, 2]


@pytest.mark.parametrize(
    "parameters",
    [
        {"feature_set": opensmile.FeatureSet.eGeMAPSv02},
        {"feature_level": opensmile.FeatureLevel.Functionals},
        {"feature_set": "egemaps/v02/eGeMAPSv02", "feature_level": "func"},
        {"feature_set": np.str_("eGeMAPSv02")},
    ],
    ids=repr,
)
def test_members_values_and_names_are_one(speech, tmp_path, parameters):
    transformer = EGeMAPSFeatures(**parameters, cache=tmp_path)
    expected = EGeMAPSFeatures(cache=tmp_path).transform(speech)
    entries = {path for path in tmp_path.rglob("*") if len(path.name) == 62}
    assert len(entries) == len(speech)
    again = pickle.loads(pickle.dumps(transformer))
    assert np.array_equal(again.fit_transform(speech), expected)
    assert {path for path in tmp_path.rglob("*") if len(path.name) == 62} == entries


@pytest.mark.parametrize(
    "parameters",
    [
        *[
            {name: value}
            for name in ("feature_set", "feature_level")
            for value in ("egemaps", "", None, 3, ["eGeMAPSv02"], pathlib.Path("eGeMAPSv02"))
        ],
        {"feature_set": opensmile.FeatureLevel.Functionals},
        {"feature_level": opensmile.FeatureSet.eGeMAPSv02},
        {"feature_level": "LowLevelDescriptors_Deltas"},  # eGeMAPS has none
        *[{"sample_rate": value} for value in (0, -1, np.nan, np.inf, 16, "16000", True)],
        {"on_error": "skip"},
        {"n_jobs": 0.5},
        {"verbose": -2},
    ],
    ids=repr,
)
def test_absurd_parameters(speech, parameters):
    transformer = EGeMAPSFeatures(**parameters)
    (name,) = parameters
    for method in (transformer.fit, transformer.transform, transformer.fit_transform):
        with pytest.raises(ValueError, match=rf"{name}|[Ff]eature level"):
            method(speech)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_too_short_names_row_and_file(tmp_path, kind):
    path = tmp_path / "brief.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 200), 16000)
    X = pd.DataFrame({"audio": [kind(path)]}, index=["ALS024_a"])
    with pytest.raises(TooShortAudioError, match=r"row 'ALS024_a'.*brief\.wav.*0\.0125 s") as error:
        EGeMAPSFeatures().transform(X)
    assert error.value.path == os.fspath(path)
    with pytest.raises(TooShortAudioError):
        EGeMAPSFeatures(feature_level="LowLevelDescriptors").transform(X)


def test_bad_rows_become_nan(speech):
    samples, rate = soundfile.read(speech["audio"].iloc[0], dtype="float32")
    audio = pd.Series([samples, np.zeros(8000), samples[:100]], dtype=object)
    X = pd.DataFrame({"audio": audio, "sample_rate": rate})
    with pytest.raises(SilentAudioError, match="row 1"):
        EGeMAPSFeatures().transform(X)
    with pytest.warns(RecordingWarning, match="2 of 3.*\n.*row 1: .*\n.*row 2: "):
        features = EGeMAPSFeatures(on_error="nan").transform(X)
    assert np.isnan(features).all(axis=1).tolist() == [False, True, True]
    assert np.isfinite(features[0]).all()


def test_threads_share_an_extractor(speech):
    with joblib.parallel_config("threading", n_jobs=2):
        threaded = EGeMAPSFeatures().transform(pd.concat([speech] * 3))
    assert np.array_equal(threaded, np.tile(EGeMAPSFeatures().transform(speech), (3, 1)))


def test_nothing_else_needs_opensmile(speech, monkeypatch):
    from sklearn_dysarthria import LogMelDeltaImages

    monkeypatch.setitem(sys.modules, "opensmile", None)
    assert len(LogMelDeltaImages(fmax=8000, image_size=8).fit_transform(speech)) == 3


def test_threads_leave_the_warning_filters_alone():
    X, _ = make_dysarthric_speech(n_patients=2, duration=0.6, random_state=0)
    EGeMAPSFeatures().fit_transform(X)
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(EGeMAPSFeatures().transform, [X] * 8))
    assert list(warnings.filters) == before


def test_numbers_of_a_grid_are_one_setting_in_the_cache(tmp_path):
    X, _ = make_dysarthric_speech(n_patients=2, duration=0.6, random_state=0)
    for rate in (16000, 16000.0, np.int64(16000), np.float32(16000)):
        EGeMAPSFeatures(sample_rate=rate, cache=tmp_path).fit_transform(X)
        assert open_store(tmp_path).clear() == len(X)
