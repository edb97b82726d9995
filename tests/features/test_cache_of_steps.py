"""The cache under voice activity, searches and several workers."""

import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dysarthria import EGeMAPSFeatures, EnergyVAD, LogMelDeltaImages, RecordingCache
from sklearn_dysarthria.exceptions import (
    CacheWarning,
    RecordingWarning,
)
from sklearn_dysarthria.recordings import open_store

RATE = 8000


def vad(cache=None, **parameters):
    return EnergyVAD(sample_rate=RATE, frame_length=256, hop_length=128, cache=cache, **parameters)


def images(cache=None, **parameters):
    small = {"sample_rate": RATE, "n_fft": 256, "hop_length": 128, "n_mels": 16, "image_size": 8}
    return LogMelDeltaImages(cache=cache, **(small | parameters))


def spoken(seed, n_samples=4000):
    rng = np.random.default_rng(seed)
    loudness = np.zeros(n_samples)
    loudness[1000:1800] = loudness[2600:3200] = 1
    return (loudness * rng.uniform(-0.5, 0.5, n_samples)).astype(np.float32)


@pytest.fixture(name="X")
def table(tmp_path):
    """Ten files."""
    paths = []
    for i in range(10):
        paths.append(tmp_path / "wav" / f"{i}.wav")
        paths[-1].parent.mkdir(exist_ok=True)
        soundfile.write(paths[-1], spoken(i), RATE, subtype="FLOAT")
    return pd.DataFrame({"audio": [str(path) for path in paths], "task": "phonationA"})


def computed(folder):
    """Return the recordings that were really computed, in whichever process."""
    return sorted((folder / "computed").read_text().split())


class LoggedImages(LogMelDeltaImages):
    def _image(self, row, out=None):
        path = Path(row["audio"])
        with open(path.parent.parent / "computed", "a") as file:
            file.write(path.name + "\n")
        time.sleep(0.02)  # long enough that two processes want the same recording
        return super()._image(row, out)


def flat(X):
    return X.reshape(len(X), -1)


# Voice activity


def move_kept_segments(cache):
    """Change what the cache keeps, so that results that come from there show it."""
    store = open_store(cache)
    for path in cache.rglob("*"):
        if len(path.name) == 62:
            key = path.parent.name + path.name
            store.put(key, store.get(key) + 0.01)


def segments(marked):
    for cell in marked["segments"]:
        assert isinstance(cell, list)
        assert all(type(time) is float for span in cell for time in span)
    return [list(map(tuple, cell)) for cell in marked["segments"]]


def moved(found):
    return [[(start + 0.01, end + 0.01) for start, end in spans] for spans in found]


@pytest.mark.parametrize("mode", ["trim", "split"])
def test_voice_activity_is_found_once(X, tmp_path, mode):
    expected = segments(vad(mode=mode).fit_transform(X))
    assert len(expected[0]) == {"trim": 1, "split": 2}[mode]
    cache = tmp_path / "cache"
    for _ in range(2):
        assert segments(vad(cache, mode=mode).fit_transform(X)) == expected  # to the last digit
    move_kept_segments(cache)
    assert segments(vad(cache, mode=mode).transform(X)) == moved(expected)
    assert segments(vad(cache, mode=mode, on_error="nan", n_jobs=1).transform(X)) == moved(expected)


@pytest.mark.parametrize(
    "change",
    [
        {"top_db": 20},
        {"frame_length": 200},
        {"hop_length": 64},
        {"mode": "split"},
        {"sample_rate": 4000},
    ],
    ids=repr,
)
def test_other_voice_activity_misses(X, tmp_path, change):
    vad(tmp_path).transform(X)
    move_kept_segments(tmp_path)
    other = vad(tmp_path).set_params(**change)
    assert segments(other.transform(X)) == segments(vad().set_params(**change).transform(X))
    within = X.assign(segments=[[(0.1, 0.3)]] * 10)
    given = segments(vad(tmp_path).transform(within))
    assert given == segments(vad().transform(within))
    assert given[0][0][0] >= 0.1


def test_voice_activity_in_front_of_images_shares_the_cache(X, tmp_path):
    both = make_pipeline(vad(tmp_path / "cache"), images(tmp_path / "cache"))
    first = both.fit_transform(X)
    assert np.array_equal(first, make_pipeline(vad(), images()).fit_transform(X))
    assert np.array_equal(clone(both).fit_transform(X), first)
    found = [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 62]
    assert len(found) == 20


def test_failed_rows_of_voice_activity_are_not_kept(X, tmp_path):
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(4000), RATE)
    X.loc[3, "audio"] = str(silent)
    for _ in range(2):
        with pytest.warns(RecordingWarning, match="1 of 10"):
            marked = vad(tmp_path / "cache", on_error="nan").transform(X)
        assert marked["segments"][3] is None


# Searches


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_twelve_settings_of_a_head_extract_each_recording_once(X, tmp_path, n_jobs):
    extractor = LoggedImages(**images(tmp_path / "cache").get_params())
    model = make_pipeline(extractor, FunctionTransformer(flat), LogisticRegression(max_iter=5))
    settings = {
        "logisticregression__C": [0.1, 1, 10, 100],
        "logisticregression__tol": [0.1, 1, 2],
    }
    search = GridSearchCV(model, settings, cv=KFold(5), n_jobs=n_jobs)
    search.fit(X, [0, 1] * 5)
    assert len(search.cv_results_["params"]) == 12
    assert computed(tmp_path) == sorted(f"{i}.wav" for i in range(10))
    search.predict(X)
    clone(extractor).transform(X)
    assert len(computed(tmp_path)) == 10


def test_processes_that_start_together_compute_each_recording_once(X, tmp_path):
    extractor = LoggedImages(**images(tmp_path / "cache").get_params())
    expected = images().transform(X)
    results = joblib.Parallel(n_jobs=2)(
        joblib.delayed(extractor.transform)(X.iloc[::step]) for step in (1, -1, 1, -1)
    )
    for result, step in zip(results, (1, -1, 1, -1), strict=True):
        assert np.array_equal(result, expected[::step])
    assert computed(tmp_path) == sorted(f"{i}.wav" for i in range(10))


def test_a_bounded_cache_stays_bounded_and_right(X, tmp_path):
    bound = 8 * 4096
    cache = RecordingCache(tmp_path / "cache", max_bytes=bound)
    expected = images().transform(X)
    for _ in range(3):
        assert np.array_equal(images(cache).transform(X), expected)
        found = [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 62]
        assert 1 <= len(found) <= 8
    cache.clear()
    assert np.array_equal(images(cache).transform(X), expected)


def test_results_survive_a_cache_that_cannot_be_written(X, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(CacheWarning, match="cannot keep results"):
        kept = images(tmp_path / "file").transform(X)
    assert np.array_equal(kept, images().transform(X))


@pytest.mark.parametrize("make", [images, vad, lambda cache: EGeMAPSFeatures(cache=cache)])
def test_what_is_no_cache_is_said(X, make):
    with pytest.raises(TypeError, match="cache is 3"):
        make(3).transform(X)
