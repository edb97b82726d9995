"""Parameters, bands, channels and normalisation of the images."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria import LogMelDeltaImages
from sklearn_dysarthria.exceptions import (
    BandwidthWarning,
    MissingColumnError,
    RecordingWarning,
    SampleRateError,
    TooShortAudioError,
    UnknownTaskError,
)

SMALL = {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 24, "image_size": 16}

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # as published


def small(**parameters):
    return LogMelDeltaImages(**(SMALL | parameters))


@pytest.fixture(name="X")
def table():
    rng = np.random.default_rng(0)
    tasks = ["phonationA", "rhythmPA", "phonationI", "cough"]
    audio = pd.Series(list(rng.normal(size=(4, 4000)).astype(np.float32)), dtype=object)
    return pd.DataFrame({"audio": audio, "sample_rate": 8000, "task": tasks})


@pytest.mark.parametrize(
    "parameters",
    [
        *[
            {name: value}
            for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc")
            for value in (0, -5, np.nan, np.inf, "512", None, True, [1], 1j)
        ],
        {"n_fft": 256.0},
        {"n_fft": 1},
        {"hop_length": 12.5},
        {"n_mels": 2.5},
        {"sample_rate": 50},
        {"sample_rate": np.array([8000, 8000])},
        *[{"fmin": value} for value in (-1, np.nan, np.inf, "0", None, False, 4000, 5000)],
        *[{"fmax": value} for value in (0, -1, np.nan, np.inf, "4k", True, 4001)],
        {"fmin": 2000, "fmax": 1000},
        {"fmin": 1000, "fmax": 1000},
        *[
            {"image_size": value}
            for value in (
                *(0, -1, 1.5, True, None, "16", (3,), (), (1, 2, 3), (0, 5), (5, -1), (2.5, 3)),
                *(("16", "16"), (True, 4), (np.nan, 4), [[1, 2], [3, 4]], {"a": 1, "b": 2}),
            )
        ],
        *[
            {"channels": value}
            for value in (
                *((), [], "static", None, 3, ("static", "deltas"), ("Static",), (1, 2), (None,)),
                *([["static"]], {"static", "delta", "delta2"}, {"static": 1}, ({},)),
            )
        ],
        {"normalize": "imagenet", "channels": ("static",)},
        {"normalize": "zscore"},
        {"normalize": True},
        {"representation": "mel"},
        {"representation": None},
        {"representation": "mfcc", "n_mfcc": 25},
        {"on_error": "ignore"},
        {"on_error": None},
        {"n_jobs": 1.5},
        {"n_jobs": "2"},
        {"verbose": -1},
        {"verbose": "yes"},
        *[
            {"freq_ranges": value}
            for value in (
                *((50, 4000), "phonation", 5, {"phonation": 4000}, {"phonation": (50,)}),
                *({"phonation": (1, 2, 3)}, {"phonation": ("50", "4000")}, {"phonation": "ab"}),
                *({"phonation": (4000, 50)}, {"phonation": (50, 9000)}, {1: (50, 4000)}),
                *({"phonation": (np.nan, 4000)}, {"phonation": (-5, 4000)}, {None: (50, 4000)}),
                *({"phonation": (False, True)}, {"phonation": None}),
            )
        ],
    ],
    ids=lambda p: "-".join(map(str, p)),
)
def test_absurd_parameters_are_told_by_fit_and_by_transform(X, parameters):
    transformer = small(**parameters)
    named = r"The band from|" + "|".join(parameters)
    for method in (transformer.fit, transformer.transform, transformer.fit_transform):
        with pytest.raises(ValueError, match=named):
            method(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"sample_rate": 8000.0, "n_fft": np.int64(256), "n_mels": np.int32(24)},
        {"image_size": (np.int64(16), np.int16(16))},
        {"image_size": np.array([16, 16])},
        {"image_size": np.int64(16)},
        {"channels": np.array(["static", "delta", "delta2"])},
        {"channels": ["static", "delta", "delta2"]},
        {"fmin": 0, "fmax": np.float32(4000)},
        {"n_mfcc": 999},
    ],
    ids=repr,
)
def test_spelling_of_parameters_does_not_matter(X, parameters):
    assert np.array_equal(small().transform(X), small(**parameters).transform(X))


def test_stateless():
    transformer = LogMelDeltaImages()
    assert not transformer.__sklearn_tags__().requires_fit
    check_is_fitted(transformer)


def test_default_band_is_everything_and_fmin_fmax_choose(X):
    default = small().transform(X)
    assert np.array_equal(default, small(fmin=0.0, fmax=4000.0).transform(X))
    assert not np.array_equal(default, small(fmin=100).transform(X))


def test_range_by_exact_task_then_by_group(X):
    bands = {"phonation": (50, 3000), "phonationI": (200, 2000), "rhythm": (100, 3500)}
    images = small(freq_ranges={**bands, "cough": [0, 4000]}).fit_transform(X)
    expected = [(50, 3000), (100, 3500), (200, 2000), (0, 4000)]
    for i, (fmin, fmax) in enumerate(expected):
        alone = small(fmin=fmin, fmax=fmax).transform(X.iloc[[i]])
        assert np.array_equal(images[i], alone[0])


@pytest.mark.parametrize(
    ("task", "group"),
    [
        ("phonationA", "phonation"),
        ("rhythmPA", "rhythm"),
        ("cough", "cough"),
        ("PATAKA", "PATAKA"),
        ("a_b1", "a_b"),
        ("", ""),
    ],
)
def test_group_is_the_leading_lower_case_part(X, task, group):
    X = X[:1].assign(task=task)
    grouped = small(freq_ranges={group: (200, 2000), "other": (0, 4000)}).transform(X)
    assert np.array_equal(grouped, small(fmin=200, fmax=2000).transform(X))


@pytest.mark.parametrize("task", ["cough", None, np.nan, pd.NA, 3, ["phonation"]])
def test_unknown_task_names_the_row(X, task):
    X["task"] = pd.Series(["phonationA", "phonationE", "phonationI", task], dtype=object)
    X.index = ["a", "b", "c", "ALS024_x"]
    transformer = small(freq_ranges={"phonation": (50, 4000)}).fit(X)
    with pytest.raises(UnknownTaskError, match=r"row 'ALS024_x'.*known are \['phonation'\]"):
        transformer.transform(X)
    with pytest.warns(RecordingWarning, match="1 of 4 recordings.*\n.*ALS024_x"):
        images = transformer.set_params(on_error="nan").transform(X)
    assert np.isnan(images).all(axis=(1, 2, 3)).tolist() == [False, False, False, True]


def test_unknown_task_names_the_file(tmp_path):
    X = pd.DataFrame({"audio": [tmp_path / "cough.wav"], "task": ["cough"]})
    with pytest.raises(UnknownTaskError, match=r"cough\.wav"):
        small(freq_ranges={"phonation": (50, 4000)}).transform(X)


@pytest.mark.parametrize("cache", [False, True])
def test_ranges_need_the_task_column(X, tmp_path, cache):
    transformer = small(
        freq_ranges={"phonation": (50, 4000)}, cache=tmp_path if cache else None, on_error="nan"
    )
    for method in (transformer.fit, transformer.transform):
        with pytest.raises(MissingColumnError, match="task"):
            method(X.drop(columns="task"))


def test_warns_once_per_fit_about_empty_bands(X):
    X["sample_rate"] = [8000, 16000, 6000, 16000]
    X = pd.concat([X, pd.DataFrame({"audio": ["nowhere.wav"], "task": ["rhythmTA"]})])
    transformer = small(sample_rate=16000)
    with pytest.warns(BandwidthWarning, match="2 of 5 recordings.*6000 Hz.*3000 Hz") as caught:
        transformer.fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformer.transform(X.iloc[:4])


def test_band_warning_looks_at_each_task(X):
    X["sample_rate"] = 8000
    ranges = {"phonation": (50, 4000), "rhythm": (100, 6000)}  # cough is unknown: told later
    with pytest.warns(BandwidthWarning, match="1 of 4 recordings"):
        small(sample_rate=16000, freq_ranges=ranges).fit(X)
    small(sample_rate=16000, fmax=4000).fit(X)


def test_band_above_the_recording_is_at_the_floor(X):
    transformer = small(sample_rate=16000, channels=["static"], normalize=None)
    images = transformer.transform(X)
    assert (images[:, 0, -2:] < -45).all()
    assert images.max(axis=(1, 2, 3)) == pytest.approx(0, abs=12)


def test_one_frame_is_the_shortest(X):
    X["audio"] = [cell[:256] for cell in X["audio"]]
    assert np.isfinite(small().transform(X)).all()
    X["audio"] = [cell[:255] for cell in X["audio"]]
    with pytest.raises(TooShortAudioError, match="row 0"):
        small().transform(X)


def test_array_without_rate(X):
    with pytest.raises(SampleRateError, match="row 0"):
        small().transform(X.drop(columns="sample_rate"))


def test_channels_are_chosen_ordered_and_repeated(X):
    whole = small(normalize=None).transform(X)
    assert whole.shape == (4, 3, 16, 16)
    position = {"static": 0, "delta": 1, "delta2": 2}
    for names in [("delta",), ("delta2", "static"), ("static",) * 3, ("delta",) * 5]:
        images = small(normalize=None, channels=names).transform(X)
        assert np.array_equal(images, whole[:, [position[name] for name in names]])
    repeated = small(channels=("static",) * 3).transform(X)
    restored = repeated * np.reshape(IMAGENET_STD, (3, 1, 1)) + np.reshape(IMAGENET_MEAN, (3, 1, 1))
    np.testing.assert_allclose(restored[:, 0], restored[:, 2], atol=1e-6)


def test_image_size_is_height_and_width(X):
    assert small(image_size=(5, 9)).transform(X).shape == (4, 3, 5, 9)
    assert LogMelDeltaImages(fmax=4000).fit_transform(X).shape == (4, 3, 224, 224)


def test_normalisations_follow_their_formulas(X):
    decibels = small(normalize=None).transform(X).astype(float)
    standard = small(normalize="recording").transform(X)
    imagenet = small().transform(X)
    assert standard.dtype == imagenet.dtype == np.float32
    for i in range(4):
        for c in range(3):
            x = decibels[i, c]
            expected = (x - x.mean()) / x.std()
            np.testing.assert_allclose(standard[i, c], expected, atol=1e-4)
            unit = (x - x.min()) / (x.max() - x.min())
            expected = (unit - IMAGENET_MEAN[c]) / IMAGENET_STD[c]
            np.testing.assert_allclose(imagenet[i, c], expected, atol=1e-4)


def test_a_recording_below_the_floor_gives_no_invented_contrast():
    faint = np.random.default_rng(0).normal(size=2000) * 1e-9
    X = pd.DataFrame({"audio": [faint], "sample_rate": [8000]})
    assert not small(normalize=None).transform(X).any()
    assert not small(normalize="recording").transform(X).any()
    assert np.ptp(small().transform(X), axis=(2, 3)).max() == 0


def test_the_steady_part_of_a_tone_has_no_derivative():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 8000)
    X = pd.DataFrame({"audio": [tone], "sample_rate": [8000]})
    image = small(normalize=None, image_size=(24, 126)).transform(X)[0]
    assert np.abs(image[1:, :, 20:100]).max() < 1e-5  # single precision, of decibels


def test_importing_features_brings_in_neither_torch_nor_opensmile():
    code = (
        "import sys, sklearn_dysarthria.features as f\n"
        "assert 'torch' not in sys.modules and 'opensmile' not in sys.modules\n"
        "images = f.LogMelDeltaImages(sample_rate=8000, n_fft=256, n_mels=8, image_size=8)\n"
        "f.ImagesWithContext(None, None); f.EGeMAPSFeatures()\n"
        "assert 'torch' not in sys.modules and 'opensmile' not in sys.modules\n"
        "import numpy as np, pandas as pd\n"
        "noise = np.random.default_rng(0).normal(size=4000)\n"
        "images.transform(pd.DataFrame({'audio': [noise], 'sample_rate': 8000}))\n"
        "assert 'torch' in sys.modules and 'opensmile' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
