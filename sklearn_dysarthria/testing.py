"""Checks that an estimator of recordings or of images keeps scikit-learn's promises.

scikit-learn's own checks hand tables of numbers to an estimator, which one that takes recordings or
images cannot use.  These ask the same with the input that it takes.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import os
import pickle
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples

__all__ = ["check_recording_estimator", "recording_estimator_checks"]

_METHODS = ("transform", "predict", "predict_proba", "decision_function", "predict_patients")
_TOLERANCE = 1e-5
"""By how much answers about a row may differ with the rows beside it: sums in another order."""


def check_recording_estimator(estimator: Any, X: Any = None, y: Any = None) -> None:
    """Check that an estimator of recordings or of images keeps scikit-learn's promises.

    Parameters
    ----------
    estimator : estimator
        An instance: a transformer, classifier or sampler that takes recordings, images or both.
        It is cloned and never changed.  It is fitted some dozens of times, so give a network small
        layers and one epoch.
    X : table of recordings, ndarray of shape (n_samples, ...) or sequence, optional
        What the estimator takes, a dozen rows, say.  None takes sixteen short synthetic recordings
        of eight patients.
    y : array-like of shape (n_samples,), optional
        Labels of two classes.  None takes those of the synthetic recordings; with an `X`, it is for
        estimators that need no labels.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    See Also
    --------
    recording_estimator_checks : The checks one by one, as parameters of a test.
    sklearn.utils.estimator_checks.check_estimator : For tables of numbers.

    Notes
    -----
    Checked are: parameters that are stored as given, survive cloning and are documented with their
    defaults; validation in ``fit`` alone; tags; text and HTML representation; an error before the
    fit; a fit that returns the estimator, changes neither its parameters nor the input nor global
    state (generators of numpy, torch and Python, filters of warnings, scikit-learn's configuration,
    torch's threads and defaults, environment and working directory), forgets the fit before it, and
    leaves nothing behind when it fails or is interrupted; `random_state` as a number, a generator
    and None; answers that change nothing, are the same each time, do not depend on the other rows
    or on their order, and survive pickle, joblib and cloudpickle; labels of any type; names of
    features and ``set_output``.

    Examples
    --------
    >>> from sklearn_dysarthria import EnergyVAD
    >>> from sklearn_dysarthria.testing import check_recording_estimator
    >>> check_recording_estimator(EnergyVAD(sample_rate=8000, frame_length=256, hop_length=128))
    """
    for _, check in recording_estimator_checks(estimator, X, y):
        check()


def recording_estimator_checks(
    estimator: Any, X: Any = None, y: Any = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks of :func:`check_recording_estimator`, to be run one by one.

    Parameters
    ----------
    estimator : estimator
        As in :func:`check_recording_estimator`.
    X : table of recordings, ndarray of shape (n_samples, ...) or sequence, optional
        As in :func:`check_recording_estimator`.
    y : array-like of shape (n_samples,), optional
        As in :func:`check_recording_estimator`.

    Yields
    ------
    name : str
        Name of a check.
    check : callable
        ``check()`` raises AssertionError if the estimator does not pass.  The checks share one
        fit, so they are quicker together.

    Examples
    --------
    >>> from sklearn_dysarthria import EnergyVAD
    >>> from sklearn_dysarthria.testing import recording_estimator_checks
    >>> checks = dict(recording_estimator_checks(EnergyVAD()))
    >>> checks["check_clone"]()
    """
    subject = _Subject(estimator, X, y)
    for check in CHECKS:
        yield check.__name__, partial(_run, check, subject)


def _run(check: Callable[[_Subject], None], subject: _Subject) -> None:
    name = type(subject.original).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check(subject)
        except Exception as error:
            reason = error if isinstance(error, AssertionError) else repr(error)
            raise AssertionError(f"{name} does not pass {check.__name__}: {reason}") from error


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


class _Subject:
    """An estimator with what it is checked on; `X` and `y` as in `check_recording_estimator`."""

    def __init__(self, estimator: Any, X: Any, y: Any) -> None:
        self.original = estimator
        self._given = X, y

    @cached_property
    def estimator(self) -> Any:
        """A clone that draws the same random numbers in every fit."""
        estimator = clone(self.original)
        seeds = {
            name: 0
            for name, value in estimator.get_params(deep=True).items()
            if value is None and (name == "random_state" or name.endswith("__random_state"))
        }
        return estimator.set_params(**seeds)

    @cached_property
    def _data(self) -> tuple[Any, Any]:
        X, y = self._given
        if X is None:
            from sklearn_dysarthria.datasets import make_dysarthric_speech

            return make_dysarthric_speech(8, duration=0.5, sample_rate=8000, random_state=0)
        return X, None if y is None else np.asarray(y)

    @property
    def X(self) -> Any:  # noqa: N802
        """A copy of the input, so that no check sees what another one did."""
        return copy.deepcopy(self._data[0])

    @property
    def y(self) -> Any:
        """A copy of the labels."""
        return copy.deepcopy(self._data[1])

    @cached_property
    def _bytes_of_fitted(self) -> bytes:
        return pickle.dumps(self.fit())

    @property
    def fitted(self) -> Any:
        """A fitted estimator; the fit itself is shared."""
        return pickle.loads(self._bytes_of_fitted)

    def fitted_with_attributes(self) -> tuple[Any, dict[str, Any]]:
        """Return a fitted estimator, and what its fit has set."""
        fitted = self.fitted
        return fitted, {name: vars(fitted)[name] for name in _fitted_attributes(fitted)}

    def fit(self, *, X: Any = None, y: Any = None, **parameters: Any) -> Any:
        """Fit a clone."""
        estimator = clone(self.estimator).set_params(**parameters)
        return estimator.fit(self.X if X is None else X, self.y if y is None else y)

    @cached_property
    def requires_fit(self) -> bool:
        return bool(get_tags(self.estimator).requires_fit)

    @property
    def is_asked_after_fit(self) -> bool:
        """Whether the estimator answers, and only after a fit."""
        answers = any(hasattr(self.fitted, method) for method in _METHODS)
        return self.requires_fit and answers

    @cached_property
    def patients(self) -> np.ndarray:
        """Number of the group of rows that is judged together: of the patient, or of the row."""
        n_rows = _num_samples(self._data[0])
        if hasattr(self.estimator, "predict_patients"):
            return pd.factorize(self._data[0]["patient"])[0]
        return np.arange(n_rows)

    @cached_property
    def seeds(self) -> list[str]:
        """Names of the parameters that hold seeds."""
        names = self.estimator.get_params(deep=True)
        return [n for n in names if n == "random_state" or n.endswith("__random_state")]


def _answers(estimator: Any, X: Any) -> dict[str, Any]:
    """Return what every method of a fitted estimator says about the rows."""
    return {name: getattr(estimator, name)(X) for name in _METHODS if hasattr(estimator, name)}


def _rows(output: Any) -> list[Any]:
    """Return an output row by row, as plain values and arrays."""
    if isinstance(output, pd.DataFrame):
        columns = [_rows(output[name]) for name in output.columns]
        return [tuple(cells) for cells in zip(*columns, strict=True)]
    if isinstance(output, np.ndarray) and output.dtype.names:
        return [tuple(np.asarray(cell) for cell in row) for row in output]
    return list(output)


def _is_equal(left: Any, right: Any, tolerance: float) -> bool:
    if isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(_is_equal(a, b, tolerance) for a, b in pairs)
    first, second = np.asarray(left), np.asarray(right)
    if first.shape != second.shape:
        return False
    if first.dtype.kind in "fc" and second.dtype.kind in "fc":
        return np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)
    if first.dtype.kind == "O":
        pairs = zip(first.ravel(), second.ravel(), strict=True)
        return all(a is b or a == b or (a != a and b != b) for a, b in pairs)
    return bool(np.array_equal(first, second))


