"""Parameter objects: what belongs together among the parameters of a network estimator.

They are to the classifiers what kernels are to scikit-learn's Gaussian processes: estimators
without ``fit`` that store parameters and check them, so that ``clone``, pickling and grids over
``augment__rotation`` work.  An estimator never changes the objects that it is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import InvalidParameterError


class ParameterObject(BaseEstimator):
    """Base of all parameter objects; each kind of object has one subclass that others extend.

    ``__init__`` of a subclass only stores.  ``_parameter_constraints`` says which values are
    allowed, as in scikit-learn's estimators.
    """

    kind: ClassVar[str]
    """What such an object is called in messages."""
    is_optional: ClassVar[bool] = False
    """Whether None stands for none."""
    plain_types: ClassVar[tuple[type, ...]] = ()
    """Types of values that do without an object."""

    named: ClassVar[Mapping[str, Callable[[], ParameterObject]]] = {}
    """What a string stands for: its name, and what makes the object."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _from_name(cls, name: str, parameter: str) -> ParameterObject:
        """Return the object that a string stands for; ValueError, naming the parameter, if none."""
        if name in cls.named:
            return cls.named[name]()
        close = difflib.get_close_matches(name, cls.named, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InvalidParameterError(f"{parameter}={name!r} must be {cls._expected()}.{hint}")

    @classmethod
    def _expected(cls) -> str:
        names = ["None"] * cls.is_optional + [repr(name) for name in cls.named]
        names += [f"a {plain.__name__}" for plain in cls.plain_types]
        instance = f"{cls.kind} such as {cls._example()!r}"
        return f"{', '.join(names)} or {instance}" if names else instance

    @classmethod
    def _example(cls, parameter: str = "") -> ParameterObject:
        """Return an object of the kind, for messages: one with the parameter, if there is one."""
        if not cls.__subclasses__():
            return cls()
        objects = [made() for made in cls.named.values()]
        having = [made for made in objects if parameter in made.get_params()]
        return (having or [made for made in objects if made.get_params()])[0]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_params() == other.get_params()

    def __hash__(self) -> int:
        return hash(type(self))  # parameters may change


def resolve(value: Any, kind: type[ParameterObject], parameter: str) -> Any:
    """Return the parameter object that a value of a parameter stands for, or None.

    It is the value itself, never changed, or a new object if it is a string.
    InvalidParameterError, a ValueError and TypeError that names the parameter, if the value is
    something else, the string is not known, or the object holds a value that is not allowed.
    """
    if value is None or isinstance(value, kind.plain_types):
        return value
    if isinstance(value, str):
        found = kind._from_name(value, parameter)
    elif isinstance(value, kind):
        found = value
    else:
        raise InvalidParameterError(f"{parameter}={value!r} must be {kind._expected()}.")
    try:
        found._validate_params()
    except InvalidParameterError as error:
        raise InvalidParameterError(f"{parameter}: {error}") from None
    return found


class TakesParameterObjects(BaseEstimator):
    """Base of estimators with parameter objects among their parameters."""

    _parameter_objects: ClassVar[dict[str, type[ParameterObject]]] = {}
    """Kind of object by parameter; parameters that a subclass does not have are ignored."""

    def _object(self, parameter: str) -> Any:
        """Return the object that a parameter of this estimator stands for, or None."""
        value = getattr(self, parameter, None)
        return resolve(value, self._parameter_objects[parameter], parameter)

    def _validate_params(self) -> None:
        for parameter in self._parameter_objects:
            self._object(parameter)
        super()._validate_params()

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``augment__rotation`` sets one of the object ``augment``.

        Objects are copied before something in them is set, so that other estimators with the
        same object do not change.  A name that is given in the same call becomes its object.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            There is no such parameter, or no object to set a parameter of; the message says which
            object to give first.
        """
        copied: dict[str, Any] = {}
        for name in params:
            parameter, _, inside = name.partition("__")
            kind = self._parameter_objects.get(parameter)
            if not inside or kind is None or parameter not in self._get_param_names():
                continue
            value = params.get(parameter, getattr(self, parameter))
            if parameter in params:  # a name, and what is to be other than its defaults
                value = resolve(value, kind, parameter)
            if not isinstance(value, ParameterObject):
                first = kind._example(inside)
                named = resolve(value, kind, parameter) if isinstance(value, str) else first
                first = named if inside in named.get_params() else first
                raise ValueError(
                    f"{parameter} is {value!r}: set {parameter}={first!r} first, then {name}."
                )
            copied.setdefault(parameter, clone(value))
        return super().set_params(**{**params, **copied})
