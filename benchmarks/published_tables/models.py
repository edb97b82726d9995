"""The models of the published tables, at either size."""

from __future__ import annotations

import argparse
from typing import Any

from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import QUICK_ALEXNET, QUICK_IMAGES

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    HyperAlexNetClassifier,
    HyperHead,
    ImagesWithContext,
    LogMelDeltaImages,
    PatientVotingClassifier,
    egemaps_svm_pipeline,
)


def images(args: argparse.Namespace, **params: Any) -> LogMelDeltaImages:
    """Return the hypernetwork paper's front end.

    Parameters
    ----------
    args : argparse.Namespace
        See :func:`tables.options`.
    **params : dict
        Other parameters than those of the size.
    """
    sized = QUICK_IMAGES if args.size == "quick" else {}
    return LogMelDeltaImages(**sized, **params, cache=args.cache)


def alexnet(args: argparse.Namespace, **params: Any) -> HyperAlexNetClassifier:
    """Return the hypernetwork paper's classifier; see `images` for the arguments."""
    sized = QUICK_ALEXNET if args.size == "quick" else {}
    epochs = args.epochs or 30
    return HyperAlexNetClassifier(
        **{"max_epochs": epochs, "random_state": args.seed, **sized, **params}
    )


def voted(recordings: Any, classifier: Any, voting: str = "soft") -> PatientVotingClassifier:
    """Return a patient model: front end, classifier, vote over the patient's recordings."""
    return PatientVotingClassifier(
        Pipeline([("images", recordings), ("classify", classifier)]), voting=voting
    )


def hyper_alexnet(args: argparse.Namespace, **params: Any) -> PatientVotingClassifier:
    """Return the paper's system, voted; parameters are those of the classifier."""
    return voted(images(args), alexnet(args, **params))


def with_egemaps(args: argparse.Namespace) -> PatientVotingClassifier:
    """Return the system whose hypernetwork looks at eGeMAPS, standardised in the fold."""
    context = make_pipeline(EGeMAPSFeatures(cache=args.cache), StandardScaler())
    classifier = alexnet(args, head=HyperHead(context="data"))
    return voted(ImagesWithContext(images(args), context), classifier)


def baseline(args: argparse.Namespace) -> PatientVotingClassifier:
    """Return the field's baseline: eGeMAPS of each recording, SVM, vote."""
    return PatientVotingClassifier(egemaps_svm_pipeline(cache=args.cache), voting="soft")
