"""Early stopping: the parameter object, the patients it holds out, and its callback."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from skorch import callbacks as skorch_callbacks
from skorch.utils import noop

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject
from sklearn_dysarthria.recordings import one_label_per_patient


class EarlyStopping(ParameterObject):
    """Stop when the loss on held-out training patients no longer falls, and keep the best weights.

    Parameter object of the classifiers, ``early_stopping=EarlyStopping(patience=10)``;
    ``"valid_loss"`` is ``EarlyStopping()``.  The patients are taken out of the training set, so
    that ``fit`` needs `groups`; :class:`~sklearn_dysarthria.PatientVotingClassifier` passes them
    by itself.

    Parameters
    ----------
    patience : int, default=5
        Epochs without progress before the training stops.
    validation_fraction : float, default=0.2
        Fraction of each class's patients that is held out, at least one where a class has two.

    Examples
    --------
    >>> from sklearn_dysarthria import EarlyStopping
    >>> EarlyStopping(patience=10)
    EarlyStopping(patience=10)
    """

    kind = "an EarlyStopping"
    is_optional = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "patience": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(self, *, patience=5, validation_fraction=0.2):
        self.patience = patience
        self.validation_fraction = validation_fraction

    def hold_out(
        self, labels: np.ndarray, patients: np.ndarray | None, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split rows into a training and a validation part without dividing any patient.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,)
            Class of every row; a patient has one class.
        patients : ndarray of shape (n_samples,) or None
            Patient of every row.
        seed : int
            Of the choice.

        Returns
        -------
        train, valid : ndarray of int
            Row indices.

        Raises
        ------
        ValueError
            No patients are given, or no class has two, so that none can be held out.
        """
        if patients is None:
            raise ValueError(
                "early_stopping holds out patients, and needs to know them: wrap the model "
                "in PatientVotingClassifier, or pass groups to fit (one patient per row; "
                "np.arange(len(y)) if every row is another patient). Inside a search, put the "
                "search around the whole Pipeline; instead of a sampler before it, use "
                "ResampledClassifier, or oversample in the classifier."
            )
        rng = check_random_state(seed)
        label_of = one_label_per_patient(patients, labels)
        held_out: list[object] = []
        for label in np.unique(labels):
            members = label_of.index[label_of == label].to_numpy()
            n_held_out = min(
                max(1, round(self.validation_fraction * len(members))), len(members) - 1
            )
            held_out.extend(rng.permutation(members)[:n_held_out])
        if not held_out:
            raise ValueError(
                "early_stopping needs a class with at least two patients to hold one out."
            )
        is_valid = np.isin(np.asarray(patients, dtype=object), np.array(held_out, dtype=object))
        return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)

    def _callback(self, others: Any) -> skorch_callbacks.EarlyStopping:
        """Return the callback that stops a training and brings the best weights back.

        `others` are the user's callbacks, which may let frozen weights learn from some epoch on.
        """
        if others:
            return skorch_callbacks.EarlyStopping(patience=self.patience, load_best=True, sink=noop)
        return EarlyStoppingOfLearning(patience=self.patience, load_best=False, sink=noop)


EarlyStopping.named = {"valid_loss": EarlyStopping}


class EarlyStoppingOfLearning(skorch_callbacks.EarlyStopping):
    """Early stopping that keeps the best of the weights that learn.

    skorch's ``load_best`` copies the whole network whenever it improves: 57 million weights of
    AlexNet, while the layers behind it have 4 million.
    """

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Note the weights that learn if they are the best so far; stop if patience is over."""
        super().on_epoch_end(net, **kwargs)
        if self.misses_ == 0:
            self.best_model_weights_ = deepcopy(_learning_tensors(net.module_))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Bring the best weights back."""
        if self.best_model_weights_ is not None:
            net.module_.load_state_dict(self.best_model_weights_, strict=False)


def _learning_tensors(module: Any) -> dict[str, Any]:
    """Return all of a network's tensors but the weights that are frozen."""
    frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}
