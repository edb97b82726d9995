"""Recordings that cannot be used: each is told apart, named, and survivable."""

import os

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    EmptyAudioError,
    MissingFileError,
    NonFiniteAudioError,
    NotAFileError,
    RecordingError,
    RecordingWarning,
    SampleRateError,
    SegmentsError,
    SilentAudioError,
    TooShortAudioError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from sklearn_dysarthria.recordings import (
    check_recordings,
    describe_recording,
    load_waveform,
    map_recordings,
)

RATE = 16000
NOISE = (0.25 * np.random.default_rng(0).standard_normal(RATE // 2)).clip(-1, 1)


def array(samples, **cells):
    return {"audio": samples, "sample_rate": RATE, **cells}


def with_value(value):
    samples = NOISE.copy()
    samples[100] = value
    return samples


def segmented(segments):
    return array(NOISE, segments=segments)


# Rows without a file: what is in the row, the error, and words it must say.
BAD_ROWS = {
    "none": (array(None), AudioTypeError, "audio is missing"),
    "nan": (array(float("nan")), AudioTypeError, "audio is missing"),
    "float32 nan": (array(np.float32("nan")), AudioTypeError, "audio is missing"),
    "NA": (array(pd.NA), AudioTypeError, "audio is missing"),
    "NaT": (array(pd.NaT), AudioTypeError, "audio is missing"),
    "number": (array(3), AudioTypeError, "audio is int of shape"),
    "bytes": (array(b"a.wav"), AudioTypeError, "audio is bytes"),
    "int16": (array((NOISE * 999).astype("i2")), AudioTypeError, "int16.*32768 for 16 bits"),
    "uint8": (array(NOISE.astype("u1")), AudioTypeError, "full scale"),
    "bool": (array(NOISE > 0), AudioTypeError, "type bool"),
    "complex": (array(NOISE + 0j), AudioTypeError, "type complex128"),
    "objects": (array(NOISE.astype(object)), AudioTypeError, "type object"),
    "strings": (array(["a.wav", "b.wav"]), AudioTypeError, "audio is list"),
    "ragged": (array([[1.0], [1.0, 2.0]]), AudioTypeError, "audio is list"),
    "0-D": (array(np.array(0.5)), AudioTypeError, r"shape \(\)"),
    "2-D": (array(NOISE.reshape(-1, 2)), AudioTypeError, r"\(4000, 2\).*Mix the channels"),
    "dict": (array({"path": "a.wav"}), AudioTypeError, "audio is dict"),
    "no samples": (array(NOISE[:0]), EmptyAudioError, "no samples"),
    "silence": (array(NOISE * 0), SilentAudioError, "silent"),
    "constant": (array(NOISE * 0 + 0.3), SilentAudioError, "every sample is the same"),
    "one sample": (array(NOISE[:1]), SilentAudioError, "silent"),
    "NaN sample": (array(with_value(np.nan)), NonFiniteAudioError, "NaN or infinite"),
    "all NaN": (array(NOISE * np.nan), NonFiniteAudioError, "NaN or infinite"),
    "infinite": (array(with_value(-np.inf)), NonFiniteAudioError, "NaN or infinite"),
    "beyond float32": (array(with_value(1e300)), NonFiniteAudioError, "NaN or infinite"),
    "absurd": (array(with_value(-1e13)), NonFiniteAudioError, r"beyond ±1e\+12"),
    "no rate": ({"audio": NOISE}, SampleRateError, "without its rate"),
    "NaN rate": (array(NOISE, sample_rate=np.nan), SampleRateError, "without its rate"),
    "None rate": (array(NOISE, sample_rate=None), SampleRateError, "without its rate"),
    "NA rate": (array(NOISE, sample_rate=pd.NA), SampleRateError, "without its rate"),
    "rate 0": (array(NOISE, sample_rate=0), SampleRateError, "rate is 0, not"),
    "negative rate": (array(NOISE, sample_rate=-RATE), SampleRateError, "rate is -16000, not"),
    "rate in kHz": (array(NOISE, sample_rate=44.1), SampleRateError, "rate is 44.1, not"),
    "infinite rate": (array(NOISE, sample_rate=np.inf), SampleRateError, "rate is inf, not"),
    "rate in words": (array(NOISE, sample_rate="16 kHz"), SampleRateError, "rate is '16 kHz'"),
    "list rate": (array(NOISE, sample_rate=[RATE]), SampleRateError, r"rate is \[16000\]"),
    "True rate": (array(NOISE, sample_rate=True), SampleRateError, "rate is True"),
    "huge rate": (array(NOISE, sample_rate=10**400), SampleRateError, "not a number of Hz"),
    "numpy rate": (array(NOISE, sample_rate=np.int64(7)), SampleRateError, "rate is 7, not"),
    "no segments": (segmented([]), EmptyAudioError, "segments select no samples"),
    "tiny segment": (segmented([(0.1, 0.1 + 1e-9)]), EmptyAudioError, "segments select no"),
    "silent segment": (
        array(np.r_[NOISE, np.zeros(RATE)], segments=[(0.6, 0.9)]),
        SilentAudioError,
        "silent",
    ),
    "empty segment": (segmented([(0.1, 0.1)]), SegmentsError, r"\(0.1, 0.1\) is empty"),
    "backwards": (segmented([(0.2, 0.1)]), SegmentsError, r"\(0.2, 0.1\)"),
    "overlap": (segmented([(0, 0.2), (0.1, 0.3)]), SegmentsError, r"\(0.1, 0.3\).*overlaps"),
    "unsorted": (segmented([(0.2, 0.3), (0, 0.1)]), SegmentsError, r"\(0, 0.1\)"),
    "before": (segmented([(-0.1, 0.1)]), SegmentsError, r"\(-0.1, 0.1\)"),
    "after": (segmented([(0.1, 0.6)]), SegmentsError, "leaves the recording of 0.5 s"),
    "far after": (segmented([(0.50001, 0.50002)]), SegmentsError, "recording of 0.5 s"),
    "NaN end": (segmented([(0.1, np.nan)]), SegmentsError, r"\(0.1, nan\)"),
    "infinite end": (segmented([(0, np.inf)]), SegmentsError, r"\(0, inf\)"),
    "huge end": (segmented([(0, 10**400)]), SegmentsError, "segments are"),
    "flat": (segmented([0.1, 0.2]), SegmentsError, r"segments are \[0.1, 0.2\]"),
    "triples": (segmented([(0, 0.1, 0.2)]), SegmentsError, "segments are"),
    "text": (segmented("[(0, 0.1)]"), SegmentsError, r"segments are '\[\(0, 0.1\)\]'"),
    "a number": (segmented(3), SegmentsError, "segments are 3"),
    "names": (segmented([("a", "b")]), SegmentsError, "segments are"),
    "None end": (segmented([(0.1, None)]), SegmentsError, "segments are"),
}


def write(path, samples=NOISE, rate=RATE, **options):
    sf.write(path, samples, rate, **options)
    return path


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def text(path, content="This is not audio.\n" * 20):
    path.write_text(content)
    return path


def fifo(path):
    os.mkfifo(path)
    return path


def folder(path):
    path.mkdir()
    return path


def patched_rate(path, rate):
    content = bytearray(write(path).read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def opposite_channels(path):
    return write(path, np.stack([NOISE, -NOISE], axis=1), subtype="FLOAT")


# Rows with a file: how to make it, other cells of the row, the error, words it must say.
BAD_FILES = {
    "missing": (lambda p: p / "no.wav", {}, MissingFileError, "no such file.*Correct the path"),
    "empty path": (lambda p: "", {}, MissingFileError, "no such file"),
    "NUL in path": (lambda p: "a\0b.wav", {}, MissingFileError, "no such file"),
    "long path": (lambda p: "a" * 5000, {}, UnreadableAudioError, "cannot be reached"),
    "file as folder": (
        lambda p: write(p / "a.wav") / "b.wav",
        {},
        MissingFileError,
        "no such file",
    ),
    "directory": (lambda p: folder(p / "a.wav"), {}, NotAFileError, "directory.*one row per file"),
    "fifo": (lambda p: fifo(p / "a.wav"), {}, NotAFileError, "pipe or a device.*Save"),
    "device": (lambda p: "/dev/null", {}, NotAFileError, "pipe or a device"),
    "endless device": (lambda p: "/dev/zero", {}, NotAFileError, "pipe or a device"),
    "empty": (lambda p: text(p / "a.wav", ""), {}, EmptyAudioError, "file is empty"),
    "text": (lambda p: text(p / "a.wav"), {}, UnreadableAudioError, "decoded.*Convert it to WAV"),
    "text as mp3": (lambda p: text(p / "a.mp3"), {}, UnreadableAudioError, "cannot be decoded"),
    "text as raw": (lambda p: text(p / "a.raw"), {}, UnreadableAudioError, "cannot be decoded"),
    "header only": (lambda p: write(p / "a.wav", NOISE[:0]), {}, EmptyAudioError, "no samples"),
    "cut wav": (lambda p: cut(write(p / "a.wav")), {}, TruncatedAudioError, "Copy the original"),
    "cut flac": (lambda p: cut(write(p / "a.flac")), {}, TruncatedAudioError, "Copy the"),
    "cut ogg": (lambda p: cut(write(p / "a.ogg")), {}, TruncatedAudioError, "Copy the"),
    "cut mp3": (lambda p: cut(write(p / "a.mp3")), {}, TruncatedAudioError, "Copy the"),
    "silent": (lambda p: write(p / "a.wav", NOISE * 0), {}, SilentAudioError, "silent"),
    "constant": (lambda p: write(p / "a.wav", NOISE * 0 + 0.5), {}, SilentAudioError, "silent"),
    "cancelling": (lambda p: opposite_channels(p / "a.wav"), {}, SilentAudioError, "silent"),
    "NaN": (
        lambda p: write(p / "a.wav", with_value(np.nan), subtype="FLOAT"),
        {},
        NonFiniteAudioError,
        "NaN",
    ),
    "infinite": (
        lambda p: write(p / "a.wav", with_value(np.inf), subtype="DOUBLE"),
        {},
        NonFiniteAudioError,
        "infinite",
    ),
    "overflow of the mix": (
        lambda p: write(p / "a.wav", np.full((9, 2), 3e38), subtype="FLOAT"),
        {},
        NonFiniteAudioError,
        "infinite",
    ),
    "wrong rate": (
        lambda p: write(p / "a.wav"),
        {"sample_rate": 8000},
        SampleRateError,
        "says 8000 Hz, the file itself 16000 Hz",
    ),
    "rate in words": (
        lambda p: write(p / "a.wav"),
        {"sample_rate": "fast"},
        SampleRateError,
        "'fast'",
    ),
    "rate 0": (lambda p: write(p / "a.wav"), {"sample_rate": 0}, SampleRateError, "rate is 0"),
    "header says 3 Hz": (
        lambda p: patched_rate(p / "a.wav", 3),
        {},
        SampleRateError,
        "header says 3 Hz",
    ),
    "header says 2 GHz": (
        lambda p: patched_rate(p / "a.wav", 2**31 - 1),
        {},
        SampleRateError,
        "header says 2147483647 Hz",
    ),
    "segments": (
        lambda p: write(p / "a.wav"),
        {"segments": [(0.4, 0.7)]},
        SegmentsError,
        "leaves the recording of 0.5 s",
    ),
}


def table_around(row):
    """The bad row between two good ones, labelled ``"bad"``."""
    rows = [array(NOISE), row, array(NOISE)]
    columns = ["audio", "sample_rate", "segments"]
    cells = {name: np.empty(3, dtype=object) for name in columns}
    for i, one in enumerate(rows):
        for name in columns:
            cells[name][i] = one.get(name)
    return pd.DataFrame(cells, index=["first", "bad", "last"])


def check_all_doors(row, error, words, path=None):
    """The three ways a user meets a bad recording agree on what is wrong with it."""
    table = table_around(row)

    with pytest.raises(error, match=f"(?s)^row 'bad'.*{words}") as caught:
        load_waveform(table.loc["bad"])
    assert type(caught.value) is error
    assert isinstance(caught.value, ValueError)
    assert caught.value.row == "bad"
    assert caught.value.path == (None if path is None else os.fspath(path))
    assert caught.value.remedy
    assert str(caught.value).endswith(caught.value.remedy)

    with pytest.raises(error, match=words):
        load_waveform(row, 22050)
    with pytest.raises(error, match=words):
        map_recordings(load_waveform, table)
    with pytest.warns(RecordingWarning, match=f"(?s)1 of 3 recordings.*row 'bad'.*{words}"):
        first, bad, last = map_recordings(load_waveform, table, on_error="nan")
    assert bad is None
    assert len(first) == len(last) == len(NOISE)

    clean, report = check_recordings(table)
    assert list(clean.index) == ["first", "last"]
    assert report["ok"].tolist() == [True, False, True]
    assert report.loc["bad", "error"] == error.__name__
    assert report.loc["bad", "message"] == str(caught.value)

    try:
        describe_recording(row)
    except RecordingError as described:
        assert type(described) is error  # noqa: PT017


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_row(name):
    check_all_doors(*BAD_ROWS[name])


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.timeout(20)  # a pipe must not block
def test_bad_file(tmp_path, name):
    make, cells, error, words = BAD_FILES[name]
    path = make(tmp_path)
    check_all_doors({"audio": path, **cells}, error, words, path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path):
    path = write(tmp_path / "a.wav")
    path.chmod(0)
    check_all_doors({"audio": path}, UnreadableAudioError, "may not be read", path)
    inside = write(folder(tmp_path / "closed") / "a.wav")
    inside.parent.chmod(0)
    try:
        check_all_doors({"audio": inside}, UnreadableAudioError, "cannot be reached", inside)
    finally:
        inside.parent.chmod(0o700)


def test_broken_and_circular_links(tmp_path):
    (tmp_path / "broken.wav").symlink_to(tmp_path / "no.wav")
    with pytest.raises(MissingFileError):
        load_waveform(tmp_path / "broken.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    with pytest.raises(UnreadableAudioError, match="cannot be reached"):
        load_waveform(tmp_path / "loop.wav")


def test_too_short():
    row = array(NOISE[:3])
    assert len(load_waveform(row)) == 3
    with pytest.raises(TooShortAudioError, match=r"shorter than one analysis frame of 0.1 s"):
        load_waveform(row, min_duration=0.1)
