import shutil
import warnings

import numpy as np
import openpyxl
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score

from sklearn_dysarthria import StratifiedPatientKFold, check_recordings, egemaps_svm_pipeline
from sklearn_dysarthria.datasets import load_voc_als
from sklearn_dysarthria.exceptions import (
    CorpusNotFoundError,
    LabelLeakWarning,
    MissingColumnError,
    RecordingError,
    RecordingWarning,
)

HEALTHY = ["CT001", "CT004", "CT010", "CT013"]
ILL = ["PZ001", "PZ003", "PZ004", "PZ005", "PZ006", "PZ007"]
CLINICAL = ["OnsetRegion", "Therapy", "DiseaseDuration", "FVC%", "ALSFRS-R_TotalScore"]
CLINICAL += ["ALSFRS-R_SpeechSubscore", "ALSFRS-R_SalivationSubscore", "KingClinicalStage"]
CLINICAL += ["PUMNS_BulbarSubscore"]


@pytest.fixture
def copy(voc_als_home, tmp_path):
    """A corpus to damage, with the recordings of one task only."""
    folder = tmp_path / "home" / "voc_als"
    shutil.copytree(
        voc_als_home / "voc_als",
        folder,
        ignore=shutil.ignore_patterns("rhythm*", "phonation[EIOU]"),
    )
    return folder


def edit(folder, change):
    path = folder / "VOC-ALS.xlsx"
    book = openpyxl.load_workbook(path)
    change(book["VOC-ALS_Data"])
    book.save(path)


def cell(sheet, speaker, column):
    """Return a cell of the sheet by speaker and column."""
    j = next(c.column for c in sheet[2] if c.value == column)
    i = next(row[0].row for row in sheet.iter_rows() if row[0].value == speaker)
    return sheet.cell(i, j)


def load_a(folder, **options):
    return load_voc_als(folder.parent, tasks="phonationA", **options)


def test_table(voc_als_home, trees):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load_voc_als(voc_als_home)
    data = dataset.data
    assert list(data.columns) == ["audio", "sample_rate", "patient", "task", "sex", "age"]
    assert dataset.feature_names == list(data.columns)
    assert data.index.tolist() == list(range(80))
    assert data["patient"].unique().tolist() == HEALTHY + ILL
    assert data["task"].tolist() == trees.tasks * 10
    assert set(data["sample_rate"]) == {8000}
    assert data["sample_rate"].dtype == int
    assert data.loc[0, "audio"] == str(voc_als_home / "voc_als/phonationA/CT001_phonationA.wav")
    assert data.loc[0, ["sex", "age"]].tolist() == ["m", 55]
    assert data["audio"].str.endswith(".WAV").sum() == 1
    assert dataset.filenames.tolist() == data["audio"].tolist()
    pd.testing.assert_frame_equal(dataset.frame, data.assign(target=dataset.target))
    assert check_recordings(data, dataset.target)[1]["ok"].all()


def test_targets(voc_als_home):
    def by_patient(**options):
        X, y = load_voc_als(voc_als_home, return_X_y=True, tasks="phonationA", **options)
        return dict(zip(X["patient"], y, strict=True))

    items = {**dict.fromkeys(HEALTHY, 4), "PZ001": 4, "PZ003": 2, "PZ004": 3, "PZ005": 4}
    items |= {"PZ006": 1, "PZ007": 3}
    assert by_patient(target="speech_item") == items
    assert by_patient() == {p: "no" if item == 4 else "yes" for p, item in items.items()}
    assert by_patient(target="als") == {p: "HC" if p in HEALTHY else "ALS" for p in items}
    assert list(by_patient(controls=False)) == ILL
    bunch = load_voc_als(voc_als_home, target="speech_item")
    assert bunch.target.dtype == int
    assert bunch.target_names.tolist() == [1, 2, 3, 4]


