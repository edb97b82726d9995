import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from sklearn_dysarthria.datasets import load_recordings
from sklearn_dysarthria.exceptions import MissingFileError, NotAFileError, RecordingError


@pytest.fixture
def study(tmp_path):
    """Folder with four (empty) recordings; loading does not read them."""
    for name in ("a1", "a2", "b1", "b2"):
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


def write(folder, text, name="table.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


GOOD = """wav,subject,what,severity,age
a1.wav,007,phonationA,mild,61
a2.wav,007,phonationI,mild,61
b1.wav,7,phonationA,severe,48
b2.wav,7,phonationI,severe,48
"""
NAMES = {"audio": "wav", "patient": "subject", "task": "what", "target": "severity"}


def test_bunch(study):
    dataset = load_recordings(write(study, GOOD), **NAMES)
    assert list(dataset.data.columns) == ["audio", "patient", "task", "age"]
    assert dataset.feature_names == list(dataset.data.columns)
    assert dataset.data["audio"].tolist()[0] == str(study / "a1.wav")
    assert dataset.data["patient"].tolist() == ["007", "007", "7", "7"]
    assert dataset.data["age"].tolist() == [61, 61, 48, 48]
    assert dataset.target.tolist() == ["mild", "mild", "severe", "severe"]
    assert dataset.target.name == "severity"
    assert dataset.target_names.tolist() == ["mild", "severe"]
    assert list(dataset.frame.columns) == [*dataset.data.columns, "severity"]
    assert dataset.filename == str(study / "table.csv")
    assert dataset.filenames.tolist() == dataset.data["audio"].tolist()
    assert "4 recordings" in dataset.DESCR
    assert "Patients: 2" in dataset.DESCR
    assert "mild: 2" in dataset.DESCR


def test_data_and_target_go_into_a_classifier(study):
    X, y = load_recordings(write(study, GOOD), **NAMES, return_X_y=True)
    assert DummyClassifier().fit(X, y).classes_.tolist() == ["mild", "severe"]


def test_without_target(study):
    path = write(study, "audio,patient\na1.wav,1\n")
    dataset = load_recordings(path)
    assert dataset.target is None
    assert dataset.target_names is None
    assert list(dataset.frame.columns) == ["audio", "patient"]
    with pytest.raises(ValueError, match="target"):
        load_recordings(path, return_X_y=True)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_byte_order_mark(study, separator, encoding):
    path = write(study, GOOD.replace(",", separator), encoding=encoding)
    assert load_recordings(path, **NAMES).data["patient"].tolist() == ["007", "007", "7", "7"]


def test_given_separator(study):
    path = write(study, GOOD.replace(",", "|"))
    assert len(load_recordings(path, **NAMES, sep="|").data) == 4


def test_white_space_is_stripped(study):
    path = write(study, " audio , patient,label , note\n a1.wav ,07 , mild,  two words \n")
    dataset = load_recordings(path, target="label")
    assert dataset.data.loc[0].tolist() == [str(study / "a1.wav"), "07", "two words"]
    assert dataset.target.tolist() == ["mild"]


def test_blank_cell_of_spaces_is_missing(study):
    path = write(study, "audio,patient,label\na1.wav,  ,x\n")
    with pytest.raises(RecordingError, match="1 row without patient in column 'patient': 0"):
        load_recordings(path, target="label")


def test_numeric_labels_stay_numbers(study):
    path = write(study, "audio,patient,severity\na1.wav,1,4\nb1.wav,2,5\n")
    assert load_recordings(path, target="severity").target.dtype.kind == "i"


def test_whole_numbers_are_integers_however_they_are_written(study):
    rows = "a1.wav,1,1.0\nb1.wav,2,0.0\n"
    labels = load_recordings(write(study, "audio,patient,s\n" + rows), target="s").target
    assert labels.dtype.kind == "i"
    assert labels.tolist() == [1, 0]
    rows = "a1.wav,1,1e300\nb1.wav,2,0\n"
    with pytest.raises(RecordingError, match="not whole numbers: 1e\\+300"):
        load_recordings(write(study, "audio,patient,s\n" + rows), target="s")


def test_parquet_labels_with_a_float_type_of_pandas(study):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"audio": ["a1.wav", "b1.wav"], "patient": ["1", "2"]})
    table["s"] = pd.array([1.0, 0.0], dtype="Float64")
    table.to_parquet(study / "t.parquet")
    labels = load_recordings(study / "t.parquet", target="s").target
    assert labels.dtype == "int64"


def test_segments_are_read(study):
    rows = 'a1.wav,1,"[(0.5, 1.25), (2, 3)]"\nb1.wav,2,\na2.wav,1,"[[0, 1]]"\n'
    segments = load_recordings(write(study, "audio,patient,segments\n" + rows)).data["segments"]
    assert segments.tolist() == [[(0.5, 1.25), (2.0, 3.0)], None, [(0.0, 1.0)]]


