"""Models by name, with the parameters that a study gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn_dysarthria.cli._signatures import parameters_of
from sklearn_dysarthria.cli._study import ModelSettings, StudyError, did_you_mean, is_none
from sklearn_dysarthria.report import METHODS, PARTS, PRESETS, build_methods

MODELS = {name.removesuffix("-vote"): name for name in METHODS}
"""Name in a study, and of the method of :func:`~sklearn_dysarthria.compare` that it stands for."""

_SIDE_BY_SIDE = "egemaps-svm-side-by-side"
# Parameters of a vote that are models themselves, which TOML has no way to write.
_MODELS_INSIDE = {"estimator", "task_estimators", "final_estimator"}


def check_names(settings: ModelSettings) -> str:
    """Check the names in table ``[model]`` without importing any model.

    Parameters
    ----------
    settings : ModelSettings
        Table ``[model]``.

    Returns
    -------
    str
        The method of :func:`~sklearn_dysarthria.compare` that the model is.

    Raises
    ------
    StudyError
        The model, the preset or a parameter is unknown.  Of what the parameters contain
        themselves, `build_model` checks the names, as it does all values.
    """
    if settings.name is None:
        raise StudyError(f"Which model? Give model.name: {', '.join(MODELS)}.")
    method = MODELS.get(settings.name, settings.name)
    if method not in METHODS:
        raise StudyError(f"Unknown model {settings.name!r}.{did_you_mean(settings.name, MODELS)}")
    if settings.preset not in PRESETS:
        hint = did_you_mean(settings.preset, PRESETS)
        raise StudyError(f"Unknown preset {settings.preset!r}.{hint}")
    if settings.voting and method == _SIDE_BY_SIDE:
        raise StudyError(f"[model.voting] is not for {settings.name!r}, which does not vote.")
    for name in settings.voting:
        known = set(parameters_of("PatientVotingClassifier")) - _MODELS_INSIDE
        if name not in known:
            hint = did_you_mean(name, known)
            raise StudyError(f"Unknown key {name!r} in [model.voting].{hint}")
    outer = "PatientFeaturesClassifier" if method == _SIDE_BY_SIDE else "Pipeline"
    known = {*PARTS[method], *(_PIPELINE if outer == "Pipeline" else parameters_of(outer))}
    open_ended = {part for part, name in PARTS[method].items() if name is None}
    for part, name in PARTS[method].items():
        parameters = {} if name is None else parameters_of(name)
        known |= {f"{part}__{parameter}" for parameter in parameters}
        open_ended |= {f"{part}__{parameter}" for parameter in parameters}
    for layer in settings.params:
        _check_layer(layer, known, open_ended)
    return method


_PIPELINE = ("memory", "steps", "transform_input", "verbose")


def _check_layer(
    table: Mapping[str, Any],
    known: set[str],
    open_ended: set[str],
    prefix: str = "",
    where: str = "model.params",
) -> None:
    for name, value in table.items():
        joined = f"{prefix}{name}"
        if any(joined == part or joined.startswith(f"{part}__") for part in open_ended):
            continue
        if joined not in known:
            raise _unknown(name, prefix, where, known)
        if isinstance(value, dict):
            _check_layer(value, known, open_ended, f"{joined}__", f"{where}.{name}")


def _unknown(name: str, prefix: str, where: str, known: Iterator[str] | Any) -> StudyError:
    # Names of the same depth: with images.n_mel the step is right, its parameter wrong.
    close = [k.removeprefix(prefix) for k in known if k.startswith(prefix)]
    level = [k for k in close if "__" not in k] if "__" not in name else close
    hint = did_you_mean(name, level, listed=len(level) < 40)
    return StudyError(f"Unknown parameter {name!r} in [{where}].{hint}")


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
    import pandas as pd

    from sklearn_dysarthria.patients import PatientVotingClassifier

    method = check_names(settings)
    # Tasks that every model knows, to check parameters before any corpus is read.
    any_corpus = pd.DataFrame({"audio": ["a.wav"], "patient": ["a"], "task": ["phonationA"]})
    (model,) = build_methods(
        [method],
        any_corpus if X is None else X,
        preset=settings.preset,
        random_state=settings.random_state,
        verbose=2 * verbose,
    ).values()
    for name, value in settings.voting.items():
        model.set_params(**{name: checked_value(model, name, value, f"model.voting.{name}")})
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
    if isinstance(model, PatientVotingClassifier):
        _check_vote(model, X, y)
    return model


def _check_vote(model: Any, X: Any, y: Any) -> None:
    """Find what does not fit together in a vote, which the fit would report after the training."""
    import numpy as np

    from sklearn_dysarthria.patients._task_weights import check_task_weights
    from sklearn_dysarthria.recordings._table import column

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
            raise _unknown(name, prefix, where, known)
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
    import pandas as pd
    from sklearn.utils._param_validation import (
        Interval,
        InvalidParameterError,
        validate_parameter_constraints,
    )

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
        reason = " ".join(str(error).split())
        raise StudyError(f"{spelled}: {reason}") from None
    numeric = any(isinstance(constraint, Interval) for constraint in allowed)
    if numeric and isinstance(value, bool) and "boolean" not in allowed:
        raise StudyError(f"{spelled} must be a number, not {value!r}.")
    return value


def parameters_on_one_line(layers: list[dict[str, Any]]) -> str:
    """Write the parameters of a study as assignments, later ones winning."""
    found: dict[str, Any] = {}

    def collect(table: dict[str, Any], prefix: str) -> None:
        for name, value in table.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value

    for layer in layers:
        collect(layer, "")
    return ", ".join(f"{name}={value}" for name, value in found.items()) or "the preset's"
