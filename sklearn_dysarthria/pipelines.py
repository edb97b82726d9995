"""The published systems and the baseline, as ordinary Pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria.classifiers import SkipFailedRows
from sklearn_dysarthria.features import EGeMAPSFeatures, LogMelDeltaImages
from sklearn_dysarthria.patients import PatientFeaturesClassifier
from sklearn_dysarthria.preprocessing import EnergyVAD

SAND_BANDS = {"phonation": (50, 4000), "rhythm": (100, 6000)}
"""Frequency range in Hz by group of tasks, of the ConvNeXt entry to the SAND challenge."""

SAND_OVERSAMPLING = {1: 21, 2: 5, 3: 2}
"""How often that entry repeats the recordings of SAND's rare classes."""

_SMALL_IMAGES = {
    "images__sample_rate": 16000,
    "images__n_fft": 1024,
    "images__hop_length": 256,
    "images__n_mels": 64,
    "images__image_size": 64,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "hyper_alexnet": {},
        "convnext": {
            "images__n_mels": 256,
            "images__freq_ranges": SAND_BANDS,
            # The README names the kinds of augmentation, train.ipynb how often and how far.  On
            # purpose from the README, where the notebooks differ: SpecAugment (they erase
            # rectangles), one frequency range per group of tasks, and the learning rate.
            # Its images have time from top to bottom, so that its vertical flip is our horizontal.
            "classify__augment__horizontal_flip": 0.3,
            "classify__augment__vertical_flip": 0.5,
            "classify__augment__rotation": 10,
            "classify__augment__color_jitter": (0.2, 0.2, 0.0),
            "classify__augment__translation": 0.1,
        },
    },
    "quick": {
        "hyper_alexnet": {
            **_SMALL_IMAGES,
            "images__fmax": 8000,
            "classify__backbone__weights": None,
            "classify__max_epochs": 10,
        },
        "convnext": {
            **_SMALL_IMAGES,
            "images__freq_ranges": SAND_BANDS,
            "classify__backbone__name": "convnext_femto",
            "classify__backbone__weights": None,
            "classify__lr": 1e-3,
            "classify__max_epochs": 20,
        },
    },
}
"""What each preset changes in the published pipelines, as arguments of ``set_params``."""


def egemaps_svm_pipeline(*, C: float = 1.0, cache: Any = None) -> Pipeline:
    """Build the field's baseline: eGeMAPS functionals, standardised, into an RBF SVM.

    Parameters
    ----------
    C : float, default=1.0
        Penalty of the SVM.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps the features.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``features``, ``scale``, ``classify``; from recordings to classes.

    Examples
    --------
    >>> from sklearn_dysarthria import egemaps_svm_pipeline
    >>> list(egemaps_svm_pipeline().named_steps)
    ['features', 'scale', 'classify']
    """
    return Pipeline(
        [
            ("features", EGeMAPSFeatures(cache=cache)),
            ("scale", StandardScaler()),
            ("classify", SkipFailedRows(SVC(C=C, class_weight="balanced"))),
        ]
    )


def egemaps_svm_patient_model(*, C: float = 1.0, cache: Any = None) -> PatientFeaturesClassifier:
    """Build the baseline with the eGeMAPS of all the patient's tasks side by side.

    Parameters
    ----------
    C : float, default=1.0
        Penalty of the SVM.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps the features.

    Returns
    -------
    PatientFeaturesClassifier
        From recordings to the patient's class; features of missing tasks take the mean.
    """
    classifier = Pipeline(
        [
            ("impute", SimpleImputer()),
            ("scale", StandardScaler()),
            ("classify", SVC(C=C, class_weight="balanced")),
        ]
    )
    return PatientFeaturesClassifier(EGeMAPSFeatures(cache=cache), classifier)


