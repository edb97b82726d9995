"""What the cache finds again, what it must not, and that damage to it does no harm."""

import os
import pickle
import shutil
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    EnergyVAD,
    LogMelDeltaImages,
    RecordingCache,
    load_waveform,
)
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingFileError,
    RecordingError,
    RecordingWarning,
    SampleRateError,
    SegmentsError,
    UnknownTaskError,
)

SMALL = {
    "sample_rate": 8000,
    "n_fft": 256,
    "hop_length": 128,
    "n_mels": 16,
    "image_size": 8,
}


READ = []
"""Labels of the rows whose samples were read, in order."""


class WholeRecording(EnergyVAD):
    """Keeps all of a recording, and notes that it was read."""

    def voiced_waveform(self, row, sample_rate, *, min_duration=0.0):
        READ.append(row.name)
        return load_waveform(row, sample_rate, min_duration=min_duration)


class Interrupted(WholeRecording):
    def voiced_waveform(self, row, sample_rate, *, min_duration=0.0):
        if len(READ) == 3:
            raise KeyboardInterrupt
        return super().voiced_waveform(row, sample_rate, min_duration=min_duration)


def small(cache, **parameters):
    return LogMelDeltaImages(cache=cache, **(SMALL | {"vad": WholeRecording()} | parameters))


@pytest.fixture(name="X")
def table():
    rng = np.random.default_rng(0)
    audio = pd.Series(list(rng.uniform(-1, 1, size=(6, 4000)).astype(np.float32)), dtype=object)
    tasks = ["phonationA", "rhythmPA"] * 3
    return pd.DataFrame({"audio": audio, "sample_rate": 8000, "task": tasks})


@pytest.fixture
def reads():
    READ.clear()
    return READ


def entries(folder):
    return sorted(path for path in folder.rglob("*") if len(path.name) == 62)


@pytest.mark.parametrize(
    "kind",
    [str, lambda path: path, lambda path: joblib.Memory(path, verbose=0), RecordingCache],
)
def test_second_pass_reads_nothing(X, tmp_path, reads, kind):
    transformer = small(kind(tmp_path))
    first = transformer.fit_transform(X)
    assert reads == list(X.index)
    second = transformer.transform(X)
    assert len(reads) == 6
    assert np.array_equal(first, second)
    assert second.dtype == np.float32
    assert np.array_equal(first, small(None).transform(X))
    assert len(entries(tmp_path)) == 6


def test_memory_without_folder_and_no_cache_keep_nothing(X, reads):
    for cache in (None, joblib.Memory(None)):
        reads.clear()
        small(cache).transform(X)
        small(cache).transform(X)
        assert len(reads) == 12


def test_rows_orders_and_other_columns_do_not_matter(X, tmp_path, reads):
    first = small(tmp_path).transform(X)
    shuffled = X.iloc[::-1].set_axis(list("abcdef")).assign(patient="P", task="other")
    assert np.array_equal(small(tmp_path).transform(shuffled), first[::-1])
    float_rates = X.assign(sample_rate=8000.0, segments=None)
    whole = X.assign(segments=[[(0, 0.5)]] * 6)
    doubles = X.assign(audio=[cell.astype(">f8") for cell in X["audio"]])
    strided = X.assign(audio=[np.repeat(cell, 2)[::2] for cell in X["audio"]])
    for same in (float_rates, whole, doubles, strided):
        assert np.array_equal(small(tmp_path).transform(same), first)
    assert len(reads) == 6


def test_a_copy_of_the_file_hits_and_a_changed_file_misses(X, tmp_path, reads):
    cache, path = tmp_path / "cache", tmp_path / "a.wav"
    soundfile.write(path, X["audio"][0], 8000)
    first = small(cache).transform([path])
    shutil.copy(path, tmp_path / "b.wav")
    assert np.array_equal(small(cache).transform([str(tmp_path / "b.wav")]), first)
    stated = pd.DataFrame({"audio": [path], "sample_rate": [8000]})
    assert np.array_equal(small(cache).transform(stated), first)
    assert len(reads) == 1
    soundfile.write(path, X["audio"][1], 8000)
    changed = small(cache).transform([path])
    assert len(reads) == 2
    assert np.array_equal(changed, small(None).transform([path]))


