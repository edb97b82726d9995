import hashlib
import os
import shutil
from importlib import resources

import numpy as np
import openpyxl
import pandas as pd
import pytest
import soundfile

from sklearn_dysarthria.datasets import fetch_minsk2020_als
from sklearn_dysarthria.exceptions import CorpusNotFoundError
from sklearn_dysarthria.recordings import check_recordings, one_label_per_patient

PATIENTS = [
    ("024", 66, "m", 16, "spinal", "no"),
    ("080", 63, "m", "20", "bulbar", "yes"),
    (102, 53, "f", "25", "spinal", "yes"),
]
CONTROLS = [("002", 64, "f"), ("024", 60, "m"), (131, 60, "f")]
FEATURES = """ID,Sex,Age,J1_a,Diagnosis (ALS)
24,M,66,0.1,1
80,F,63,0.1,1
102,F,58,0.1,1
2,F,64,0.1,0
24,M,60,0.1,0
131,F,60,0.1,0
"""


def write_xlsx(path, header, rows):
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.active.append(row)
    book.save(path)


def write_corpus(folder):
    """Write a tiny corpus in the layout of the real one, with its odd cases."""
    header = ["Subject code", "Age", "Sex", "Time from ALS onset (months)"]
    header += ["Bulbar/spinal onset", "Presence of the bulbar signs"]
    folder.mkdir(parents=True)
    write_xlsx(folder / "ALS_table.xlsx", header, PATIENTS)
    write_xlsx(folder / "HC_table.xlsx", header[:3], CONTROLS)
    (folder / "Minsk2020_ALS_dataset.csv").write_text(FEATURES)
    (folder / "LICENSE").write_text("a licence")
    noise = np.random.default_rng(0).normal(scale=0.1, size=5000)
    for group, speakers in (("ALS", PATIENTS), ("HC", CONTROLS)):
        (folder / group).mkdir()
        for code in (str(speaker[0]) for speaker in speakers):
            rate = 48_000 if group + code == "ALS080" else 44_100
            for vowel in "ai":
                noise = np.roll(noise, 1)
                soundfile.write(folder / group / f"{code}_{vowel}.wav", noise, rate)


@pytest.fixture(scope="module")
def tiny_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_corpus(home / "minsk2020")
    return home


@pytest.fixture
def tiny(tiny_home, replace_minsk2020_source):
    """``data_home`` with the tiny corpus, whose checksums stand in for the real ones."""
    folder = tiny_home / "minsk2020"
    registry = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    replace_minsk2020_source(registry, ["http://127.0.0.1:9"])
    return tiny_home


def test_table(tiny):
    dataset = fetch_minsk2020_als(data_home=tiny)
    data = dataset.data
    assert len(data) == 12
    assert list(data.columns) == dataset.feature_names
    assert list(data.columns) == [
        *("audio", "sample_rate", "patient", "task", "diagnosis", "sex", "sex_csv", "age"),
        *("age_csv", "onset_months", "onset", "bulbar"),
    ]
    assert data.index.tolist() == list(range(12))
    patients = ["ALS024", "ALS080", "ALS102", "HC002", "HC024", "HC131"]
    assert data["patient"].unique().tolist() == patients
    assert data["task"].tolist() == ["phonationA", "phonationI"] * 6
    assert data.loc[0, "audio"] == str(tiny / "minsk2020" / "ALS" / "024_a.wav")
    assert data.loc[data["sample_rate"] == 48_000, "patient"].tolist() == ["ALS080"] * 2
    assert set(data["sample_rate"]) == {44_100, 48_000}
    assert dataset.filenames.tolist() == data["audio"].tolist()
    assert check_recordings(data, dataset.target)[1]["ok"].all()


def test_metadata_from_text_and_number_cells(tiny):
    speakers = fetch_minsk2020_als(data_home=tiny).data.groupby("patient").first()
    assert speakers["age"].tolist() == [66, 63, 53, 64, 60, 60]
    assert speakers.loc["ALS080", ["sex", "sex_csv"]].tolist() == ["m", "f"]
    assert speakers.loc["ALS102", ["age", "age_csv"]].tolist() == [53, 58]
    assert speakers["onset_months"][:3].tolist() == [16.0, 20.0, 25.0]
    assert speakers["onset"][:3].tolist() == ["spinal", "bulbar", "spinal"]
    assert speakers["bulbar"][:3].tolist() == ["no", "yes", "yes"]
    assert speakers.loc["HC002":, ["onset_months", "onset", "bulbar"]].isna().all(axis=None)


