"""The image recipe, step by step against librosa and against slow textbook code."""

import warnings

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sklearn_dysarthria import LogMelDeltaImages, make_dysarthric_speech
from sklearn_dysarthria.features import _spectrogram as operators
from sklearn_dysarthria.features._images import IMAGENET_MEAN, IMAGENET_STD, _normalized
from sklearn_dysarthria.features._spectrogram import ImageRecipe

DECIBELS = 0.01  # the promise
CHANNELS = ("static", "delta", "delta2")


def signal(kind, n_samples, rate, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(n_samples) / rate
    noise = rng.normal(size=n_samples)
    voice = np.sign(np.sin(2 * np.pi * 130 * time)) + 0.01 * noise
    samples = {
        "noise": 0.1 * noise,
        "tone": np.sin(2 * np.pi * 0.1 * rate * time),
        "hum": np.sin(2 * np.pi * 50 * time) + 1e-4 * noise,
        "offset": 1 + 1e-3 * noise,
        "click": (np.arange(n_samples) == n_samples // 2) + 0.0,
        "quiet": 1e-6 * noise,
        "clipped": np.clip(5 * voice, -1, 1),
        "loud": 32768 * voice,
        "fading": noise * np.logspace(0, -6, n_samples),
        "chirp": np.sin(2 * np.pi * (50 + 0.2 * rate * time) * time),
        "impure silence": np.where(time < 0.5 * time[-1], 0, voice),
    }
    return samples[kind].astype(np.float32)


KINDS = [
    "noise",
    "tone",
    "hum",
    "offset",
    "click",
    "quiet",
    "clipped",
    "loud",
    "fading",
    "chirp",
    "impure silence",
]


def librosa_static(samples, rate, *, n_fft, hop_length, n_mels, fmin, fmax, n_mfcc=None):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        power = librosa.feature.melspectrogram(
            y=samples,
            sr=rate,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            window="hann",
            center=True,
            pad_mode="constant",
            power=2.0,
            htk=False,
            norm="slaney",
        )
    level = librosa.power_to_db(power, ref=np.max, top_db=80)
    return level if n_mfcc is None else librosa.feature.mfcc(S=level, n_mfcc=n_mfcc)


def librosa_delta(static, order):
    width = min(9, static.shape[1] - (static.shape[1] + 1) % 2)
    if width < 3:
        return np.zeros_like(static)
    return librosa.feature.delta(static, width=width, order=order, mode="interp")


def triangle_matrix(n_in, n_out):
    """Antialiased linear interpolation from its definition, one weight at a time."""
    step = n_in / n_out
    reach = max(step, 1.0)
    weights = np.zeros((n_out, n_in))
    for i in range(n_out):
        centre = (i + 0.5) * step
        for j in range(n_in):
            weights[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / reach)
        weights[i] /= weights[i].sum()
    return weights


def slow_resize(channel, height, width):
    n_rows, n_columns = channel.shape
    return triangle_matrix(n_rows, height) @ channel @ triangle_matrix(n_columns, width).T


def librosa_image(samples, rate, transformer, n_mfcc=None):
    """Do the whole recipe, in decibels, without anything of ours."""
    t = transformer
    if rate != t.sample_rate:
        samples = librosa.resample(
            samples, orig_sr=rate, target_sr=t.sample_rate, res_type="soxr_hq"
        )
    static = librosa_static(
        samples,
        t.sample_rate,
        n_fft=t.n_fft,
        hop_length=t.hop_length,
        n_mels=t.n_mels,
        fmin=t.fmin,
        fmax=t.fmax,
        n_mfcc=n_mfcc,
    )
    channels = [static, librosa_delta(static, 1), librosa_delta(static, 2)]
    return np.stack([slow_resize(c, *np.broadcast_to(t.image_size, 2)) for c in channels])


def one_row(samples, rate, **columns):
    row = {"audio": samples, "sample_rate": rate, **columns}
    return pd.DataFrame({name: pd.Series([cell], dtype=object) for name, cell in row.items()})


def worst(ours, theirs):
    return np.abs(np.asarray(ours, dtype=float) - theirs).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n_fft", "hop_length", "n_mels", "fmin", "fmax", "n_mfcc"),
    [
        (2048, 512, 224, 0, 11025, None),
        (2048, 512, 256, 50, 4000, None),
        (2048, 512, 64, 100, 6000, 20),
        (512, 160, 64, 1000, 4000, None),
        (401, 133, 40, 20, 8000, 13),
        (1024, 1500, 30, 300, 3400, None),
    ],
)
def test_all_channels_equal_librosa(kind, n_fft, hop_length, n_mels, fmin, fmax, n_mfcc):
    samples = signal(kind, 22050, 22050)
    setting = {"n_fft": n_fft, "hop_length": hop_length, "n_mels": n_mels, "n_mfcc": n_mfcc}
    setting |= {"fmin": fmin, "fmax": fmax}
    # The truth, in double precision; librosa's own image of these float32 samples is further off.
    static = librosa_static(samples.astype(np.float64), 22050, **setting)
    recipe = ImageRecipe(sample_rate=22050, channels=CHANNELS, shape=static.shape, **setting)
    image = recipe.image(samples)
    assert worst(image[0], static) < DECIBELS * 0.7
    for order in (1, 2):
        assert worst(image[order], librosa_delta(static, order)) < DECIBELS * 0.7


@settings(deadline=None, max_examples=60, derandomize=True)
@given(data=st.data())
def test_single_precision_is_left_where_it_would_not_do(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 999), "seed"))
    time = np.arange(8000) / 8000
    hum = np.sin(2 * np.pi * draw(st.floats(0, 100), "hum") * time + 1)
    voice = np.sign(np.sin(2 * np.pi * 150 * time)) + 0.01 * rng.normal(size=8000)
    loudness = 10 ** draw(st.floats(-3, 5), "loudness of the hum")
    samples = (voice + loudness * hum).astype(np.float32)
    setting = {"n_fft": draw(st.sampled_from([256, 512, 1024]), "n_fft"), "hop_length": 256}
    setting |= {"n_mels": 40, "fmin": draw(st.floats(0, 2000), "fmin"), "fmax": 4000}
    recipe = ImageRecipe(
        sample_rate=8000, channels=("static",), shape=(1, 1), n_mfcc=None, **setting
    )
    static = librosa_static(samples.astype(np.float64), 8000, **setting)
    assert worst(recipe.log_mel(samples).T, static) < DECIBELS * 0.7