def _require_same(answers: dict, expected: dict, what: str, tolerance: float = 0.0) -> None:
    _require(answers.keys() == expected.keys(), f"{what}: methods come or go")
    for method, output in answers.items():
        same = _is_equal(_rows(output), _rows(expected[method]), tolerance)
        _require(same, f"{what}, {method} answers otherwise")


def _fitted_attributes(estimator: Any) -> set[str]:
    return {name for name in vars(estimator) if name.endswith("_") and not name.endswith("__")}


# ------------------------------------------------------------------- parameters, without a fit


def check_init_only_stores(subject: _Subject) -> None:
    """Check that ``__init__`` stores every parameter as it is given, and nothing else."""
    kind = type(subject.original)
    given = {name: object() for name in inspect.signature(kind).parameters}
    stored = vars(kind(**given))
    _require(stored == given, f"__init__ stores {sorted(stored)} for parameters {sorted(given)}")


def check_clone(subject: _Subject) -> None:
    """Check that a clone has the same parameters, and set_params takes what get_params returns."""
    original = subject.original
    copied = clone(original)
    _require(type(copied) is type(original), "clone makes another class")
    _require(repr(copied) == repr(original), "a clone has other parameters")
    given = copied.get_params(deep=False)
    names = set(inspect.signature(type(original)).parameters)
    _require(set(given) == names, "get_params and __init__ know other names")
    _require(copied.set_params(**given) is copied, "set_params does not return the estimator")
    _require(repr(copied) == repr(original), "set_params(**get_params()) changes parameters")
    try:
        copied.set_params(no_such_parameter=1)
    except ValueError as error:
        _require("no_such_parameter" in str(error), "the error of set_params names no parameter")
    else:
        raise AssertionError("set_params takes a parameter that does not exist")