def hyper_alexnet_pipeline(*, preset: str = "paper", cache: Any = None, **params: Any) -> Pipeline:
    """Build the hypernetwork system: log-mel, Δ and ΔΔ images into `HyperAlexNetClassifier`.

    Parameters
    ----------
    preset : {"paper", "quick"}, default="paper"
        ``"paper"`` is the published configuration (pretrained AlexNet, 224 × 224, 30 epochs);
        ``"quick"`` the same system at a size for two processor cores, from random weights.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps the images.
    **params : dict
        Passed to ``set_params``: ``classify__lr=1e-3``, ``classify__augment__rotation=10``,
        ``images__n_mels=128``, …

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``images``, ``classify``; from recordings to classes.

    References
    ----------
    L. Ilias, D. Askounis, "Recognition of Dysarthria in Amyotrophic Lateral Sclerosis patients
    using Hypernetworks", arXiv:2503.01892 (2025).
    """
    from sklearn_dysarthria.classifiers import (  # imports torch
        Adam,
        Augment,
        Backbone,
        CrossEntropy,
        HyperAlexNetClassifier,
        HyperHead,
        Schedule,
    )

    classifier = HyperAlexNetClassifier(
        backbone=Backbone("alexnet"),
        head=HyperHead(),
        loss=CrossEntropy(),
        augment=Augment(),
        optimizer=Adam(),
        lr_schedule=Schedule(),
    )
    pipeline = Pipeline([("images", LogMelDeltaImages(cache=cache)), ("classify", classifier)])
    return _configured(pipeline, "hyper_alexnet", preset, params)


def sand_convnext_pipeline(
    *,
    preset: str = "paper",
    oversample: str | Mapping[Any, int] | None = None,
    cache: Any = None,
    **params: Any,
) -> Pipeline:
    """Build the ConvNeXt entry to the SAND challenge: energy VAD, banded images, ConvNeXt.

    Parameters
    ----------
    preset : {"paper", "quick"}, default="paper"
        ``"paper"`` is the published configuration (pretrained ConvNeXt-Base, 256 mel bands by
        task, SpecAugment, flips, rotation, jitter and shifts, 75 epochs); ``"quick"`` the same
        system at a size for two processor cores, with a small ConvNeXt from random weights and
        SpecAugment alone.
    oversample : "sand", dict of label to int, or None, default=None
        How often the recordings of a label are repeated in an epoch; ``"sand"`` is the entry's
        ``{1: 21, 2: 5, 3: 2}``, for SAND's labels.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps images.
    **params : dict
        Passed to ``set_params``: ``classify__backbone__name="convnext_tiny"``,
        ``classify__augment__rotation=5``, …

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``images``, with voice activity detection inside (``images__vad``), and ``classify``;
        from recordings to classes.

    Notes
    -----
    The frequency ranges go by task: column ``task`` must name tasks of the groups ``phonation``
    and ``rhythm``, or ``images__freq_ranges`` be given.

    References
    ----------
    J. M. Mboe, A. N. Farras, L. A. Nikmah, "ConvNeXt-Based Deep Learning Framework for ALS
    Dysarthria Severity Classification", SAND challenge, ICASSP 2026.
    """
    from sklearn_dysarthria.classifiers import (  # imports torch
        AdamW,
        Augment,
        Backbone,
        ConvNeXtSeverityClassifier,
        FocalLoss,
        Schedule,
    )

    classifier = ConvNeXtSeverityClassifier(
        backbone=Backbone("convnext_base"),
        loss=FocalLoss(),
        augment=Augment(spec=0.7),
        optimizer=AdamW(),
        lr_schedule=Schedule("cosine"),
    )
    pipeline = Pipeline(
        [
            ("images", LogMelDeltaImages(vad=EnergyVAD(), cache=cache)),
            ("classify", classifier),
        ]
    )
    if isinstance(oversample, str) and oversample == "sand":
        oversample = SAND_OVERSAMPLING
    if not isinstance(oversample, Mapping | None):
        raise ValueError(f"oversample={oversample!r} must be 'sand', a dict, or None.")
    if oversample is not None:
        params = {"classify__oversample": dict(oversample), **params}
    return _configured(pipeline, "convnext", preset, params)


def _configured(pipeline: Pipeline, system: str, preset: str, params: dict[str, Any]) -> Pipeline:
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} must be one of {sorted(PRESETS)}.")
    # One after the other, so that a step given whole is not changed by the preset.
    return pipeline.set_params(**PRESETS[preset][system]).set_params(**params)
