"""What makes a single prediction fast: nothing asked twice, nothing needless imported."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dysarthria import (
    Backbone,
    HierarchicalClassifier,
    HyperAlexNetClassifier,
    PatientVotingClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    SeedEnsembleClassifier,
    SkipFailedRows,
    hyper_alexnet_pipeline,
    make_dysarthric_speech,
)
from sklearn_dysarthria.nn import HyperAlexNetModule

NEEDLESS = ["matplotlib", "librosa", "opensmile", "openpyxl", "imblearn", "pytest", "numba"]
NEEDLESS += [
    "sklearn.ensemble",
    "sklearn_dysarthria.pipelines",
    "sklearn_dysarthria.report._compare",
]
SMALL = {
    "backbone": Backbone("convnext_femto", weights=None),
    "embedding_dim": 8,
    "max_epochs": 1,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def speech():
    return make_dysarthric_speech(n_patients=4, random_state=0)


@pytest.fixture(scope="module")
def model(speech):
    X, y = speech
    pipeline = hyper_alexnet_pipeline(
        preset="quick", **{f"classify__{name}": value for name, value in SMALL.items()}
    )
    return PatientVotingClassifier(pipeline).fit(X, y)


def test_predict_imports_what_predictions_need():
    code = (
        "import sys, sklearn_dysarthria.cli\n"
        "from sklearn_dysarthria import features, load_model\n"
        "features.front_end\n"
        "from sklearn_dysarthria import PatientVotingClassifier, EGeMAPSFeatures, EnergyVAD\n"
        f"needless = {['torch', *NEEDLESS]}\n"
        "print([name for name in needless if name in sys.modules])\n"
        "from sklearn_dysarthria import HyperAlexNetClassifier, ConvNeXtSeverityClassifier\n"
        "from sklearn_dysarthria import LogMelDeltaImages\n"
        f"print([name for name in {NEEDLESS} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


class Contrary(HyperAlexNetClassifier):
    """Decides otherwise than its probabilities say."""

    def predict(self, X):
        answers = super().predict(X)
        return np.where(answers == self.classes_[0], self.classes_[1], self.classes_[0])


@pytest.fixture
def passes(monkeypatch):
    """Networks that ran, once for each forward pass."""
    seen = []
    forward = HyperAlexNetModule.forward

    def counting(self, *args, **kwargs):
        seen.append(id(self))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(HyperAlexNetModule, "forward", counting)
    return seen


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_patients"])
def test_the_network_is_asked_once(model, speech, method, passes):
    getattr(model, method)(speech[0].iloc[[0]])
    assert len(passes) == 1


def small(**options):
    return HyperAlexNetClassifier(
        **SMALL | {"lr": 3e-3, "max_epochs": 12, "batch_size": 8} | options
    )


WRAPPED = {
    "resampled": (lambda: ResampledClassifier(RecordingOverSampler(), small()), 1),
    "skipping": (lambda: SkipFailedRows(small(loss="corn")), 1),
    "ensemble": (lambda: SeedEnsembleClassifier(small(), 3, random_state=0), 3),
    "hierarchical": (lambda: HierarchicalClassifier(small(), small(loss="coral"), healthy=4), 2),
    "one-grade": (lambda: HierarchicalClassifier(small(), healthy=4), 2),
    "nested": (
        lambda: SkipFailedRows(
            SeedEnsembleClassifier(
                HierarchicalClassifier(
                    Pipeline([("same", "passthrough"), ("classify", small())]), healthy=4
                ),
                2,
                random_state=0,
            )
        ),
        4,
    ),
}


@pytest.fixture(scope="module")
def images(speech):
    X = pd.concat([speech[0]] * 2, ignore_index=True)
    grades = np.arange(len(X)) % 4 + 1
    pixels = np.random.default_rng(0).normal(size=(len(X), 3, 32, 32)).astype("float32")
    for image, grade in zip(pixels, grades, strict=True):
        image[:, 8 * (grade - 1) : 8 * grade] += 2
    # Each recording is a patient: a vote is then what the model predicts.
    return X.assign(patient=[f"P{i}" for i in range(len(X))]), grades, pixels


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_networks_are_asked_once_and_answer_alike(name, images, passes):
    X, grades, pixels = images
    make, n_networks = WRAPPED[name]
    to_pixels = FunctionTransformer(lambda table: pixels[table.index])
    pipeline = Pipeline([("images", to_pixels), ("classify", make())])
    voted = PatientVotingClassifier(pipeline).fit(X, grades)
    recordings = X.iloc[:8]
    expected = voted.estimator_[-1].predict(pixels[:8])
    assert len(np.unique(expected)) > 1
    for voting in ("soft", "hard"):
        passes.clear()
        answers = voted.set_params(voting=voting).predict(recordings)
        assert len(passes) == n_networks
        np.testing.assert_array_equal(answers, expected)


def test_members_that_vote_are_asked_once(images, passes):
    _, grades, pixels = images
    model = SeedEnsembleClassifier(small(), 3, voting="hard", random_state=0).fit(pixels, grades)
    passes.clear()
    model.predict(pixels[:8])
    assert len(passes) == 3


def test_a_single_row_starts_no_workers(model, speech, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pool was started")

    monkeypatch.setattr("joblib.parallel.LokyBackend.configure", refuse)
    monkeypatch.setattr("joblib.parallel.ThreadingBackend.configure", refuse)
    monkeypatch.setattr("torch.utils.data.dataloader._MultiProcessingDataLoaderIter", refuse)
    assert model.predict(speech[0].iloc[[0]]).shape == (1,)


def test_votes_are_what_the_classifier_predicts(model, speech):
    X = speech[0]
    alone = X.assign(patient=[f"P{i}" for i in range(len(X))])
    np.testing.assert_array_equal(model.predict(alone), model.estimator_.predict(alone))
    np.testing.assert_allclose(
        model.predict_proba(alone), model.estimator_.predict_proba(alone), atol=1e-6
    )


def test_a_subclass_with_its_own_predict_is_asked(model, speech):
    X, y = speech
    contrary = Contrary(**SMALL)
    pipeline = Pipeline([("images", model.estimator_[0]), ("classify", contrary)])
    voted = PatientVotingClassifier(pipeline).fit(X, y)
    alone = X.assign(patient=[f"P{i}" for i in range(len(X))])
    np.testing.assert_array_equal(voted.predict(alone), voted.estimator_.predict(alone))
    most_probable = voted.classes_[voted.predict_proba(alone).argmax(axis=1)]
    assert (voted.predict(alone) != most_probable).all()


# ------------------------------------------------------------------------- pickled networks


def weights(model):
    return model.estimator_[-1].net_.module_.state_dict()


@pytest.mark.parametrize("way", ["pickle", "joblib", "mapped", "copy"])
def test_a_copied_net_is_the_same_and_its_own(model, speech, way, tmp_path):
    if way == "pickle":
        other = pickle.loads(pickle.dumps(model))
    elif way == "copy":
        other = copy.deepcopy(model)
        net = model.estimator_[-1].net_
        other.estimator_[-1].net_ = copy.copy(net)
    else:
        joblib.dump(model, tmp_path / "model.joblib")
        how = {"mmap_mode": "r"} if way == "mapped" else {}
        other = joblib.load(tmp_path / "model.joblib", **how)
    X = speech[0]
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    before = {name: tensor.clone() for name, tensor in weights(model).items()}
    with torch.no_grad():
        for tensor in weights(other).values():
            tensor.zero_()
    assert all(torch.equal(weights(model)[name], tensor) for name, tensor in before.items())


def test_a_pipeline_with_an_answer_of_its_own_is_asked_itself():
    class Odd(Pipeline):
        def predict(self, X, **params):
            return np.repeat(self.classes_[:1], len(X))

    X, y = make_dysarthric_speech(n_patients=6, duration=0.6, random_state=0)
    lengths = FunctionTransformer(lambda table: np.arange(len(table))[:, None])
    model = PatientVotingClassifier(Odd([("lengths", lengths), ("knn", KNeighborsClassifier(1))]))
    assert set(model.fit(X, y).predict(X)) == {np.unique(y)[0]}
