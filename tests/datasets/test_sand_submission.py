import numpy as np
import pandas as pd
import pytest

from sklearn_dysarthria import PatientVotingClassifier, egemaps_svm_pipeline
from sklearn_dysarthria.datasets import load_sand, write_sand_submission
from sklearn_dysarthria.exceptions import CorpusNotFoundError

IDS = [4, 11, 104]


def test_from_a_patient_model(sand_home, tmp_path):
    X, y = load_sand(sand_home, tasks="phonationA", return_X_y=True)
    model = PatientVotingClassifier(egemaps_svm_pipeline()).fit(X, y)
    decided = model.predict_patients(load_sand(sand_home, subset="test", tasks="phonationA").data)
    path = tmp_path / "submission.csv"
    written = write_sand_submission(path, decided, data_home=sand_home)
    assert path.read_text().splitlines()[0] == "ID,CLASS"
    found = pd.read_csv(path)
    pd.testing.assert_frame_equal(found, written)
    assert found["ID"].tolist() == IDS
    assert (
        found["CLASS"].tolist() == decided.loc[["ID004", "ID011", "ID104"], "prediction"].tolist()
    )


@pytest.mark.parametrize("patients", [["ID104", "ID004", "ID011"], ["104", 4, 11.0]])
def test_order_and_form_of_the_workbook(sand_home, tmp_path, patients):
    write_sand_submission(tmp_path / "s.csv", patients, [1, 2, 3.0], data_home=sand_home)
    assert (tmp_path / "s.csv").read_text() == "ID,CLASS\n4,2\n11,3\n104,1\n"


def test_ids_of_a_loaded_test_set(sand_home, tmp_path):
    ids = load_sand(sand_home, subset="test").speaker_ids
    table = write_sand_submission(tmp_path / "s.csv", IDS, np.array([1, 5, 2]), speaker_ids=ids)
    assert table["CLASS"].tolist() == [1, 5, 2]
    ids = ["11", 104, "ID004"]
    table = write_sand_submission(tmp_path / "s.csv", IDS, [1, 5, 2], speaker_ids=ids)
    assert table.to_dict("list") == {"ID": ids, "CLASS": [5, 2, 1]}
    with pytest.raises(ValueError, match="name a patient more than once"):
        write_sand_submission(tmp_path / "s.csv", [4], [1], speaker_ids=[4, "ID004"])


def test_second_task(sand_home, tmp_path):
    path = tmp_path / "s.csv"
    table = write_sand_submission(path, [4, 11], [1, 4], task=2, data_home=sand_home)
    assert table.to_dict("list") == {"ID": [4, 11], "CLASS": [1, 4]}
    with pytest.raises(ValueError, match=r"classes \[1, 2, 3, 4\]: 'ID011: 5'"):
        write_sand_submission(path, [4, 11], [1, 5], task=2, data_home=sand_home)
    with pytest.raises(ValueError, match="tasks 1 and 2"):
        write_sand_submission(path, [4, 11], [1, 5], task=0, data_home=sand_home)


@pytest.mark.parametrize(
    ("patients", "predictions", "match"),
    [
        ([4, 11], [1, 2], "1 patients of the test set have no prediction: 'ID104'"),
        ([4, 11, 104, "ID004"], [1, 2, 3, 1], "1 patients are predicted more than once: 'ID004'"),
        ([4, 11, 104, 12], [1, 2, 3, 4], "1 patients are not in the test set: 'ID012'"),
        (IDS, [0, 2, 3], r"not one of the classes \[1, 2, 3, 4, 5\]: 'ID004: 0'"),
        (IDS, [6, 2, 3], "'ID004: 6'"),
        (IDS, [1.5, 2, 3], r"'ID004: 1\.5'"),
        (IDS, [np.nan, 2, 3], "'ID004: nan'"),
        (IDS, [None, 2, 3], "'ID004: None'"),
        (IDS, [True, 2, 3], "'ID004: True'"),
        (IDS, ["3", 2, 3], "\"ID004: '3'\""),
        (IDS, [1, 2], "3 patients, but 2 predictions"),
        (IDS, None, "predictions are missing"),
        (pd.DataFrame({"CLASS": [1]}, index=[4]), None, "needs a column 'prediction'"),
        (pd.DataFrame({"prediction": [1]}, index=[4]), [1], "goes without predictions"),
    ],
)
def test_errors_write_nothing(sand_home, tmp_path, patients, predictions, match):
    path = tmp_path / "s.csv"
    with pytest.raises(ValueError, match=match):
        write_sand_submission(path, patients, predictions, data_home=sand_home)
    assert not path.exists()


def test_without_the_workbook(tmp_path):
    with pytest.raises(CorpusNotFoundError, match="no test workbook"):
        write_sand_submission(tmp_path / "s.csv", IDS, [1, 2, 3], data_home=tmp_path)
