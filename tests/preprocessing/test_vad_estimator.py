"""EnergyVAD as a scikit-learn transformer: parameters, errors, pipelines."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_dysarthria import EnergyVAD, LogMelDeltaImages
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingColumnError,
    MissingFileError,
    RecordingWarning,
    SegmentsError,
    SilentAudioError,
    TooShortAudioError,
)
from sklearn_dysarthria.recordings import load_waveform


def bursts(rate, seed=0):
    """One second of noise whose loudness changes every 50 ms by up to 60 dB."""
    rng = np.random.default_rng(seed)
    gains = 10 ** (rng.uniform(-60, 0, 20) / 20)
    return (0.2 * rng.standard_normal(rate) * np.repeat(gains, rate // 20)).clip(-1, 1)


def table(*recordings, rate=16000, **columns):
    audio = np.empty(len(recordings), dtype=object)
    audio[:] = recordings
    return pd.DataFrame({"audio": audio, "sample_rate": rate, **columns})


def bad_table():
    X = table(bursts(16000), np.zeros(16000), bursts(16000, 1), bursts(16000, 2))
    X["segments"] = pd.Series([None, None, [(0.5, 7.0)], [(0.1, 0.9)]], dtype=object)
    X.index = ["good", "silent", "outside", "given"]
    return X


def test_errors_are_raised():
    X = bad_table()
    with pytest.raises(SilentAudioError, match="row 'silent'"):
        EnergyVAD().transform(X)
    with pytest.raises(SilentAudioError, match="row 'silent'"):
        EnergyVAD(n_jobs=2).fit_transform(X)
    with pytest.raises(SegmentsError, match="row 'outside'"):
        EnergyVAD().transform(X.drop(index="silent"))
    with pytest.raises(MissingFileError, match="row 0"):
        EnergyVAD().transform(["no.wav"])


def test_failed_rows_fail_again_later():
    X = bad_table()
    with pytest.warns(RecordingWarning, match=r"(?s)2 of 4.*row 'silent'.*row 'outside'") as caught:
        out = EnergyVAD(on_error="nan").transform(X)
    assert len(caught) == 1
    assert list(out.index) == list(X.index)
    assert out["segments"]["silent"] is None
    assert out["segments"]["outside"] == [(0.5, 7.0)]
    for label, error in {"silent": SilentAudioError, "outside": SegmentsError}.items():
        with pytest.raises(error):
            load_waveform(out.loc[label])
    for label in ("good", "given"):
        assert len(load_waveform(out.loc[label]))


@pytest.mark.parametrize(
    ("X", "error"),
    [
        (pd.DataFrame({"path": ["a.wav"]}), MissingColumnError),
        (np.zeros((3, 4)), AudioTypeError),
        ("a.wav", AudioTypeError),
        (None, AudioTypeError),
    ],
)
def test_not_a_table(X, error):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(error):
            getattr(EnergyVAD(), method)(X)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("top_db", [0, -1, float("nan"), float("inf"), "30", None]),
        ("frame_length", [0, -1, 2048.0, float("nan"), "2048", None]),
        ("hop_length", [0, -1, 512.0, float("nan"), "512", None]),
        ("mode", ["both", None, 1, "Trim"]),
        ("sample_rate", [0, -1, 22.05, float("nan"), float("inf"), "22050", None]),
        ("n_jobs", [1.5, "two"]),
        ("on_error", ["ignore", None, float("nan")]),
        ("verbose", [-1, "loud", None]),
    ],
)
def test_absurd_parameters(name, values):
    for value in values:
        vad = EnergyVAD(**{name: value})
        for method in ("fit", "transform"):
            with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of EnergyVAD"):
                getattr(vad, method)(table(bursts(16000)))


def test_parameters_are_keyword_only():
    with pytest.raises(TypeError):
        EnergyVAD(30.0)


# The transformer


def test_clone_params_and_pickle():
    params = {
        "top_db": 25.0,
        "frame_length": 1024,
        "hop_length": 128,
        "mode": "split",
        "sample_rate": 16000,
        "cache": None,
        "n_jobs": 1,
        "on_error": "nan",
        "verbose": 0,
    }
    vad = EnergyVAD(**params)
    X = table(bursts(16000))
    expected = list(vad.fit(X).transform(X)["segments"])
    for twin in (clone(vad), pickle.loads(pickle.dumps(vad)), EnergyVAD().set_params(**params)):
        assert twin.get_params() == params
        assert list(twin.transform(X)["segments"]) == expected
    assert EnergyVAD().get_params() == {
        "top_db": 30.0,
        "frame_length": 2048,
        "hop_length": 512,
        "mode": "trim",
        "sample_rate": 22050,
        "cache": None,
        "n_jobs": None,
        "on_error": "raise",
        "verbose": 0,
    }


def test_needs_no_fit_and_learns_nothing():
    X = table(bursts(16000), bursts(16000, 1))
    unfitted = EnergyVAD().transform(X)
    fitted = EnergyVAD().fit(X[:1], [0]).transform(X)
    assert list(unfitted["segments"]) == list(fitted["segments"])
    tags = get_tags(EnergyVAD())
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.no_validation


def test_fit_reads_no_audio():
    assert EnergyVAD().fit(["no.wav"]).feature_names_in_.tolist() == ["audio"]


def test_feature_names():
    vad = EnergyVAD()
    with pytest.raises(NotFittedError):
        vad.get_feature_names_out()
    assert vad.get_feature_names_out(["audio", "patient"]).tolist() == [
        "audio",
        "patient",
        "segments",
    ]
    for X in (table(bursts(16000), patient="p"), table(bursts(16000), segments=[None], task="a")):
        out = vad.fit_transform(X)
        assert vad.get_feature_names_out().tolist() == list(out.columns)


def durations(X):
    return np.array([[sum(b - a for a, b in segments)] for segments in X["segments"]])


@pytest.mark.parametrize("container", ["default", "pandas", None, "anything"])
def test_pipeline_and_set_output(container):
    X = table(bursts(16000), bursts(16000, 1))
    assert isinstance(EnergyVAD().set_output(transform=container).transform(X), pd.DataFrame)
    pipeline = make_pipeline(
        EnergyVAD(mode="split"),
        FunctionTransformer(durations, feature_names_out=lambda *_: ["seconds"]),
    )
    expected = durations(EnergyVAD(mode="split").transform(X))
    np.testing.assert_array_equal(pipeline.fit_transform(X), expected)
    if container in ("default", "pandas"):
        pipeline.set_output(transform=container)
        np.testing.assert_array_equal(pipeline.fit_transform(X), expected)
        assert isinstance(pipeline.transform(X), pd.DataFrame) == (container == "pandas")
    pipeline.set_params(energyvad__top_db=10.0)
    assert (np.asarray(clone(pipeline).fit_transform(X)) <= expected).all()


def test_global_output_setting_does_not_matter():
    X = table(bursts(16000))
    for container in ("pandas", "polars"):
        with config_context(transform_output=container):
            assert isinstance(EnergyVAD().fit_transform(X), pd.DataFrame)


def test_representations():
    vad = EnergyVAD(top_db=20.0)
    assert repr(vad) == "EnergyVAD(top_db=20.0)"
    for estimator in (vad, vad.fit(table(bursts(16000))), make_pipeline(vad)):
        assert "EnergyVAD" in estimator._repr_html_()


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 16000, 22050, 44100]),
    analysed=st.sampled_from([16000, 22050]),
    mode=st.sampled_from(["trim", "split"]),
    segments=st.sampled_from([None, [(0.05, 0.6)], [(0.0, 0.3), (0.5, 1.0)]]),
    longer=st.integers(0, 500),
    seed=st.integers(0, 99),
)
def test_one_pass_hears_what_two_steps_hear(rate, analysed, mode, segments, longer, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(rate + longer) / rate
    loud = np.sin(2 * np.pi * 3 * time + seed) > 0
    audio = (rng.normal(size=len(time)) * np.where(loud, 0.3, 1e-4)).astype(np.float32)
    row = {"audio": audio, "sample_rate": rate, "segments": segments}
    X = pd.DataFrame({name: pd.Series([cell], dtype=object) for name, cell in row.items()})
    vad = EnergyVAD(sample_rate=22050, frame_length=512, hop_length=128, mode=mode)
    images = LogMelDeltaImages(
        sample_rate=analysed, n_fft=256, hop_length=64, n_mels=20, fmax=4000, image_size=20
    )
    two_steps = make_pipeline(vad, clone(images)).fit_transform(X)
    np.testing.assert_array_equal(images.set_params(vad=vad).fit_transform(X), two_steps)


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_one_pass_meets_the_errors_of_two_steps(on_error):
    loud = np.random.default_rng(0).normal(size=8000)
    X = pd.DataFrame({"audio": [loud, loud[:100], 0 * loud], "sample_rate": 8000})
    vad = EnergyVAD(sample_rate=8000, frame_length=256, hop_length=64)
    images = LogMelDeltaImages(
        sample_rate=8000, n_fft=256, n_mels=20, image_size=20, vad=vad, on_error=on_error
    )
    if on_error == "raise":
        with pytest.raises(TooShortAudioError, match="row 1"):
            images.fit_transform(X)
    else:
        with pytest.warns(RecordingWarning, match="2 of 3"):
            failed = np.isnan(images.fit_transform(X)).all(axis=(1, 2, 3))
        assert failed.tolist() == [False, True, True]


def test_one_pass_checks_the_detector():
    X = pd.DataFrame({"audio": [np.ones(8000)], "sample_rate": 8000})
    with pytest.raises(ValueError, match="hop_length"):
        LogMelDeltaImages(vad=EnergyVAD(hop_length=0)).fit(X)
    with pytest.raises(ValueError, match="vad"):
        LogMelDeltaImages(vad="energy").fit(X)