def test_targets(tiny):
    als = fetch_minsk2020_als(data_home=tiny)
    assert als.target.tolist() == ["ALS"] * 6 + ["HC"] * 6
    assert als.target_names.tolist() == ["ALS", "HC"]
    bulbar = fetch_minsk2020_als(data_home=tiny, target="bulbar")
    assert bulbar.target.tolist() == ["no", "no", "yes", "yes", "yes", "yes"]
    assert bulbar.target_names.tolist() == ["no", "yes"]
    assert set(bulbar.data["diagnosis"]) == {"ALS"}
    pd.testing.assert_frame_equal(bulbar.frame, bulbar.data.assign(target=bulbar.target))


def test_return_X_y(tiny):  # noqa: N802
    X, y = fetch_minsk2020_als(data_home=tiny, return_X_y=True)
    assert isinstance(X, pd.DataFrame)
    assert isinstance(y, pd.Series)
    assert one_label_per_patient(X["patient"], y).loc["HC024"] == "HC"


def test_as_arrays(tiny):
    dataset = fetch_minsk2020_als(data_home=tiny, as_frame=False)
    assert dataset.frame is None
    assert dataset.feature_names == ["audio"]
    assert dataset.data.dtype == object
    assert dataset.data.shape == dataset.target.shape == (12,)
    assert dataset.data.tolist() == dataset.filenames.tolist()
    assert dataset.target.tolist()[5:7] == ["ALS", "HC"]
    assert check_recordings(dataset.data)[1]["ok"].all()


@pytest.mark.parametrize("tasks", ["phonationI", ["phonationI"], ("phonationI", "phonationI")])
def test_one_task(tiny, tasks):
    data = fetch_minsk2020_als(data_home=tiny, tasks=tasks).data
    assert set(data["task"]) == {"phonationI"}
    assert len(data) == 6


@pytest.mark.parametrize("tasks", ["phonation", ["phonationA", "rhythmPA"], []])
def test_unknown_task(tiny, tasks):
    with pytest.raises(ValueError, match=r"choose from \['phonationA', 'phonationI'\]"):
        fetch_minsk2020_als(data_home=tiny, tasks=tasks)


def test_unknown_target(tiny):
    with pytest.raises(ValueError, match=r"choose one of \['als', 'bulbar'\]"):
        fetch_minsk2020_als(data_home=tiny, target="sex")


def test_home_may_be_the_corpus_or_come_from_the_environment(tiny, monkeypatch):
    expected = fetch_minsk2020_als(data_home=tiny).frame
    itself = fetch_minsk2020_als(data_home=tiny / "minsk2020").frame
    monkeypatch.setenv("SKLEARN_DYSARTHRIA_DATA", str(tiny))
    pd.testing.assert_frame_equal(itself, expected)
    pd.testing.assert_frame_equal(fetch_minsk2020_als().frame, expected)


def test_only_what_is_read_must_be_there(tiny, tmp_path):
    copy = tmp_path / "minsk2020"
    shutil.copytree(tiny / "minsk2020", copy)
    (copy / "LICENSE").unlink()
    (copy / "HC" / "131_i.wav").unlink()
    assert len(fetch_minsk2020_als(data_home=tmp_path, tasks="phonationA").data) == 6
    with pytest.raises(CorpusNotFoundError, match=r"1 of 15 files .* 'HC/131_i\.wav'"):
        fetch_minsk2020_als(data_home=tmp_path, download_if_missing=False)


def test_damaged_file_is_named(tiny, tmp_path):
    copy = tmp_path / "minsk2020"
    shutil.copytree(tiny / "minsk2020", copy)
    (copy / "ALS" / "080_a.wav").write_bytes(b"RIFF")
    with pytest.raises(OSError, match=r"080_a\.wav' is not the published file"):
        fetch_minsk2020_als(data_home=tmp_path)


def test_files_in_capitals(tiny, tmp_path):
    """Windows and macOS may list files in another case than the one they were published in."""
    for path in (tiny / "minsk2020").rglob("*.*"):
        name = path.relative_to(tiny / "minsk2020").as_posix()
        place = tmp_path / "minsk2020" / (name.upper() if name.endswith(".wav") else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, place)
    dataset = fetch_minsk2020_als(data_home=tmp_path, download_if_missing=False)
    assert dataset.data.loc[0, "audio"] == str(tmp_path / "minsk2020" / "ALS" / "024_A.WAV")
    expected = fetch_minsk2020_als(data_home=tiny).frame
    pd.testing.assert_frame_equal(
        dataset.frame.drop(columns="audio"), expected.drop(columns="audio")
    )


