"""AddNoise as a scikit-learn transformer: parameters, errors, training only, pipelines."""

import pickle

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_dysarthria import AddNoise, EnergyVAD, RecordingOverSampler
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    EmptyAudioError,
    MissingColumnError,
    MissingFileError,
    NonFiniteAudioError,
    RecordingWarning,
    SampleRateError,
    SegmentsError,
    SilentAudioError,
)
from sklearn_dysarthria.recordings import load_waveform

RATE = 8000


def samples(seed=0, n_samples=600):
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


def table(*recordings, rate=RATE, **columns):
    audio = np.empty(len(recordings), dtype=object)
    for i, recording in enumerate(recordings):
        audio[i] = recording
    return pd.DataFrame({"audio": audio, "sample_rate": rate, **columns})


def same_audio(left, right):
    return [np.array_equal(a, b) for a, b in zip(left["audio"], right["audio"], strict=True)]


# The table


def test_rows_index_and_other_columns_stay():
    X = table(samples(), samples(1), samples(2), note=[{"a": 1}, None, [1]])
    X["segments"] = pd.Series([None, [(0.01, 0.05)], None], dtype=object)
    X.index = ["b", (1, 2), "b"]
    before = pickle.dumps(X)
    out = AddNoise(random_state=0).fit_transform(X)
    assert pickle.dumps(X) == before
    assert out.index.equals(X.index)
    assert list(out.columns) == list(X.columns)
    pd.testing.assert_frame_equal(out.drop(columns="audio"), X.drop(columns="audio"))
    assert not any(same_audio(out, X))


def test_files(tmp_path):
    stereo = np.column_stack([samples(), samples(1)])
    sf.write(tmp_path / "stereo.wav", stereo, 11025, subtype="FLOAT")
    sf.write(tmp_path / "pcm.wav", samples(2), RATE, subtype="PCM_16")
    paths = [tmp_path / "stereo.wav", str(tmp_path / "pcm.wav")]
    expected = [load_waveform(path) for path in paths]
    for X in (paths, pd.Series(paths), pd.DataFrame({"audio": paths})):
        out = AddNoise(60, random_state=0).fit_transform(X)
        assert out["sample_rate"].tolist() == [11025, RATE]
        for row, clean in zip(range(2), expected, strict=True):
            noisy = load_waveform(out.iloc[row])
            assert noisy.dtype == np.float32
            np.testing.assert_allclose(noisy, clean, atol=1e-3)
            assert not np.array_equal(noisy, clean)


def test_a_file_without_noise_stays_a_path(tmp_path):
    sf.write(tmp_path / "a.wav", samples(), RATE)
    for step in (AddNoise(probability=0), AddNoise(training_only=True)):
        out = step.transform([tmp_path / "a.wav"])
        assert out["audio"].tolist() == [tmp_path / "a.wav"]
        assert list(out.columns) == ["audio", "sample_rate"]
        assert len(load_waveform(out.iloc[0])) == 600
    mixed = pd.DataFrame({"audio": [tmp_path / "a.wav", samples()], "sample_rate": [None, RATE]})
    out = AddNoise(random_state=0).transform(mixed)
    assert out["sample_rate"].tolist() == [RATE, RATE]


# Errors


def bad_table():
    X = table(samples(), np.zeros(600), samples(1), samples(2))
    X["segments"] = pd.Series([None, None, [(0.05, 7.0)], [(0.01, 0.05)]], dtype=object)
    X.index = ["good", "silent", "outside", "given"]
    return X


def test_errors_are_raised():
    X = bad_table()
    for step in (AddNoise(), AddNoise(n_jobs=2)):
        with pytest.raises(SilentAudioError, match="row 'silent'"):
            step.transform(X)
    with pytest.raises(SegmentsError, match="row 'outside'"):
        AddNoise().fit_transform(X.drop(index="silent"))
    with pytest.raises(MissingFileError, match="row 0"):
        AddNoise().transform(["no.wav"])


@pytest.mark.parametrize(
    ("audio", "segments", "error"),
    [
        (None, None, AudioTypeError),
        ((samples() * 32768).astype(np.int16), None, AudioTypeError),
        (samples().reshape(-1, 2), None, AudioTypeError),
        (np.full(600, np.nan), None, NonFiniteAudioError),
        (samples() * np.float64(1e15), None, NonFiniteAudioError),
        (np.zeros(0), None, EmptyAudioError),
        (np.full(600, 0.3), None, SilentAudioError),
        (samples(), [], EmptyAudioError),
        (np.r_[samples(), np.zeros(600)], [(0.08, 0.14)], SilentAudioError),
        (samples(), [(0.05, 0.01)], SegmentsError),
    ],
)
def test_every_unusable_recording_is_told(audio, segments, error):
    X = table(audio)
    X["segments"] = pd.Series([segments], dtype=object)
    with pytest.raises(error, match="row 0"):
        AddNoise().transform(X)
    with pytest.raises(SampleRateError):
        AddNoise().transform(X.assign(audio=[samples()], sample_rate=np.nan))


