"""The table of recordings and the way from a row to samples, on recordings that are in order."""

import os
import pickle

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dysarthria.recordings import (
    check_recordings,
    describe_recording,
    load_waveform,
    map_recordings,
    segments_of,
)

# What librosa.load imports as a last resort warns about itself, in other words on each Python.
pytestmark = pytest.mark.filterwarnings(
    "ignore:'?(aifc|audioop|sunau)'? (is deprecated|was removed):DeprecationWarning"
)

RATES = [8000, 11025, 16000, 16001, 22050, 44100, 48000, 96000]
FORMATS = [
    ("wav", "PCM_U8"),
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("wavex", "PCM_24"),
    ("rf64", "PCM_16"),
    ("aiff", "PCM_16"),
    ("au", "PCM_16"),
    ("flac", "PCM_16"),
    ("flac", "PCM_24"),
    ("ogg", "VORBIS"),
    ("mp3", "MPEG_LAYER_III"),
]


def noise(n_samples, n_channels=1, seed=0):
    samples = 0.25 * np.random.default_rng(seed).standard_normal((n_samples, n_channels))
    return samples.clip(-1, 1)


def write(path, samples, rate, kind="wav", subtype="PCM_16"):
    sf.write(path, samples, rate, format=kind.upper(), subtype=subtype)
    return path


def librosa_load(path, rate):
    return librosa.load(path, sr=rate, res_type="soxr_hq")[0]


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize(("kind", "subtype"), FORMATS)
def test_every_format_loads_as_librosa_does(tmp_path, kind, subtype, n_channels):
    path = write(tmp_path / f"a.{kind}", noise(4000, n_channels), 16000, kind, subtype)
    for rate in (None, 22050):
        samples = load_waveform(path, rate)
        assert samples.dtype == np.float32
        assert samples.flags.c_contiguous
        np.testing.assert_array_equal(samples, librosa_load(path, rate))
    info = describe_recording(path)
    assert info == (16000.0, n_channels, len(load_waveform(path)))
    assert info.duration == info.n_samples / 16000


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES) | st.integers(4000, 100_000),
    st.sampled_from(RATES) | st.integers(4000, 100_000),
    st.integers(2, 5000),
    st.integers(1, 3),
)
def test_resampling_is_librosas(tmp_path_factory, rate, target, n_samples, n_channels):
    path = tmp_path_factory.mktemp("rates") / "a.wav"
    write(path, noise(n_samples, n_channels, seed=n_samples), rate, subtype="FLOAT")
    np.testing.assert_array_equal(load_waveform(path, target), librosa_load(path, target))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "longdouble"])
def test_array_row(dtype):
    samples = noise(4000)[:, 0].astype(dtype)
    loaded = load_waveform({"audio": samples, "sample_rate": 8000}, 16000)
    expected = librosa.resample(
        samples.astype("f4"), orig_sr=8000, target_sr=16000, res_type="soxr_hq"
    )
    np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("segments", [None, [(0.0, 0.5)]])
def test_result_never_shares_memory_with_the_table(segments):
    samples = noise(4000)[:, 0].astype("f4")
    table = pd.DataFrame({"audio": [samples], "sample_rate": [8000], "segments": [segments]})
    loaded = load_waveform(table.iloc[0])
    assert loaded.flags.writeable
    assert not np.shares_memory(loaded, samples)


def test_strided_and_list_audio():
    samples = noise(4000)[:, 0]
    loaded = load_waveform({"audio": samples[::2], "sample_rate": 8000})
    np.testing.assert_array_equal(loaded, samples[::2].astype("f4"))
    loaded = load_waveform({"audio": samples.tolist(), "sample_rate": 8000})
    np.testing.assert_array_equal(loaded, samples.astype("f4"))


