"""Images on a disk: the same numbers, nothing left behind, and the classifiers read them."""

import errno
import gc
import os
import pickle
import shutil
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_dysarthria import (
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    EarlyStopping,
    EnergyVAD,
    HyperAlexNetClassifier,
    HyperHead,
    ImagesWithContext,
    LogMelDeltaImages,
    PatientVotingClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    StratifiedPatientKFold,
    TaskFusionClassifier,
    load_waveform,
)
from sklearn_dysarthria._utils import memory_maps
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning, TooShortAudioError

SMALL = {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 24, "image_size": 32}
FEMTO = Backbone("convnext_femto", weights=None)
NET = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "device": "cpu"}
BAD = [1, 7]


def images(folder=None, **parameters):
    return LogMelDeltaImages(mmap_folder=folder, **(SMALL | parameters))


def network(**parameters):
    return BackboneClassifier(FEMTO, **(NET | parameters))


@pytest.fixture(autouse=True)
def _few_rows_at_once(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(memory_maps, "_CHUNK", 40_000)  # three images


@pytest.fixture(name="X")
def table():
    rng = np.random.default_rng(0)
    audio = pd.Series(list(rng.normal(size=(12, 4000)).astype(np.float32)), dtype=object)
    return pd.DataFrame(
        {"audio": audio, "sample_rate": 8000, "patient": [f"P{i // 2}" for i in range(12)]}
    )


@pytest.fixture(name="y")
def labels():
    return np.repeat([0, 1], 6)


@pytest.fixture(name="damaged")
def damaged_table(X):
    X = X.copy()
    for row in BAD:
        X.at[row, "audio"] = np.linspace(-1, 1, 10, dtype=np.float32)
    return X


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_same_images_lie_on_the_disk(X, tmp_path, n_jobs):
    found = images(tmp_path / "new", n_jobs=n_jobs).fit_transform(X)
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, images().fit_transform(X))
    assert os.listdir(tmp_path / "new")


def test_the_array_cannot_be_changed_by_mistake(X, tmp_path):
    found = images(tmp_path).fit_transform(X)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_the_file_goes_with_the_last_array_that_shows_it(X, tmp_path):
    found = images(tmp_path).fit_transform(X)
    view, expected = np.asarray(found)[2:4], found[2:4].copy()
    del found
    gc.collect()
    assert os.listdir(tmp_path)
    np.testing.assert_array_equal(view, expected)
    del view
    gc.collect()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_failed_recordings_are_nan_there_too(damaged, tmp_path, n_jobs):
    with pytest.warns(RecordingWarning, match="2 of 12"):
        found = images(tmp_path, on_error="nan", n_jobs=n_jobs).fit_transform(damaged)
    with pytest.warns(RecordingWarning):
        expected = images(on_error="nan").fit_transform(damaged)
    assert np.flatnonzero(np.isnan(found).all(axis=(1, 2, 3))).tolist() == BAD
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_error_leaves_no_file(damaged, tmp_path, n_jobs):
    with pytest.raises(TooShortAudioError, match="row 1"):
        images(tmp_path, n_jobs=n_jobs).fit_transform(damaged)
    gc.collect()
    assert not os.listdir(tmp_path)


def test_a_full_disk_is_an_error_before_the_work(X, tmp_path, monkeypatch):
    little = shutil.disk_usage(tmp_path)._replace(free=147455)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: little)
    X["audio"] = "missing.wav"  # would be another error
    with pytest.raises(OSError, match=r"needs 147456 bytes.*" + tmp_path.name) as raised:
        images(tmp_path).fit_transform(X)
    assert raised.value.errno == errno.ENOSPC
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_a_file_is_an_error(X, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileExistsError, match="taken"):
        images(tmp_path / "taken").fit_transform(X)


def test_no_recordings_give_no_images(X, tmp_path):
    assert images(tmp_path).transform(X[:0]).shape == (0, 3, 32, 32)
    assert not os.listdir(tmp_path)


