"""What check_estimator promises for tables, for classifiers of images."""

from __future__ import annotations

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from sklearn_dysarthria import SGD, EarlyStopping, EffectiveNumber, Schedule

NAMED = ("optimizer", "lr_schedule", "loss", "class_weight")


def weights_of(model):
    return {name: t.numpy().copy() for name, t in model.net_.module_.state_dict().items()}


def assert_same_weights(first, second):
    first, second = weights_of(first), weights_of(second)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert_array_equal(tensor, second[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("max_epochs", 0),
        ("batch_size", 1.5),
        ("optimizer", "lion"),
        ("optimizer__momentum", 1.0),
        ("weight_decay", -1),
        ("lr_schedule", "steps"),
        ("lr_schedule__warmup_epochs", -1),
        ("loss", "hinge"),
        ("loss__gamma", -1),
        ("loss__label_smoothing", 1.0),
        ("class_weight__beta", 1.0),
        ("augment__horizontal_flip", 2),
        ("augment__vertical_flip", -1),
        ("augment__rotation", 200),
        ("augment__color_jitter", 1.5),
        ("augment__color_jitter", "strong"),
        ("augment__translation", -0.1),
        ("augment__spec_width", 0),
        ("augment__spec_width", 1.5),
        ("augment__spec_masks", 0),
        ("augment__spec_masks", 1.5),
        ("augment__mixup", -0.1),
        ("augment__cutmix", "yes"),
        ("augment__n_views", 0),
        ("backbone__depth", 0),
        ("backbone__width", 0),
        ("class_weight", "even"),
        ("early_stopping__validation_fraction", 1.0),
        ("early_stopping__patience", 0),
        ("backbone__weights", 5),
        ("backbone__freeze", -1),
        ("backbone__freeze", "some"),
        ("oversample", [1]),
        ("augment__spec", 1.1),
        ("mixed_precision", "never"),
        ("random_state", "seed"),
    ],
)
def test_bad_parameters_are_errors_of_fit(convnext, make_images, name, value):
    X, y = make_images(4)
    model = convnext.model(lr_schedule=Schedule(), early_stopping=EarlyStopping())
    model.set_params(optimizer=SGD(), class_weight=EffectiveNumber())
    wrong = rf"{name}={value!r} must be" if name in NAMED else f"The '{name.split('__')[-1]}' param"
    with pytest.raises(ValueError, match=wrong):
        model.set_params(**{name: value}).fit(X, y, groups=range(4))


@pytest.mark.parametrize("name", ["backbone", "loss", "optimizer"])
def test_what_there_must_be_is_not_none(convnext, make_images, name):
    X, y = make_images(4)
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        convnext.model(**{name: None}).fit(X, y)


def test_tags(case):
    tags = get_tags(case.model())
    assert tags.estimator_type == "classifier"
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.allow_nan
    assert not tags.non_deterministic
    assert tags.target_tags.required


@pytest.mark.parametrize(
    "labels",
    [
        ["HC", "ALS", "PD"],
        np.array(["b", "c", "a"], dtype=object),
        [30, 10, 20],
        [-1.0, 5.0, 2.0],
        [True, False],
        np.array([7, 3], dtype=object),
    ],
    ids=["str", "object-str", "int", "float", "bool", "object-int"],
)
def test_labels_come_back_as_they_went_in(case, make_images, labels):
    X, y = make_images(n_classes=len(labels), labels=labels)
    X = case.wrap(X)
    model = case.model().fit(X, y)
    assert_array_equal(model.classes_, np.array(sorted(labels)))
    predicted = model.predict(X)
    assert predicted.dtype == model.classes_.dtype
    assert set(predicted.tolist()) <= set(np.asarray(labels).tolist())
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (len(X), len(labels))
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_array_equal(model.classes_[probabilities.argmax(axis=1)], predicted)
    # scikit-learn's metrics, unlike this fit, do not take integers kept as objects.
    assert model.score(X, y.tolist()) == np.mean(predicted == y)


