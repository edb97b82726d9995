"""Truncated files are distinguished from whole ones, container by container."""

import contextlib
import os
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sklearn_dysarthria.exceptions import (
    EmptyAudioError,
    RecordingError,
    SampleRateError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from sklearn_dysarthria.recordings import describe_recording, load_waveform
from sklearn_dysarthria.recordings._containers import (
    declared_length_is_missing,
    describe_plain_wav,
    read_plain_wav,
)

RATE, N_SAMPLES = 16000, 8000
KINDS = {
    "wav": "PCM_16",
    "wavex": "PCM_24",
    "rf64": "PCM_16",
    "aiff": "PCM_16",
    "au": "FLOAT",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "mp3": "MPEG_LAYER_III",
}
UNKNOWN = [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000]


@pytest.fixture(scope="module")
def samples():
    return (0.25 * np.random.default_rng(0).standard_normal(N_SAMPLES)).clip(-1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("containers")


@pytest.fixture(scope="module")
def whole(folder, samples):
    """Bytes of a complete file of every kind."""
    found = {}
    for kind, subtype in KINDS.items():
        path = folder / f"whole.{kind}"
        sf.write(path, samples, RATE, format=kind.upper(), subtype=subtype)
        found[kind] = path.read_bytes()
    return found


def saved(folder, content, suffix="wav"):
    path = folder / f"made.{suffix}"
    path.write_bytes(content)
    return path


def wav(samples, *, data_length=None, riff_length=None, before=b"", after=b"", order="<"):
    """Write a 16-bit mono WAV by hand."""
    data = np.round(samples * 32767).astype(f"{order}i2").tobytes()
    data_length = len(data) if data_length is None else data_length
    fmt = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunk = b"data" + struct.pack(f"{order}I", data_length)
    body = b"WAVE" + fmt + before + chunk + data + after
    riff_length = len(body) if riff_length is None else riff_length
    magic = b"RIFF" if order == "<" else b"RIFX"
    return magic + struct.pack(f"{order}I", riff_length) + body


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_whole(folder, whole, kind):
    path = saved(folder, whole[kind], kind)
    assert not declared_length_is_missing(str(path))
    assert len(load_waveform(path)) == N_SAMPLES


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_cut_anywhere_is_an_error(folder, whole, kind, data):
    # An odd number of data bytes could be padded, so the very last byte may be dispensable.
    end = len(whole[kind]) - 2
    cut = data.draw(
        st.integers(1, end) | st.integers(1, 200) | st.integers(0, 300).map(lambda n: end - n)
    )
    path = saved(folder, whole[kind][:cut], kind)
    with pytest.raises((TruncatedAudioError, UnreadableAudioError)) as caught:
        load_waveform(path)
    assert caught.value.path == str(path)
    assert "Copy the original" in str(caught.value) or "Convert it" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_after_the_header_is_called_truncated(folder, whole, kind):
    path = saved(folder, whole[kind][: len(whole[kind]) * 9 // 10], kind)
    with pytest.raises(TruncatedAudioError, match="length that its header declares"):
        load_waveform(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("length", UNKNOWN)
def test_wav_from_a_pipe_is_not_truncated(folder, samples, length, order):
    content = wav(samples, data_length=length, riff_length=length, order=order)
    path = saved(folder, content)
    assert not declared_length_is_missing(str(path))
    assert len(load_waveform(path)) == N_SAMPLES
    assert describe_recording(path).n_samples == N_SAMPLES


def test_wav_that_was_never_closed(folder, samples):
    path = saved(folder, wav(samples, data_length=0, riff_length=8))
    assert not declared_length_is_missing(str(path))
    assert len(load_waveform(path)) == N_SAMPLES


@pytest.mark.parametrize("riff_length", [0, 36])
def test_wav_that_claims_no_samples(folder, samples, riff_length):
    # libsndfile believes the header; nothing is lost silently.
    path = saved(folder, wav(samples, data_length=0, riff_length=riff_length))
    assert not declared_length_is_missing(str(path))
    with pytest.raises(EmptyAudioError):
        load_waveform(path)


def test_wrong_riff_length_does_not_matter(folder, samples):
    for riff_length in (0, 4, 10**6):
        path = saved(folder, wav(samples, riff_length=riff_length))
        assert len(load_waveform(path)) == N_SAMPLES


@pytest.mark.parametrize("order", ["<", ">"])
def test_chunks_around_the_data(folder, samples, order):
    odd = b"note" + struct.pack(f"{order}I", 5) + b"12345\0"
    listing = b"LIST" + struct.pack(f"{order}I", 26) + b"INFOISFT\x0e\0\0\0" + b"x" * 14
    content = wav(samples, before=odd + listing, after=listing, order=order)
    assert len(load_waveform(saved(folder, content))) == N_SAMPLES
    # A cut in what follows the samples costs nothing, a cut in the samples does.
    assert len(load_waveform(saved(folder, content[:-10]))) == N_SAMPLES
    with pytest.raises(TruncatedAudioError):
        load_waveform(saved(folder, content[: -len(listing) - 2]))


@pytest.mark.parametrize(("kind", "end"), [("wav", 44), ("wavex", 80), ("rf64", 104)])
def test_header_only(folder, kind, end, samples):
    path = folder / f"header.{kind}"
    sf.write(path, samples[:0], RATE, format=kind.upper(), subtype="PCM_16")
    with pytest.raises(EmptyAudioError, match="no samples"):
        load_waveform(path)
    assert describe_recording(path).n_samples == 0
    assert path.stat().st_size <= end


@pytest.mark.parametrize("cut", range(0, 44, 3))
def test_cut_wav_header(folder, samples, cut):
    with pytest.raises(RecordingError):
        load_waveform(saved(folder, wav(samples)[:cut]))


def test_au_of_unknown_length(folder, whole):
    content = bytearray(whole["au"])
    content[8:12] = b"\xff" * 4
    assert len(load_waveform(saved(folder, content, "au"))) == N_SAMPLES


def test_flac_of_unknown_length_asks_for_another(folder, whole):
    # Bits 108 to 143 of STREAMINFO, which starts at byte 8, hold the number of samples.
    content = bytearray(whole["flac"])
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path = saved(folder, content, "flac")
    for function in (load_waveform, describe_recording):
        with pytest.raises(UnreadableAudioError, match=r"does not say how long.*to a pipe"):
            function(path)


def test_damage_in_the_middle_of_a_flac(folder, whole):
    content = bytearray(whole["flac"])
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    with pytest.raises(RecordingError):
        load_waveform(saved(folder, content, "flac"))


def test_ogg_without_its_last_page(folder, whole):
    content = whole["ogg"]
    last = content.rfind(b"OggS")
    assert not declared_length_is_missing(str(saved(folder, content, "ogg")))
    for cut in (last, last + 10, last + 27, len(content) - 1):
        assert declared_length_is_missing(str(saved(folder, content[:cut], "ogg")))


def test_other_files_are_none_of_its_business(folder):
    for content in (b"", b"RIFF", b"text", b".snd", b"OggX" * 10, b"ID3" * 10):
        assert not declared_length_is_missing(str(saved(folder, content)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_garbage_after_a_valid_header(folder, whole, kind, data):
    start = data.draw(st.integers(0, 300))
    garbage = data.draw(st.binary(min_size=0, max_size=600))
    content = whole[kind][:start] + garbage + whole[kind][start + len(garbage) :]
    path = saved(folder, content, kind)
    try:
        loaded = load_waveform(path, 22050)
    except RecordingError:
        return
    assert np.isfinite(loaded).all()


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400), magic=st.sampled_from(["RIFF", "OggS", "fLaC", ".snd", ""]))
def test_garbage_is_a_recording_error(folder, content, magic):
    path = saved(folder, magic.encode() + content)
    declared_length_is_missing(str(path))
    with contextlib.suppress(RecordingError):
        load_waveform(path)


def wav_bytes(chunks, *, code=1, channels=1, bits=16, frame=None, extra=b"", rate=RATE):
    frame = channels * bits // 8 if frame is None else frame
    bytes_per_second = rate * frame
    fmt = struct.pack("<HHIIHH", code, channels, rate, bytes_per_second, frame, bits) + extra
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", length) + content
        for name, length, content in [(b"fmt ", len(fmt), fmt), *chunks]
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


@settings(deadline=None, max_examples=150, derandomize=True)
@given(data=st.data())
def test_plain_wav_files_are_read_as_by_soundfile(folder, data):
    draw = data.draw
    channels = draw(st.integers(1, 3), "channels")
    content = draw(st.binary(max_size=60), "samples")
    assume(not content.startswith((b"OggS", b"wvpk")))  # libsndfile takes these for other formats
    content += bytes(-len(content) % (2 * channels))
    others = st.tuples(st.sampled_from([b"LIST", b"data", b"fmt ", b"PEAK"]), st.binary(max_size=9))
    others = st.lists(others, max_size=1)
    before, behind = draw(others, "before"), draw(others, "behind")
    chunks = [*before, (b"data", content), *behind]
    chunks = [(name, len(text), text + bytes(len(text) % 2)) for name, text in chunks]
    path = saved(folder, wav_bytes(chunks, channels=channels))
    plain, described = read_plain_wav(str(path)), describe_plain_wav(str(path))
    if before or behind or not content:
        assert plain is None
        assert described is None
        return
    with sf.SoundFile(path) as file:
        assert described == (file.samplerate, file.channels, file.frames)
    theirs, rate = sf.read(path, dtype="int16")
    assert plain[1] == rate
    np.testing.assert_array_equal(plain[0], theirs)
    assert plain[0].shape == theirs.shape


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        wav_bytes([(b"data", 4, bytes(4))], code=3),
        wav_bytes([(b"data", 4, bytes(4))], bits=8),
        wav_bytes([(b"data", 4, bytes(4))], channels=0, frame=2),
        wav_bytes([(b"data", 4, bytes(4))], frame=4),
        wav_bytes([(b"data", 4, bytes(4))], rate=0),
        wav_bytes([(b"data", 4, bytes(4))]).replace(
            struct.pack("<I", RATE), struct.pack("<I", 2**31), 1
        ),
        wav_bytes([(b"data", 2050, bytes(2050))], channels=1025),
        wav_bytes([(b"data", 4, bytes(4))]) + bytes(1),
        wav_bytes([(b"data", 4, bytes(4))], extra=bytes(2)),
        wav_bytes([(b"data", 3, bytes(4))]),
        wav_bytes([(b"data", 6, bytes(4))]),
        wav_bytes([(b"data", 0, bytes(4))]),
        wav_bytes([(b"data", 0xFFFFFFFF, bytes(4))]),
        wav_bytes([(b"LIST", 0xFFFFFFF0, bytes(4))]),
        wav_bytes([]),
        wav_bytes([(b"data", 4, bytes(4))]).replace(b"WAVE", b"AVI "),
        wav_bytes([(b"data", 4, bytes(4))]).replace(b"RIFF", b"RIFX"),
    ],
)
def test_whatever_is_not_a_plain_wav_file_is_left_to_libsndfile(folder, content):
    assert read_plain_wav(str(saved(folder, content))) is None
    assert describe_plain_wav(str(saved(folder, content))) is None


def test_a_plain_header_is_checked_like_any_other(folder, monkeypatch):
    for rate in (50, 2**30):
        slow = saved(folder, wav_bytes([(b"data", 4, bytes(4))], rate=rate))
        for look in (describe_recording, load_waveform):
            with pytest.raises(SampleRateError):
                look(slow)
    monkeypatch.setattr("sklearn_dysarthria.recordings._audio._MOST_SAMPLES", 15)
    stereo = saved(folder, wav_bytes([(b"data", 32, bytes(32))], channels=2))
    for look in (describe_recording, load_waveform):
        with pytest.raises(UnreadableAudioError, match="how long"):
            look(stereo)


def test_a_file_that_becomes_shorter_while_it_is_read_is_no_plain_one(folder, monkeypatch):
    path = saved(folder, wav_bytes([(b"data", 8, bytes(8))])[:-2])
    monkeypatch.setattr(os, "fstat", lambda _: SimpleNamespace(st_size=44 + 8))
    assert describe_plain_wav(str(path)) == (RATE, 1, 4)
    assert read_plain_wav(str(path)) is None


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_a_file_that_fails_while_it_is_read_is_an_error_of_its_row(
    folder, whole, monkeypatch, error
):
    path = saved(folder, whole["wav"])
    expected, info = load_waveform(path), describe_recording(path)

    def fails(path):
        raise error

    monkeypatch.setattr("sklearn_dysarthria.recordings._audio.read_plain_wav", fails)
    if isinstance(error, OSError):
        monkeypatch.setattr("sklearn_dysarthria.recordings._audio.describe_plain_wav", fails)
    assert describe_recording(path) == info
    np.testing.assert_array_equal(load_waveform(path), expected)
    monkeypatch.setattr("sklearn_dysarthria.recordings._audio._check_is_file", lambda where: None)
    path.unlink()
    with pytest.raises(RecordingError):
        load_waveform(path)