def test_the_folder_is_a_parameter_like_others(tmp_path):
    transformer = images(tmp_path)
    assert clone(transformer).mmap_folder == tmp_path
    assert pickle.loads(pickle.dumps(transformer)).mmap_folder == tmp_path
    assert transformer.set_params(mmap_folder=None).get_params()["mmap_folder"] is None
    with pytest.raises(ValueError, match="mmap_folder"):
        images(3).fit(["a.wav"])


def test_other_processes_map_the_same_file_and_pickles_are_copies(X, tmp_path):
    found = images(tmp_path).fit_transform(X)
    parts = [found, found[3:5]]
    # NumPy's own functions: workers need not import these tests, and with them torch.
    with Parallel(n_jobs=2) as parallel:
        assert parallel(delayed(type)(part) for part in parts) == [np.memmap] * 2
        assert parallel(delayed(np.sum)(part) for part in parts) == [part.sum() for part in parts]
    stored = pickle.dumps(found)
    expected = found.copy()
    del found
    np.testing.assert_array_equal(pickle.loads(stored), expected)


class Counted(EnergyVAD):
    """Keeps all of a recording, and notes that it was read."""

    read: ClassVar = []

    def voiced_waveform(self, row, sample_rate, *, min_duration=0.0):
        self.read.append(row.name)
        return load_waveform(row, sample_rate, min_duration=min_duration)


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_repeated_rows_are_computed_once(X, tmp_path, on_error):
    once = images().fit_transform(X)
    Counted.read.clear()
    repeated, _ = RecordingOverSampler(multipliers={1: 3}).fit_resample(X, np.repeat([0, 1], 6))
    found = images(tmp_path, vad=Counted(), on_error=on_error).fit_transform(repeated)
    assert sorted(Counted.read) == list(range(12))
    np.testing.assert_array_equal(found, once[repeated.index])


def test_rows_that_only_share_a_label_are_not_taken_for_copies(X):
    expected = images().fit_transform(X)
    np.testing.assert_array_equal(images().fit_transform(X.set_axis([0] * 12)), expected)
    shorter = pd.concat([X[:1], X[:1]]).assign(segments=[None, [(0, 0.3)]])
    first, second = images().fit_transform(shorter)
    assert not np.array_equal(first, second)


def test_every_failed_copy_is_listed(damaged):
    repeated = damaged.iloc[[0, 1, 1, 2, 7, 1]]
    with pytest.warns(RecordingWarning, match="4 of 6"):
        found = images(on_error="nan").fit_transform(repeated)
    assert np.isnan(found).all(axis=(1, 2, 3)).tolist() == [False, True, True, False, True, True]
    with pytest.raises(RecordingError, match="row 1"):
        images().fit_transform(repeated)


def test_classifiers_and_embeddings_read_from_the_disk(X, y, tmp_path):
    in_memory, on_disk = images().fit_transform(X), images(tmp_path).fit_transform(X)
    expected = network().fit(in_memory, y).predict_proba(in_memory)
    model = network().fit(on_disk, y)
    np.testing.assert_array_equal(model.predict_proba(on_disk), expected)
    vectors = BackboneEmbeddings(Backbone("convnext_femto", weights=None), random_state=0)
    np.testing.assert_array_equal(
        vectors.fit_transform(on_disk), clone(vectors).fit_transform(in_memory)
    )
    del on_disk
    gc.collect()
    assert not os.listdir(tmp_path)  # though the fitted models are still there


@pytest.mark.parametrize("sampling", [{"multipliers": {1: 3}}, {"random_state": 0}])
def test_repeated_positions_train_like_repeated_images(X, tmp_path, sampling):
    y = np.array([0] * 8 + [1] * 4)
    on_disk, patients = images(tmp_path).fit_transform(X), X["patient"].to_numpy()
    sampler, net = RecordingOverSampler(**sampling), network(early_stopping=EarlyStopping())
    by_position = ResampledClassifier(sampler, net).fit(on_disk, y, groups=patients)
    copies, labels = sampler.fit_resample(np.asarray(on_disk), y)
    by_copy = clone(net).fit(copies, labels, groups=patients[sampler.sample_indices_])
    found = by_position.estimator_
    assert found.validation_patients_.tolist() == by_copy.validation_patients_.tolist()
    np.testing.assert_array_equal(found.predict_proba(on_disk), by_copy.predict_proba(on_disk))