@pytest.mark.parametrize(
    "parameters",
    [
        {"sample_rate": 16000, "fmax": 4000},
        {"n_fft": 512},
        {"hop_length": 64},
        {"n_mels": 20},
        {"fmin": 50},
        {"fmax": 3000},
        {"freq_ranges": {"phonation": (50, 3000), "rhythm": (100, 2000)}},
        {"representation": "mfcc", "n_mfcc": 16},
        {"channels": ("delta", "static", "delta2")},
        {"image_size": (8, 9)},
        {"normalize": None},
        {"normalize": "recording"},
    ],
    ids=repr,
)
def test_other_parameters_miss(X, tmp_path, reads, parameters):
    small(tmp_path).transform(X)
    other = small(tmp_path, **parameters).transform(X)
    assert len(reads) == 12
    assert np.array_equal(other, small(None, **parameters).transform(X))


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_fft": np.int64(256), "sample_rate": 8000.0, "image_size": (8, 8)},
        {"channels": np.array(["static", "delta", "delta2"])},
        {"fmax": 4000},
        {"freq_ranges": {"phonation": (0, 4000), "rhythm": [0, 4000]}},
        {"n_mfcc": 5},
        {"on_error": "nan"},
        {"n_jobs": 1},
    ],
    ids=repr,
)
def test_other_spellings_hit(X, tmp_path, reads, parameters):
    small(tmp_path).transform(X)
    small(tmp_path, **parameters).transform(X)
    assert len(reads) == 6


def test_other_segments_and_rates_miss(X, tmp_path, reads):
    for change in (
        {},
        {"segments": [[(0.1, 0.4)]] * 6},
        {"segments": [[(0.1, 0.2), (0.2, 0.4)]] * 6},
        {"sample_rate": 16000},
    ):
        reads.clear()
        changed = X.assign(**change)
        cached = small(tmp_path).transform(changed)
        assert len(reads) == 6
        assert np.array_equal(cached, small(None).transform(changed))


def test_transformers_do_not_share_entries(X, tmp_path):
    images = small(tmp_path).transform(X)
    features = EGeMAPSFeatures(cache=tmp_path).transform(X)
    resampled = EGeMAPSFeatures(cache=tmp_path, sample_rate=16000).transform(X)
    assert features.shape == (6, 88)
    assert not np.array_equal(features, resampled)
    assert np.array_equal(features, EGeMAPSFeatures(cache=tmp_path).transform(X))
    assert np.array_equal(features, EGeMAPSFeatures().transform(X))
    assert np.array_equal(images, small(tmp_path).transform(X))
    assert len(entries(tmp_path)) == 18


def test_known_audio_does_not_excuse_a_bad_row(X, tmp_path):
    path, cache = tmp_path / "a.wav", tmp_path / "cache"
    soundfile.write(path, X["audio"][0], 8000, subtype="FLOAT")
    integers = np.round(X["audio"][1] * 100)
    X.at[1, "audio"] = integers.astype(np.float32)
    small(cache).transform(X)
    small(cache).transform([path])
    bad = {
        SampleRateError: {"audio": path, "sample_rate": 16000},
        AudioTypeError: {"audio": integers.astype(np.int16), "sample_rate": 8000},
        SegmentsError: {"audio": X["audio"][0], "sample_rate": 8000, "segments": [(0.2, 0.9)]},
        MissingFileError: {"audio": tmp_path / "none.wav"},
        RecordingError: {"audio": X["audio"][0]},
    }
    for error, row in bad.items():
        table = pd.DataFrame({name: pd.Series([cell], dtype=object) for name, cell in row.items()})
        with pytest.raises(error, match="row 0"):
            small(cache).transform(table)