def test_three_samples_load():
    row = {"audio": np.array([0.1, -0.2, 0.3]), "sample_rate": 8000}
    for rate in RATES:
        assert len(load_waveform(row, rate)) == -(-3 * rate // 8000)


# Segments


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.integers(10, 3000), st.data())
def test_segments_are_cut_to_the_sample(rate, n_samples, data):
    cuts = data.draw(st.lists(st.integers(0, n_samples), min_size=2, max_size=8, unique=True))
    cuts = sorted(cuts)[: len(cuts) // 2 * 2]
    bounds = list(zip(cuts[::2], cuts[1::2], strict=True))
    samples = np.arange(n_samples, dtype="f4") + 1
    segments = [(start / rate, end / rate) for start, end in bounds]
    row = {"audio": samples, "sample_rate": rate, "segments": segments}
    assert segments_of(row, n_samples / rate, rate) == segments
    expected = np.concatenate([samples[start:end] for start, end in bounds])
    if len(expected) > 1:
        np.testing.assert_array_equal(load_waveform(row), expected)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_missing_segments_mean_all(missing):
    row = {"audio": noise(800)[:, 0], "sample_rate": 8000, "segments": missing}
    assert len(load_waveform(row)) == 800
    assert segments_of(row, 0.1, 8000) == [(0.0, 0.1)]


def test_segments_tolerate_rounding():
    row = {"audio": noise(4000)[:, 0], "sample_rate": 8000}
    row["segments"] = [(-1e-9, 0.1 + 0.2), (0.3, 0.5 + 1 / 8000)]
    assert segments_of(row, 0.5, 8000) == [(0.0, 0.1 + 0.2), (0.3, 0.5)]
    np.testing.assert_array_equal(load_waveform(row), row["audio"].astype("f4"))


def test_segments_may_be_an_array():
    row = {"audio": noise(4000)[:, 0], "sample_rate": 8000}
    row["segments"] = np.array([[0, 0.1], [0.2, 0.3]])
    assert len(load_waveform(row)) == 1600


# Paths


@pytest.mark.parametrize("name", ["a b.wav", "ä–δ 音.wav", "%41'\"#?.wav", "no_extension", "A.MP3"])
def test_names_of_files(tmp_path, name):
    path = write(tmp_path / name, noise(400), 16000)
    for form in (path, str(path), np.str_(path)):
        assert len(load_waveform(form)) == 400
    assert check_recordings([path], min_duration=0)[1].loc[0, "ok"]


def test_name_that_is_not_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    try:
        os.rename(write(tmp_path / "a.wav", noise(400), 16000), path)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    assert len(load_waveform(os.fsdecode(path))) == 400


def test_path_like_that_gives_bytes(tmp_path):
    class Odd(os.PathLike):
        def __fspath__(self):
            return os.fsencode(tmp_path / "a.wav")

    write(tmp_path / "a.wav", noise(400), 16000)
    assert len(load_waveform(Odd())) == 400


def test_relative_paths_start_here(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", noise(400), 16000)
    monkeypatch.chdir(tmp_path)
    assert len(load_waveform("a.wav")) == 400


# Rates


def test_stated_rate_that_agrees(tmp_path):
    path = write(tmp_path / "a.wav", noise(400), 16000)
    for rate in (16000, 16000.0, np.int64(16000), "16000", None, float("nan"), pd.NA):
        assert len(load_waveform({"audio": path, "sample_rate": rate})) == 400


@pytest.mark.parametrize("rate", [0, -1, 99, float("nan"), float("inf"), 1e8])
def test_impossible_target_rate(rate):
    with pytest.raises(ValueError, match="not a number of Hz between 100 and 1e"):
        load_waveform({"audio": noise(400)[:, 0], "sample_rate": 8000}, rate)


# map_recordings


def test_map_keeps_order_in_processes(tmp_path):
    paths = [write(tmp_path / f"{n}.wav", noise(n), 16000) for n in (100, 300, 200)]
    for n_jobs in (None, 2):
        infos = map_recordings(describe_recording, paths, n_jobs=n_jobs)
        assert [info.n_samples for info in infos] == [100, 300, 200]


def test_large_arrays_reach_worker_processes():
    X = pd.DataFrame({"audio": [noise(400_000)[:, 0].astype("f4")] * 2, "sample_rate": 16000})
    here, there = (map_recordings(load_waveform, X, n_jobs=n_jobs) for n_jobs in (1, 2))
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("on_error", ["ignore", None, "NaN"])
def test_on_error_is_one_of_two(on_error):
    with pytest.raises(ValueError, match="not 'raise' or 'nan'"):
        map_recordings(load_waveform, [], on_error=on_error)


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_goes_to_standard_error(tmp_path, capsys, verbose):
    path = write(tmp_path / "a.wav", noise(400), 16000)
    map_recordings(describe_recording, [path], verbose=verbose, desc="reading")
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err
    map_recordings(describe_recording, [path])
    assert capsys.readouterr() == ("", "")


def test_programming_errors_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        map_recordings(lambda row: 1 / 0, ["a.wav"], on_error="nan")


def test_public_functions_pickle():
    for function in (load_waveform, describe_recording, check_recordings):
        assert pickle.loads(pickle.dumps(function)) is function
