"""Models by name, with the parameters that a study gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn_dysarthria.cli._signatures import parameters_of
from sklearn_dysarthria.cli._study import (
    ModelSettings,
    StudyError,
    did_you_mean,
    entries_of,
    is_none,
)
from sklearn_dysarthria.report import METHODS, PARTS, PRESETS, build_methods

MODELS = {name.removesuffix("-vote"): name for name in METHODS}
"""Name in a study, and of the method of :func:`~sklearn_dysarthria.compare` that it stands for."""

_SIDE_BY_SIDE = "PatientFeaturesClassifier"
_OF_PIPELINES = ("memory", "steps", "transform_input", "verbose")
# Parameters of a vote that are models themselves, which TOML has no way to write.
_MODELS_INSIDE = {"estimator", "task_estimators", "final_estimator"}


def check_names(settings: ModelSettings) -> str:
    """Check the names in table ``[model]`` without importing a model, and return the method's.

    Raises a StudyError if the model, the preset or a parameter is unknown.  Values, and names
    inside the model's parameters, are left to `build_model`.
    """
    if settings.name is None:
        raise StudyError(f"Which model? Give model.name: {', '.join(MODELS)}.")
    method = MODELS.get(settings.name, settings.name)
    if method not in METHODS:
        raise StudyError(f"Unknown model {settings.name!r}.{did_you_mean(settings.name, MODELS)}")
    if settings.preset not in PRESETS:
        hint = did_you_mean(settings.preset, PRESETS)
        raise StudyError(f"Unknown preset {settings.preset!r}.{hint}")
    votes = method != "egemaps-svm-side-by-side"
    if settings.voting and not votes:
        raise StudyError(f"[model.voting] is not for {settings.name!r}, which does not vote.")
    for name in settings.voting:
        known = set(parameters_of("PatientVotingClassifier")) - _MODELS_INSIDE
        if name not in known:
            hint = did_you_mean(name, known)
            raise StudyError(f"Unknown key {name!r} in [model.voting].{hint}")
    kinds = dict.fromkeys(_OF_PIPELINES if votes else parameters_of(_SIDE_BY_SIDE), "value")
    for part, of in PARTS[method].items():
        kinds[part] = "open" if of is None else "part"
        kinds |= {f"{part}__{name}": "open" for name in (parameters_of(of) if of else ())}
    for layer in settings.params:
        list(_flat(layer, kinds))
    return method


def _kinds_of_parameters(estimator: Any) -> dict[str, str]:
    """Return what `_flat` must know of every parameter inside an estimator."""
    parameters = estimator.get_params(deep=True)

    def kind(name: str, value: Any) -> str:
        if hasattr(value, "get_params") and not isinstance(value, type):
            return "part" if hasattr(value, "fit") else "object"
        owner, _, leaf = name.rpartition("__")
        slot = getattr(parameters.get(owner, estimator), "_parameter_objects", {}).get(leaf)
        return "open" if slot is not None and not isinstance({}, slot.plain_types) else "value"

    return {name: kind(name, value) for name, value in parameters.items()}


def _flat(
    table: Mapping[str, Any],
    kinds: Mapping[str, str],
    prefix: str = "",
    where: str = "model.params",
) -> Iterator[tuple[str, str, Any]]:
    """Yield the scikit-learn name, the name as written, and the value of every parameter.

    `kinds` says of each known parameter whether it is a "value", a "part" of the model or a
    parameter "object", whose parameters are known too, or "open": anything may be inside.  The
    text that stands for an object comes before what is set in the object.
    """

    def stands_for_an_object(entry: tuple[str, Any]) -> bool:
        return isinstance(entry[1], str) and kinds.get(f"{prefix}{entry[0]}") in ("object", "open")

    for name, value in sorted(table.items(), key=stands_for_an_object, reverse=True):
        joined, spelled = f"{prefix}{name}", f"{where}.{name}"
        path = joined.split("__")
        inside_open = any(kinds.get("__".join(path[:i])) == "open" for i in range(1, len(path)))
        if joined not in kinds and not inside_open:
            # Names of the same depth: with images.n_mel the step is right, its parameter wrong.
            close = [k.removeprefix(prefix) for k in kinds if k.startswith(prefix)]
            level = [k for k in close if "__" not in k] if "__" not in name else close
            hint = did_you_mean(name, level, listed=len(level) < 40)
            raise StudyError(f"Unknown parameter {name!r} in [{where}].{hint}")
        kind = kinds.get(joined, "open")
        if isinstance(value, dict) and kind != "value":
            if kind != "part" and "name" in value and f"{joined}__name" not in kinds:
                value = dict(value)
                yield joined, f"{spelled}.name", value.pop("name")
            yield from _flat(value, kinds, f"{joined}__", spelled)
        elif kind == "part":
            raise StudyError(
                f"{spelled} is a step of the model, not a number or text: give a table of its "
                f"parameters, [{spelled}]."
            )
        else:
            yield joined, spelled, value


def _set(model: Any, joined: str, value: Any, spelled: str, y: Any, kinds: dict[str, str]) -> None:
    """Set a parameter; text that stands for a parameter object is replaced by the object."""
    owner_name, _, name = joined.rpartition("__")
    if kinds.get(joined) not in ("object", "open") or not isinstance(value, str):
        model.set_params(**{joined: checked_value(model, joined, value, spelled, y)})
        return
    model.set_params(**{joined: None if is_none(value) else value})
    owner = model.get_params(deep=True)[owner_name]
    model.set_params(**{joined: owner._object(name)})
    kinds.clear()
    kinds.update(_kinds_of_parameters(model))


def build_model(settings: ModelSettings, X: Any = None, y: Any = None, *, verbose: int = 0) -> Any:
    """Build the unfitted model of a study, which decides per patient.

    The tasks in `X`, a table of recordings, decide about frequency ranges by task; the labels `y`
    are what the keys of tables such as ``oversample`` spell.  Without them the settings are
    checked.  Raises a StudyError that names the parameter whose name or value is wrong.
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
    for layer in settings.params:
        kinds = _kinds_of_parameters(inner)
        written: dict[str, str] = {}
        for joined, spelled, value in _flat(layer, kinds):
            if joined in written:
                raise StudyError(f"{spelled} and {written[joined]} are one parameter.")
            written[joined] = spelled
            try:
                _set(inner, joined, value, spelled, y, kinds)
            except StudyError:
                raise
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise StudyError(f"{spelled}: {reason}") from None
    if isinstance(model, PatientVotingClassifier):
        _check_vote(model, X, y)
    return model


def _check_vote(model: Any, X: Any, y: Any) -> None:
    """Find what does not fit together in a vote, which the fit would report after the training."""
    import numpy as np

    from sklearn_dysarthria.patients.voting._across_tasks import check_task_weights
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


def checked_value(estimator: Any, name: str, value: Any, spelled: str, y: Any = None) -> Any:
    """Return a value for a parameter; None for "none" if the parameter can be None.

    `name` is that of ``set_params``, and `spelled` that of the study.  Keys of a table that spell
    labels in `y` become these.  Raises a StudyError if the estimator does not allow the value.
    """
    import pandas as pd
    from sklearn.utils._param_validation import (
        Interval,
        InvalidParameterError,
        validate_parameter_constraints,
    )

    owner_name, _, leaf = name.rpartition("__")
    owner = estimator.get_params(deep=True).get(owner_name) if owner_name else estimator
    if not hasattr(owner, "get_params"):
        return value  # set_params says which object has to be given first
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
    found = {name: value for layer in layers for name, value in entries_of(layer)}
    return ", ".join(f"{name}={value}" for name, value in found.items()) or "the preset's"