def check_documentation(subject: _Subject) -> None:
    """Check that the docstring names every parameter with its default, in order."""
    kind = type(subject.original)
    text = inspect.getdoc(kind) or ""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}|\Z)", text, flags=re.M | re.S)
    lines = re.findall(r"^(\w[\w, ]*) : (.+)$", section[1] if section else "", flags=re.M)
    documented = {name.strip(): line for names, line in lines for name in names.split(",")}
    parameters = inspect.signature(kind).parameters
    _require(
        list(documented) == list(parameters),
        f"documented are the parameters {list(documented)}, there are {list(parameters)}",
    )
    for name, parameter in parameters.items():
        stated = re.search(r"default=(.+)$", documented[name])
        if parameter.default is inspect.Parameter.empty or parameter.default is None:
            right = stated is None or stated[1] == "None"
        else:
            right = stated is not None and _read(stated[1]) == parameter.default
        _require(right, f"{name}={parameter.default!r} is documented as {documented[name]!r}")
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            _require(inspect.getdoc(method), f"method {name} has no docstring")


def _read(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def check_validation(subject: _Subject) -> None:
    """Check that ``fit``, not ``__init__``, raises for a parameter of the wrong type."""
    constraints = getattr(type(subject.original), "_parameter_constraints", {})
    for name in subject.original.get_params(deep=False):
        if constraints.get(name, "no_validation") == "no_validation":
            continue
        estimator = clone(subject.estimator).set_params(**{name: object()})
        try:
            estimator.fit(subject.X, subject.y)
        except (ValueError, TypeError) as error:
            named = re.search(rf"\b{name}\b", str(error))
            _require(named, f"the error for {name} does not name it: {error}")
        else:
            raise AssertionError(f"fit takes any object for {name}")


def check_tags(subject: _Subject) -> None:
    """Check that the tags say what the estimator is and takes."""
    tags = get_tags(subject.original)
    if hasattr(subject.original, "predict"):
        _require(is_classifier(subject.original), "it predicts, but is no classifier by its tags")
        _require(tags.classifier_tags is not None, "a classifier without classifier_tags")
    if hasattr(subject.original, "transform"):
        _require(tags.transformer_tags is not None, "a transformer without transformer_tags")
    if np.ndim(subject._data[0]) != 2 or isinstance(subject._data[0], pd.DataFrame):
        _require(not tags.input_tags.two_d_array, "its tags promise to take 2-D arrays")


def check_representation(subject: _Subject) -> None:
    """Check that text and HTML show the estimator, fitted or not."""
    name = type(subject.original).__name__
    for estimator in (subject.original, subject.fitted):
        _require(repr(estimator).startswith(f"{name}("), f"repr begins {repr(estimator)[:30]!r}")
        _require(name in estimator._repr_html_(), "the HTML does not name the estimator")


def check_not_fitted(subject: _Subject) -> None:
    """Check that without a fit, methods raise NotFittedError, or work as the tags say."""
    estimator = clone(subject.estimator)
    if subject.requires_fit:
        _require_unfitted(estimator, subject.X, "without a fit")
    elif hasattr(estimator, "transform"):
        expected = subject.fitted.transform(subject.X)
        same = _is_equal(_rows(estimator.transform(subject.X)), _rows(expected), 0.0)
        _require(same, "needs no fit by its tags, but transforms otherwise without")


def _require_unfitted(estimator: Any, X: Any, when: str) -> None:
    for method in _METHODS:
        if not hasattr(estimator, method):
            continue
        try:
            getattr(estimator, method)(X)
        except NotFittedError:
            continue
        except Exception as error:
            raise AssertionError(f"{method} {when} raises {error!r}, no NotFittedError") from error
        raise AssertionError(f"{method} answers {when}")


def check_metadata_routing(subject: _Subject) -> None:
    """Check that the estimator says which metadata it takes."""
    subject.original.get_metadata_routing()


# ------------------------------------------------------------------------------------- the fit


def check_fit_changes_no_parameter(subject: _Subject) -> None:
    """Check that ``fit`` returns the estimator, and leaves its parameters alone."""
    estimator = clone(subject.estimator)
    before, shown = estimator.get_params(deep=True), repr(estimator)
    inside = {name: set(vars(v)) for name, v in before.items() if hasattr(v, "get_params")}
    _require(estimator.fit(subject.X, subject.y) is estimator, "fit does not return the estimator")
    after = estimator.get_params(deep=True)
    changed = [name for name in before if after.get(name) is not before[name]]
    _require(not changed, f"fit replaces the parameters {changed}")
    _require(repr(estimator) == shown, "fit changes a parameter inside")
    for name, attributes in inside.items():
        grown = _fitted_attributes(before[name]) - attributes
        _require(not grown, f"fit fits the parameter {name} itself, not a clone")


def check_fitted_attributes_are_documented(subject: _Subject) -> None:
    """Check that the docstring names what a fit sets, with an underscore at the end."""
    fitted = subject.fitted
    text = inspect.getdoc(type(fitted)) or ""
    named = re.findall(r"^(\w[\w, ]*) : ", text, flags=re.M)
    documented = {name.strip() for names in named for name in names.split(",")}
    own = _fitted_attributes(fitted) - {"n_features_in_", "feature_names_in_"}
    public = {name for name in own if not name.startswith("_")}
    _require(public <= documented, f"not documented: {sorted(public - documented)}")
    new = vars(fitted).keys() - vars(clone(subject.estimator)).keys()
    strange = sorted(name for name in new if not name.startswith("_") and not name.endswith("_"))
    _require(not strange, f"a fit sets attributes without an underscore: {strange}")


def check_input_is_left_alone(subject: _Subject) -> None:
    """Check that neither the fit nor an answer changes the input, which may be read-only."""
    X, y = _read_only(subject.X), subject.y
    before = joblib.hash((X, y))
    fitted = clone(subject.estimator).fit(X, y)
    _require(joblib.hash((X, y)) == before, "fit changes its input")
    _answers(fitted, X)
    _require(joblib.hash((X, y)) == before, "an answer changes its input")


def _read_only(X: Any) -> Any:
    arrays = [X] if isinstance(X, np.ndarray) else []
    if isinstance(X, pd.DataFrame) and "audio" in X.columns:
        arrays = [cell for cell in X["audio"] if isinstance(cell, np.ndarray)]
    for array in arrays:
        array.flags.writeable = False
    return X


def _global_state() -> dict[str, Any]:
    """Return what an estimator must not change for the rest of the process."""
    state: dict[str, Any] = {
        "numpy's generator": joblib.hash(np.random.get_state()),  # noqa: NPY002
        "Python's generator": random.getstate(),
        "the filters of warnings": list(warnings.filters),
        "numpy's handling of errors": np.geterr(),
        "scikit-learn's configuration": sklearn.get_config(),
        "the environment": dict(os.environ),
        "the working directory": os.getcwd(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        state |= {
            "torch's generator": torch.get_rng_state().numpy().tobytes(),
            "torch's number of threads": torch.get_num_threads(),
            "torch's default type": torch.get_default_dtype(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        }
    return state


@contextmanager
def _generators_elsewhere() -> Iterator[None]:
    """Seed the global generators as no estimator does, so that seeding them again shows."""
    torch = sys.modules.get("torch")
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002
    torchs = None if torch is None else torch.get_rng_state()
    np.random.seed(20_011)  # noqa: NPY002
    random.seed(20_011)
    if torch is not None:
        torch.manual_seed(20_011)
    try:
        yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)
        if torch is not None:
            torch.set_rng_state(torchs)


def check_global_state(subject: _Subject) -> None:
    """Check that neither the fit nor an answer changes the state of the process."""
    subject.fit()  # imports of the first fit may set what is theirs
    with _generators_elsewhere():
        before = _global_state()
        fitted = subject.fit()
        _require_state(before, "fit")
        _answers(fitted, subject.X)
        _require_state(before, "an answer")


def _require_state(before: dict[str, Any], who: str) -> None:
    changed = [name for name, value in _global_state().items() if before.get(name, value) != value]
    _require(not changed, f"{who} changes {', '.join(changed)}")


def _other_data(subject: _Subject) -> tuple[Any, Any]:
    """Return half of the patients, with other labels."""
    keep = np.flatnonzero(subject.patients < (subject.patients.max() + 2) // 2)
    y = subject.y
    if y is not None:
        y = np.array(["x", "y", "z"])[np.unique(y, return_inverse=True)[1] % 3][keep]
        _require(len(set(y)) > 1, "half of the rows of the given data hold one class only")
    return _safe_indexing(subject.X, keep), y


def check_refit_forgets(subject: _Subject) -> None:
    """Check that a fit on other data equals the fit of a new estimator."""
    X, y = _other_data(subject)
    again, fresh = subject.fitted.fit(X, y), clone(subject.estimator).fit(X, y)
    names, expected = _fitted_attributes(again), _fitted_attributes(fresh)
    _require(names == expected, f"a second fit leaves {sorted(names ^ expected)}")
    _require_same(_answers(again, X), _answers(fresh, X), "after a second fit")


def check_failing_fit_leaves_nothing_behind(subject: _Subject) -> None:
    """Check that a fit that raises leaves an estimator that is not fitted."""
    if not subject.is_asked_after_fit:
        return
    X, y = subject.X, subject.y
    attempts = {"an object for X": (object(), y)}
    if get_tags(subject.estimator).target_tags.required:
        attempts["too few labels"] = X, y[:-1]
        attempts["a single class"] = X, np.repeat(y[:1], len(y))
        attempts["missing labels"] = X, np.full(len(y), np.nan)
    for what, (bad_X, bad_y) in attempts.items():
        estimator, before = subject.fitted_with_attributes()
        try:
            estimator.fit(bad_X, bad_y)
        except Exception:
            when = f"after a fit that failed ({what})"
            _require_forgotten(estimator, before, subject.X, when)
        else:
            _require(what == "a single class", f"fit takes {what}")


def _require_forgotten(estimator: Any, before: dict[str, Any], X: Any, when: str) -> None:
    """Require that nothing is left of the fit that `before` holds, and that no method answers."""
    shared = (int, float, str, bool, type(None))  # the same objects wherever they occur
    left = [
        name
        for name, value in before.items()
        if vars(estimator).get(name) is value and not isinstance(value, shared)
    ]
    _require(not left, f"{when}, {sorted(left)} of the fit before are left")
    _require_unfitted(estimator, X, when)


def check_interrupted_fit_leaves_nothing_behind(subject: _Subject) -> None:
    """Check that Ctrl-C in a fit is passed on, and leaves an estimator that is not fitted."""
    if not subject.is_asked_after_fit:
        return
    n_calls = _fit_with_interrupt(subject.fitted, subject, after=sys.maxsize)
    for after in sorted({max(1, n_calls // 2), max(1, 9 * n_calls // 10)}):
        estimator, before = subject.fitted_with_attributes()
        try:
            _fit_with_interrupt(estimator, subject, after=after)
        except KeyboardInterrupt:
            when = f"after Ctrl-C in call {after} of {n_calls} of a fit"
            _require_forgotten(estimator, before, subject.X, when)
        else:
            raise AssertionError(f"Ctrl-C in call {after} of {n_calls} of a fit is not passed on")


def _fit_with_interrupt(estimator: Any, subject: _Subject, after: int) -> int:
    """Fit, and raise KeyboardInterrupt once the estimator's package has made so many calls."""
    package = type(estimator).__module__.partition(".")[0]
    n_calls = 0

    def on_event(frame: Any, event: str, _: Any) -> None:
        nonlocal n_calls
        if event != "call" or frame.f_code.co_flags & inspect.CO_GENERATOR:
            return  # Python passes no exception on from a generator that it closes
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] != package or module == __name__:
            return
        n_calls += 1
        if n_calls > after:
            raise KeyboardInterrupt

    X, y = subject.X, subject.y
    previous = sys.getprofile()
    sys.setprofile(on_event)
    try:
        estimator.fit(X, y)
    finally:
        sys.setprofile(previous)
    return n_calls


def check_random_state(subject: _Subject) -> None:
    """Check that the same seed, or a generator in the same state, gives the same fit."""
    expected = _answers(subject.fitted, subject.X)
    _require_same(_answers(subject.fit(), subject.X), expected, "with the same seed")
    if not subject.seeds:
        return
    for name in subject.seeds:
        seeded = [subject.fit(**{name: np.random.RandomState(3)}) for _ in range(2)]
        first, second = (_answers(fitted, subject.X) for fitted in seeded)
        _require_same(first, second, f"with {name} a generator in the same state")
    subject.fit(**dict.fromkeys(subject.seeds))


def check_labels(subject: _Subject) -> None:
    """Check that labels of any type come back as they went in, and probabilities sum to 1."""
    if not is_classifier(subject.estimator) or subject.y is None:
        return
    codes = np.unique(subject.y, return_inverse=True)[1]
    kinds: list[Any] = [np.array(["HC", "ALS"]), np.array([True, False]), np.array([7, -2])]
    kinds.append(np.array(["b", "a"], dtype=object))
    for labels in kinds if codes.max() == 1 else ():
        fitted = subject.fit(y=labels[codes])
        what = f"labels {labels.tolist()} of type {labels.dtype}"
        _require(fitted.classes_.tolist() == sorted(labels.tolist()), f"{what}: other classes_")
        predicted = np.asarray(fitted.predict(subject.X))
        _require(predicted.dtype.kind == labels.dtype.kind, f"{what}: predicts {predicted.dtype}")
        _require(set(predicted.tolist()) <= set(labels.tolist()), f"{what}: predicts others")
        if hasattr(fitted, "predict_proba"):
            sums = np.asarray(fitted.predict_proba(subject.X)).sum(axis=1)
            _require(np.allclose(sums, 1), f"{what}: probabilities do not sum to 1")


# ----------------------------------------------------------------------------------- answers


def check_answers_change_nothing(subject: _Subject) -> None:
    """Check that an answer leaves the estimator as it is, and is the same the next time."""
    fitted = subject.fitted
    names = set(vars(fitted))
    first = _answers(fitted, subject.X)
    _require(set(vars(fitted)) == names, "an answer adds or removes attributes")
    _require_same(_answers(fitted, subject.X), first, "asked a second time")
    _require_same(_answers(subject.fitted, subject.X), first, "asked for the first time elsewhere")


def _require_rows_alone(subject: _Subject, patients: np.ndarray, what: str) -> None:
    rows = np.concatenate([np.flatnonzero(subject.patients == number) for number in patients])
    fitted, X = subject.fitted, subject.X
    whole, part = _answers(fitted, X), _answers(fitted, _safe_indexing(X, rows))
    for method, output in part.items():
        taken = patients if method == "predict_patients" else rows
        everything = _rows(whole[method])
        expected = [everything[row] for row in taken]
        same = _is_equal(_rows(output), expected, _TOLERANCE)
        _require(same, f"{what}, {method} answers otherwise")


def check_subset_invariance(subject: _Subject) -> None:
    """Check that the answer about a row, or a patient, does not depend on the others."""
    n_patients = subject.patients.max() + 1
    for chosen in (np.arange(n_patients)[1::2], np.array([n_patients - 1])):
        _require_rows_alone(subject, chosen, f"with {len(chosen)} of {n_patients} alone")


def check_order_invariance(subject: _Subject) -> None:
    """Check that the answer about a row, or a patient, does not depend on the order."""
    order = np.random.default_rng(0).permutation(subject.patients.max() + 1)
    _require_rows_alone(subject, order, "in another order")


def check_pickle(subject: _Subject) -> None:
    """Check that pickle, joblib, cloudpickle and deepcopy keep parameters and answers."""
    fitted = subject.fitted
    expected = _answers(fitted, subject.X)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "estimator.joblib")
        joblib.dump(fitted, path)
        copies = {"joblib": joblib.load(path)}
    if importlib.util.find_spec("cloudpickle"):  # which Dask and Ray send work with
        import cloudpickle

        copies["cloudpickle"] = pickle.loads(cloudpickle.dumps(fitted))
    copies["pickle"] = pickle.loads(pickle.dumps(fitted))
    copies["deepcopy"] = copy.deepcopy(fitted)
    for how, other in copies.items():
        _require(repr(other) == repr(fitted), f"{how} changes parameters")
        _require_same(_answers(other, subject.X), expected, f"after {how}")
    unfitted = pickle.loads(pickle.dumps(subject.original))
    _require(repr(unfitted) == repr(subject.original), "pickle changes parameters")


def check_feature_names(subject: _Subject) -> None:
    """Check that names of features go in and come out as scikit-learn has them."""
    fitted, X = subject.fitted, subject.X
    if getattr(X, "ndim", 0) == 2 and hasattr(fitted, "n_features_in_"):
        _require(fitted.n_features_in_ == X.shape[1], "n_features_in_ is not that of the input")
    if isinstance(X, pd.DataFrame) and hasattr(fitted, "feature_names_in_"):
        same = list(fitted.feature_names_in_) == list(X.columns)
        _require(same, "feature_names_in_ are not the columns of the input")
    if not hasattr(fitted, "get_feature_names_out") or not hasattr(fitted, "transform"):
        return
    names, output = fitted.get_feature_names_out(), fitted.transform(X)
    if isinstance(output, pd.DataFrame):
        _require(list(output.columns) == list(names), "the output has other columns")
    _require(len(names) == output.shape[1], f"{len(names)} names for {output.shape[1]} features")


def check_set_output(subject: _Subject) -> None:
    """Check that ``set_output`` gives a DataFrame with the features' names and the index."""
    fitted = subject.fitted
    if not hasattr(fitted, "set_output") or not hasattr(fitted, "transform"):
        return
    plain = fitted.transform(subject.X)
    X = subject.X
    output = fitted.set_output(transform="pandas").transform(X)
    if np.ndim(plain) != 2:
        _require(type(output) is type(plain), "set_output changes what no table can hold")
        return
    _require(isinstance(output, pd.DataFrame), "set_output(transform='pandas') gives no DataFrame")
    same = list(output.columns) == list(fitted.get_feature_names_out())
    _require(same, "set_output gives other names than get_feature_names_out")
    if isinstance(X, pd.DataFrame):
        _require(output.index.equals(X.index), "set_output loses the index")
    default = fitted.set_output(transform="default").transform(X)
    _require(_is_equal(_rows(default), _rows(plain), 0.0), "set_output does not go back")


def check_fit_transform(subject: _Subject) -> None:
    """Check that ``fit_transform`` is ``fit`` and ``transform``."""
    estimator = clone(subject.estimator)
    if not hasattr(estimator, "fit_transform") or getattr(estimator, "training_only", False):
        return
    output = estimator.fit_transform(subject.X, subject.y)
    expected = subject.fitted.transform(subject.X)
    _require(_is_equal(_rows(output), _rows(expected), _TOLERANCE), "fit_transform differs")


CHECKS: tuple[Callable[[_Subject], None], ...] = (
    check_init_only_stores,
    check_clone,
    check_documentation,
    check_validation,
    check_tags,
    check_representation,
    check_not_fitted,
    check_metadata_routing,
    check_fit_changes_no_parameter,
    check_fitted_attributes_are_documented,
    check_input_is_left_alone,
    check_global_state,
    check_refit_forgets,
    check_failing_fit_leaves_nothing_behind,
    check_interrupted_fit_leaves_nothing_behind,
    check_random_state,
    check_labels,
    check_answers_change_nothing,
    check_subset_invariance,
    check_order_invariance,
    check_pickle,
    check_feature_names,
    check_set_output,
    check_fit_transform,
)
