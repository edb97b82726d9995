"""EnergyVAD against librosa and against a naive loop: which intervals it finds."""

import copy

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dysarthria import EnergyVAD
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning, TooShortAudioError
from sklearn_dysarthria.recordings import load_waveform, map_recordings, segments_of


def bursts(rate, seed=0, duration=1.0):
    """Noise whose loudness changes every 50 ms by up to 60 dB."""
    rng = np.random.default_rng(seed)
    n_samples = int(duration * rate)
    gains = 10 ** (rng.uniform(-60, 0, int(duration * 20) + 1) / 20)
    return (
        0.2 * rng.standard_normal(n_samples) * np.repeat(gains, rate // 20 + 1)[:n_samples]
    ).clip(-1, 1)


def table(*recordings, rate=16000, **columns):
    audio = np.empty(len(recordings), dtype=object)
    audio[:] = recordings
    return pd.DataFrame({"audio": audio, "sample_rate": rate, **columns})


def librosa_spans(samples, mode, **options):
    if mode == "trim":
        return [librosa.effects.trim(samples, ref=np.max, **options)[1]]
    return librosa.effects.split(samples, ref=np.max, **options)


def naive_spans(samples, mode, top_db, frame_length, hop_length):
    """The definition, frame by frame in double precision."""
    padded = np.pad(np.asarray(samples, dtype=float), frame_length // 2)
    rms = []
    start = 0
    while start + frame_length <= len(padded):
        rms.append(np.sqrt(np.mean(padded[start : start + frame_length] ** 2)))
        start += hop_length
    decibels = 20 * np.log10(np.maximum(rms, 1e-5) / max(rms))
    margin = np.abs(decibels + top_db).min()
    voiced = decibels > -top_db
    if mode == "trim":
        first, last = np.flatnonzero(voiced)[[0, -1]]
        runs = [(first, last + 1)]
    else:
        runs, begin = [], None
        for i, is_voiced in enumerate([*voiced, False]):
            if is_voiced and begin is None:
                begin = i
            elif not is_voiced and begin is not None:
                runs.append((begin, i))
                begin = None
    n_samples = len(samples)
    return [(a * hop_length, min(b * hop_length, n_samples)) for a, b in runs], margin


parameters = {
    "mode": st.sampled_from(["trim", "split"]),
    "top_db": st.floats(1, 70),
    "frame_length": st.integers(2, 4096),
    "hop_length": st.integers(32, 2048),
    "seed": st.integers(0, 1000),
}


@settings(max_examples=100, deadline=None)
@given(**parameters, rate=st.sampled_from([8000, 16000, 22050, 44100]))
def test_equals_librosa(mode, top_db, frame_length, hop_length, seed, rate):
    X = table(bursts(rate, seed, 0.6), rate=rate)
    options = {"top_db": top_db, "frame_length": frame_length, "hop_length": hop_length}
    found = EnergyVAD(mode=mode, sample_rate=16000, **options).transform(X)["segments"][0]
    samples = load_waveform(X.iloc[0], 16000)
    duration = len(X["audio"][0]) / rate
    expected = [
        (start / 16000, min(end / 16000, duration))
        for start, end in librosa_spans(samples, mode, **options)
        if start < end
    ]
    if expected:
        assert found == expected
    else:  # only the frame centred on the very end is voiced
        assert found == [(pytest.approx(found[0][0]), duration)]


@settings(max_examples=60, deadline=None)
@given(**parameters)
def test_equals_the_definition(mode, top_db, frame_length, hop_length, seed):
    X = table(bursts(8000, seed), rate=8000)
    vad = EnergyVAD(
        mode=mode,
        top_db=top_db,
        frame_length=frame_length,
        hop_length=hop_length,
        sample_rate=8000,
    )
    expected, margin = naive_spans(X["audio"][0], mode, top_db, frame_length, hop_length)
    if margin < 1e-3:  # float32 may decide otherwise
        return
    spans = [(a / 8000, b / 8000) for a, b in expected if a < b]
    if spans:
        np.testing.assert_allclose(vad.transform(X)["segments"][0], spans, atol=1e-9)


def test_trim_keeps_pauses_and_split_does_not():
    voice = np.sin(np.arange(8000)) * 0.5
    X = table(np.concatenate([np.zeros(8000), voice, np.zeros(8000), voice, np.zeros(8000)]))
    options = {"sample_rate": 16000, "frame_length": 256, "hop_length": 64}
    [trimmed] = EnergyVAD(mode="trim", **options).transform(X)["segments"]
    [split] = EnergyVAD(mode="split", **options).transform(X)["segments"]
    np.testing.assert_allclose(trimmed, [(0.5, 2.0)], atol=0.02)
    np.testing.assert_allclose(split, [(0.5, 1.0), (1.5, 2.0)], atol=0.02)
    assert trimmed[0] == (split[0][0], split[-1][1])
    assert all(type(bound) is float for span in split for bound in span)


def test_top_db_widens():
    fade = bursts(16000, 1) * np.linspace(0, 1, 16000) ** 4
    spans = [
        EnergyVAD(top_db=top_db).transform(table(fade))["segments"][0] for top_db in (5, 20, 60)
    ]
    starts = [span[0][0] for span in spans]
    assert starts == sorted(starts, reverse=True)
    assert starts[0] > starts[-1]


# What the segments are for


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 16001, 44100, 48000]),
    mode=st.sampled_from(["trim", "split"]),
    n_samples=st.integers(5000, 20_000),
    seed=st.integers(0, 1000),
)
def test_later_steps_accept_the_segments(rate, mode, n_samples, seed):
    audio = bursts(rate, seed, 3.0)[:n_samples]
    audio[-200:] = 0.9  # loud to the end, where resampling rounds up
    audio[-200::2] = -0.9
    X = EnergyVAD(mode=mode).transform(table(audio, rate=rate))
    row, duration = X.iloc[0], n_samples / rate
    assert row["segments"][-1][1] == duration
    assert segments_of(row, duration, rate) == row["segments"]
    pieces = [audio[round(a * rate) : round(b * rate)] for a, b in row["segments"]]
    np.testing.assert_array_equal(load_waveform(row), np.concatenate(pieces).astype("f4"))