def test_an_infinity_is_found_in_whichever_chunk(X, y, tmp_path):
    array = np.memmap(tmp_path / "a", np.float32, "w+", shape=(12, 3, 32, 32))
    array[:] = images().fit_transform(X)
    array[10, 2, 31, 31] = np.inf
    with pytest.raises(ValueError, match=r"inside rows \[10\]"):
        network().fit(array, y)


def test_changes_of_a_copy_on_write_map_survive(X, y, tmp_path):
    np.save(tmp_path / "images.npy", images().fit_transform(X))
    array = np.load(tmp_path / "images.npy", mmap_mode="c")
    array[3] = np.nan
    with pytest.warns(RecordingWarning, match=r"\[3\]"):
        model = network().fit(array, y)
    assert np.isnan(array[3]).all()
    assert np.isnan(model.predict_proba(array)[3]).all()


def test_images_with_context_on_the_disk(X, y, tmp_path):
    context = make_pipeline(
        images(), BackboneEmbeddings(Backbone("convnext_femto", weights=None), random_state=0)
    )
    expected = ImagesWithContext(images(), context).fit_transform(X)
    both = ImagesWithContext(images(tmp_path), context, mmap_folder=tmp_path)
    found = both.fit_transform(X)
    assert isinstance(found, np.memmap)
    for name in ("image", "context"):
        np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(both.transform(X)[name], expected[name])
    large = images(image_size=64).fit_transform(X)
    backbone, head = Backbone("alexnet", weights=None), HyperHead(context="data", hidden_dim=8)
    model = HyperAlexNetClassifier(backbone=backbone, head=head, embedding_dim=8, **NET)
    wide = ImagesWithContext(images(tmp_path, image_size=64), context, mmap_folder=tmp_path)
    found = wide.fit_transform(X)
    expected = np.empty(12, dtype=found.dtype)
    expected["image"], expected["context"] = large, found["context"]
    np.testing.assert_array_equal(
        clone(model).fit(found, y).predict_proba(found),
        clone(model).fit(expected, y).predict_proba(expected),
    )


def test_cross_validation_and_search_leave_nothing(X, y, tmp_path):
    cv = StratifiedPatientKFold(2, random_state=0)
    scores, best = [], []
    for folder in (None, tmp_path):
        model = make_pipeline(images(folder), network())
        scores.append(cross_val_score(model, X, y, cv=cv, scoring="neg_log_loss"))
        grid = {"backboneclassifier__lr": [1e-3, 1e-2]}
        search = GridSearchCV(model, grid, cv=cv, scoring="neg_log_loss", n_jobs=2)
        best.append(search.fit(X, y).cv_results_["mean_test_score"])
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(best[0], best[1])
    gc.collect()
    assert not os.listdir(tmp_path)


def test_fusion_of_tasks_reads_from_the_disk(X, y, tmp_path):
    X["task"] = ["A", "B"] * 6
    answers = []
    for folder in (None, tmp_path):
        model = TaskFusionClassifier(images(folder), backbone=FEMTO, max_epochs=1, random_state=0)
        answers.append(model.fit(X, y).predict_proba(X))
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.mark.parametrize("asked_twice", [False, True])
def test_votes_without_the_failed_recordings(damaged, y, tmp_path, asked_twice):
    answers = []
    for folder in (None, tmp_path):
        last = ResampledClassifier(RecordingOverSampler(), network()) if asked_twice else network()
        model = PatientVotingClassifier(make_pipeline(images(folder, on_error="nan"), last))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)
            model.fit(damaged, y)
            answers.append((model.predict(damaged), model.predict_proba(damaged)))
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    np.testing.assert_array_equal(answers[0][1], answers[1][1])