@pytest.mark.parametrize(
    "bad", [np.zeros(4000), np.full(4000, 1e300), np.full(4000, np.nan), np.ones(3), None, "x.wav"]
)
def test_errors_are_not_kept_and_nan_rows_neither(X, tmp_path, reads, bad):
    X.at[2, "audio"] = bad
    with pytest.raises(RecordingError, match="row 2"):
        small(tmp_path).transform(X)
    for _ in range(2):
        with pytest.warns(RecordingWarning, match=r"1 of 6 .*\n.*row 2") as caught:
            images = small(tmp_path, on_error="nan").transform(X)
        assert len(caught) == 1
        assert np.isnan(images).all(axis=(1, 2, 3)).tolist() == [i == 2 for i in range(6)]
    assert len(entries(tmp_path)) == 5
    assert sorted(set(reads) - {2}) == [0, 1, 3, 4, 5]
    assert sum(label != 2 for label in reads) == 5


def test_unknown_task_with_cache(X, tmp_path):
    transformer = small(tmp_path, freq_ranges={"phonation": (50, 4000)})
    with pytest.raises(UnknownTaskError, match="row 1"):
        transformer.transform(X)
    with pytest.warns(RecordingWarning, match="3 of 6"):
        transformer.set_params(on_error="nan").transform(X)


@pytest.mark.parametrize("damage", ["empty", "half", "garbage"])
def test_damaged_entries_are_made_again(X, tmp_path, reads, damage):
    expected = small(tmp_path).transform(X)
    for path in entries(tmp_path):
        content = path.read_bytes()
        replaced = {
            "empty": b"",
            "half": content[: len(content) // 2],
            "garbage": bytes(len(content)),
        }
        path.write_bytes(replaced[damage])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(small(tmp_path).transform(X), expected)
    assert len(reads) == 12
    assert np.array_equal(small(tmp_path).transform(X), expected)
    assert len(reads) == 12


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_share_the_cache(X, tmp_path, reads, backend):
    X = pd.concat([X, X], ignore_index=True)  # the same audio at once in both
    expected = small(None).transform(X)
    reads.clear()
    with joblib.parallel_config(backend, n_jobs=2):
        assert np.array_equal(small(tmp_path).transform(X), expected)
    assert len(entries(tmp_path)) == 6
    if backend == "threading":
        assert len(reads) == 6
    reads.clear()
    assert np.array_equal(small(tmp_path).transform(X), expected)
    assert not reads


@pytest.mark.parametrize("when", ["reading", "writing"])
def test_an_interrupt_leaves_a_sound_cache(X, tmp_path, reads, monkeypatch, when):
    expected = small(None).transform(X)
    reads.clear()
    replace = os.replace

    def interrupted(source, target):
        if len(reads) == 4:
            raise KeyboardInterrupt
        replace(source, target)

    images = small(tmp_path, vad=Interrupted() if when == "reading" else WholeRecording())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            images.transform(X)
    assert len(entries(tmp_path)) == 3
    assert not list((tmp_path / "arrays" / "tmp").iterdir())
    reads.clear()
    assert np.array_equal(small(tmp_path).transform(X), expected)
    assert reads == [3, 4, 5]


def test_clone_pickle_and_parameters(X, tmp_path, reads):
    memory = joblib.Memory(str(tmp_path), verbose=0)
    for cache in (str(tmp_path), tmp_path, memory, RecordingCache(tmp_path, max_bytes=10**8)):
        transformer = small(cache)
        assert transformer.get_params()["cache"] is cache
        for copy in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
            copy.fit_transform(X)
    assert len(reads) == 6


def test_grid_search_extracts_each_recording_once(X, tmp_path, reads):
    model = make_pipeline(
        small(tmp_path),
        FunctionTransformer(lambda images: images.reshape(len(images), -1)),
        LogisticRegression(),
    )
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1, 10]}, cv=3)
    search.fit(X, [0, 1] * 3)
    search.predict(X)
    assert sorted(reads) == list(X.index)


def test_paths_and_strings_name_the_same_folder_and_spare_what_is_in_it(X, tmp_path):
    small(tmp_path).transform(X)
    mine = tmp_path / "arrays" / "mine.txt"
    mine.write_text("kept")
    small(str(tmp_path)).transform(X)
    assert len(entries(tmp_path)) == 6
    small(tmp_path, n_mels=9).transform(X)
    assert mine.exists()
    assert len(entries(tmp_path)) == 12
