"""The scripts of the published tables run on VOC-ALS and SAND as they are distributed."""

import functools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sklearn_dysarthria import patient_bootstrap

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "published_tables"
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not here"),
    pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.SmallClassWarning"),
    pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.BandwidthWarning"),
]


@pytest.fixture
def scripts(monkeypatch):
    """The folder's modules, importable while the test runs."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    few = functools.partial(patient_bootstrap, n_resamples=50)  # of 1000, which take seconds
    monkeypatch.setattr(__import__("tables"), "patient_bootstrap", few)
    yield
    for name in set(sys.modules) - known:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(name, monkeypatch, *arguments):
    script = FOLDER / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    __import__(name).main()


def test_context_size_on_voc_als(scripts, monkeypatch, tmp_path, voc_als_home):
    monkeypatch.setattr(__import__("paper_context_size"), "SIZES", (32, 128))
    few = ("--data-home", voc_als_home, "--folds", 2, "--epochs", 1, "--output", tmp_path)
    run("paper_context_size", monkeypatch, "voc_als", *few, "--cache", tmp_path / "cache")
    folder = tmp_path / "paper_context_size" / "voc_als"
    text = (folder / "table.md").read_text()
    assert "| context of 128 | 82.66 %" in text
    decided = pd.read_csv(folder / "predictions.csv")
    assert set(decided["patient"]) == {
        *("CT001", "CT004", "CT010", "CT013"),
        *("PZ001", "PZ003", "PZ004", "PZ005", "PZ006", "PZ007"),
    }
    assert (folder / "context_size.png").stat().st_size > 0
    assert (folder / "run.md").read_text().startswith("`python benchmarks/published_tables/")


def test_per_class_table_on_the_official_split_of_sand(
    scripts, monkeypatch, tmp_path, sand_home, trees
):
    # The few training speakers have no grade 2.
    monkeypatch.setattr(__import__("sand_entry"), "SAND_OVERSAMPLING", {1: 3, 3: 2})
    few = ("--data-home", sand_home, "--epochs", 1, "--output", tmp_path)
    run("sand_per_class", monkeypatch, "sand", *few, "--cache", tmp_path / "cache")
    folder = tmp_path / "sand_per_class" / "sand"
    decided = pd.read_csv(folder / "predictions.csv")
    validation = list(trees.sand_classes)[7:]
    assert sorted(decided["patient"].unique()) == sorted(validation)
    assert f"{len(validation)} patients tested" in (folder / "table.md").read_text()
    present = {trees.sand_classes[name] for name in validation}
    rows = (folder / "per_class.md").read_text().splitlines()
    assert {int(row[2]) for row in rows if row[2:3].isdigit()} == present


def test_metrics_are_scikit_learns(scripts):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    tables = __import__("tables")
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(1, 4, size=(2, 60))
    made = pd.DataFrame({"method": "m", "repeat": 0, "patient": range(60)})
    figures = tables.score(made.assign(truth=truth, prediction=predicted), seed=0)
    expected = [
        accuracy_score(truth, predicted),
        balanced_accuracy_score(truth, predicted),
        f1_score(truth, predicted, average="macro"),
    ]
    np.testing.assert_allclose(figures["value"], expected)
    assert (figures["low"] < figures["value"]).all()
    assert (figures["value"] < figures["high"]).all()