def test_a_loud_hum_takes_double_precision_and_a_voice_does_not(monkeypatch):
    used = []
    power = ImageRecipe._mel_power

    def noted(self, waveform, dtype):
        used.append(dtype)
        return power(self, waveform, dtype)

    monkeypatch.setattr(ImageRecipe, "_mel_power", noted)
    X, _ = make_dysarthric_speech(n_patients=2, random_state=0)
    LogMelDeltaImages().transform(X.iloc[:1])
    assert used == [np.float32]
    hum = 1000 * np.sin(2 * np.pi * 50 * np.arange(22050) / 22050)
    voice = signal("clipped", 22050, 22050)
    used.clear()
    LogMelDeltaImages(fmin=1000).transform(one_row((voice + hum).astype(np.float32), 22050))
    assert used == [np.float32, np.float64]


def test_long_recordings_are_transformed_piece_by_piece(monkeypatch):
    samples = signal("chirp", 40_000, 8000)
    row = one_row(samples, 8000)
    transformer = LogMelDeltaImages(
        sample_rate=8000, n_fft=256, hop_length=64, n_mels=40, image_size=50, normalize=None
    )
    whole = transformer.transform(row)
    monkeypatch.setattr("sklearn_dysarthria.features._spectrogram._SAMPLES_AT_ONCE", 2000)
    assert worst(transformer.transform(row), whole) < 1e-4