def test_segments_from_parquet(study):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame({"audio": ["a1.wav", "b1.wav"], "patient": ["1", "2"]})
    table["segments"] = [[[0.5, 1.0]], None]
    table.to_parquet(study / "t.parquet")
    segments = load_recordings(study / "t.parquet").data["segments"]
    assert segments.tolist() == [[(0.5, 1.0)], None]


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "0.5",
            "[0.5, 1]",
            "[(1, 0.5)]",
            "[(0, 1, 2)]",
            "[('a', 'b')]",
            "[(nan, 1)]",
            "[(-1, 1)]",
        ),
        *("[(0, 1e999)]", "__import__('os').getcwd()", "[(0, True)]", "((((", "[(0, 1)", "x" * 9),
    ],
)
def test_invalid_segments(study, cell):
    path = write(study, f'audio,patient,segments\na1.wav,1,\nb1.wav,2,"{cell}"\n')
    with pytest.raises(RecordingError, match=r"1 row whose segments are no list .*: 1\."):
        load_recordings(path)


def test_root_and_absolute_paths(study, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = write(elsewhere, f"audio,patient\na1.wav,1\n{study / 'b1.wav'},2\n")
    X = load_recordings(path, root=study).data
    assert X["audio"].tolist() == [str(study / "a1.wav"), str(study / "b1.wav")]
    with pytest.raises(RecordingError, match=r"1 file missing.*'.*a1\.wav'"):
        load_recordings(path)


def test_task_is_optional_unless_named(study):
    path = write(study, "audio,patient\na1.wav,1\n")
    assert "task" not in load_recordings(path).data
    with pytest.raises(RecordingError, match="There is no column 'what' for task"):
        load_recordings(path, task="what")
    capital = write(study, "audio,patient,Task\na1.wav,1,a\n")
    with pytest.raises(RecordingError, match="Did you mean 'Task'"):
        load_recordings(capital)


def test_unknown_patients(study):
    path = write(study, "audio\na1.wav\n")
    assert list(load_recordings(path, patient=None).data.columns) == ["audio"]
    with pytest.raises(RecordingError, match="patient=None does without"):
        load_recordings(path)


def test_everything_wrong_in_one_error(study):
    text = (
        "audio,patient,label,site\na1.wav,1,mild,x\n./a1.wav,1,severe,x\ngone.wav,2,,x\n,,mild,x\n"
    )
    with pytest.raises(RecordingError) as caught:
        load_recordings(write(study, text), target="label", task="tsk")
    message = str(caught.value)
    for sentence in (
        "7 things are wrong",
        "There is no column 'tsk' for task (task=None does without).",
        "The columns are 'audio', 'patient', 'label', 'site'.",
        "1 row without audio in column 'audio': 3.",
        "1 row without patient in column 'patient': 3.",
        "1 row without label in column 'label': 2.",
        "1 file missing",
        f"'{study / 'gone.wav'}'",
        f"1 recording in several rows: '{study / 'a1.wav'}'.",
        "1 patient with several labels in 'label': '1' (mild, severe).",
        str(study / "table.csv"),
    ):
        assert sentence in message


def test_long_lists_are_cut(study):
    rows = "".join(f"no{i}.wav,{i}\n" for i in range(12))
    with pytest.raises(RecordingError, match=r"12 files missing.* and 7 more"):
        load_recordings(write(study, "audio,patient\n" + rows))


def test_did_you_mean(study):
    with pytest.raises(RecordingError) as caught:
        load_recordings(write(study, GOOD), target="Severty", audio="wave", patient="subjct")
    message = str(caught.value)
    for name in ("wav", "subject", "severity"):
        assert f"Did you mean '{name}'?" in message


def test_backslashes_are_pointed_out_except_on_windows(study, monkeypatch):
    path = write(study, "audio,patient\nwav\\a1.wav,1\n")
    with pytest.raises(RecordingError, match="folders are separated by '/'"):
        load_recordings(path)
    monkeypatch.setattr("os.sep", "\\")
    with pytest.raises(RecordingError, match="1 file missing") as caught:
        load_recordings(path)
    assert "separated by" not in str(caught.value)


def test_one_file_under_two_spellings_on_windows(study, monkeypatch):
    (study / "A1.wav").touch()
    path = write(study, "audio,patient\na1.wav,1\nA1.wav,2\n")
    if not (study / "a1.wav").samefile(study / "A1.wav"):
        assert len(load_recordings(path).data) == 2
    monkeypatch.setattr("os.path.normcase", str.lower)
    with pytest.raises(RecordingError, match=r"1 recording in several rows: .*A1\.wav"):
        load_recordings(path)


def test_renamed_column_would_hide_another(study):
    path = write(study, "audio,wav,patient\nx,a1.wav,1\n")
    with pytest.raises(RecordingError, match="Column 'wav' is to become 'audio'"):
        load_recordings(path, audio="wav")
    path = write(study, "audio,subject,patient\na1.wav,s1,ill\n")
    with pytest.raises(RecordingError, match="Column 'subject' is to become 'patient'"):
        load_recordings(path, patient="subject", target="patient")


def test_a_column_that_is_not_there_hides_none(study):
    path = write(study, "audio,patient\na1.wav,1\n")
    with pytest.raises(RecordingError) as caught:
        load_recordings(path, patient="subject")
    assert "1 thing is wrong" in str(caught.value)
    assert "There is no column 'subject'" in str(caught.value)


def test_one_role_per_column(study):
    path = write(study, GOOD)
    with pytest.raises(ValueError, match="each column has one role"):
        load_recordings(path, audio="wav", patient="subject", target="subject")
    with pytest.raises(ValueError, match="audio=3 is not the name"):
        load_recordings(path, audio=3)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read as a table"),
        ("audio,patient\n", "There are no rows"),
        ("audio,patient,patient\na1.wav,1,2\n", "'patient' more than once"),
        ("audio,patient\na1.wav,1\na2.wav,1,oops\n", "cannot be read as a table"),
        ("audio,patient\na1.wav,1,oops\na2.wav,1,oops\n", "cannot be read as a table"),
    ],
)
def test_malformed_text(study, text, match):
    with pytest.raises(RecordingError, match=match):
        load_recordings(write(study, text))


