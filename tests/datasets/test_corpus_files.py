from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dysarthria.datasets._folders import locate_files, walk_files
from sklearn_dysarthria.datasets._workbook import as_speakers, find_column, read_sheets
from sklearn_dysarthria.exceptions import MissingColumnError, RecordingError


def sheet(*rows):
    return pd.DataFrame(list(rows), dtype=object)


def test_cells():
    speakers = as_speakers(
        sheet(
            ["Column-1", "Column-2", "Column-3", "Column-4", "Column-5"],
            [" ID ", "Age", "Stage", np.nan, "Empty"],
            ["P1", "61", "4A", "not named", "-"],
            ["P2", 48, 3, np.nan, ""],
            ["P3", " - ", "–", np.nan, np.nan],
            [" ", np.nan, np.nan, np.nan, np.nan],
            [np.nan, "a note below the table", np.nan, np.nan, np.nan],
        ),
        "the sheet",
    )
    assert speakers.index.tolist() == ["P1", "P2", "P3"]
    assert list(speakers.columns) == ["Age", "Stage", "Empty"]
    assert speakers["Age"].tolist()[:2] == [61, 48]
    assert speakers["Age"].dtype == float
    assert speakers["Stage"].tolist()[:2] == ["4A", 3]
    assert speakers.loc["P3"].isna().all()
    assert speakers["Empty"].isna().all()


def test_ids_keep_their_form(tmp_path, trees):
    path = tmp_path / "book.xlsx"
    trees.write_workbook(path, {"a": [["ID", "x"], [4, 1], ["007", 2], ["P1", 3]]})
    speakers = as_speakers(read_sheets(path)["a"], "a")
    assert speakers.index.tolist() == [4, "007", "P1"]
    assert type(speakers.index[0]) is int


def test_columns_of_the_same_name_are_numbered():
    speakers = as_speakers(sheet(["ID", "HNR", "HNR", "hnr"], ["P1", 1, 2, 3]), "the sheet")
    assert list(speakers.columns) == ["HNR", "HNR (2)", "hnr"]


def test_repeated_speakers():
    with pytest.raises(RecordingError, match="the sheet lists speakers more than once: 'p1'"):
        as_speakers(sheet(["ID"], ["P1"], ["p1"], ["P2"]), "the sheet")


@given(st.lists(st.sampled_from([" ", "-", "_", "--", ".", "(", ")"]), min_size=4, max_size=4))
def test_punctuation_does_not_matter(between):
    a, b, c, d = between
    name = f"{a}alsfrs{b}R{c}END{d}"
    table = pd.DataFrame(columns=["ALSFRS--R_start", name, "Age"])
    assert find_column(table, ["ALSFRS--R_end"], "the sheet") == name


def test_ambiguous_columns():
    table = pd.DataFrame(columns=["HNR_A", "hnr a", "Age"])
    assert find_column(table, ["HNR_A"], "the sheet") == "HNR_A"
    assert find_column(table, ["Years", "age"], "the sheet") == "Age"
    with pytest.raises(
        MissingColumnError, match=r"could be any of the columns \['HNR_A', 'hnr a'\]"
    ):
        find_column(table, ["HNR-A"], "the sheet")


def test_files_by_depth(tmp_path):
    for name in ("c/d/deep.txt", "c/two.txt", ".hidden/x.txt", "__MACOSX/y.txt", "one.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in walk_files(tmp_path, 1)] == ["one.txt", "two.txt"]
    assert [path.name for path in walk_files(tmp_path, 2)] == ["one.txt", "two.txt", "deep.txt"]


def test_folders_that_must_not_be_read_are_skipped(tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()
    (tmp_path / "secret").mkdir()
    iterdir = Path.iterdir

    def checked(folder):
        if folder.name == "secret":
            raise PermissionError(13, "access is denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", checked)
    assert [path.name for path in walk_files(tmp_path, 1)] == ["a.txt"]
    assert list(walk_files(tmp_path / "none", 1)) == []


def test_published_files_in_any_case(tmp_path):
    for name in ("HC/1_a.wav", "HC/1_A.WAV", "hc/2_A.wav", "Table.CSV", "t.csv", "folder.csv/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "T.csv").touch()
    published = ["HC/1_a.wav", "HC/2_a.wav", "table.csv", "T.csv", "none.csv", "folder.csv"]
    found = locate_files(tmp_path, published)
    assert list(found) == published[:4]
    if len(list((tmp_path / "HC").iterdir())) == 2:  # a file system that is case-sensitive
        assert found["HC/1_a.wav"] == tmp_path / "HC" / "1_a.wav"
        assert found["T.csv"] == tmp_path / "T.csv"
    assert all(path.is_file() for path in found.values())
    assert locate_files(tmp_path / "none", published) == {}