@pytest.mark.parametrize("group", [1, 3, 16, 1000])
def test_banded_products_equal_full_ones(group):
    rng = np.random.default_rng(0)
    band = np.abs(np.arange(50)[:, None] - 1.3 * np.arange(37)) < 4
    matrix = rng.normal(size=band.shape) * band
    matrix[:, 5] = 0
    left = rng.normal(size=(8, 50)).astype(np.float32)
    out = np.full((8, 37), np.nan, dtype=np.float32)
    operators.Banded(matrix, group).multiply(left, out)
    np.testing.assert_allclose(out, left @ matrix, atol=1e-5)


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "fmin", "fmax"),
    [(22050, 2048, 224, 0, 11025), (22050, 2048, 256, 50, 4000), (16000, 401, 40, 20, 8000)]
    + [(8000, 256, 128, 900, 1100), (48000, 64, 3, 0, 24000), (22050, 512, 1, 999, 1001)],
)
def test_the_mel_bank_is_that_of_librosa(rate, n_fft, n_mels, fmin, fmax):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        theirs = librosa.filters.mel(
            sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64
        )
    np.testing.assert_allclose(
        operators.mel_bank(rate, n_fft, n_mels, fmin, fmax), theirs.T, atol=1e-14
    )


@settings(deadline=None, max_examples=50, derandomize=True)
@given(data=st.data())
def test_images_equal_librosa_for_any_parameters(data):
    draw = data.draw
    rate = draw(st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]), "recorded at")
    target = draw(st.sampled_from([8000, 16000, 22050, 24000]), "analysed at")
    n_fft = draw(st.integers(64, 2048), "n_fft")
    fmin = draw(st.floats(0, 0.4 * target / 2), "fmin")
    n_mels = draw(st.integers(1, 128), "n_mels")
    n_mfcc = draw(st.none() | st.integers(1, n_mels), "n_mfcc")
    transformer = LogMelDeltaImages(
        sample_rate=target,
        n_fft=n_fft,
        hop_length=draw(st.integers(32, 700), "hop_length"),
        n_mels=n_mels,
        fmin=fmin,
        fmax=draw(st.floats(fmin + 0.1 * target / 2, target / 2), "fmax"),
        representation="logmel" if n_mfcc is None else "mfcc",
        n_mfcc=40 if n_mfcc is None else n_mfcc,
        image_size=draw(st.tuples(st.integers(1, 80), st.integers(1, 80)), "image_size"),
        normalize=None,
    )
    n_samples = int(draw(st.floats(1.1, 8), "frames") * n_fft / target * rate) + 10
    kind = draw(st.sampled_from(KINDS), "signal")
    samples = signal(kind, n_samples, rate, draw(st.integers(0, 9), "seed"))
    if samples.min() == samples.max():
        return
    ours = transformer.transform(one_row(samples, rate))[0]
    assert ours.dtype == np.float32
    assert worst(ours, librosa_image(samples, rate, transformer, n_mfcc)) < DECIBELS


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_speech_from_files_and_arrays(tmp_path, rate):
    X, _ = make_dysarthric_speech(
        n_patients=2, duration=1.5, sample_rate=rate, folder=tmp_path, random_state=0
    )
    transformer = LogMelDeltaImages(fmax=4000, normalize=None, image_size=(96, 64))
    from_files = transformer.transform(X)
    arrays = X.assign(audio=[soundfile.read(path, dtype="float32")[0] for path in X["audio"]])
    assert np.array_equal(from_files, transformer.transform(arrays))
    assert np.array_equal(from_files, transformer.transform(list(X["audio"])))
    for image, samples in zip(from_files, arrays["audio"], strict=True):
        assert worst(image, librosa_image(samples, rate, transformer)) < DECIBELS