def test_leaking_columns_are_found_in_the_data(voc_als_home):
    dataset = load_voc_als(voc_als_home)
    assert sorted(dataset.leaking_columns) == sorted([*CLINICAL, "Category"])
    assert not set(dataset.leaking_columns) & set(dataset.data.columns)
    assert dataset.speakers.index.tolist() == HEALTHY + ILL
    assert dataset.speakers.loc[HEALTHY, CLINICAL].isna().all(axis=None)
    assert dataset.speakers["FVC%"].tolist()[4:6] == [90, pytest.approx(np.nan, nan_ok=True)]
    assert dataset.speakers["KingClinicalStage"].tolist()[4:7] == ["2", "4A", 3]


def test_metadata_by_name_with_a_warning_for_those_that_leak(voc_als_home):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, _ = load_voc_als(
            voc_als_home, metadata=["hnr a", "cantagallo-questionnaire"], return_X_y=True
        )
    assert list(X.columns[6:]) == ["HNR_A", "Cantagallo_Questionnaire"]
    assert X["HNR_A"].tolist()[:9] == [20.5] * 8 + [22.1]
    with pytest.warns(
        LabelLeakWarning, match="give the label away: .* in 'FVC%', 'OnsetRegion', and"
    ) as caught:
        X, _ = load_voc_als(
            voc_als_home, metadata=["FVC%", "HNR_A", "onset region"], return_X_y=True
        )
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert list(X.columns[6:]) == ["FVC%", "HNR_A", "OnsetRegion"]
    with pytest.raises(MissingColumnError, match="'BMI' is not among the columns"):
        load_voc_als(voc_als_home, metadata="BMI")


def test_a_constant_for_healthy_speakers_leaks_too(copy):
    def change(sheet):
        cell(sheet, "CT004", "Cantagallo_Questionnaire").value = 35

    edit(copy, change)
    assert "Cantagallo_Questionnaire" in load_a(copy).leaking_columns


def test_tasks(voc_als_home):
    data = load_voc_als(voc_als_home, tasks=["rhythm", "phonationI"]).data
    assert data["task"].unique().tolist() == ["phonationI", "rhythmPA", "rhythmTA", "rhythmKA"]
    for wrong in ("phonationX", [], "Rhythm"):
        with pytest.raises(ValueError, match="choose from"):
            load_voc_als(voc_als_home, tasks=wrong)


def test_wrong_target(voc_als_home):
    with pytest.raises(ValueError, match=r"choose one of \['als', 'dysarthria', 'speech_item'\]"):
        load_voc_als(voc_als_home, target="severity")
    with pytest.raises(ValueError, match="needs controls"):
        load_voc_als(voc_als_home, target="als", controls=False)


def test_as_arrays(voc_als_home):
    dataset = load_voc_als(voc_als_home, as_frame=False, target="als")
    assert dataset.frame is None
    assert dataset.feature_names == ["audio"]
    assert dataset.data.shape == dataset.target.shape == (80,)
    assert dataset.target.dtype.kind == dataset.target_names.dtype.kind == "U"


def test_places(voc_als_home, tmp_path, monkeypatch):
    expected = load_voc_als(voc_als_home, tasks="phonationA").frame
    itself = load_voc_als(voc_als_home / "voc_als", tasks="phonationA").frame
    monkeypatch.setenv("SKLEARN_DYSARTHRIA_DATA", str(voc_als_home))
    pd.testing.assert_frame_equal(itself, expected)
    pd.testing.assert_frame_equal(load_voc_als(tasks="phonationA").frame, expected)
    shutil.copytree(
        voc_als_home / "voc_als",
        tmp_path / "VOC-ALS_v2",
        ignore=shutil.ignore_patterns("rhythm*", "phonation[EIOU]"),
    )
    assert len(load_voc_als(tmp_path, tasks="phonationA").frame) == 10


def test_absent_corpus(tmp_path):
    with pytest.raises(CorpusNotFoundError) as caught:
        load_voc_als(tmp_path)
    for fact in ("Synapse", "syn53009474", "phonationA/CT001_phonationA.wav", "data_home"):
        assert fact in str(caught.value)


def test_absent_task(copy):
    with pytest.raises(CorpusNotFoundError, match=r"no folder 'phonationE', .* and 2 more"):
        load_voc_als(copy.parent)
    assert len(load_a(copy).data) == 10


