import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import PredefinedSplit, cross_val_score

from sklearn_dysarthria import LogMelDeltaImages, StratifiedPatientKFold, egemaps_svm_pipeline
from sklearn_dysarthria.datasets import load_sand, write_sand_submission
from sklearn_dysarthria.exceptions import (
    BandwidthWarning,
    CorpusNotFoundError,
    MissingColumnError,
    RecordingError,
    RecordingWarning,
)
from sklearn_dysarthria.recordings import one_label_per_patient

HEADER = ["ID", "Age", "Sex", "Class"]
ONE = [["ID000", 50, "M", 5], ["ID003", 51, "F", 1]]


@pytest.fixture
def small(tmp_path, trees):
    """A data home with two speakers of task 1; the workbook is the test's to write."""
    folder = tmp_path / "sand" / "task1"
    trees.write_recordings(folder / "training", {"ID000": 0, "ID003": 1}, tasks=["phonationA"])
    return folder


def load_a(folder, **options):
    return load_sand(folder.parent.parent, tasks="phonationA", **options)


def sheets(training=ONE, baseline=(ONE[:1], ONE[1:]), header=HEADER):
    return {
        "SAND - TRAINING set - Task 1": [header, *training],
        "Training Baseline - Task 1": [header, *baseline[0]],
        "Validation Baseline - Task 1": [header, *baseline[1]],
    }


def test_training_set(sand_home, trees):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load_sand(sand_home)
    data = dataset.data
    assert list(data.columns) == ["audio", "sample_rate", "patient", "task", "sex", "age"]
    assert data.shape == (80, 6)
    assert data["patient"].unique().tolist() == list(trees.sand_classes)
    assert data["task"].tolist() == trees.tasks * 10
    assert set(data["sample_rate"]) == {8000}
    path = sand_home / "sand" / "task1" / "training" / "phonationA" / "ID000_phonationA.wav"
    assert data.loc[0].tolist()[:1] + data.loc[0].tolist()[4:] == [str(path), "m", 50]
    classes = one_label_per_patient(data["patient"], dataset.target).to_dict()
    assert classes == trees.sand_classes
    assert dataset.target.dtype == int
    assert dataset.target_names.tolist() == [1, 3, 4, 5]
    pd.testing.assert_frame_equal(dataset.frame, data.assign(target=dataset.target))


def test_baseline_split_is_over_recordings(sand_home, trees):
    dataset = load_sand(sand_home, tasks="rhythm")
    split = dataset.baseline_split
    assert isinstance(split, PredefinedSplit)
    assert split.get_n_splits() == 1
    ((train, validate),) = split.split()
    patients = dataset.data["patient"].to_numpy()
    ids = list(trees.sand_classes)
    assert set(patients[train]) == set(ids[:7])
    assert set(patients[validate]) == set(ids[7:])
    assert len(train) + len(validate) == 30


def test_sides_of_the_baseline_split(sand_home):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training = load_sand(sand_home, subset="baseline_training")
        validation = load_sand(sand_home, subset="baseline_validation")
    assert training.baseline_split is None
    assert training.data["patient"].nunique() == 7
    assert validation.data["patient"].nunique() == 3
    assert not set(training.data["patient"]) & set(validation.data["patient"])


def test_test_set(sand_home, trees):
    dataset = load_sand(sand_home, subset="test")
    assert dataset.data["patient"].unique().tolist() == ["ID004", "ID011", "ID104"]
    assert dataset.data.shape == (24, 6)
    assert dataset.target is None
    assert dataset.target_names is None
    assert dataset.frame is dataset.data
    assert dataset.speaker_ids.to_dict() == {"ID004": 4, "ID011": 11, "ID104": 104}
    assert load_sand(sand_home, subset="test", return_X_y=True)[1] is None
    assert "/task1/test/" in dataset.filenames[0]


