"""The ConvNeXt entry to the SAND challenge, at either size.

Source: README and notebooks of the public repository
eycoo/SAND-Speech-Analysis-for-Neurodegenerative-Diseases-challenge, by J. M. Mboe, A. N. Farras
and L. A. Nikmah, "ConvNeXt-Based Deep Learning Framework for ALS Dysarthria Severity
Classification", ICASSP 2026 SAND challenge.  Where the notebooks contradict the README (random
erasing for SpecAugment, further frequency ranges, the learning rate), the README counts; the
package's documentation of the models lists every difference.
"""

from __future__ import annotations

import argparse
from typing import Any

from models import voted
from sklearn.pipeline import Pipeline
from tables import QUICK_IMAGES

from sklearn_dysarthria import (
    Augment,
    Backbone,
    BackboneClassifier,
    EnergyVAD,
    LogMelDeltaImages,
)
from sklearn_dysarthria.pipelines import SAND_BANDS, SAND_OVERSAMPLING

SPLIT = (
    "published: one run on the official 247 training and 53 validation patients of SAND, best of "
    "75 epochs on these 53; here the last epoch counts"
)
TWO_CLASSES = (
    "Minsk2020 has two classes, ALS and healthy: its macro-F1 is no counterpart of one over five "
    "grades, and nothing is oversampled"
)
TRAINING = {
    "loss": "focal",
    "class_weight": "balanced",
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "lr_schedule": "cosine",
    "augment": Augment(
        spec=0.7,
        horizontal_flip=0.3,
        vertical_flip=0.5,
        rotation=10,
        color_jitter=(0.2, 0.2, 0.0),
        translation=0.1,
    ),
}
"""Of the entry's README; flips, rotation, jitter and shift as strong as in its ``train.ipynb``,
whose images have time from top to bottom: its vertical flip is our horizontal one."""


def published_networks(args: argparse.Namespace) -> list[tuple[str, dict[str, Any], str]]:
    """Return name, network and published macro-F1 of every row of the table."""
    if args.size == "paper":
        return [
            ("ViT-Base", {"backbone": "vit_b_16"}, "0.606, 0.42, 86M"),
            ("ConvNeXt-Small", {"backbone": "convnext_small"}, "0.578, 0.36, 50M"),
            ("ConvNeXt-Base", {"backbone": "convnext_base"}, "0.598, 0.43, 89M"),
            ("ConvNeXt-Large", {"backbone": "convnext_large"}, "0.598, 0.53, 198M"),
        ]
    vit = Backbone("timm/vit_tiny_patch16_224", weights=None)
    femto, half, twice = (
        {"backbone": Backbone("convnext_femto", weights=None, width=width)}
        for width in (1.0, 0.5, 2.0)
    )
    return [
        ("small ViT", {"backbone": vit, "lr": 3e-4}, "0.606, 0.42, 86M (Base)"),
        ("small ConvNeXt, half as wide", half, "0.578, 0.36, 50M (Small)"),
        ("small ConvNeXt", femto, "0.598, 0.43, 89M (Base)"),
        ("small ConvNeXt, twice as wide", twice, "0.598, 0.53, 198M (Large)"),
        # All of the entry's augmentation at once is more than a small network fits in few epochs.
        ("small ConvNeXt, no augmentation", {**femto, "augment": None}, "not given"),
    ]


def recordings(args: argparse.Namespace) -> Pipeline:
    """Return energy VAD and images with frequency ranges by task."""
    sized = QUICK_IMAGES if args.size == "quick" else {"n_mels": 256}
    images = LogMelDeltaImages(**sized, freq_ranges=SAND_BANDS, cache=args.cache)
    return Pipeline([("vad", EnergyVAD(cache=args.cache)), ("images", images)])


def classifier(
    args: argparse.Namespace, network: dict[str, Any], *, graded: bool = True, **params: Any
) -> BackboneClassifier:
    """Return one network trained by the entry's recipe.

    Parameters
    ----------
    args : argparse.Namespace
        See :func:`tables.options`.
    network : dict
        Parameters that say which network.
    graded : bool, default=True
        The labels are the five of SAND, so that its oversampling applies.
    **params : dict
        Other parameters.
    """
    chosen = {
        **TRAINING,
        "max_epochs": args.epochs or (75 if args.size == "paper" else 20),
        "lr": 1e-4 if args.size == "paper" else 1e-3,
        "oversample": SAND_OVERSAMPLING if graded else None,
        "random_state": args.seed,
        **network,
        **params,
    }
    if getattr(chosen["backbone"], "name", chosen["backbone"]).startswith("convnext"):
        chosen.setdefault("stochastic_depth", 0.1)
    return BackboneClassifier(**chosen)


def convnext(args: argparse.Namespace, network: dict[str, Any], **params: Any) -> Any:
    """Return the entry as a patient model: majority vote over the recordings."""
    return voted(recordings(args), classifier(args, network, **params), voting="hard")
