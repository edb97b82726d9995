"""Corpora on disk as their authors distribute them, with a few speakers and short recordings."""

from importlib import resources
from types import SimpleNamespace

import numpy as np
import openpyxl
import pandas as pd
import pytest
import soundfile

from sklearn_dysarthria.datasets import _minsk2019, _minsk2020

TASKS = ["phonationA", "phonationE", "phonationI", "phonationO", "phonationU"]
TASKS += ["rhythmPA", "rhythmTA", "rhythmKA"]
RATE = 8000


def voice(seed, rough, duration=0.7):
    """Samples of something like a vowel: harmonics of an unsteady pitch, and noise."""
    rng = np.random.default_rng(seed)
    n = int(duration * RATE)
    pitch = rng.uniform(100, 200) * (1 + rough * 0.05 * np.cumsum(rng.normal(size=n)) / np.sqrt(n))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 12))
    return 0.2 * tone + rng.normal(scale=0.005 + 0.05 * rough, size=n)


def write_recordings(folder, speakers, *, tasks=TASKS, suffix=".wav"):
    """Write every task of the speakers, given with the roughness of their voices."""
    for t, task in enumerate(tasks):
        (folder / task).mkdir(parents=True, exist_ok=True)
        for s, (speaker, rough) in enumerate(speakers.items()):
            path = folder / task / f"{speaker}_{task}{suffix}"
            soundfile.write(path, voice(100 * s + t, rough), RATE, subtype="PCM_16", format="WAV")