def test_second_task(sand_home, trees):
    tasks = ["phonationA", "rhythmPA"]
    dataset = load_sand(sand_home, task=2, tasks=tasks)
    data = dataset.data
    assert list(data.columns)[4:] == ["sex", "age", "months", "severity_start"]
    patients = [id_ for id_, c in trees.sand_classes.items() if c < 5]
    assert data["patient"].unique().tolist() == patients
    assert data["severity_start"].tolist()[::2] == [trees.sand_classes[p] for p in patients]
    assert data["months"].tolist()[::2] == [3, 4, 5, 6, 7, 8]
    assert set(dataset.target) <= {1, 2, 3, 4}
    assert (dataset.target <= data["severity_start"]).all()
    assert data["audio"].str.contains("/task2/training/").all()
    assert len(next(dataset.baseline_split.split())[1]) == 4
    test = load_sand(sand_home, task=2, subset="test", tasks=tasks)
    assert test.target is None
    assert test.data["severity_start"].tolist() == [3] * 4


@pytest.mark.parametrize(
    "bad", [{"task": 3}, {"task": True}, {"task": 1.0}, {"task": [1]}, {"subset": "valid"}]
)
def test_unknown_arguments(sand_home, bad):
    with pytest.raises(ValueError, match=r"the challenge has tasks 1 and 2|choose one of"):
        load_sand(sand_home, **bad)


@pytest.mark.parametrize(
    ("cell", "id_"),
    [(4, "ID004"), ("4", "ID004"), ("004", "ID004"), ("id4", "ID004"), (4.0, "ID004")]
    + [
        (np.int64(104), "ID104"),
        (" ID011 ", "ID011"),
        (1234, "ID1234"),
        ("P7", "P7"),
        (0, "ID000"),
    ],
)
def test_forms_of_an_id(tmp_path, cell, id_):
    write_sand_submission(tmp_path / "s.csv", [cell], [1], speaker_ids=[id_])
    with pytest.raises(ValueError, match="of the test set have no prediction"):
        write_sand_submission(tmp_path / "s.csv", [cell], [1], speaker_ids=["ID777"])


@settings(max_examples=25)
@given(st.integers(0, 99_999))
def test_every_form_of_an_id_means_the_same_speaker(tmp_path_factory, number):
    path = tmp_path_factory.getbasetemp() / "s.csv"
    forms = [str(number), f"{number:03d}", f"id{number}", float(number), np.int64(number)]
    for form in forms:
        assert write_sand_submission(path, [form], [1], speaker_ids=[number])["ID"][0] == number
        with pytest.raises(ValueError, match="have no prediction"):
            write_sand_submission(path, [form], [1], speaker_ids=[number + 1])


def test_absent_corpus(tmp_path, sand_home):
    with pytest.raises(CorpusNotFoundError) as caught:
        load_sand(tmp_path, task=2, subset="test")
    for fact in ("no test workbook of SAND's task 2", "sand.icar.cnr.it", "sand_task2_test.xlsx"):
        assert fact in str(caught.value)
    with pytest.raises(
        CorpusNotFoundError, match=r"task 2 are not complete .* no folder 'phonationE'"
    ):
        load_sand(sand_home, task=2)


@pytest.mark.parametrize(
    ("workbook", "recordings"),
    [
        ("sand/task1/training/sand_task_1.xlsx", "sand/task1/training"),
        ("sand/sand_task_1.xlsx", "sand/task1/training"),
        ("sand/sand_task_1.xlsx", "sand/training"),
        ("sand/task1_training/sand_task_1.xlsx", "sand/task1_training/training"),
        ("SAND_challenge/task1/SAND_Task_1.XLSX", "SAND_challenge/task1/training"),
        ("task1/sand_task_1.xlsx", "task1/training"),
        ("sand_task_1.xlsx", "training"),
    ],
)
def test_places(small, tmp_path, trees, workbook, recordings):
    home = tmp_path / "elsewhere"
    shutil.copytree(small / "training", home / recordings)
    trees.write_workbook(home / workbook, sheets())
    data = load_sand(home, tasks="phonationA").data
    assert data["audio"].tolist() == [
        str(home / recordings / "phonationA" / f"{id_}_phonationA.wav")
        for id_ in ("ID000", "ID003")
    ]