def test_files(tmp_path):
    for rate in (8000, 44100, 48000):
        sf.write(tmp_path / f"{rate}.wav", bursts(rate), rate)
    paths = [tmp_path / f"{rate}.wav" for rate in (8000, 44100, 48000)]
    X = EnergyVAD(mode="split").transform(paths)
    assert list(X.columns) == ["audio", "segments"]
    for row, path in zip(X.itertuples(), paths, strict=True):
        expected = librosa_spans(
            load_waveform(path, 22050), "split", top_db=30.0, frame_length=2048, hop_length=512
        )
        clamped = np.minimum(expected / 22050, 1.0)
        np.testing.assert_array_equal(row.segments, clamped[clamped[:, 0] < clamped[:, 1]])
    assert all(len(samples) for samples in map_recordings(load_waveform, X))


def test_voice_in_the_very_last_samples_only():
    audio = np.zeros(16 * 512)
    audio[-1] = 0.5
    options = {"sample_rate": 16000, "frame_length": 256, "hop_length": 512}
    for mode in ("trim", "split"):
        X = EnergyVAD(mode=mode, **options).transform(table(audio))
        assert X["segments"][0] == [(15 * 512 / 16000, 16 * 512 / 16000)]
        assert load_waveform(X.iloc[0])[-1] == 0.5


@pytest.mark.parametrize("n_samples", [2, 3, 100])
def test_shorter_than_a_frame(n_samples):
    X = table(bursts(16000)[:n_samples])
    with pytest.raises(TooShortAudioError, match="one analysis frame"):
        EnergyVAD().transform(X)
    with pytest.warns(RecordingWarning):
        assert EnergyVAD(on_error="nan").transform(X)["segments"][0] is None


# Segments that are already there


def test_analysis_stays_inside_given_segments():
    audio = np.concatenate([bursts(16000, 1), 4 * bursts(16000, 2), bursts(16000, 3)]).clip(-1, 1)
    X = table(audio, segments=[[(0.25, 1.0), (2.0, 2.75)]])
    for mode in ("trim", "split"):
        options = {"top_db": 20.0, "frame_length": 512, "hop_length": 128}
        found = EnergyVAD(mode=mode, sample_rate=16000, **options).transform(X)["segments"][0]
        inside = load_waveform(X.iloc[0], 16000)
        seen = np.zeros(len(inside), dtype=bool)
        for start, end in librosa_spans(inside, mode, **options):
            seen[start:end] = True
        on_recording = np.zeros(len(audio), dtype=bool)
        on_recording[4000:16000], on_recording[32000:44000] = seen[:12000], seen[12000:]
        marked = np.zeros(len(audio), dtype=bool)
        for start, end in found:
            marked[round(start * 16000) : round(end * 16000)] = True
        np.testing.assert_array_equal(marked, on_recording)
        assert load_waveform({**X.iloc[0], "segments": found}).size == marked.sum()


