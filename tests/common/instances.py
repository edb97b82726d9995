"""Small instances of everything public, for the tests that ask the same of all of it.

A new estimator is covered by one line in `ESTIMATORS`; `test_common.py` fails while it has none.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import sklearn_dysarthria as sd

# ------------------------------------------------------------------------------------- data


@cache
def recordings():
    """Return eight short synthetic recordings of eight patients."""
    options = {"duration": 0.5, "sample_rate": 8000, "tasks": "phonationA"}
    return sd.make_dysarthric_speech(8, **options, random_state=0)


@cache
def images():
    """Return a dozen images whose class shows in which half of them is bright."""
    rng, codes = np.random.default_rng(0), np.arange(12) % 2
    X = rng.normal(size=(12, 3, 32, 32)).astype(np.float32)
    for image, code in zip(X, codes, strict=True):
        image[:, code * 16 : (code + 1) * 16] += 2
    return X, codes


@cache
def images_with_context():
    """Return images with a vector beside each, as ImagesWithContext makes them."""
    X, y = images()
    out = np.empty(len(X), dtype=[("image", "f4", X.shape[1:]), ("context", "f4", (4,))])
    out["image"], out["context"] = X, X[:, 0, 0, :4]
    return out, y


@cache
def vectors():
    """Return two clouds of points."""
    rng, codes = np.random.default_rng(0), np.arange(24) % 2
    return rng.normal(size=(24, 4)) + codes[:, None], codes


@cache
def patients():
    """Return a table of twelve patients whose features stand in columns, so no audio is read."""
    rng = np.random.default_rng(0)
    rows = [
        {"audio": "never read.wav", "patient": f"P{number:02d}", "task": task}
        | dict(zip(["f0", "f1"], rng.normal(size=2) + 2 * (number % 2), strict=True))
        for number in range(12)
        for task in ("phonationA", "rhythmPA")
    ]
    return pd.DataFrame(rows), np.repeat(np.arange(12) % 2, 2)


def on_features(*steps: Any) -> Any:
    """Return a Pipeline that takes the features of `patients` out of the table first."""
    columns = ColumnTransformer([("features", "passthrough", ["f0", "f1"])])
    return make_pipeline(columns, StandardScaler(), *steps)


# ------------------------------------------------------------------------------- estimators


@dataclass(frozen=True)
class Case:
    """An instance, what it is checked on, and the checks that it cannot pass, with the reason."""

    estimator: Any
    data: Callable[[], tuple[Any, Any]] = recordings
    failures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        detail = getattr(self.estimator, "head", None) or getattr(self.estimator, "fusion", "")
        name = type(self.estimator).__name__
        return f"{name}-{getattr(detail, 'context', detail)}" if detail else name


SMALL = sd.Backbone("convnext_femto", weights=None, width=0.25)
HEAD = sd.HyperHead(context_dim=4, hidden_dim=8, n_contexts=3)
DATA_HEAD = sd.HyperHead(context="data", hidden_dim=8)
TRAIN = {"max_epochs": 1, "batch_size": 4, "lr": 1e-3, "device": "cpu"}
SOUND = {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 16, "image_size": 8}
VAD = {"sample_rate": 8000, "frame_length": 256, "hop_length": 128}

IMAGES = sd.LogMelDeltaImages(**SOUND)
SVM = LogisticRegression()

ESTIMATORS = [
    # Transformers of recordings, and of images.
    Case(sd.EnergyVAD(**VAD)),
    Case(sd.AddNoise(training_only=True)),
    Case(IMAGES),
    Case(sd.EGeMAPSFeatures()),
    Case(sd.ImagesWithContext(IMAGES, sd.EGeMAPSFeatures())),
    Case(sd.BackboneEmbeddings(SMALL, device="cpu"), images),
    # Classifiers of images, and of vectors.
    Case(sd.BackboneClassifier(SMALL, **TRAIN), images),
    Case(sd.ConvNeXtSeverityClassifier(backbone=SMALL, **TRAIN), images),
    Case(sd.HyperAlexNetClassifier(backbone=SMALL, head=HEAD, embedding_dim=8, **TRAIN), images),
    Case(
        sd.HyperAlexNetClassifier(backbone=SMALL, head=DATA_HEAD, embedding_dim=8, **TRAIN),
        images_with_context,
    ),
    Case(sd.HyperAlexNetClassifier(backbone=SMALL, head="dense", embedding_dim=8, **TRAIN), images),
    Case(sd.HyperLinearClassifier(head=HEAD, **TRAIN), vectors),
    Case(sd.HyperLinearClassifier(head="dense", **TRAIN), vectors),
    # Wrappers.
    Case(sd.SkipFailedRows(SVM), vectors),
    Case(sd.ResampledClassifier(sd.RecordingOverSampler(), SVM), vectors),
    Case(sd.SeedEnsembleClassifier(sd.HyperLinearClassifier(head=HEAD, **TRAIN), 2), vectors),
    Case(
        sd.HierarchicalClassifier(SVM, healthy=0),
        vectors,
        dict.fromkeys(["check_refit_forgets", "check_labels"], "parameter healthy names a label"),
    ),
    # Decisions about patients.
    Case(sd.PatientVotingClassifier(on_features(LogisticRegression())), patients),
    Case(sd.PatientFeaturesClassifier(on_features(), SVC()), patients),
    Case(
        sd.TaskFusionClassifier(
            on_features(), fusion="gmu", head=HEAD, embedding_dim=4, fusion_dim=4, **TRAIN
        ),
        patients,
    ),
    # Samplers.
    Case(sd.RecordingOverSampler(), patients),
]

PARAMETER_OBJECTS = [
    *(sd.Backbone("convnext_femto", weights=None, freeze=2), sd.HyperHead(context_dim=7)),
    *(sd.CrossEntropy(label_smoothing=0.1), sd.FocalLoss(gamma=1.5), sd.Coral(), sd.Corn()),
    *(sd.CumulativeLink(), sd.EffectiveNumber(beta=0.9), sd.Augment(rotation=10, mixup=0.4)),
    *(sd.Adam(), sd.AdamW(), sd.SGD(momentum=0.5), sd.RMSprop()),
    *(sd.Schedule("cosine", warmup_epochs=2), sd.EarlyStopping(patience=3)),
]

SPLITTERS = [
    sd.StratifiedPatientKFold(3, random_state=0),
    sd.StratifiedPatientKFold(3, shuffle=False),
    sd.RepeatedStratifiedPatientKFold(3, n_repeats=2, random_state=0),
]

METRICS = [sd.quadratic_kappa, sd.mae_in_classes, sd.within_one_class]

SCORERS = [
    sd.patient_scorer(name)
    for name in (
        *("balanced_accuracy", "roc_auc", "neg_log_loss", "quadratic_kappa", "neg_mae_classes"),
        *("within_one_class", "coverage", "selective_accuracy", "selective_balanced_accuracy"),
    )
]

# ---------------------------------------------------------------------------------- loaders


def _corpora() -> Any:
    """Return the module that writes small corpora as their authors lay them out."""
    path = Path(__file__).parents[1] / "datasets" / "conftest.py"
    spec = importlib.util.spec_from_file_location("small_corpora", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _own_table(folder: Path) -> Any:
    options = {"duration": 0.5, "sample_rate": 8000, "folder": folder / "wav", "random_state": 0}
    X, y = sd.make_dysarthric_speech(4, **options)
    X.assign(label=np.where(y == 1, "ALS", "HC")).to_csv(folder / "table.csv", index=False)
    return partial(sd.load_recordings, folder / "table.csv", target="label")


def _voc_als(folder: Path) -> Any:
    _corpora().write_voc_als(folder / "voc_als")
    return partial(sd.load_voc_als, folder, tasks="phonationA", target="als")


def _sand(folder: Path) -> Any:
    _corpora().write_sand(folder / "sand")
    return partial(sd.load_sand, folder, tasks="phonationA")


def _minsk2019(folder: Path) -> Any:
    speakers = files("sklearn_dysarthria.datasets") / "data" / "minsk2019_speakers.csv"
    with speakers.open(encoding="utf-8") as file:
        paths = pd.read_csv(file)["path"]
    rng = np.random.default_rng(0)
    for path in folder / "minsk2019" / paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(scale=0.1, size=400), 8000)
    return partial(sd.fetch_minsk2019_als, data_home=folder, download_if_missing=False)


LOADERS = {
    "load_recordings": _own_table,
    "load_voc_als": _voc_als,
    "load_sand": _sand,
    "fetch_minsk2019_als": _minsk2019,
}
"""What writes a small corpus into a folder and returns the loader of it."""