def test_other_encoding(study):
    path = write(study, "audio,patient\na1.wav,Müller\n", encoding="latin-1")
    with pytest.raises(RecordingError, match="not text in UTF-8"):
        load_recordings(path)


def test_quoted_cells(study):
    (study / "a, b.wav").touch()
    path = write(study, 'audio;patient;note\n"a, b.wav";"1";"x;y"\n')
    assert load_recordings(path).data["note"].tolist() == ["x;y"]


def test_missing_table(tmp_path):
    with pytest.raises(MissingFileError, match="no such table"):
        load_recordings(tmp_path / "none.csv")
    with pytest.raises(NotAFileError, match="directory"):
        load_recordings(tmp_path)


def test_parquet(study):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {
            " wav ": ["a1.wav ", "b1.wav"],
            "subject": [7, 12],
            "severity": pd.Categorical(["mild", "severe"]),
            "segments": [[[0.0, 0.5]], [[0.1, 0.2], [0.3, 0.4]]],
        }
    )
    path = study / "table.parquet"
    table.to_parquet(path)
    dataset = load_recordings(path, audio="wav", patient="subject", target="severity")
    assert dataset.data["audio"].tolist() == [str(study / "a1.wav"), str(study / "b1.wav")]
    assert dataset.data["patient"].tolist() == ["7", "12"]
    assert dataset.target.tolist() == ["mild", "severe"]
    assert len(dataset.data["segments"][1]) == 2


def test_parquet_ids_with_a_gap_and_broken_parquet(study):
    pytest.importorskip("pyarrow")
    path = study / "table.pq"
    pd.DataFrame({"audio": ["a1.wav", "b1.wav"], "patient": [7, None]}).to_parquet(path)
    with pytest.raises(RecordingError, match="1 row without patient in column 'patient': 1"):
        load_recordings(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(RecordingError, match="cannot be read as a table"):
        load_recordings(path)


def test_rows_longer_than_the_header_are_described_in_one_sentence(study):
    text = "audio,patient,note\na1.wav,1,fine\na2.wav,1,one, two\n\nb1.wav,2,x,y,z\n"
    with pytest.raises(RecordingError) as caught:
        load_recordings(write(study, text))
    message = str(caught.value)
    assert (
        "2 rows longer than the header, which has 3 cells: the first, on line 3, has 4" in message
    )
    assert "Quote cells that contain ','" in message
    assert "tokenizing" not in message


def test_quoted_cells_over_several_lines_are_not_too_long(study):
    path = write(study, 'audio,patient,note\na1.wav,1,"two\nlines, really"\n')
    assert load_recordings(path).data["note"].tolist() == ["two\nlines, really"]


def test_labels_that_are_not_classes(study):
    path = write(study, "audio,patient,score\na1.wav,1,0\nb1.wav,2,1.5\n")
    with pytest.raises(RecordingError, match=r"'score' are not whole numbers: 1\.5 \(classes"):
        load_recordings(path, target="score")
    path = write(study, "audio,patient,score\na1.wav,1,0.0\nb1.wav,2,1.0\n")
    assert load_recordings(path, target="score").target.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([[1], [2]], "neither text nor numbers"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "neither text nor numbers"),
    ],
)
def test_parquet_labels_that_are_not_classes(study, labels, match):
    pytest.importorskip("pyarrow")
    path = study / "table.parquet"
    pd.DataFrame({"audio": ["a1.wav", "b1.wav"], "patient": ["1", "2"], "y": labels}).to_parquet(
        path
    )
    with pytest.raises(RecordingError, match=match):
        load_recordings(path, target="y")


def test_folder_among_the_recordings(study):
    (study / "session").mkdir()
    with pytest.raises(RecordingError, match=r"1 recording is a folder .*session'") as caught:
        load_recordings(write(study, "audio,patient\na1.wav,1\nsession,2\n"))
    assert "missing" not in str(caught.value)


def test_separator_of_several_characters(study):
    with pytest.raises(RecordingError, match="sep='::' is not a single character"):
        load_recordings(write(study, GOOD), **NAMES, sep="::")