def test_one_peak_for_all_segments():
    tone = np.sin(np.arange(8000))
    audio = np.concatenate([0.001 * tone, tone])
    options = {"sample_rate": 16000, "frame_length": 256, "hop_length": 64, "mode": "split"}
    X = table(audio, segments=[[(0.0, 0.4), (0.6, 1.0)]])
    [found] = EnergyVAD(top_db=30.0, **options).transform(X)["segments"]
    assert found[0][0] > 0.39
    [found] = EnergyVAD(top_db=70.0, **options).transform(X)["segments"]
    assert found == [(0.0, 0.4), (0.6, 1.0)]


def test_twice_is_inside_once():
    X = table(bursts(16000))
    for mode in ("trim", "split"):
        vad = EnergyVAD(mode=mode, top_db=20.0, frame_length=512, hop_length=128)
        once = vad.transform(X)["segments"][0]
        twice = vad.transform(vad.transform(X))["segments"][0]
        for start, end in twice:
            assert any(a <= start < end <= b for a, b in once)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_segments_mean_all(missing):
    audio = bursts(16000)
    with_column = EnergyVAD().transform(table(audio, segments=[missing]))
    assert with_column["segments"][0] == EnergyVAD().transform(table(audio))["segments"][0]


# The table


def test_only_segments_change():
    X = table(bursts(16000), bursts(16000, 1), patient=["p", "q"], note=pd.array([1, None]))
    X.index = pd.Index(["b", "b"], name="label")
    X["segments"] = pd.Series([[(0.0, 0.5)], None], index=X.index, dtype=object)
    before, columns, cells = copy.deepcopy(X), list(X.columns), list(X["segments"])
    audio = list(X["audio"])
    out = EnergyVAD().fit_transform(X)
    assert out is not X
    pd.testing.assert_frame_equal(X, before)
    assert list(X["segments"]) == cells
    assert list(out.columns) == columns
    pd.testing.assert_frame_equal(out.drop(columns="segments"), X.drop(columns="segments"))
    assert all(new is old for new, old in zip(out["audio"], audio, strict=True))
    assert "segments" not in EnergyVAD().transform(X.drop(columns="segments")).columns[:-1]


def test_slices_and_series(tmp_path):
    X = table(*[bursts(16000, seed) for seed in range(4)])
    out = EnergyVAD().transform(X[X.index > 1])
    assert list(out.index) == [2, 3]
    assert list(out["segments"]) == list(EnergyVAD().transform(X)["segments"])[2:]
    sf.write(tmp_path / "a.wav", bursts(16000), 16000)
    out = EnergyVAD().transform(pd.Series([tmp_path / "a.wav"], index=["x"]))
    assert list(out.index) == ["x"]


def test_no_recordings():
    out = EnergyVAD().fit_transform(table())
    assert len(out) == 0
    assert list(out.columns) == ["audio", "sample_rate", "segments"]


def test_n_jobs():
    X = table(*[bursts(16000, seed) for seed in range(4)])
    here, there = (EnergyVAD(mode="split", n_jobs=n_jobs).transform(X) for n_jobs in (None, 2))
    assert list(here["segments"]) == list(there["segments"])


def test_verbose(capsys):
    EnergyVAD(verbose=1).transform(table(bursts(16000)))
    assert "voice activity" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=200),
    st.floats(100, 96000),
    st.sampled_from(["trim", "split"]),
    st.integers(1, 64),
)
def test_any_samples(samples, rate, mode, hop_length):
    X = table(np.array(samples), rate=rate)
    vad = EnergyVAD(mode=mode, frame_length=64, hop_length=hop_length, sample_rate=8000)
    try:
        row = vad.transform(X).iloc[0]
    except RecordingError:
        return
    duration = len(samples) / rate
    assert segments_of(row, duration, rate) == row["segments"]
    assert row["segments"]