def test_counterparts_are_reported(copy, trees):
    def change(sheet):
        cell(sheet, "PZ006", "ALSFRS-R_SpeechSubscore").value = "-"
        sheet.delete_rows(cell(sheet, "CT013", "ID").row)

    edit(copy, change)
    (copy / "phonationA" / "PZ004_phonationA.wav").unlink()
    (copy / "phonationA" / "notes.txt").touch()
    (copy / "phonationA" / "PZ001_phonationE.wav").touch()
    with pytest.warns(RecordingWarning) as caught:
        X, _ = load_a(copy, return_X_y=True)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for part in (
        "1 speakers with recordings are not in the workbook and are left out: 'CT013'",
        "1 speakers have no label in the workbook and are left out: 'PZ006'",
        "1 speakers of the workbook have no recording: 'PZ004'",
        "2 files are not recordings of the corpus and are skipped: "
        "'phonationA/PZ001_phonationE.wav', 'phonationA/notes.txt'",
    ):
        assert part in str(caught[0].message)
    assert X["patient"].tolist() == ["CT001", "CT004", "CT010", "PZ001", "PZ003", "PZ005", "PZ007"]


def test_single_missing_recordings_are_reported(voc_als_home, tmp_path):
    folder = tmp_path / "voc_als"
    shutil.copytree(voc_als_home / "voc_als", folder)
    (folder / "rhythmKA" / "PZ001_rhythmKA.wav").unlink()
    with pytest.warns(RecordingWarning, match="1 recordings are missing: 'PZ001_rhythmKA'"):
        assert len(load_voc_als(tmp_path).data) == 79


def test_unreadable_recording_keeps_no_other_from_loading(copy):
    (copy / "phonationA" / "PZ001_phonationA.wav").write_bytes(b"RIFF")
    X, y = load_a(copy, return_X_y=True)
    assert X.loc[X["sample_rate"].isna(), "patient"].tolist() == ["PZ001"]
    report = check_recordings(X, y)[1]
    assert report["ok"].tolist() == [path != X["audio"][4] for path in X["audio"]]


def test_same_recording_twice(copy):
    wav = copy / "phonationA" / "PZ001_phonationA.wav"
    shutil.copy(wav, wav.with_suffix(".WAV"))
    with pytest.raises(RecordingError, match=r"claim to be the same recording"):
        load_a(copy)


def rename(name):
    def change(sheet):
        next(c for c in sheet[2] if c.value == "ALSFRS-R_SpeechSubscore").value = name

    return change


def test_columns_are_matched_tolerantly(copy):
    edit(copy, rename(" alsfrs r - SPEECH subscore "))
    assert load_a(copy).target.tolist().count("yes") == 4


def test_error_of_an_absent_column_lists_those_there_are(copy):
    edit(copy, rename("Speech"))
    with pytest.raises(MissingColumnError) as caught:
        load_a(copy)
    assert "'ALSFRS-R_SpeechSubscore' is not among the columns of the sheet" in str(caught.value)
    assert "'Cantagallo_Questionnaire'" in str(caught.value)
    assert set(load_a(copy, target="als").target) == {"ALS", "HC"}


@pytest.mark.parametrize(
    ("speaker", "column", "value", "match"),
    [
        ("PZ001", "ALSFRS-R_SpeechSubscore", 5, r"not 0 to 4: 5.* \(PZ001\)"),
        ("PZ001", "ALSFRS-R_SpeechSubscore", 2.5, r"not 0 to 4: 2\.5 \(PZ001\)"),
        ("PZ001", "ALSFRS-R_SpeechSubscore", "mild", r"not 0 to 4: .*'mild' \(PZ001\)"),
        ("PZ001", "Category", "PLS", "other than 'ALS' and 'HC': 'PLS'"),
        ("PZ001", "ID", "PZ003", "lists speakers more than once: 'PZ003'"),
    ],
)
def test_impossible_cells(copy, speaker, column, value, match):
    def change(sheet):
        cell(sheet, speaker, column).value = value

    edit(copy, change)
    with pytest.raises(RecordingError, match=match):
        load_a(copy)


