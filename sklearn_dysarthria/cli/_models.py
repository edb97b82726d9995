"""Models by name, with the parameters that a study gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    validate_parameter_constraints,
)

from sklearn_dysarthria.cli._checks import StudyError, did_you_mean, is_none
from sklearn_dysarthria.cli._study import ModelSettings
from sklearn_dysarthria.patients import PatientVotingClassifier
from sklearn_dysarthria.patients.voting._task_weights import check_task_weights
from sklearn_dysarthria.pipelines import PRESETS
from sklearn_dysarthria.recordings._table import column
from sklearn_dysarthria.report import METHODS, build_methods

MODELS = {name.removesuffix("-vote"): name for name in METHODS}
"""Name in a study, and of the method of :func:`~sklearn_dysarthria.compare` that it stands for."""

# Parameters of a vote that are models themselves, which TOML has no way to write.
_MODELS_INSIDE = {"estimator", "task_estimators", "final_estimator"}
# Tasks that every model knows, to check parameters before any corpus is read.
_ANY_CORPUS = pd.DataFrame({"audio": ["a.wav"], "patient": ["a"], "task": ["phonationA"]})


def build_model(settings: ModelSettings, X: Any = None, y: Any = None, *, verbose: int = 0) -> Any:
    """Build the model of a study.

    Parameters
    ----------
    settings : ModelSettings
        Table ``[model]``.
    X : table of recordings, optional
        Its tasks decide about frequency ranges by task.  Without it the settings are checked.
    y : array-like of shape (n_recordings,), optional
        Labels, which the keys of tables such as ``oversample`` spell.
    verbose : int, default=0
        1 shows a progress bar of the training.

    Returns
    -------
    estimator
        Unfitted; decides per patient.

    Raises
    ------
    StudyError
        The model, a parameter, or a value is not known; the message names it.
    """
    if settings.name is None:
        raise StudyError(f"Which model? Give model.name: {', '.join(MODELS)}.")
    name = MODELS.get(settings.name, settings.name)
    if name not in METHODS:
        raise StudyError(f"Unknown model {settings.name!r}.{did_you_mean(settings.name, MODELS)}")
    if settings.preset not in PRESETS:
        hint = did_you_mean(settings.preset, PRESETS)
        raise StudyError(f"Unknown preset {settings.preset!r}.{hint}")
    (model,) = build_methods(
        [name],
        _ANY_CORPUS if X is None else X,
        preset=settings.preset,
        random_state=settings.random_state,
        verbose=2 * verbose,
    ).values()
    _set_voting(model, settings)
    inner = model.estimator if isinstance(model, PatientVotingClassifier) else model
    given: dict[str, tuple[str, Any]] = {}
    for layer in settings.params:
        found: dict[str, tuple[str, Any]] = {}
        for joined, spelled, value in _flat(inner, layer):
            if joined in found:
                raise StudyError(f"{spelled} and {found[joined][0]} are one parameter.")
            found[joined] = (spelled, value)
        given |= found
    checked = {
        joined: checked_value(inner, joined, value, spelled, y)
        for joined, (spelled, value) in given.items()
    }
    inner.set_params(**checked)
    _check_vote(model, X, y)
    return model


def _set_voting(model: Any, settings: ModelSettings) -> None:
    if not settings.voting:
        return
    if not isinstance(model, PatientVotingClassifier):
        raise StudyError(f"[model.voting] is not for {settings.name!r}, which does not vote.")
    known = set(model.get_params(deep=False)) - _MODELS_INSIDE
    for name, value in settings.voting.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise StudyError(f"Unknown key {name!r} in [model.voting].{hint}")
        model.set_params(**{name: checked_value(model, name, value, f"model.voting.{name}")})


def _check_vote(model: Any, X: Any, y: Any) -> None:
    """Find what does not fit together in a vote, which the fit would tell after the training."""
    if not isinstance(model, PatientVotingClassifier):
        return
    if model.abstain_below is not None and model.abstain_label is None:
        raise StudyError(
            "model.voting.abstain_below needs model.voting.abstain_label, the answer about a "
            "patient of whom the model is not sure."
        )
    if X is None:
        return
    try:
        if y is not None:
            model._check_abstention(np.unique(np.asarray(y)))
        if model.voting in ("weighted", "stacked"):
            tasks = column(X, "task", f"for voting={model.voting!r}")
            if model.voting == "weighted" and model.task_weights is not None:
                check_task_weights(model.task_weights, tasks)
    except ValueError as error:
        raise StudyError(f"[model.voting]: {error}") from None


def _flat(
    estimator: Any, table: Mapping[str, Any], prefix: str = "", where: str = "model.params"
) -> Iterator[tuple[str, str, Any]]:
    """Yield the scikit-learn name, the name as written, and the value of every parameter."""
    known = estimator.get_params(deep=True)
    for name, value in table.items():
        joined, spelled = f"{prefix}{name}", f"{where}.{name}"
        if joined not in known:
            # Names of the same depth: with images.n_mel the step is right, its parameter wrong.
            close = [k.removeprefix(prefix) for k in known if k.startswith(prefix)]
            level = [k for k in close if "__" not in k] if "__" not in name else close
            hint = did_you_mean(name, level, listed=len(level) < 40)
            raise StudyError(f"Unknown parameter {name!r} in [{where}].{hint}")
        if not _is_estimator(known[joined]):
            yield joined, spelled, value
        elif isinstance(value, dict):
            yield from _flat(estimator, value, f"{joined}__", spelled)
        else:
            raise StudyError(
                f"{spelled} is a step of the model, not a number or text: give a table of its "
                f"parameters, [{spelled}]."
            )


def _is_estimator(part: Any) -> bool:
    return hasattr(part, "get_params") and not isinstance(part, type)


def checked_value(estimator: Any, name: str, value: Any, spelled: str, y: Any = None) -> Any:
    """Check one parameter against what its estimator allows.

    Parameters
    ----------
    estimator : estimator
        Knows the parameter.
    name : str
        Its name in ``set_params``.
    value : object
        Out of the study file.
    spelled : str
        Name as the reader knows it.
    y : array-like, optional
        Labels, which the keys of a table may spell.

    Returns
    -------
    object
        The value, with None for "none" where None is allowed.

    Raises
    ------
    StudyError
        The value is not among those allowed.
    """
    owner_name, _, leaf = name.rpartition("__")
    owner = estimator.get_params(deep=True)[owner_name] if owner_name else estimator
    allowed = getattr(owner, "_parameter_constraints", {}).get(leaf, "no_validation")
    unchecked = isinstance(allowed, str)
    if is_none(value) and (owner.get_params()[leaf] is None if unchecked else None in allowed):
        return None
    if isinstance(value, dict) and y is not None:
        label_of = {str(label): label for label in pd.unique(pd.Series(y)).tolist()}
        value = {label_of.get(key, key): item for key, item in value.items()}
    if unchecked:
        return value
    try:
        validate_parameter_constraints({leaf: allowed}, {leaf: value}, type(owner).__name__)
    except InvalidParameterError as error:
        told = " ".join(str(error).split())
        raise StudyError(f"{spelled}: {told}") from None
    numeric = any(isinstance(constraint, Interval) for constraint in allowed)
    if numeric and isinstance(value, bool) and "boolean" not in allowed:
        raise StudyError(f"{spelled} must be a number, not {value!r}.")
    return value