def write_workbook(path, sheets):
    """Write sheets of rows; a None is an empty cell."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        # Rows that were formatted and cleared, as spreadsheets leave them behind.
        for i in range(2):
            sheet.cell(len(rows) + 1 + i, 1).value = " "
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


VOC_ALS_HEADER = [
    *("ID", "Age (years)", "Sex", "Category", "OnsetRegion", "Therapy", "DiseaseDuration", "FVC%"),
    *("ALSFRS-R_TotalScore", "ALSFRS-R_SpeechSubscore", "ALSFRS-R_SalivationSubscore"),
    *("KingClinicalStage", "PUMNS_BulbarSubscore", "meanF0Hz_A", "HNR_A", "localJitter_A"),
    "Cantagallo_Questionnaire",
]
VOC_ALS_ROWS = [
    ["CT001", 55, "M", "HC", *"-" * 9, 121.5, 20.5, 0.011, 35],
    ["CT004", 61, "F", "HC", *"-" * 9, 201.0, 22.1, 0.007, 36],
    ["CT010", 48, "F", "HC", *"-" * 9, 190.3, 21.0, 0.008, 35],
    ["CT013", 70, "M", "HC", *"-" * 9, 110.9, 19.2, 0.013, 35],
    *[
        [id_, age, sex, "ALS", onset, "Riluzole", 12, fvc, 40, item, 4, stage, 3, 150.1, 15.2, 0.02]
        + [60]
        for id_, age, sex, onset, fvc, item, stage in [
            ("PZ001", 66, "M", "Spinal", 90, 4, "2"),
            ("PZ003", 59, "F", "Bulbar", "-", 2, "4A"),
            ("PZ004", 72, "M", "Bulbar", 71, "3", 3),
            ("PZ005", 45, "M", "Spinal", 102, 4, 1),
            ("PZ006", 64, "F", "Spinal", 88, 1, "4B"),
            ("PZ007", 58, "F", "Bulbar", 65, 3, 3),
        ]
    ],
]


def write_voc_als(folder, rows=VOC_ALS_ROWS, header=VOC_ALS_HEADER, sheet="VOC-ALS_Data"):
    """Write VOC-ALS with its placeholder row above the header, and what a Mac leaves behind."""
    placeholder = [f"Column-{i + 1}" for i in range(len(header))]
    sheets = {"Legend": [["ID", "Identifier of the speaker"]], sheet: [placeholder, header, *rows]}
    write_workbook(folder / "VOC-ALS.xlsx", sheets)
    (folder / "~$VOC-ALS.xlsx").write_bytes(b"lock")
    speakers = {row[0]: 0.1 if row[3] == "HC" or row[9] == 4 else 1.0 for row in rows}
    write_recordings(folder, speakers)
    odd = folder / "rhythmTA" / "CT004_rhythmTA.wav"
    odd.rename(odd.with_suffix(".WAV"))
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (folder / "phonationA" / ".DS_Store").write_bytes(b"Bud1")
    (folder / "phonationA" / "._CT001_phonationA.wav").write_bytes(b"\0\5\26\7")
    (folder / "__MACOSX" / "phonationA").mkdir(parents=True)
    (folder / "__MACOSX" / "phonationA" / "._PZ001_phonationA.wav").write_bytes(b"\0\5\26\7")


SAND_CLASSES = {f"ID{i:03d}": c for i, c in zip(range(0, 30, 3), [5, 5, 4, 1, 3] * 2, strict=True)}
SAND_TEST = [4, 11, 104]


def write_sand(folder):
    """Write both tasks of SAND with training and test set."""
    header = ["ID", "Age", "Sex", "Class"]
    rows = [[id_, 50 + i, "MF"[i % 2], c] for i, (id_, c) in enumerate(SAND_CLASSES.items())]
    first = folder / "task1"
    sheets = {
        "SAND - TRAINING set - Task 1": [header, *rows],
        "Training Baseline - Task 1": [header, *rows[:7]],
        "Validation Baseline - Task 1": [header, *rows[7:]],
    }
    write_workbook(first / "sand_task_1.xlsx", sheets)
    rough = {id_: (5 - c) / 4 for id_, c in SAND_CLASSES.items()}
    write_recordings(first / "training", rough)
    test = [[id_, 60, "F", None] for id_ in SAND_TEST]
    write_workbook(first / "sand_task1_test.xlsx", {"SAND - TESTING set - Task 1": [header, *test]})
    write_recordings(first / "test", {f"ID{id_:03d}": 0.5 for id_ in SAND_TEST})

    header = ["ID", "Age", "Sex", "Months", "ALSFRS--R_start", "ALSFRS--R_end"]
    ends = {id_: max(1, c - i % 2) for i, (id_, c) in enumerate(SAND_CLASSES.items()) if c < 5}
    rows = [
        [id_, 50, "M", 3 + i, SAND_CLASSES[id_], end] for i, (id_, end) in enumerate(ends.items())
    ]
    second = folder / "task2"
    sheets = {
        "SAND - TRAINING set - Task 2": [header, *rows],
        "Training Baseline - Task 2": [header, *rows[:4]],
        "Validation Baseline - Task 2": [header, *rows[4:]],
    }
    write_workbook(second / "sand_task_2.xlsx", sheets)
    write_recordings(
        second / "training", dict.fromkeys(ends, 0.5), tasks=["phonationA", "rhythmPA"]
    )
    test = [[id_, 60, "F", 7, 3, None] for id_ in SAND_TEST[:2]]
    write_workbook(
        second / "sand_task2_test.xlsx", {"SAND - TESTING set - Task 2": [header, *test]}
    )
    speakers = {f"ID{id_:03d}": 0.5 for id_ in SAND_TEST[:2]}
    write_recordings(second / "test", speakers, tasks=["phonationA", "rhythmPA"])
    (folder / ".DS_Store").write_bytes(b"Bud1")
    (folder / "__MACOSX" / "task1").mkdir(parents=True)
    (folder / "__MACOSX" / "task1" / "._sand_task_1.xlsx").write_bytes(b"\0\5\26\7")


@pytest.fixture(scope="session")
def trees():
    """The functions and lists that generate corpora."""
    return SimpleNamespace(
        tasks=TASKS,
        rate=RATE,
        voice=voice,
        write_recordings=write_recordings,
        write_workbook=write_workbook,
        write_voc_als=write_voc_als,
        voc_als_header=VOC_ALS_HEADER,
        voc_als_rows=VOC_ALS_ROWS,
        write_sand=write_sand,
        sand_classes=SAND_CLASSES,
        sand_test=SAND_TEST,
    )


@pytest.fixture(scope="session")
def voc_als_home(tmp_path_factory, trees):
    """``data_home`` with VOC-ALS; read it only."""
    home = tmp_path_factory.mktemp("voc_als_home")
    trees.write_voc_als(home / "voc_als")
    return home


@pytest.fixture(scope="session")
def sand_home(tmp_path_factory, trees):
    """``data_home`` with SAND; read it only."""
    home = tmp_path_factory.mktemp("sand_home")
    trees.write_sand(home / "sand")
    return home


@pytest.fixture
def replace_minsk2019_source(monkeypatch):
    """Replace the repository, commit or folder that the older Minsk corpus is fetched from."""

    def replace(**source):
        for name, value in source.items():
            monkeypatch.setattr(_minsk2019, f"_{name.upper()}", value)

    return replace


@pytest.fixture
def replace_minsk2020_source(monkeypatch):
    """Replace the checksums of the published files of Minsk2020, and the mirrors."""

    def replace(registry, mirrors):
        monkeypatch.setattr(_minsk2020, "read_registry", lambda name: registry)
        monkeypatch.setattr(_minsk2020, "_MIRRORS", mirrors)

    return replace


@pytest.fixture(scope="session")
def minsk2019_paths():
    """Paths of the published recordings of the older Minsk corpus."""
    data = resources.files("sklearn_dysarthria.datasets") / "data" / "minsk2019_speakers.csv"
    with data.open(encoding="utf-8") as file:
        return pd.read_csv(file)["path"].tolist()
