"""What errors about recordings carry, through pickling, tables and worker processes."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dysarthria import exceptions
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingFileError,
    NotAFileError,
    RecordingError,
    RecordingWarning,
)
from sklearn_dysarthria.recordings import check_recordings, load_waveform, map_recordings

RATE = 16000
NOISE = (0.25 * np.random.default_rng(0).standard_normal(RATE // 2)).clip(-1, 1)

ERRORS = [
    error
    for error in vars(exceptions).values()
    if isinstance(error, type) and issubclass(error, RecordingError)
]


def array(samples):
    return {"audio": samples, "sample_rate": RATE}


def table_around(row):
    return pd.DataFrame([array(NOISE), row, array(NOISE)], index=["first", "bad", "last"])


def write(path):
    sf.write(path, NOISE, RATE)
    return path


def raised(row):
    with pytest.raises(RecordingError) as caught:
        load_waveform(row)
    return caught.value


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("remedy", [None, "Do this."])
def test_errors_survive_pickle_and_copy(error, remedy):
    original = error("it is broken.", row=("a", 1), path="b/c.wav", remedy=remedy)
    for twin in (pickle.loads(pickle.dumps(original)), copy.copy(original)):
        assert type(twin) is error
        assert str(twin) == str(original)
        for name in ("problem", "row", "path", "remedy"):
            assert getattr(twin, name) == getattr(original, name)
    assert str(original).startswith("row ('a', 1), file 'b/c.wav': it is broken. ")


def test_builtin_relatives():
    for error, builtin in [
        (AudioTypeError, TypeError),
        (MissingFileError, FileNotFoundError),
        (NotAFileError, IsADirectoryError),
    ]:
        assert issubclass(error, builtin)


@pytest.mark.parametrize("index", [[0, 1], [7, 8], ["a", "b"], [("p", 1), ("p", 2)], [5, 5]])
def test_row_label_is_that_of_the_index(index):
    table = pd.DataFrame({"audio": ["no.wav", None]})
    table.index = pd.MultiIndex.from_tuples(index) if isinstance(index[0], tuple) else index
    for i in range(2):
        error = raised(table.iloc[i])
        assert error.row == index[i]
        assert str(error).startswith(f"row {index[i]!r}")


def test_row_label_is_plain():
    assert str(raised(pd.DataFrame({"audio": [None]}, index=np.array([7])).iloc[0])) == (
        "row 7: the audio is missing. Give a path, or a 1-D float array with its rate in column "
        "'sample_rate'."
    )


def test_series_with_its_own_index():
    series = pd.Series(["no.wav", None], index=["x", "y"])
    with pytest.warns(RecordingWarning, match="2 of 2") as caught:
        assert map_recordings(load_waveform, series, on_error="nan") == [None, None]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "\n  row 'x', file 'no.wav': " in message
    assert "\n  row 'y': the audio is missing." in message
    assert check_recordings(series)[1]["error"].to_dict() == {
        "x": "MissingFileError",
        "y": "AudioTypeError",
    }


@pytest.mark.parametrize("dtype", ["object", "string", "str", "category"])
def test_missing_cells_of_every_column_type(tmp_path, dtype):
    path = str(write(tmp_path / "a.wav"))
    X = pd.DataFrame({"audio": pd.Series([path, None, path], dtype=dtype)})
    report = check_recordings(X)[1]
    assert report["ok"].tolist() == [True, False, True]
    assert report["message"][1].startswith("row 1: the audio is missing.")


def test_errors_come_back_from_workers(tmp_path):
    table = table_around({"audio": tmp_path / "no.wav"})
    with pytest.raises(MissingFileError, match=r"row 'bad', file .*no.wav") as caught:
        map_recordings(load_waveform, table, n_jobs=2)
    assert caught.value.row == "bad"
    with pytest.warns(RecordingWarning, match="1 of 3"):
        results = map_recordings(load_waveform, table, on_error="nan", n_jobs=2)
    assert [result is None for result in results] == [False, True, False]
    here, there = (check_recordings(table, n_jobs=n_jobs)[1] for n_jobs in (1, 2))
    pd.testing.assert_frame_equal(here, there)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_first_bad_row_is_the_one_that_is_named(n_jobs):
    bad = [{"audio": None}] * 20
    table = pd.DataFrame([array(NOISE), *bad, array(NOISE)])
    for _ in range(3):
        with pytest.raises(AudioTypeError, match=r"^row 1: "):
            map_recordings(load_waveform, table, n_jobs=n_jobs, verbose=1)


def test_work_stops_at_the_first_bad_row():
    seen = []

    def load(row):
        seen.append(row.name)
        return load_waveform(row)

    with pytest.raises(AudioTypeError):
        map_recordings(load, [None] * 100)
    assert seen[0] == 0
    assert len(seen) < 10
    with pytest.warns(RecordingWarning, match="100 of 100"):
        map_recordings(load, [None] * 100, on_error="nan")


def test_no_warning_without_failures():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        map_recordings(load_waveform, table_around(array(NOISE)), on_error="nan")


# Whatever a cell holds, the answer is samples or a RecordingError


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.lists(st.floats() | st.lists(st.floats(), max_size=3), max_size=5),
    st.lists(st.tuples(st.floats(-0.1, 0.6), st.floats(-0.1, 0.6)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(audio=anything | st.just(NOISE), rate=anything | st.just(RATE), segments=anything)
def test_any_cells(audio, rate, segments):
    row = {"audio": audio, "sample_rate": rate, "segments": segments}
    try:
        samples = load_waveform(row, 8000)
    except RecordingError:
        return
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert len(samples)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32), max_size=50), st.floats(100, 1e5))
def test_any_samples(samples, rate):
    try:
        loaded = load_waveform({"audio": np.array(samples, dtype="f4"), "sample_rate": rate}, 8000)
    except RecordingError:
        return
    assert np.isfinite(loaded).all()
