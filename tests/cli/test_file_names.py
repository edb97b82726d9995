"""Recordings behind paths: names, folders, tables."""

import pandas as pd
import pytest
import typer

from sklearn_dysarthria.cli._file_names import pattern_to_regex, recordings_from


@pytest.fixture
def files(tmp_path):
    """Make empty files, and return the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def found(table):
    tasks = table["task"] if "task" in table else [None] * len(table)
    return set(zip(table["patient"], tasks, strict=True))


def test_patients_and_tasks_by_name(files):
    folder = files("ID000_phonationA.wav", "deep/er/ID_07_rhythmPA.WAV", "a.txt", "._x.wav")
    table = recordings_from([folder])
    assert found(table) == {("ID000", "phonationA"), ("ID_07", "rhythmPA")}
    assert list(table.index) == [0, 1]


def test_unknown_tasks_make_patients_of_their_own(files):
    folder = files("patient_01.wav", "patient_02.wav", "alone.flac")
    assert found(recordings_from([folder])) == {
        ("patient_01", None),
        ("patient_02", None),
        ("alone", None),
    }
    assert "task" not in recordings_from([folder])
    known = recordings_from([folder], tasks=["01", "02"])
    assert ("patient", "01") in found(known)
    assert known["patient"].tolist().count("patient") == 2


@pytest.mark.parametrize(
    ("pattern", "name", "patient", "task"),
    [
        ("{patient}_{task}.wav", "ID_07_vowel.wav", "ID_07", "vowel"),
        ("{task}_{patient}", "vowel_ID_07.wav", "ID_07", "vowel"),
        ("{patient}", "a_b.wav", "a_b", None),
        ("{patient}/{task}.wav", "P1/vowel.wav", "P1", "vowel"),
        ("{patient}/*_{task}", "P1/2024-01_vowel.wav", "P1", "vowel"),
        ("rec-{patient}(*)", "rec-7(x).wav", "7", None),
    ],
)
def test_patterns(files, pattern, name, patient, task):
    folder = files(name)
    assert found(recordings_from([folder], pattern=pattern)) == {(patient, task)}


def test_a_suffix_in_the_pattern_chooses_files(files):
    folder = files("a_x.wav", "b_x.flac")
    assert found(recordings_from([folder], pattern="{patient}_{task}.wav")) == {("a", "x")}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{task}.wav", "does not say where the {patient} is"),
        ("{patient}_{tsk}", "unknown field. Did you mean 'task'"),
        ("{patient}_{patient}", "twice"),
    ],
)
def test_wrong_patterns(pattern, message):
    with pytest.raises(typer.BadParameter, match=message):
        pattern_to_regex(pattern)


def test_what_cannot_be_used_is_named(files):
    folder = files("a/001.wav", "b/001.wav", "c/x.txt")
    with pytest.raises(ValueError, match=r"both taken for patient '001'"):
        recordings_from([folder])
    with pytest.raises(ValueError, match="no audio files"):
        recordings_from([folder / "c"])
    with pytest.raises(ValueError, match="named twice"):
        recordings_from([folder / "a", folder / "a" / "001.wav"])
    with pytest.raises(ValueError, match="does not fit --pattern"):
        recordings_from([folder / "a"], pattern="{patient}_{task}")


def test_tables(files):
    folder = files("wav/1.wav", "wav/2.wav", "x_phonationA.wav")
    cells = pd.DataFrame({"wav": ["1.wav", "2.wav"], "who": ["007", "007"], "kind": ["a", "b"]})
    (folder / "wav" / "t.csv").write_text(cells.to_csv(index=False))
    columns = {"audio": "wav", "patient": "who", "task": "kind"}
    both = [folder / "wav" / "t.csv", folder / "x_phonationA.wav"]
    assert found(recordings_from(both, columns=columns)) == {
        ("007", "a"),
        ("007", "b"),
        ("x", "phonationA"),
    }
    alone = recordings_from(both[:1], columns={**columns, "patient": "none"})
    assert alone["patient"].nunique() == 2
