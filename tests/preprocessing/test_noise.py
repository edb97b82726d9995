"""AddNoise: exact ratios, the spectra of the noises, and what the noise depends on."""

import os
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from sklearn_dysarthria import AddNoise, EnergyVAD, LogMelDeltaImages, make_dysarthric_speech
from sklearn_dysarthria.preprocessing import _noise
from sklearn_dysarthria.recordings import load_waveform

RATE = 8000
KINDS = ["white", "pink", "babble"]


def voice(seed=0, n_samples=4000, offset=0.0, level=0.1):
    """A loud middle between quiet ends, on an offset."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / RATE
    loud = np.where((time > 0.15) & (time < 0.35), 1, 0.01)
    tone = np.sin(2 * np.pi * (120 + 10 * seed) * time) + 0.2 * rng.standard_normal(n_samples)
    return (offset + level * loud * tone).astype(np.float32)


def table(*recordings, rate=RATE, **columns):
    audio = np.empty(len(recordings), dtype=object)
    for i, recording in enumerate(recordings):
        audio[i] = recording
    return pd.DataFrame({"audio": audio, "sample_rate": rate, **columns})


def added(noisy, clean):
    """What AddNoise added to each row, over the whole of it."""
    return [
        load_waveform({"audio": new, "sample_rate": RATE}).astype(float)
        - load_waveform({"audio": old, "sample_rate": RATE})
        for new, old in zip(noisy["audio"], clean["audio"], strict=True)
    ]


def ratio_in_db(signal, noise):
    """Straight from the definition, sample by sample."""
    signal_mean, noise_mean = sum(signal) / len(signal), sum(noise) / len(noise)
    power = sum((float(x) - signal_mean) ** 2 for x in signal)
    noise_power = sum((float(v) - noise_mean) ** 2 for v in noise)
    return 10 * np.log10(power / noise_power)


# The ratio


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-20, 0, 12.5, 40])
def test_ratio_over_the_whole_recording(kind, snr_db):
    X = table(voice(offset=0.3), voice(1, n_samples=3001))
    noisy = AddNoise(snr_db, noise=kind, random_state=0).fit_transform(X)
    for samples, noise in zip(X["audio"], added(noisy, X), strict=True):
        assert ratio_in_db(samples, noise) == pytest.approx(snr_db, abs=1e-3)
        assert abs(noise.mean()) < 1e-3 * noise.std()


@pytest.mark.parametrize("kind", KINDS)
def test_ratio_inside_the_segments(kind):
    X = table(voice(), voice(1), voice(2))
    X["segments"] = pd.Series([[(0.15, 0.25), (0.3, 0.35)], None, np.nan], dtype=object)
    noisy = AddNoise(6, noise=kind, random_state=0).transform(X)
    noises = added(noisy, X)
    inside = np.r_[1200:2000, 2400:2800]
    assert ratio_in_db(X["audio"][0][inside], noises[0][inside]) == pytest.approx(6, abs=1e-3)
    assert ratio_in_db(X["audio"][0], noises[0]) < 5  # the ends are noisier than that
    assert noises[0][:1000].std() > 0.3 * noises[0][inside].std()  # and do get noise
    for row in (1, 2):
        assert ratio_in_db(X["audio"][row], noises[row]) == pytest.approx(6, abs=1e-3)
    assert noisy["segments"][0] == [(0.15, 0.25), (0.3, 0.35)]


def test_energy_vad_before_keeps_silence_out_of_the_ratio():
    X = table(np.concatenate([np.zeros(8000, np.float32), voice(), np.zeros(8000, np.float32)]))
    marked = EnergyVAD(sample_rate=RATE, frame_length=256, hop_length=64).fit_transform(X)
    noisy = AddNoise(10, random_state=0).fit_transform(marked)
    start, end = (round(t * RATE) for t in marked["segments"][0][0])
    (noise,) = added(noisy, X)
    assert ratio_in_db(X["audio"][0][start:end], noise[start:end]) == pytest.approx(10, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    snr_db=st.floats(-40, 60),
    n_samples=st.integers(2, 400),
    level=st.floats(1e-6, 1e6),
    kind=st.sampled_from(["white", "pink"]),
    seed=st.integers(0, 2**31 - 1),
)
def test_ratio_of_anything(snr_db, n_samples, level, kind, seed):
    samples = (level * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)
    X = table(samples)
    noisy = AddNoise(snr_db, noise=kind, random_state=seed).transform(X)["audio"][0]
    assert noisy.dtype == np.float32
    assert np.isfinite(noisy).all()
    noise = noisy.astype(float) - samples
    # Rounding the sum to float32 changes it by 6e-8 of the larger of the two.
    assert ratio_in_db(samples, noise) == pytest.approx(snr_db, abs=0.05)


def test_range_of_ratios_is_drawn_uniformly():
    X = table(*(voice(seed, n_samples=500) for seed in range(200)))
    noisy = AddNoise((0, 20), random_state=0).fit_transform(X)
    ratios = np.array([ratio_in_db(a, b) for a, b in zip(X["audio"], added(noisy, X), strict=True)])
    assert ratios.min() >= -1e-3
    assert ratios.max() <= 20 + 1e-3
    assert np.histogram(ratios, bins=4, range=(-1e-3, 20 + 1e-3))[0].min() > 30
    for pair in ([5, 5], np.array([5, 5])):
        fixed = AddNoise(pair, random_state=0).fit_transform(X[:2])
        assert ratio_in_db(X["audio"][1], added(fixed, X[:2])[1]) == pytest.approx(5, abs=1e-3)


def test_infinite_ratio_and_probability_zero_add_nothing():
    X = table(voice(), voice(1))
    for quiet in (
        AddNoise(np.inf),
        AddNoise(probability=0),
        AddNoise(probability=0.0, noise="pink"),
    ):
        pd.testing.assert_frame_equal(quiet.fit_transform(X), X)


def test_probability():
    X = table(*(voice(seed, n_samples=300) for seed in range(200)))
    some = AddNoise(probability=0.3, random_state=0).fit_transform(X)
    noisy = [new is not old for new, old in zip(some["audio"], X["audio"], strict=True)]
    assert 35 < sum(noisy) < 85
    # The noise of those that get any does not depend on the probability.
    every = AddNoise(random_state=0).fit_transform(X)
    for i in np.flatnonzero(noisy):
        np.testing.assert_array_equal(some["audio"][i], every["audio"][i])


def test_nothing_is_clipped():
    X = table(voice(level=0.9))
    noisy = AddNoise(-20, random_state=0).fit_transform(X)["audio"][0]
    assert np.abs(noisy).max() > 2
    assert ratio_in_db(X["audio"][0], noisy.astype(float) - X["audio"][0]) == pytest.approx(
        -20, abs=1e-3
    )


# The noises


def levels_by_octave(samples, rate, lowest):
    """Level in dB of the power density at octaves from `lowest` to 3/8 of the rate."""
    frequencies, density = welch(samples, rate, nperseg=4096)
    centres = lowest * 2.0 ** np.arange(np.log2(0.375 * rate / lowest))
    bands = [(frequencies >= f / 2**0.5) & (frequencies < f * 2**0.5) for f in centres]
    return np.array([10 * np.log10(density[band].mean()) for band in bands])


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -10 * np.log10(2))])
def test_slope_of_the_spectrum(kind, slope):
    X = table(voice(n_samples=60 * RATE))
    (noise,) = added(AddNoise(0, noise=kind, random_state=0).fit_transform(X), X)
    levels = levels_by_octave(noise, RATE, lowest=40)
    steps = np.diff(levels)
    assert np.polyfit(np.arange(len(levels)), levels, 1)[0] == pytest.approx(slope, abs=0.15)
    assert steps == pytest.approx(slope, abs=0.6)


def test_pink_noise_has_nothing_below_20_hz():
    X = table(voice(n_samples=80_000))
    (noise,) = added(AddNoise(0, noise="pink", random_state=0).fit_transform(X), X)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(len(noise), 1 / 8000)
    assert power[frequencies < 20].sum() < 1e-9 * power.sum()  # rounded to float32
    assert power[(frequencies >= 20) & (frequencies < 40)].sum() > 0.05 * power.sum()


@pytest.mark.parametrize("kind", ["white", "pink"])
def test_gaussian(kind):
    X = table(voice(n_samples=20 * RATE))
    (noise,) = added(AddNoise(0, noise=kind, random_state=0).fit_transform(X), X)
    standard = (noise - noise.mean()) / noise.std()
    assert abs((standard**3).mean()) < 0.05
    assert (standard**4).mean() == pytest.approx(3, abs=0.1)


def test_babble_is_made_of_speech():
    X = table(voice(n_samples=10 * RATE))
    (noise,) = added(AddNoise(0, noise="babble", random_state=0).fit_transform(X), X)
    frequencies, density = welch(noise, RATE, nperseg=1024)
    low, high = density[frequencies < 1000].mean(), density[frequencies > 3000].mean()
    assert low > 30 * high  # white noise: equal
    # Syllables come and go: the loudness varies far more than that of Gaussian noise.
    loudness = noise.reshape(-1, 400).std(axis=1)
    assert loudness.std() / loudness.mean() > 0.1


def test_babble_is_a_sum_of_healthy_voices(monkeypatch):
    loops = _noise._loops()
    assert len(loops) == _noise.N_TALKERS
    for loop in loops:
        assert loop.mean() == pytest.approx(0, abs=1e-9)
        assert loop.std() == pytest.approx(1)
    asked = []

    def spy(*args, **kwargs):
        X, y = make_dysarthric_speech(*args, **kwargs)
        asked.append(y)
        return X, y

    monkeypatch.setattr(_noise, "make_dysarthric_speech", spy)
    again = _noise._loops.__wrapped__()
    np.testing.assert_array_equal(again[0], loops[0])  # the same voices in every process
    assert (asked[0] == 0).sum() == 5 * _noise.N_TALKERS

    # What `babble` returns is the voices, each from its own point, and nothing else.
    class Starts:
        def __init__(self, starts):
            self.starts = iter(starts)

        def integers(self, stop):
            return next(self.starts) % stop

    starts = [1000 * i for i in range(len(loops))]
    mixed = _noise.babble(500, 16000.0, Starts(starts))
    expected = sum(loop[start : start + 500] for loop, start in zip(loops, starts, strict=True))
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_babble_is_synthesised_once(monkeypatch):
    AddNoise(noise="babble").fit_transform(table(voice()))
    monkeypatch.delattr(_noise, "make_dysarthric_speech")
    for rate in (RATE, 11025, 44100.5):
        AddNoise(noise="babble").fit_transform(table(voice(), voice(1), rate=rate))


@pytest.mark.parametrize("rate", [100, 8000, 44100])
def test_every_kind_at_every_rate(rate):
    X = table(voice(n_samples=900), rate=rate)
    for kind in KINDS:
        noisy = AddNoise(3, noise=kind, random_state=0).fit_transform(X)
        (noise,) = added(noisy, X)
        assert ratio_in_db(X["audio"][0], noise) == pytest.approx(3, abs=1e-3)


# Recorded noise


def hum(n_samples=3000, rate=RATE):
    """A noise whose samples tell where they come from."""
    return np.sin(2 * np.pi * 60 * np.arange(n_samples) / rate) + np.linspace(0, 0.5, n_samples)


def is_excerpt(noise, source):
    """Tell whether the noise is a stretch of the source, looped, scaled and shifted."""
    looped = np.tile(source, 2 + len(noise) // len(source))
    best = 0
    for start in range(len(source)):
        best = max(best, np.corrcoef(noise, looped[start : start + len(noise)])[0, 1])
    return best > 0.9999


def test_arrays_of_noise():
    X = table(voice(n_samples=1000))
    for noise in (hum(), [hum()], (hum(),)):
        noisy = AddNoise(0, noise=noise, noise_sample_rate=RATE, random_state=1).fit_transform(X)
        (excerpt,) = added(noisy, X)
        assert ratio_in_db(X["audio"][0], excerpt) == pytest.approx(0, abs=1e-3)
        assert is_excerpt(excerpt, hum())


def test_excerpts_are_random_and_loop_where_too_short():
    X = table(*(voice(seed, n_samples=700) for seed in range(4)))
    noisy = AddNoise(0, noise=hum(300), noise_sample_rate=RATE, random_state=0).fit_transform(X)
    noises = added(noisy, X)
    for noise in noises:
        assert is_excerpt(noise, hum(300))
    scaled = [noise / noise.std() for noise in noises]
    assert all(np.abs(a - b).max() > 0.1 for a, b in pairwise(scaled))


def test_files_and_folders_of_noise(tmp_path):
    (tmp_path / "deep").mkdir()
    sf.write(tmp_path / "a.wav", np.column_stack([hum(), hum()]) / 2, RATE)  # stereo
    sf.write(tmp_path / "deep" / "b.FLAC", -(hum(6000, 2 * RATE) ** 2) / 4, 2 * RATE)
    (tmp_path / "notes.txt").write_text("not audio")
    X = table(*(voice(seed, n_samples=800) for seed in range(12)))
    where = tmp_path / "a.wav"
    for noise in (where, os.fspath(where), [where], tmp_path, os.fspath(tmp_path)):
        noisy = AddNoise(0, noise=noise, random_state=0).fit_transform(X)
        for samples, excerpt in zip(X["audio"], added(noisy, X), strict=True):
            assert ratio_in_db(samples, excerpt) == pytest.approx(0, abs=1e-3)
    one = AddNoise(0, noise=where, random_state=0).fit_transform(X)
    assert is_excerpt(added(one, X)[0], hum())
    both = AddNoise(0, noise=tmp_path, random_state=0).fit_transform(X)
    from_a = sum(is_excerpt(noise, hum()) for noise in added(both, X))
    assert 0 < from_a < len(X)


def test_a_noise_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "noise.wav"
    X = table(voice(n_samples=500))
    sf.write(path, hum(), RATE)
    first = AddNoise(noise=path, random_state=0).fit_transform(X)["audio"][0]
    sf.write(path, -(hum() ** 2), RATE)
    os.utime(path, ns=(1, 1))
    assert not np.array_equal(
        AddNoise(noise=path, random_state=0).fit_transform(X)["audio"][0], first
    )


def test_pauses_in_the_noise_are_passed_over():
    noise = np.concatenate([np.zeros(3000), hum(3000)])
    X = table(*(voice(seed, n_samples=400) for seed in range(10)))
    noisy = AddNoise(0, noise=noise, noise_sample_rate=RATE, random_state=0).fit_transform(X)
    for samples, excerpt in zip(X["audio"], added(noisy, X), strict=True):
        assert ratio_in_db(samples, excerpt) == pytest.approx(0, abs=1e-3)
    hopeless = np.concatenate([np.zeros(300_000), hum(2)])
    with pytest.raises(ValueError, match="50 excerpts of the recorded noise were silent"):
        AddNoise(noise=hopeless, noise_sample_rate=RATE, random_state=0).fit_transform(X)


# What the noise depends on


@pytest.mark.parametrize("kind", KINDS)
def test_noise_depends_on_content_and_seed_only(kind, tmp_path):
    X = table(*(voice(seed) for seed in range(4)), patient=list("abcd"))
    X.index = [3, "x", 3, None]
    step = AddNoise((0, 20), noise=kind, probability=0.8, random_state=0)
    expected = step.fit_transform(X)["audio"].tolist()
    shuffled = step.fit_transform(X.iloc[[2, 0, 3, 1]])["audio"].tolist()
    for i, j in enumerate([2, 0, 3, 1]):
        np.testing.assert_array_equal(shuffled[i], expected[j])
    alone = step.transform(X.iloc[[1]].assign(patient="z"))["audio"].tolist()
    np.testing.assert_array_equal(alone[0], expected[1])
    twice = step.transform(pd.concat([X, X]))["audio"].tolist()
    for i in range(8):
        np.testing.assert_array_equal(twice[i], expected[i % 4])
    # A file with the same samples is the same recording.
    sf.write(tmp_path / "2.wav", X["audio"].iloc[2], RATE, subtype="FLOAT")
    (from_file,) = step.transform([tmp_path / "2.wav"])["audio"]
    np.testing.assert_array_equal(
        load_waveform({"audio": from_file, "sample_rate": RATE}), expected[2]
    )
    other = AddNoise((0, 20), noise=kind, random_state=1).transform(X)["audio"].tolist()
    assert not np.array_equal(other[0], expected[0])


def test_the_same_noise_at_every_ratio():
    X = table(voice())
    at = {db: added(AddNoise(db, random_state=0).fit_transform(X), X)[0] for db in (0, 20)}
    np.testing.assert_allclose(at[0], 10 * at[20], atol=1e-5)


def test_different_recordings_get_different_noise():
    X = table(voice(0), voice(1))
    first, second = added(AddNoise(0, random_state=0).fit_transform(X), X)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_without_a_seed_noise_differs():
    X = table(voice())
    step = AddNoise()
    assert not np.array_equal(step.transform(X)["audio"][0], step.transform(X)["audio"][0])
    shared = np.random.RandomState(0)
    step = AddNoise(random_state=shared)
    assert not np.array_equal(step.transform(X)["audio"][0], step.transform(X)["audio"][0])


def test_in_several_processes():
    X = table(*(voice(seed) for seed in range(3)))
    one = AddNoise(noise="babble", random_state=0).fit_transform(X)["audio"]
    two = AddNoise(noise="babble", random_state=0, n_jobs=2).fit_transform(X)["audio"]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_cache_keeps_noisy_and_clean_apart(tmp_path):
    X = table(voice(), voice(1))

    def images(cache):
        return LogMelDeltaImages(
            sample_rate=RATE, n_fft=256, hop_length=128, n_mels=16, image_size=8, cache=cache
        )

    tables = [
        X,
        *(AddNoise(db, random_state=seed).transform(X) for db in (0, 5) for seed in (0, 1)),
    ]
    kept = images(tmp_path / "cache")
    for _ in range(2):  # fill it, then read from it
        for one in tables:
            np.testing.assert_array_equal(kept.transform(one), images(None).transform(one))