def test_other_name_of_the_test_workbook(sand_home, tmp_path):
    shutil.copytree(sand_home / "sand" / "task1" / "test", tmp_path / "sand" / "task1" / "test")
    shutil.copy(
        sand_home / "sand" / "task1" / "sand_task1_test.xlsx",
        tmp_path / "sand" / "task1" / "test" / "sand_task_1_test.xlsx",
    )
    assert len(load_sand(tmp_path, subset="test").data) == 24


def test_several_workbooks(small, trees):
    for place in (small, small / "training"):
        trees.write_workbook(place / "sand_task_1.xlsx", sheets())
    with pytest.raises(RecordingError, match=r"several training workbooks: .*Remove all but one"):
        load_a(small)


def test_without_the_sheet_of_all_speakers(small, trees):
    book = sheets()
    del book["SAND - TRAINING set - Task 1"]
    trees.write_workbook(small / "sand_task_1.xlsx", book)
    assert load_a(small).target.tolist() == [5, 1]
    trees.write_workbook(small / "sand_task_1.xlsx", {"Sheet1": [HEADER, *ONE]})
    dataset = load_a(small)
    assert dataset.target.tolist() == [5, 1]
    assert dataset.baseline_split is None
    with pytest.raises(RecordingError, match="no sheet with the organisers' baseline validation"):
        load_a(small, subset="baseline_validation")
    trees.write_workbook(small / "sand_task_1.xlsx", {"a": [HEADER], "b": [HEADER]})
    with pytest.raises(RecordingError, match=r"none of the sheets \['a', 'b'\] lists the speakers"):
        load_a(small)


@pytest.mark.parametrize(
    ("book", "match"),
    [
        (sheets(training=[ONE[0], [3, 51, "F", 6]]), r"not 1 to 5: 6.* \(ID003\)"),
        (sheets(training=[ONE[0], [3, 51, "F", "mild"]]), r"'mild' \(ID003\)"),
        (sheets(training=[ONE[0], [0, 51, "F", 1]]), "lists 'ID000' twice"),
        (sheets(training=[ONE[0][:3], ONE[1][:3]]), "has no classes"),
    ],
)
def test_contradictions(small, trees, book, match):
    trees.write_workbook(small / "sand_task_1.xlsx", book)
    with pytest.raises(RecordingError, match=match):
        load_a(small)


@pytest.mark.parametrize(
    ("baseline", "match"),
    [((ONE, ONE[1:]), "on both sides: 'ID003'"), ((ONE[:1], []), "on neither side: 'ID003'")],
)
def test_unclean_baseline_split(small, trees, baseline, match):
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(baseline=baseline))
    with pytest.warns(RecordingWarning, match=match) as caught:
        dataset = load_a(small)
    assert caught[0].filename == __file__
    assert dataset.baseline_split is None
    assert dataset.target.tolist() == [5, 1]


def test_one_speaker_under_two_spellings(small, trees):
    trees.write_workbook(small / "sand_task_1.xlsx", sheets())
    folder = small / "training" / "phonationA"
    shutil.copy(folder / "ID000_phonationA.wav", folder / "ID0000_phonationA.wav")
    with pytest.raises(RecordingError, match=r"claim to be the same recording: .*ID0000_phon"):
        load_a(small)
    (folder / "ID0000_phonationA.wav").unlink()
    twice = sheets(training=[*ONE, ["ID0000", 50, "M", 5]])
    trees.write_workbook(small / "sand_task_1.xlsx", twice)
    with pytest.raises(RecordingError, match="lists 'ID000' twice"):
        load_a(small)