AUGMENTED = {
    "augment__spec": 0.5,
    "augment__horizontal_flip": 0.5,
    "augment__vertical_flip": 0.5,
    "augment__rotation": 10.0,
    "augment__color_jitter": 0.2,
    "augment__mixup": 0.4,
    "augment__cutmix": 1.0,
    "augment__n_views": 3,
}


def test_random_state_decides_everything(case, make_images):
    X, y = make_images()
    X = case.wrap(X)
    first = case.model(**AUGMENTED).fit(X, y)
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002
    second = case.model(**AUGMENTED).fit(X, y)
    assert_same_weights(first, second)
    assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    other = case.model(**AUGMENTED, random_state=1).fit(X, y)
    assert np.abs(first.predict_proba(X) - other.predict_proba(X)).max() > 0


def test_random_state_may_be_a_generator(convnext, make_images):
    X, y = make_images(8)
    generator = np.random.RandomState(3)
    model = convnext.model(random_state=generator)
    first = model.fit(X, y).predict_proba(X)
    assert np.abs(model.fit(X, y).predict_proba(X) - first).max() > 0
    again = convnext.model(random_state=np.random.RandomState(3)).fit(X, y)
    assert_array_equal(again.predict_proba(X), first)


def test_global_generators_stay_as_they_were(case, make_images):
    X, y = make_images()
    X = case.wrap(X)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = case.model(**AUGMENTED, lr_schedule="one_cycle").fit(X, y)
    model.predict(X)
    model.predict_proba(X)
    if hasattr(model, "predict_uncertainty"):
        model.predict_uncertainty(X)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_refit_on_other_data_equals_a_fresh_fit(case, make_images):
    X, y = make_images()
    other, other_y = make_images(size=40, n_classes=3, labels=["a", "b", "c"])
    model = case.model(early_stopping=EarlyStopping()).fit(
        case.wrap(X), y, groups=np.arange(len(y))
    )
    assert hasattr(model, "validation_patients_")
    model.set_params(early_stopping=None).fit(case.wrap(other), other_y)
    fresh = case.model().fit(case.wrap(other), other_y)
    assert vars(model).keys() == vars(fresh).keys()
    assert model.image_shape_ == (3, 40, 40)
    assert_array_equal(model.classes_, ["a", "b", "c"])
    assert_same_weights(model, fresh)
    with pytest.raises(ValueError, match=r"shape \(3, 32, 32\).*fitted on \(3, 40, 40\)"):
        model.predict(case.wrap(X))


def test_failed_refit_leaves_no_stale_model(convnext, make_images):
    X, y = make_images(8)
    model = convnext.model().fit(X, y)
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(X, np.zeros(8))
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_pickle_joblib_and_deepcopy(case, make_images, tmp_path):
    X, y = make_images()
    X = case.wrap(X)
    model = case.model(early_stopping=EarlyStopping(), optimizer="adam", lr_schedule="cosine")
    model.fit(X, y, groups=np.arange(len(y)))
    joblib.dump(model, tmp_path / "model.joblib")
    copies = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model.joblib"),
        copy.deepcopy(model),
    ]
    for other in copies:
        assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        assert other.history_.equals(model.history_)
        other.fit(X, y, groups=np.arange(len(y)))
        assert_same_weights(other, model)


@pytest.mark.parametrize("early_stopping", [None, EarlyStopping()])
def test_pickle_holds_the_weights_and_not_the_training(case, make_images, early_stopping):
    X, y = make_images(96)
    model = case.model(early_stopping=early_stopping, optimizer="adam", max_epochs=1)
    model.fit(case.wrap(X), y, groups=np.arange(len(y)))
    n_bytes = sum(t.nbytes for t in model.net_.module_.state_dict().values())
    # Neither a second copy of the weights nor the images fit into what is allowed beyond them.
    assert len(pickle.dumps(model)) < n_bytes + 0.15 * X.nbytes
    assert all(parameter.grad is None for parameter in model.net_.module_.parameters())