def test_healthy_speaker_with_a_rating_keeps_it(copy):
    def change(sheet):
        cell(sheet, "CT001", "ALSFRS-R_SpeechSubscore").value = 3

    edit(copy, change)
    with pytest.warns(
        RecordingWarning, match=r"healthy speakers .* below 4 .*: CT001 \(3\)"
    ) as caught:
        assert load_a(copy, target="speech_item").target.tolist()[:2] == [3, 4]
    assert caught[0].filename == __file__
    load_a(copy, controls=False)  # without them there is nothing to warn about


def test_error_of_one_invalid_item_does_not_list_those_stored_as_text(copy):
    def change(sheet):
        cell(sheet, "PZ001", "ALSFRS-R_SpeechSubscore").value = "mild"
        cell(sheet, "PZ003", "ALSFRS-R_SpeechSubscore").value = "2"

    edit(copy, change)
    with pytest.raises(RecordingError, match=r"not 0 to 4: 'mild' \(PZ001\)\. "):
        load_a(copy)


def test_without_healthy_speakers_only_the_item_gives_the_label_away(voc_als_home):
    folder = voc_als_home / "voc_als"
    load_a(folder, metadata=["FVC%", "OnsetRegion"], controls=False)  # warnings are errors
    with pytest.warns(
        LabelLeakWarning, match="the label is made from 'ALSFRS-R_SpeechSubscore'"
    ) as caught:
        load_a(folder, metadata=["ALSFRS-R_SpeechSubscore"], controls=False)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("tasks", [3, [3], ["phonationA", 3], [["phonationA"]], [], 1.5])
def test_tasks_that_are_not_names(voc_als_home, tasks):
    with pytest.raises(ValueError, match=r"tasks=.*; choose from"):
        load_voc_als(voc_als_home, tasks=tasks)


def test_folders_that_differ_in_case_only(copy):
    twin = copy / "PhonationA"
    if twin.exists():
        pytest.skip("this file system does not tell upper from lower case")
    twin.mkdir()
    with pytest.raises(RecordingError, match=r"differ in upper and lower case only: .*PhonationA"):
        load_a(copy)


def test_other_workbooks(copy, trees):
    path = copy / "VOC-ALS.xlsx"
    path.write_bytes(b"PK no")
    with pytest.raises(RecordingError, match="cannot be read as an Excel workbook"):
        load_a(copy)
    trees.write_workbook(path, {"a": [["ID"]], "b": [["ID"]]})
    with pytest.raises(RecordingError, match=r"no sheet 'VOC-ALS_Data', only \['a', 'b'\]"):
        load_a(copy)
    trees.write_workbook(path, {"VOC-ALS_Data": [["Name", "Age"], ["PZ001", 3]]})
    with pytest.raises(MissingColumnError, match=r"no header with a column 'ID'; it begins with"):
        load_a(copy)
    # A header in the first row is found as well, and the name of an only sheet does not matter.
    trees.write_workbook(path, {"Data": [trees.voc_als_header, *trees.voc_als_rows]})
    assert len(load_a(copy).data) == 10
    rows = [["Z" + row[0], *row[1:]] for row in trees.voc_als_rows]
    trees.write_workbook(path, {"VOC-ALS_Data": [trees.voc_als_header, *rows]})
    with pytest.raises(RecordingError, match="no recording of a speaker with a label"):
        load_a(copy)


def test_description(voc_als_home):
    text = load_voc_als(voc_als_home).DESCR
    for fact in ("10.1038/s41597-024-03597-2", "8 kHz", "inferred", "leaking_columns"):
        assert fact in text


def test_through_a_pipeline(voc_als_home):
    X, y = load_voc_als(voc_als_home, tasks=["phonationA", "rhythmPA"], return_X_y=True)
    scores = cross_val_score(egemaps_svm_pipeline(), X, y, cv=StratifiedPatientKFold(2))
    assert scores.shape == (2,)
    assert scores.mean() > 0.6  # rough voices are easy to recognise
