"""The models that a comparison knows by name; the names are known without importing them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("egemaps-svm-vote", "egemaps-svm-side-by-side", "hyper-alexnet", "sand-convnext")
PRESETS = ("quick", "paper")
PARTS: dict[str, dict[str, str | None]] = {
    "egemaps-svm-vote": {
        "features": "EGeMAPSFeatures",
        "scale": None,
        "classify": "SkipFailedRows",
    },
    "egemaps-svm-side-by-side": {"transformer": "EGeMAPSFeatures", "classifier": None},
    "hyper-alexnet": {"images": "LogMelDeltaImages", "classify": "HyperAlexNetClassifier"},
    "sand-convnext": {"images": "LogMelDeltaImages", "classify": "ConvNeXtSeverityClassifier"},
}
"""What each method is made of: our class behind every part, None for a class of scikit-learn.

From it, misspelt parameters are found before anything is imported.
"""
_WITH_WEIGHTS = ("hyper-alexnet", "sand-convnext")


def check_methods(
    methods: Sequence[str], preset: str, weights: Mapping[str, Any] | None = None
) -> None:
    """Check the arguments of `build_methods` before any time is spent.

    Parameters
    ----------
    methods : sequence of str
        Names out of `METHODS`.
    preset : str
        See :mod:`sklearn_dysarthria.pipelines`.
    weights : mapping of str to str or path, optional
        Pretrained weights by method.

    Raises
    ------
    ValueError
        A name or the preset is unknown, or weights are meant for a method that has none or
        does not take part.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not len(methods):
        wrong = f"Unknown methods {unknown}" if unknown else "There are no methods to compare"
        raise ValueError(f"{wrong}; known are {', '.join(METHODS)}.")
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} must be one of {list(PRESETS)}.")
    for name in weights or ():
        if name not in _WITH_WEIGHTS:
            raise ValueError(f"weights are given for {name!r}; {_WITH_WEIGHTS} have weights.")
        if name not in methods:
            raise ValueError(f"weights are given for {name!r}, which is not compared.")


def build_methods(
    names: Sequence[str],
    X: Any,
    *,
    preset: str = "quick",
    cache: Any = None,
    random_state: int | None = None,
    weights: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> dict[str, Any]:
    """Build the models that :func:`compare` knows by name.

    Parameters
    ----------
    names : sequence of str
        Out of `METHODS`.
    X : table of recordings
        Its tasks decide whether the SAND entry's frequency ranges by task can be used; tasks of
        other groups are analysed from 50 to 6000 Hz, with a warning.
    preset : {"quick", "paper"}, default="quick"
        See :mod:`sklearn_dysarthria.pipelines`.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps features and images.
    random_state : int, optional
        Of the networks.
    weights : mapping of str to str or path, optional
        Pretrained weights by method, instead of the preset's.
    verbose : int, default=0
        2 shows a progress bar of epochs for every fit.

    Returns
    -------
    dict of str to estimator
        Models that decide per patient.
    """
    from sklearn_dysarthria import pipelines
    from sklearn_dysarthria.patients import PatientVotingClassifier
    from sklearn_dysarthria.recordings import as_table

    check_methods(names, preset, weights)
    # A fit of the published size takes so long that the bar of fits alone would seem to stand.
    epochs_bar = int(verbose > 1 or (verbose > 0 and preset == "paper"))
    net = {"classify__random_state": random_state, "classify__verbose": epochs_bar}
    weights = weights or {}

    def arguments(name: str) -> dict[str, Any]:
        chosen = {"classify__backbone__weights": weights[name]} if name in weights else {}
        return {"preset": preset, "cache": cache, **net, **chosen}

    def convnext() -> Any:
        bands = _bands_for(as_table(X))
        pipeline = pipelines.sand_convnext_pipeline(**arguments("sand-convnext"), **bands)
        return PatientVotingClassifier(pipeline, voting="hard")

    builders = {
        "egemaps-svm-vote": lambda: PatientVotingClassifier(
            pipelines.egemaps_svm_pipeline(cache=cache), voting="soft"
        ),
        "egemaps-svm-side-by-side": lambda: pipelines.egemaps_svm_patient_model(cache=cache),
        "hyper-alexnet": lambda: PatientVotingClassifier(
            pipelines.hyper_alexnet_pipeline(**arguments("hyper-alexnet")), voting="soft"
        ),
        "sand-convnext": convnext,
    }
    return {name: builders[name]() for name in names}


def _bands_for(table: pd.DataFrame) -> dict[str, Any]:
    from sklearn_dysarthria._utils.tasks import task_group
    from sklearn_dysarthria.exceptions import BandwidthWarning
    from sklearn_dysarthria.pipelines import SAND_BANDS

    tasks = set(table["task"].astype(str)) if "task" in table.columns else set()
    other = sorted(task for task in tasks if task_group(task) not in SAND_BANDS)
    if tasks and not other:
        return {}
    warnings.warn(
        f"The SAND entry's frequency ranges are for tasks named phonation… and rhythm…; here "
        f"({', '.join(other) or 'no column task'}) all recordings are analysed from 50 to 6000 Hz.",
        BandwidthWarning,
        stacklevel=5,
    )
    return {"images__freq_ranges": None, "images__fmin": 50, "images__fmax": 6000}