@pytest.mark.parametrize("subset", ["training", "baseline_training", "baseline_validation"])
def test_sheets_that_contradict_each_other(small, trees, subset):
    other = [ONE[0], ["ID003", 51, "F", "2"]]
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(baseline=(other, other)))
    with pytest.warns(RecordingWarning) as caught:
        load_a(small, subset=subset)
    assert {warning.filename for warning in caught} == {__file__}
    texts = " ".join(str(warning.message) for warning in caught)
    assert "class of the training sheet not that of baseline training: 'ID003'" in texts
    assert "class of the training sheet not that of baseline validation: 'ID003'" in texts
    assert texts.count("both sides") == 1
    assert "'ID000', 'ID003'" in texts


def test_sheets_of_the_split_need_no_classes(small, trees):
    baseline = ([["ID000", 50, "M", None]], [["ID003", 51, "F", "-"]])
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(baseline=baseline))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_a(small).target.tolist() == [5, 1]


def test_a_speaker_on_both_sides_without_the_sheet_of_all(small, trees):
    book = {name: rows for name, rows in sheets(baseline=(ONE, ONE[1:])).items() if "Base" in name}
    trees.write_workbook(small / "sand_task_1.xlsx", book)
    with pytest.warns(RecordingWarning, match="on both sides: 'ID003'"):
        dataset = load_a(small)
    assert dataset.data["patient"].tolist() == ["ID000", "ID003"]


def test_error_of_one_invalid_class_does_not_list_those_stored_as_text(small, trees):
    rows = [["ID000", 50, "M", "5"], ["ID003", 51, "F", "mild"]]
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(training=rows))
    with pytest.raises(RecordingError, match=r"not 1 to 5: \"?'mild' \(ID003\)"):
        load_a(small)


def test_absent_column(small, trees):
    book = sheets(header=["ID", "Age", "Gender", "class "])
    trees.write_workbook(small / "sand_task_1.xlsx", book)
    with pytest.raises(MissingColumnError, match=r"'Sex' .*\['Age', 'Gender', 'class', 'ID'\]"):
        load_a(small)
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(header=["ID", "Age", "Sex", "Grade"]))
    with pytest.raises(MissingColumnError, match="'Class' is not among the columns"):
        load_a(small)


def test_counterparts_are_reported(small, trees):
    rows = [*ONE[:1], ["ID006", 40, "F", 2]]
    trees.write_workbook(small / "sand_task_1.xlsx", sheets(rows, (rows[:1], rows[1:])))
    with pytest.warns(RecordingWarning) as caught:
        data = load_a(small).data
    assert data["patient"].tolist() == ["ID000"]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "not in the workbook and are left out: 'ID003'" in str(caught[0].message)
    assert "of the workbook have no recording: 'ID006'" in str(caught[0].message)


def test_description(sand_home):
    text = load_sand(sand_home).DESCR
    for fact in ("means *less*\nsevere", "2604.16445", "8 kHz", "patient with ALS, no dysarthria"):
        assert fact in text


def test_through_a_pipeline(sand_home):
    X, y = load_sand(sand_home, tasks=["phonationA", "rhythmKA"], return_X_y=True)
    scores = cross_val_score(
        egemaps_svm_pipeline(), X, y, cv=StratifiedPatientKFold(2), scoring="accuracy"
    )
    assert scores.shape == (2,)
    assert scores.mean() > 0.4  # of four classes
    dataset = load_sand(sand_home, tasks=["phonationA"])
    cv = dataset.baseline_split
    assert len(cross_val_score(egemaps_svm_pipeline(), dataset.data, dataset.target, cv=cv)) == 1


def test_band_above_4_khz_brings_a_warning(sand_home):
    X, _ = load_sand(sand_home, tasks="phonationA", return_X_y=True)
    images = LogMelDeltaImages(n_fft=512, hop_length=256, n_mels=32, image_size=32)
    with pytest.warns(BandwidthWarning, match="10 of 10 recordings .* 8000 Hz and ends at 4000 Hz"):
        images.set_params(sample_rate=16000, fmax=8000).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = images.set_params(sample_rate=8000, fmax=4000).fit_transform(X)
    assert found.shape == (10, 3, 32, 32)
    assert np.isfinite(found).all()
