"""The key of a recording and its results in the cache, also when files change in between."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from sklearn_dysarthria import LogMelDeltaImages
from sklearn_dysarthria.exceptions import (
    EmptyAudioError,
    MissingFileError,
    RecordingWarning,
    SampleRateError,
    SegmentsError,
)
from sklearn_dysarthria.recordings import CachedFunction, _audio, _cache
from sklearn_dysarthria.recordings._audio import fingerprint

RATE = 8000


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
    """Two files."""
    paths = []
    for i in range(2):
        paths.append(tmp_path / "wav" / f"{i}.wav")
        paths[-1].parent.mkdir(exist_ok=True)
        soundfile.write(paths[-1], spoken(i), RATE, subtype="FLOAT")
    return pd.DataFrame({"audio": [str(path) for path in paths], "task": "phonationA"})


@pytest.fixture
def later(monkeypatch):
    """Move the clock that decides whether a file has settled."""
    monkeypatch.setattr(_audio, "time", Later)


class Later:
    @staticmethod
    def time():
        return time.time() + 10


@pytest.fixture
def hashed(monkeypatch):
    """Count how often the content of a file is read for the key, and its header opened."""
    counts = {"content": 0, "header": 0}
    digest, opened = _audio.hashlib.file_digest, _audio._open_sound_file

    def counted_digest(*args):
        counts["content"] += 1
        return digest(*args)

    def counted_open(row):
        counts["header"] += 1
        return opened(row)

    monkeypatch.setattr(_audio.hashlib, "file_digest", counted_digest)
    monkeypatch.setattr(_audio, "_open_sound_file", counted_open)
    return counts


def test_an_unchanged_file_is_read_once(X, later, hashed):
    row = {"audio": X["audio"][0]}
    first = fingerprint(row)
    assert {fingerprint(dict(row)) for _ in range(3)} == {first}
    assert hashed == {"content": 1, "header": 1}


def test_a_file_changed_just_now_is_read_again(X, hashed):
    row = {"audio": X["audio"][0]}
    first = fingerprint(row)
    assert fingerprint(row) == first
    assert hashed["content"] == 2


@pytest.mark.parametrize("how", ["rewritten", "replaced", "same times", "swapped"])
def test_a_changed_file_has_another_key_although_it_was_remembered(X, tmp_path, later, how):
    path, other = X["audio"][0], X["audio"][1]
    first, second = fingerprint({"audio": path}), fingerprint({"audio": other})
    facts = os.stat(path)
    probe = tmp_path / "probe"
    probe.touch()
    while probe.stat().st_ctime_ns <= facts.st_ctime_ns:  # the clock of files ticks slowly, and
        probe.touch()  # the rule that allows for it is switched off here
    if how == "rewritten":
        soundfile.write(path, spoken(1), RATE, subtype="FLOAT")
    elif how == "replaced":
        os.replace(other, path)
    elif how == "same times":  # and the same size: only the time of the last change tells
        shutil.copyfile(other, path)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert os.stat(path).st_mtime_ns == facts.st_mtime_ns
        assert os.stat(path).st_size == facts.st_size
    else:
        os.rename(path, tmp_path / "third")
        os.rename(other, path)
        os.rename(tmp_path / "third", other)
        assert fingerprint({"audio": other}) == first
    assert fingerprint({"audio": path}) == second != first


def test_a_remembered_file_does_not_excuse_a_bad_row(X, tmp_path, later):
    cache, path = tmp_path / "cache", X["audio"][0]
    for _ in range(2):
        images(cache).transform([path])
    bad = [
        (SampleRateError, {"sample_rate": 16000}),
        (SampleRateError, {"sample_rate": "many"}),
        (SegmentsError, {"segments": [(0.2, 0.9)]}),
        (SegmentsError, {"segments": [(0.3, 0.2)]}),
    ]
    for error, cells in bad:
        cells = {name: pd.Series([cell], dtype=object) for name, cell in cells.items()}
        with pytest.raises(error, match="row 0"):
            images(cache).transform(pd.DataFrame({"audio": [path]} | cells))
    open(path, "w").close()
    with pytest.raises(EmptyAudioError):
        images(cache).transform([path])
    os.unlink(path)
    with pytest.raises(MissingFileError):
        images(cache).transform([path])


def test_the_memory_of_files_is_bounded(X):
    memo = _audio.FileMemo(size=3)
    facts = os.stat(X["audio"][0])
    aged = os.stat_result([*facts[:7], 0, 0, 0])
    for path in "abcd":
        memo.put(path, aged, path)
    assert [memo.get(path, aged) for path in "abcd"] == [None, "b", "c", "d"]
    memo.put("d", aged, "new")
    assert memo.get("b", aged) == "b"


def test_the_key_is_content_and_not_name_or_place(X, tmp_path):
    shutil.copy(X["audio"][0], tmp_path / "copy.wav")
    first = fingerprint({"audio": X["audio"][0]})
    assert (
        fingerprint({"audio": tmp_path / "copy.wav", "patient": "P", "sample_rate": RATE}) == first
    )
    samples = spoken(0)
    array = fingerprint({"audio": samples, "sample_rate": RATE})
    assert fingerprint({"audio": samples.astype(float), "sample_rate": 8000.0}) == array
    changed = samples.copy()
    changed[2000] = np.nextafter(changed[2000], np.float32(1))
    others = [
        fingerprint({"audio": X["audio"][1]}),
        fingerprint({"audio": X["audio"][0], "segments": [(0.0, 0.25)]}),
        fingerprint({"audio": samples, "sample_rate": 16000}),
        fingerprint({"audio": changed, "sample_rate": RATE}),
    ]
    assert len({first, array, *others}) == 6
    part = {"audio": samples, "segments": [(0.0, 0.125)]}
    assert fingerprint(part | {"sample_rate": 8000}) != fingerprint(part | {"sample_rate": 16000})


def test_stereo_and_its_mean_are_two_recordings_with_one_result(tmp_path):
    left, right = spoken(0), spoken(1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", np.stack([right, left], 1), RATE, subtype="FLOAT")
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert fingerprint({"audio": paths[0]}) != fingerprint({"audio": paths[1]})
    kept = images(tmp_path / "cache").transform(paths)
    assert np.array_equal(kept, images(tmp_path / "cache").transform(paths))


def test_errors_of_the_computation_are_not_kept_and_free_the_lock(X, tmp_path):
    calls = []

    def compute(row):
        calls.append(row)
        if len(calls) == 1:
            raise ZeroDivisionError
        return np.ones(3)

    function = CachedFunction(compute, tmp_path / "cache", {})
    row = {"audio": X["audio"][0]}
    with pytest.raises(ZeroDivisionError):
        function(row)
    assert function(row).tolist() == function(row).tolist() == [1, 1, 1]
    assert len(calls) == 2


@pytest.mark.parametrize("how", ["settled", "just now", "in one tick", "removed", "and back"])
def test_a_file_changed_while_it_is_decoded_leaves_no_wrong_entry(X, tmp_path, monkeypatch, how):
    path = Path(X["audio"][0])
    first, second = path.read_bytes(), Path(X["audio"][1]).read_bytes()
    facts = os.stat(path)
    if how in ("settled", "and back"):
        monkeypatch.setattr(_audio, "time", Later)
    if how == "in one tick":  # no time tells
        for module in (_audio, _cache):
            monkeypatch.setattr(module, "state_of_audio", lambda row: (facts.st_size,))
    calls = []

    def compute(row):
        calls.append(row)
        if len(calls) == 1:
            path.write_bytes(second)
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            samples = soundfile.read(path)[0]
            if how == "removed":
                path.unlink()
            elif how == "and back":
                path.write_bytes(first)
            return samples
        return soundfile.read(path)[0]

    function = CachedFunction(compute, tmp_path / "cache", {})
    row = {"audio": str(path)}
    assert np.array_equal(function(row), spoken(1))  # what was read is returned in any case
    path.write_bytes(first)
    assert np.array_equal(function(row), spoken(0))
    assert np.array_equal(function(row), spoken(0))


def test_a_name_that_no_file_can_have_is_a_bad_row(tmp_path):
    for cache in (None, tmp_path):
        with pytest.warns(RecordingWarning, match="1 of 1"):
            images(cache, on_error="nan").transform(["a\0b.wav"])
