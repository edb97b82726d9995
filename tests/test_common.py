"""What every estimator, splitter, scorer and loader promises, asked of each of them."""

from __future__ import annotations

import inspect
from functools import cache

import pytest
from instances import ESTIMATORS, PARAMETER_OBJECTS
from sklearn.base import BaseEstimator

import sklearn_dysarthria
from sklearn_dysarthria.testing import recording_estimator_checks


@cache
def checks_of(number):
    case = ESTIMATORS[number]
    return dict(recording_estimator_checks(case.estimator, *case.data()))


def every_check():
    for number, case in enumerate(ESTIMATORS):
        for name, _ in recording_estimator_checks(case.estimator):
            reason = case.failures.get(name)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason)]
            yield pytest.param(number, name, id=f"{case}-{name}", marks=marks)


@pytest.mark.parametrize(("number", "name"), list(every_check()))
def test_estimator(number, name):
    checks_of(number)[name]()


def test_every_estimator_has_an_instance():
    public = {getattr(sklearn_dysarthria, name) for name in sklearn_dysarthria.__all__}
    estimators = {kind for kind in public if inspect.isclass(kind)}
    estimators = {kind for kind in estimators if issubclass(kind, BaseEstimator)}
    instances = [*(case.estimator for case in ESTIMATORS), *PARAMETER_OBJECTS]
    assert {type(instance) for instance in instances} == estimators