def test_segments_are_what_is_analysed():
    samples, rate = signal("noise", 32000, 16000), 16000
    transformer = LogMelDeltaImages(
        sample_rate=22050, fmax=8000, n_fft=512, n_mels=32, image_size=32, normalize=None
    )
    segmented = transformer.transform(one_row(samples, rate, segments=[(0.1, 0.5), (1.0, 1.5)]))
    resampled = librosa.resample(samples, orig_sr=rate, target_sr=22050, res_type="soxr_hq")
    kept = np.concatenate([resampled[2205:11025], resampled[22050:33075]])
    assert np.array_equal(segmented, transformer.transform(one_row(kept, 22050)))
    assert worst(segmented[0], librosa_image(kept, 22050, transformer)) < DECIBELS
    whole = transformer.transform(one_row(samples, rate))
    assert np.array_equal(whole, transformer.transform(one_row(samples, rate, segments=None)))
    assert not np.array_equal(whole, segmented)


@pytest.mark.parametrize("n_frames", range(1, 12))
def test_short_recordings_use_the_largest_odd_window(n_frames):
    static = np.random.default_rng(n_frames).normal(size=(5, n_frames))
    if n_frames < 9:
        with pytest.raises(librosa.ParameterError):
            librosa.feature.delta(static, width=9)
    for order in (1, 2):
        theirs = librosa_delta(static, order)
        taps = operators.derivative(n_frames, order)
        if taps is None:
            assert n_frames < 3
            assert not theirs.any()
            continue
        ours = np.empty_like(static.T)
        operators.correlate(np.ascontiguousarray(static.T), taps, ours)
        assert worst(ours.T, theirs) < 1e-6


@pytest.mark.parametrize("n_samples", [256, 300, 511, 512, 767, 1024, 2048])
def test_recordings_of_few_frames(n_samples):
    transformer = LogMelDeltaImages(
        sample_rate=8000, n_fft=256, hop_length=256, n_mels=20, fmax=4000, normalize=None
    )
    samples = signal("noise", n_samples, 8000)
    image = transformer.transform(one_row(samples, 8000))[0]
    assert worst(image, librosa_image(samples, 8000, transformer)) < DECIBELS


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 9), (224, 130), (40, 400)])
@pytest.mark.parametrize("size", [(1, 1), (7, 224), (224, 224), (64, 9), (100, 33)])
def test_resize_equals_pillow_and_the_definition(shape, size):
    channel = np.random.default_rng(0).uniform(-80, 0, size=shape)
    higher, ours = np.empty((shape[1], size[0])), np.empty(size)
    operators.resize(channel, higher)
    operators.resize(higher, ours)
    assert worst(ours, slow_resize(channel, *size)) < 1e-9
    image = Image.fromarray(channel.astype(np.float32))
    pillow = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    assert worst(ours, pillow) < 1e-4
    if size[1] > 1:  # torch is wrong for images one pixel wide
        options = {"mode": "bilinear", "align_corners": False, "antialias": True}
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(channel[None, None]), size=size, **options
        )
        assert worst(ours, theirs[0, 0].numpy()) < 1e-9


def test_lowest_band_and_first_frame_come_first():
    rate = 16000
    time = np.arange(rate) / rate
    low_then_high = np.sin(2 * np.pi * np.where(time < 0.5, 300, 5000) * time)
    image = LogMelDeltaImages(
        sample_rate=rate, n_mels=64, image_size=64, normalize=None, channels=["static"]
    ).transform(one_row(low_then_high, rate))[0, 0]
    assert image[:, 10].argmax() < 16
    assert image[:, 54].argmax() > 40


@pytest.mark.parametrize("level", [0.0, -80.0, -37.3, 0.1, 1e-9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_channels_stay_put(level, dtype):
    rounding = np.random.default_rng(0).normal(size=(3, 224, 224)) * 1e-12
    image = (np.full((3, 224, 224), level) + rounding).astype(dtype)
    assert np.abs(_normalized(image, "recording")).max() < 1e-4
    unit = _normalized(image, "imagenet") * IMAGENET_STD[:, None, None]
    assert np.abs(unit + IMAGENET_MEAN[:, None, None]).max() < 1e-4