def test_absent_corpus(tmp_path):
    with pytest.raises(CorpusNotFoundError) as caught:
        fetch_minsk2020_als(data_home=tmp_path, download_if_missing=False)
    message = str(caught.value)
    assert "Minsk2020 ALS database" in message
    assert "131 of 131 files are missing" in message
    assert "github.com/Mak-Sim/Minsk2020_ALS_database/archive/" in message


def test_description(tiny):
    text = fetch_minsk2020_als(data_home=tiny).DESCR
    for fact in ("GPL-3.0", "102350", "2012.07347", "ALS078", "48 kHz", "give the label away"):
        assert fact in text


def test_registry_of_the_published_corpus():
    data = resources.files("sklearn_dysarthria.datasets") / "data" / "minsk2020_sha256.txt"
    registry = dict(line.rsplit(maxsplit=1) for line in data.read_text().splitlines())
    assert len(registry) == 132
    assert sum(path.endswith(".wav") for path in registry) == 128
    assert all(len(sha256) == 64 for sha256 in registry.values())


def test_real_corpus(minsk2020_home):
    dataset = fetch_minsk2020_als(data_home=minsk2020_home, download_if_missing=False)
    data = dataset.data
    speakers = data.groupby("patient").first()
    assert data.shape == (128, 12)
    assert dataset.target.value_counts().to_dict() == {"HC": 66, "ALS": 62}
    assert speakers["diagnosis"].value_counts().to_dict() == {"HC": 33, "ALS": 31}
    assert data.loc[data["sample_rate"] != 44_100, "patient"].unique().tolist() == ["ALS080"]
    patients = speakers[speakers["diagnosis"] == "ALS"]
    assert patients["bulbar"].value_counts().to_dict() == {"yes": 24, "no": 7}
    assert patients["onset"].value_counts().to_dict() == {"spinal": 18, "bulbar": 13}
    assert patients["onset_months"].agg(["min", "max"]).tolist() == [5, 58]
    assert data.drop(columns=["onset_months", "onset", "bulbar"]).notna().all(axis=None)


def test_disagreements_in_the_real_corpus(minsk2020_home):
    X, _ = fetch_minsk2020_als(data_home=minsk2020_home, return_X_y=True)
    speakers = X.groupby("patient").first()
    sexes = speakers[speakers["sex"] != speakers["sex_csv"]]
    assert sexes[["sex", "sex_csv"]].to_dict("index") == {
        patient: {"sex": "m", "sex_csv": "f"} for patient in ("ALS078", "ALS080", "ALS084")
    }
    ages = speakers[speakers["age"] != speakers["age_csv"]]
    assert ages[["age", "age_csv"]].to_dict("index") == {
        "ALS008": {"age": 67, "age_csv": 58},
        "ALS021": {"age": 55, "age_csv": 58},
    }
    # The published summary mixes the two sources.
    published = speakers[speakers["diagnosis"] == "ALS"].groupby("sex_csv")["age"]
    assert published.agg("count").to_dict() == {"m": 17, "f": 14}
    assert published.agg("mean").round(1).to_dict() == {"m": 61.1, "f": 57.3}
    assert published.agg("std").round(1).to_dict() == {"m": 7.7, "f": 7.8}


@pytest.mark.parametrize("place", ["", "minsk2020"])
def test_unpacked_archive_is_accepted_as_it_is(tiny, tmp_path, place):
    commit = "4fa0cfcde7c919e1b68c99fdecd83ff9ac7334de"
    shutil.copytree(tiny / "minsk2020", tmp_path / place / f"Minsk2020_ALS_database-{commit}")
    data = fetch_minsk2020_als(data_home=tmp_path, download_if_missing=False).data
    expected = tmp_path / place / f"Minsk2020_ALS_database-{commit}" / "ALS" / "024_a.wav"
    assert data.loc[0, "audio"] == str(expected)


def test_own_folder_comes_before_an_unpacked_archive(tiny, tmp_path):
    for place in ("minsk2020", "Minsk2020_ALS_database-main"):
        shutil.copytree(tiny / "minsk2020", tmp_path / place)
    data = fetch_minsk2020_als(data_home=tmp_path).data
    assert data.loc[0, "audio"] == str(tmp_path / "minsk2020" / "ALS" / "024_a.wav")
