"""What counts as a table of recordings, and what its columns promise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    MissingColumnError,
    PatientError,
    RecordingError,
)
from sklearn_dysarthria.recordings import (
    as_table,
    check_recordings,
    column,
    describe_recording,
    load_waveform,
    map_recordings,
    one_label_per_patient,
    patient_ids,
)


def noise(n_samples, n_channels=1):
    samples = 0.25 * np.random.default_rng(0).standard_normal((n_samples, n_channels))
    return samples.clip(-1, 1)


def write(path, samples, rate):
    sf.write(path, samples, rate)
    return path


def test_whatever_holds_paths_is_a_table(tmp_path):
    path = write(tmp_path / "a.wav", noise(4000), 16000)
    paths = [path, str(path)]
    series = pd.Series(paths, index=["x", "y"], name="files")
    objects = np.empty(2, dtype=object)
    objects[:] = paths
    for X in (
        paths,
        tuple(paths),
        objects,
        series,
        np.array([str(path)] * 2),
        series.to_frame("audio"),
    ):
        table = as_table(X)
        assert list(table.columns) == ["audio"]
        lengths = map_recordings(load_waveform, X)
        assert [len(samples) for samples in lengths] == [4000, 4000]
    assert list(as_table(series).index) == ["x", "y"]
    strings = pd.Series([str(path)] * 2, dtype="string")
    assert [len(samples) for samples in map_recordings(load_waveform, strings)] == [4000, 4000]


def test_a_table_is_returned_as_it_is():
    table = pd.DataFrame({"audio": ["a.wav"], "anything": [1]})
    assert as_table(table) is table


def test_no_recordings():
    for X in ([], pd.DataFrame({"audio": []}), np.array([], dtype=object)):
        assert map_recordings(load_waveform, X) == []
        clean, report = check_recordings(X, [])
        assert len(clean) == len(report) == 0
        assert report["ok"].dtype == bool


def test_list_of_equally_long_arrays_keeps_its_rows():
    table = as_table([np.zeros(3), np.ones(3)])
    assert len(table) == 2
    with pytest.raises(RecordingError, match=r"row 0.*without its rate"):
        map_recordings(load_waveform, table)


@pytest.mark.parametrize(
    "X",
    [
        "a.wav",
        b"a.wav",
        Path("a.wav"),
        None,
        3,
        {"audio": ["a.wav"]},
        {"a.wav"},
        iter(["a.wav"]),
        np.zeros(3),
        np.zeros((3, 2)),
        np.array("a.wav"),
        np.array([["a.wav"]], dtype=object),
    ],
    ids=lambda X: type(X).__name__,
)
def test_not_a_table(X):
    for function in (as_table, check_recordings, lambda X: map_recordings(load_waveform, X)):
        with pytest.raises(AudioTypeError, match=r"list of paths|1-D sequence of paths"):
            function(X)


def test_table_without_audio():
    with pytest.raises(MissingColumnError, match=r"no column 'audio'; it has \['path'\]"):
        as_table(pd.DataFrame({"path": ["a.wav"]}))


@pytest.mark.parametrize("name", ["audio", "sample_rate", "patient", "segments"])
def test_doubled_column(name):
    table = pd.DataFrame([["a.wav", 1, 2]], columns=["audio", name, name])
    with pytest.raises(RecordingError, match=f"several columns '{name}'"):
        as_table(table)


@pytest.mark.parametrize("row", [None, 3, b"a.wav", np.zeros(3), ["a.wav"]], ids=repr)
def test_not_a_row(row):
    for function in (load_waveform, describe_recording):
        with pytest.raises(AudioTypeError, match="one recording is expected"):
            function(row)


def test_row_labels_and_index_survive(tmp_path):
    path = write(tmp_path / "a.wav", noise(4000), 16000)
    table = pd.DataFrame({"audio": [path, tmp_path / "no.wav", path], "note": [1, 2, 3]})
    table.index = pd.Index([7, 7, 9])
    clean, report = check_recordings(table)
    assert list(clean.index) == [7, 9]
    assert list(report.index) == [7, 7, 9]
    assert list(clean["note"]) == [1, 3]
    assert report["message"].iloc[1].startswith("row 7, file ")
    assert list(np.array([0, 1, 2])[report["ok"]]) == [0, 2]


def test_report_describes_each_recording(tmp_path):
    good = write(tmp_path / "a.wav", noise(4000, 2), 16000)
    clean, report = check_recordings([good, tmp_path / "no.wav"], ["x", "y"], n_jobs=2)
    assert list(clean["audio"]) == [good]
    expected = ["ok", "error", "message", "sample_rate", "n_channels", "duration"]
    assert list(report.columns) == expected
    assert report.loc[0, ["ok", "sample_rate", "n_channels", "duration"]].tolist() == [
        True,
        16000,
        2,
        0.25,
    ]
    assert report.loc[0, ["error", "message"]].isna().all()
    assert report.loc[1, "error"] == "MissingFileError"
    assert not report.loc[1, "ok"]


def test_min_duration_of_check():
    X = pd.DataFrame({"audio": [noise(800)[:, 0]], "sample_rate": 16000})
    assert check_recordings(X)[1].loc[0, "error"] == "TooShortAudioError"
    assert check_recordings(X, min_duration=0.05)[1].loc[0, "ok"]
    load_waveform(X.iloc[0], min_duration=0.05)
    with pytest.raises(RecordingError, match=r"0.05 s are shorter than .* 0.0501 s"):
        load_waveform(X.iloc[0], min_duration=0.0501)


# Columns and labels


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_value_in_a_column(missing):
    table = pd.DataFrame({"audio": ["a", "b"], "patient": ["p", missing]}, index=[3, 4])
    with pytest.raises(MissingColumnError, match="row 4: column 'patient', needed to keep"):
        patient_ids(table)
    with pytest.raises(MissingColumnError, match="row 4"):
        check_recordings(table, [0, 1])
    with pytest.raises(MissingColumnError, match="column 'task' is needed for fun"):
        column(table, "task", "for fun")


def test_column_values():
    table = pd.DataFrame({"audio": ["a", "b"], "patient": [1, 2]})
    values = patient_ids(table)
    assert values.dtype == object
    assert values.tolist() == [1, 2]


def test_one_label_per_patient():
    labels = one_label_per_patient(["b", "a", "b"], np.array([1, 0, 1]))
    assert labels.to_dict() == {"b": 1, "a": 0}
    assert list(labels.index) == ["b", "a"]
    with pytest.raises(PatientError, match="patient 'b' carries different labels: 1, 2"):
        one_label_per_patient(["b", "a", "b"], [1, 0, 2])
    with pytest.raises(ValueError, match="2 labels for 3 recordings"):
        one_label_per_patient(["b", "a", "b"], [1, 0])
    X = pd.DataFrame({"audio": ["a", "b"], "patient": ["p", "p"]})
    with pytest.raises(PatientError, match="'p'"):
        check_recordings(X, ["x", "y"])
    with pytest.raises(ValueError, match="3 labels for 2 recordings"):
        check_recordings(X, [1, 1, 1])