def test_failed_rows_fail_again_later():
    X = bad_table()
    with pytest.warns(RecordingWarning, match=r"(?s)2 of 4.*row 'silent'.*row 'outside'") as caught:
        out = AddNoise(on_error="nan", random_state=0).fit_transform(X)
    assert len(caught) == 1
    assert same_audio(out, X) == [False, True, True, False]
    for label, error in {"silent": SilentAudioError, "outside": SegmentsError}.items():
        with pytest.raises(error):
            load_waveform(out.loc[label])


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ("brown", "noise 'brown' is neither 'white', 'pink', 'babble' nor an existing file"),
        ("no/such/folder", "nor an existing file or folder"),
        (None, "noise=None must be"),
        (3, "noise=3 must be"),
        ([], "noise is an empty list"),
        ("", "noise is an empty path"),
        ([None], "noise number 0 is a NoneType"),
        ([0.1, 0.2], "noise number 0 is a float"),
        (np.zeros((3, 4)), "noise number 0 is a 2-D float64 array"),
        ([np.arange(9)], "noise number 0 is a 1-D int64 array"),
        (samples(), "give their rate in Hz as noise_sample_rate"),
    ],
)
def test_absurd_noise(noise, message):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(ValueError, match=message):
            getattr(AddNoise(noise=noise), method)(table(samples()))


def test_unusable_noise_is_not_blamed_on_the_recordings(tmp_path):
    (tmp_path / "broken.wav").write_text("not audio")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no audio files"):
        AddNoise(noise=tmp_path / "empty").fit(table(samples()))
    X = table(samples())
    for noise, message in [
        (tmp_path / "broken.wav", r"noise '.*broken.wav' cannot be used: .*cannot be decoded"),
        (np.zeros(100), "noise number 0 cannot be used: the recording is silent"),
        ([np.full(100, np.nan)], "noise number 0 cannot be used: .*NaN"),
    ]:
        step = AddNoise(noise=noise, noise_sample_rate=RATE, on_error="nan")
        with pytest.raises(ValueError, match=message):
            step.fit(X).transform(X)


@pytest.mark.parametrize(
    "snr_db",
    [None, "10", True, np.nan, -np.inf, -101, 301, (1,), (1, 2, 3), (2, 1), (0, np.inf), ("a", "b"),
     (False, True), (np.nan, 1), {0: 1, 1: 2}, 1j],
)  # fmt: skip
def test_absurd_ratios(snr_db):
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(ValueError, match=r"snr_db=.* must be dB between -100 and 300"):
            getattr(AddNoise(snr_db), method)(table(samples()))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("noise_sample_rate", [0, -1, "8000", np.inf, True]),
        ("probability", [-0.1, 1.1, np.nan, "1", None, True]),
        ("training_only", [2, "yes", None]),
        ("random_state", ["seed", -1, 1.5]),
        ("n_jobs", [1.5, "two"]),
        ("on_error", ["ignore", None]),
        ("verbose", [-1, "loud", None]),
    ],
)
def test_absurd_parameters(name, values):
    for value in values:
        step = AddNoise(**{name: value})
        for method in ("fit", "transform", "fit_transform"):
            with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of AddNoise"):
                getattr(step, method)(table(samples()))


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
            getattr(AddNoise(training_only=True), method)(X)


def test_only_the_ratio_is_positional():
    assert AddNoise(5.0).snr_db == 5.0
    with pytest.raises(TypeError):
        AddNoise(5.0, "white")


# Training only


class Remembering(ClassifierMixin, BaseEstimator):
    """Keeps what it was trained on and asked about."""

    def fit(self, X, y):
        self.classes_, self.trained_on_ = np.unique(y), X
        return self

    def predict(self, X):
        self.asked_about_ = X
        return np.full(len(X), self.classes_[0])


def test_a_pipeline_trains_on_noise_and_predicts_without():
    X, y = table(samples(), samples(1), samples(2)), [0, 1, 1]
    augmented = make_pipeline(AddNoise(training_only=True, random_state=0), Remembering())
    benchmark = make_pipeline(AddNoise(random_state=0), Remembering())
    for model, noisy_in_prediction in ((augmented, False), (benchmark, True)):
        model.fit(X, y).predict(X)
        assert not any(same_audio(model[-1].trained_on_, X))
        assert all(same_audio(model[-1].asked_about_, X)) != noisy_in_prediction
        assert list(model[-1].trained_on_.columns) == list(model[-1].asked_about_.columns)
    assert all(same_audio(augmented[-1].trained_on_, benchmark[-1].trained_on_))


def test_training_only_reads_nothing_in_prediction():
    out = AddNoise(training_only=True).transform(["no.wav"])
    assert out["audio"].tolist() == ["no.wav"]


