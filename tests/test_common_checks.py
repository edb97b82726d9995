"""The common checks fail for estimators that are broken on purpose, one for each check."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_dysarthria.testing import (
    CHECKS,
    check_recording_estimator,
    recording_estimator_checks,
)


def some_images():
    codes = np.arange(8) % 2
    X = np.random.default_rng(0).normal(size=(8, 3, 4, 4)) + 3 * codes[:, None, None, None]
    return X.astype(np.float32), codes


class Nearest(ClassifierMixin, BaseEstimator):
    """Take the class whose mean brightness is nearest.

    Parameters
    ----------
    scale : float, default=1.0
        What distances are divided by.
    random_state : int, RandomState or None, default=None
        Seed of a disturbance too small to matter.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    means_ : ndarray of shape (n_classes,)
        Brightness of the classes.
    """

    _parameter_constraints = {"scale": [float], "random_state": ["random_state"]}

    def __init__(self, scale=1.0, random_state=None):
        self.scale = scale
        self.random_state = random_state

    def fit(self, X, y):
        """Learn the brightness of each class."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        self.check_parameters()
        if not isinstance(X, np.ndarray) or len(X) != len(y):
            raise ValueError("X and y do not fit.")
        y = np.asarray(y)
        if y.dtype.kind == "f" and np.isnan(y).any():
            raise ValueError("A label is missing.")
        noise = check_random_state(self.random_state).normal() * 1e-6
        classes = np.unique(y)
        means = np.array([self.brightness(X[y == label]).mean() for label in classes]) + noise
        self.classes_, self.means_ = classes, means
        return self

    def check_parameters(self):
        """Raise for parameters of other types."""
        self._validate_params()

    def brightness(self, X):
        """Return the mean of every image."""
        return X.mean(axis=(1, 2, 3))

    def predict_proba(self, X):
        """Predict probabilities."""
        if not hasattr(self, "means_"):
            raise NotFittedError("fit comes first.")
        distances = (self.brightness(X)[:, None] - self.means_) ** 2 / self.scale
        shares = np.exp(-distances)
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X):
        """Predict classes."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


class Brightness(TransformerMixin, BaseEstimator):
    """Turn every image into the mean of each channel, less that of the training images.

    Parameters
    ----------
    scale : float, default=1.0
        Factor.

    Attributes
    ----------
    mean_ : ndarray of shape (n_channels,)
        Mean of the training images.
    """

    _parameter_constraints = {"scale": [float]}

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        """Learn the mean."""
        vars(self).pop("mean_", None)
        self._validate_params()
        if not isinstance(X, np.ndarray):
            raise ValueError("X must be an array.")
        mean = self.channels(X).mean(axis=0)
        self.mean_ = mean
        return self

    def channels(self, X):
        """Return the mean of every channel."""
        return self.scale * X.mean(axis=(2, 3), dtype=np.float64)

    def transform(self, X):
        """Return the means of the channels."""
        if not hasattr(self, "mean_"):
            raise NotFittedError("fit comes first.")
        return self.channels(X) - self.mean_

    def get_feature_names_out(self, input_features=None):
        """Return a name for every channel."""
        return np.array([f"channel {i}" for i in range(len(self.mean_))], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


@pytest.mark.parametrize("kind", [Nearest, Brightness])
def test_estimators_that_keep_their_promises_pass(kind):
    check_recording_estimator(kind(), *some_images())


def test_recordings_are_made_if_none_are_given():
    from sklearn_dysarthria import EnergyVAD

    check_recording_estimator(EnergyVAD(sample_rate=8000, frame_length=256, hop_length=128))


# ------------------------------------------------------------------------- broken on purpose


def documented(kind):
    """Let a broken estimator keep the docstring of the one that it breaks."""
    kind.__doc__ = kind.__doc__ or next(base.__doc__ for base in kind.__mro__ if base.__doc__)
    return kind


@documented
class InitConverts(Nearest):
    def __init__(self, scale=1.0, random_state=None):
        self.scale = [scale]
        self.random_state = random_state


@documented
class SetParamsForgets(Nearest):
    def set_params(self, **params):
        params.pop("no_such_parameter", None)
        return super().set_params(**params)


@documented
class DefaultOfTheDocstring(Nearest):
    def __init__(self, scale=2.0, random_state=None):
        super().__init__(scale, random_state)


@documented
class TakesAnyParameter(Nearest):
    def check_parameters(self):
        """Check nothing."""


@documented
class TwoDimensional(Nearest):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


@documented
class AnotherName(Nearest):
    def __repr__(self, N_CHAR_MAX=700):
        return "a classifier"


@documented
class AnswersUnfitted(Nearest):
    def predict(self, X):
        """Predict classes."""
        return super().predict(X) if hasattr(self, "means_") else np.zeros(len(X))


@documented
class NoRouting(Nearest):
    def get_metadata_routing(self):
        raise AssertionError("nothing is known of metadata")


@documented
class FitChangesParameters(Nearest):
    def fit(self, X, y):
        """Learn."""
        self.scale = float(np.std(X))
        return super().fit(X, y)


@documented
class UndocumentedAttribute(Nearest):
    def fit(self, X, y):
        """Learn."""
        super().fit(X, y)
        self.brightest_ = self.means_.max()
        return self


@documented
class WritesIntoX(Nearest):
    def brightness(self, X):
        """Return the mean of every image."""
        X = X if X.flags.writeable else np.array(X)
        return super().brightness(X)

    def fit(self, X, y):
        """Learn."""
        y[:] = y[::-1].copy()
        return super().fit(X, y)


@documented
class SeedsTheProcess(Nearest):
    def fit(self, X, y):
        """Learn."""
        np.random.seed(0)  # noqa: NPY002
        return super().fit(X, y)


@documented
class SilencesTheProcess(Nearest):
    def predict_proba(self, X):
        """Predict probabilities."""
        warnings.filterwarnings("ignore", message="never seen")
        return super().predict_proba(X)


@documented
class RemembersTheFirstFit(Nearest):
    def fit(self, X, y):
        """Learn."""
        earlier = getattr(self, "means_", None)
        super().fit(X, y)
        if earlier is not None:
            self.means_ = (self.means_ + earlier) / 2
        return self


@documented
class KeepsTheFitBefore(Nearest):
    def fit(self, X, y):
        """Learn."""
        earlier = {name: value for name, value in vars(self).items() if name.endswith("_")}
        try:
            return super().fit(X, y)
        except ValueError:
            vars(self).update(earlier)
            raise


@documented
class SwallowsInterrupts(Nearest):
    def fit(self, X, y):
        """Learn."""
        try:
            return super().fit(X, y)
        except KeyboardInterrupt:
            return self


@documented
class SeedIgnored(Nearest):
    def brightness(self, X):
        """Return the mean of every image."""
        return super().brightness(X) + np.random.default_rng().normal() * 1e-3


@documented
class LabelsAsText(Nearest):
    def fit(self, X, y):
        """Learn."""
        return super().fit(X, np.asarray(y).astype(str))


@documented
class CountsItsAnswers(Nearest):
    def predict_proba(self, X):
        """Predict probabilities."""
        self.n_answers_ = getattr(self, "n_answers_", 0) + 1
        return super().predict_proba(X)


@documented
class ComparesWithTheOthers(Nearest):
    def predict_proba(self, X):
        """Predict probabilities of images made as bright as each other on average."""
        return super().predict_proba(X - X.mean())


@documented
class GoesByPosition(Brightness):
    def channels(self, X):
        """Return the mean of every channel, and where it stands."""
        return super().channels(X) + np.arange(len(X))[:, None]


@documented
class LosesItsScale(Nearest):
    def __getstate__(self):
        return super().__getstate__() | {"scale": 9.0}


@documented
class OneNameTooFew(Brightness):
    def get_feature_names_out(self, input_features=None):
        """Return a name for every channel but one."""
        return super().get_feature_names_out()[1:]


@documented
class IgnoresSetOutput(Brightness):
    def set_output(self, *, transform=None):
        """Do nothing."""
        return self


@documented
class FitTransformDiffers(Brightness):
    def fit_transform(self, X, y=None):
        """Learn and transform."""
        return 2 * self.fit(X, y).transform(X)


BROKEN = {
    "check_init_only_stores": InitConverts,
    "check_clone": SetParamsForgets,
    "check_documentation": DefaultOfTheDocstring,
    "check_validation": TakesAnyParameter,
    "check_tags": TwoDimensional,
    "check_representation": AnotherName,
    "check_not_fitted": AnswersUnfitted,
    "check_metadata_routing": NoRouting,
    "check_fit_changes_no_parameter": FitChangesParameters,
    "check_fitted_attributes_are_documented": UndocumentedAttribute,
    "check_input_is_left_alone": WritesIntoX,
    "check_global_state": SeedsTheProcess,
    "check_refit_forgets": RemembersTheFirstFit,
    "check_failing_fit_leaves_nothing_behind": KeepsTheFitBefore,
    "check_interrupted_fit_leaves_nothing_behind": SwallowsInterrupts,
    "check_random_state": SeedIgnored,
    "check_labels": LabelsAsText,
    "check_answers_change_nothing": CountsItsAnswers,
    "check_subset_invariance": ComparesWithTheOthers,
    "check_order_invariance": GoesByPosition,
    "check_pickle": LosesItsScale,
    "check_feature_names": OneNameTooFew,
    "check_set_output": IgnoresSetOutput,
    "check_fit_transform": FitTransformDiffers,
}


@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
def test_each_check_finds_a_broken_estimator(name):
    estimator = BROKEN[name]()
    check = dict(recording_estimator_checks(estimator, *some_images()))[name]
    with pytest.raises(AssertionError, match=rf"{type(estimator).__name__} does not pass {name}"):
        check()


@pytest.mark.parametrize("kind", [SilencesTheProcess])
def test_answers_that_change_the_process_are_found(kind):
    check = dict(recording_estimator_checks(kind(), *some_images()))["check_global_state"]
    with pytest.raises(AssertionError, match="an answer changes the filters of warnings"):
        check()


def test_a_broken_estimator_fails_as_a_whole():
    with pytest.raises(AssertionError, match="TakesAnyParameter does not pass check_validation"):
        check_recording_estimator(TakesAnyParameter(), *some_images())


def test_wrong_parameters_are_what_the_checks_say():
    with pytest.raises(InvalidParameterError):
        Nearest(scale="large").fit(*some_images())