def test_copies_of_a_recording_get_different_noise_in_training(tmp_path):
    sf.write(tmp_path / "a.wav", samples(3), RATE, subtype="FLOAT")
    X, y = table(samples(), tmp_path / "a.wav", samples(2)), [1, 1, 0]
    copies, _ = RecordingOverSampler(multipliers={1: 3}).fit_resample(X, y)
    step = AddNoise(10, training_only=True, random_state=0)
    noisy = step.fit_transform(copies)["audio"].tolist()
    for three in (noisy[:3], noisy[3:6]):
        assert not np.array_equal(three[0], three[1])
        assert not np.array_equal(three[1], three[2])
    single = step.fit_transform(X)["audio"].tolist()
    for row, copy in zip(range(3), (0, 3, 6), strict=True):
        np.testing.assert_array_equal(single[row], noisy[copy])
    again = step.fit_transform(copies)["audio"].tolist()
    assert all(np.array_equal(a, b) for a, b in zip(noisy, again, strict=True))
    alike = AddNoise(10, random_state=0).fit_transform(copies)["audio"].tolist()
    np.testing.assert_array_equal(alike[0], alike[1])


def powers(X):
    return np.array([[load_waveform(row).std()] for _, row in X.iterrows()])


def test_in_a_search():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = table(*(level * samples(seed) for seed, level in enumerate(rng.choice([1, 3], 20))))
    y = (powers(X)[:, 0] > 0.2).astype(int)
    model = make_pipeline(
        AddNoise(random_state=0), FunctionTransformer(powers), LogisticRegression(C=1e4)
    )
    search = GridSearchCV(model, {"addnoise__snr_db": [np.inf, 10, (0, 20)]}, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    assert search.cv_results_["mean_test_score"][0] == 1
    assert np.isfinite(cross_val_score(model, X, y, cv=2)).all()


# The transformer


def test_clone_params_and_pickle():
    noise = [samples(7), samples(8)]
    params = {
        "snr_db": (0, 5),
        "noise": noise,
        "noise_sample_rate": RATE,
        "probability": 0.9,
        "training_only": False,
        "random_state": 3,
        "n_jobs": 1,
        "on_error": "nan",
        "verbose": 0,
    }
    step = AddNoise(**params)
    assert step.noise is noise
    X = table(samples(), samples(1))
    expected = step.fit(X).transform(X)
    for twin in (clone(step), pickle.loads(pickle.dumps(step)), AddNoise().set_params(**params)):
        assert all(same_audio(twin.transform(X), expected))
    assert AddNoise().get_params() == {
        "snr_db": 10.0,
        "noise": "white",
        "noise_sample_rate": None,
        "probability": 1.0,
        "training_only": False,
        "random_state": None,
        "n_jobs": None,
        "on_error": "raise",
        "verbose": 0,
    }


def test_needs_no_fit_and_learns_nothing():
    X = table(samples(), samples(1))
    step = AddNoise(random_state=0)
    assert all(same_audio(step.transform(X), clone(step).fit(X[:1], [0]).transform(X)))
    assert all(same_audio(step.transform(X), step.fit_transform(X)))
    tags = get_tags(step)
    assert not tags.requires_fit
    assert not tags.input_tags.two_d_array
    assert tags.no_validation


def test_fit_reads_no_audio():
    assert AddNoise().fit(["no.wav"]).feature_names_in_.tolist() == ["audio"]


def test_feature_names(tmp_path):
    sf.write(tmp_path / "a.wav", samples(), RATE)
    step = AddNoise()
    with pytest.raises(NotFittedError):
        step.get_feature_names_out()
    assert step.get_feature_names_out(["audio", "task"]).tolist() == [
        "audio",
        "task",
        "sample_rate",
    ]
    for X in (table(samples(), patient="p"), pd.DataFrame({"audio": [tmp_path / "a.wav"]})):
        for other in (AddNoise(), AddNoise(training_only=True), AddNoise(probability=0)):
            for out in (other.fit_transform(X), other.transform(X)):
                assert other.get_feature_names_out().tolist() == list(out.columns)


@pytest.mark.parametrize("container", ["default", "pandas", None, "anything"])
def test_set_output(container):
    X = table(samples(), samples(1))
    step = AddNoise(random_state=0).set_output(transform=container)
    assert isinstance(step.transform(X), pd.DataFrame)
    assert isinstance(step.fit_transform(X), pd.DataFrame)
    pipeline = make_pipeline(EnergyVAD(frame_length=256, hop_length=64), step)
    if container in ("default", "pandas"):
        pipeline.set_output(transform=container)
    assert len(pipeline.fit_transform(X)) == 2


def test_global_settings_do_not_matter():
    X = table(samples())
    for setting in ({"transform_output": "polars"}, {"enable_metadata_routing": True}):
        with config_context(**setting):
            pipeline = make_pipeline(AddNoise(), Remembering())
            assert len(pipeline.fit(X, [0]).predict(X)) == 1


def test_representations():
    assert repr(AddNoise(5.0, noise="pink")) == "AddNoise(noise='pink', snr_db=5.0)"
    assert "AddNoise" in AddNoise(noise=samples(), noise_sample_rate=RATE)._repr_html_()
