"""Objects among the parameters: clones, grids, messages, and what is never changed."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_dysarthria
from sklearn_dysarthria import (
    SGD,
    Adam,
    AdamW,
    Augment,
    Backbone,
    BackboneClassifier,
    BackboneEmbeddings,
    ConvNeXtSeverityClassifier,
    Coral,
    Corn,
    CrossEntropy,
    CumulativeLink,
    EarlyStopping,
    EffectiveNumber,
    FocalLoss,
    HyperAlexNetClassifier,
    HyperHead,
    HyperLinearClassifier,
    RMSprop,
    Schedule,
    TaskFusionClassifier,
)

OBJECTS = [
    Adam(),
    AdamW(),
    Augment(spec=0.7, rotation=10),
    Backbone("resnet18", weights=None),
    Coral(),
    Corn(),
    CrossEntropy(label_smoothing=0.1),
    CumulativeLink(),
    EarlyStopping(patience=7),
    EffectiveNumber(beta=0.9),
    FocalLoss(gamma=3.0),
    HyperHead(n_contexts=4),
    RMSprop(),
    SGD(momentum=0.5),
    Schedule("cosine", warmup_epochs=2),
]
ESTIMATORS = [
    BackboneClassifier,
    BackboneEmbeddings,
    ConvNeXtSeverityClassifier,
    HyperAlexNetClassifier,
    HyperLinearClassifier,
    TaskFusionClassifier,
]
PARAMETERS = {
    "backbone": ("depth", Backbone("alexnet", depth=3)),
    "head": ("n_contexts", HyperHead(n_contexts=3)),
    "loss": ("gamma", FocalLoss(gamma=1.0)),
    "class_weight": ("beta", EffectiveNumber(beta=0.5)),
    "augment": ("rotation", Augment(rotation=3)),
    "optimizer": ("momentum", SGD(momentum=0.1)),
    "lr_schedule": ("warmup_epochs", Schedule("linear", warmup_epochs=1)),
    "early_stopping": ("patience", EarlyStopping(patience=2)),
}


def made(estimator):
    return estimator(StandardScaler()) if estimator is TaskFusionClassifier else estimator()


@pytest.fixture
def table():
    y = np.arange(24) % 2
    return np.random.default_rng(0).normal(size=(24, 3)) + y[:, None], y


# ------------------------------------------------------------------------------- the objects


@pytest.mark.parametrize("given", OBJECTS, ids=lambda given: type(given).__name__)
def test_each_is_stored_copied_and_compared(given):
    parameters = inspect.signature(type(given)).parameters
    assert set(vars(given)) == set(given.get_params()) == set(parameters)
    for other in (clone(given), copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        assert other is not given
        assert other == given
        assert hash(other) == hash(given)
    for name in parameters:
        assert given != clone(given).set_params(**{name: "another"})
    assert type(given).__name__ in given._repr_html_()


def test_the_repr_shows_what_is_not_the_default():
    assert repr(Augment(spec=0.7, rotation=10)) == "Augment(rotation=10, spec=0.7)"
    assert repr(Backbone("alexnet", freeze="all")) == "Backbone(freeze='all')"
    assert repr(Schedule("cosine", warmup_epochs=5)) == "Schedule(name='cosine', warmup_epochs=5)"
    assert repr(FocalLoss()) == "FocalLoss()"
    model = HyperLinearClassifier(loss=FocalLoss(gamma=1.5))
    assert repr(model) == "HyperLinearClassifier(loss=FocalLoss(gamma=1.5))"
    assert "FocalLoss" in model._repr_html_()


@pytest.mark.parametrize("given", OBJECTS, ids=lambda given: type(given).__name__)
def test_each_documents_its_parameters_and_defaults(given):
    text = inspect.getdoc(type(given))
    documented = dict(re.findall(r"^(\w+) : .*default=(.+)$", text, flags=re.MULTILINE))
    parameters = inspect.signature(type(given)).parameters
    assert documented.keys() == parameters.keys()
    for name, parameter in parameters.items():
        assert documented[name].strip('"') == str(parameter.default)


def test_the_package_offers_each():
    for given in OBJECTS:
        assert getattr(sklearn_dysarthria, type(given).__name__) is type(given)


# ------------------------------------------------------------------------ values that are wrong


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "focl"}, r"loss='focl' must be 'cross_entropy', .* Did you mean 'focal'\?"),
        ({"loss": 3}, r"loss=3 must be .* or a loss such as CrossEntropy\(\)"),
        ({"loss": FocalLoss}, "loss=.* must be"),
        ({"loss": SGD()}, r"loss=SGD\(\) must be"),
        ({"optimizer": "sdg"}, r"Did you mean 'sgd'\?"),
        ({"optimizer": SGD(momentum=2)}, "optimizer: The 'momentum' parameter of SGD must be"),
        ({"head": "hypre"}, r"Did you mean 'hyper'\?"),
        ({"lr_schedule": "cosin"}, r"lr_schedule='cosin' must be None, .* Did you mean 'cosine'\?"),
        ({"lr_schedule": Schedule("cosin")}, "lr_schedule: The 'name' parameter of Schedule"),
        ({"early_stopping": "yes"}, "early_stopping='yes' must be None, 'valid_loss' or an Early"),
        ({"early_stopping": True}, r"such as EarlyStopping\(\)"),
        ({"class_weight": "ballanced"}, r"a Mapping or an object .* Did you mean 'balanced'\?"),
    ],
)
def test_errors_name_the_parameter_and_what_it_may_be(table, parameters, message):
    model = HyperLinearClassifier(**parameters)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(*table)
    assert "\n" not in str(error.value)
    with pytest.raises(TypeError):  # as scikit-learn's
        model.fit(*table)


# -------------------------------------------------------------------------- setting inside them


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_to_give_first_where_there_is_no_object(estimator):
    model = made(estimator)
    for name, (inside, given) in PARAMETERS.items():
        if name not in model.get_params(deep=False):
            continue
        message = f"{name} is .*: set {name}={type(given).__name__}.* first, then {name}__{inside}"
        with pytest.raises(ValueError, match=message):
            model.set_params(**{f"{name}__{inside}": 1})
        model.set_params(**{name: given, f"{name}__{inside}": 1})  # both at once
        assert model.get_params()[f"{name}__{inside}"] == 1
        with pytest.raises(ValueError, match="Invalid parameter 'rotaton'"):
            model.set_params(**{f"{name}__rotaton": 1})


def test_a_name_and_what_differs_from_its_defaults_in_one_call():
    model = HyperLinearClassifier()
    model.set_params(loss="focal", loss__gamma=3, early_stopping="valid_loss")
    assert model.loss == FocalLoss(gamma=3)
    assert model.early_stopping == "valid_loss"
    model.set_params(early_stopping="valid_loss", early_stopping__patience=2)
    assert model.early_stopping == EarlyStopping(patience=2)
    with pytest.raises(ValueError, match="Invalid parameter 'augment'"):
        model.set_params(augment__rotation=3)


def test_the_object_to_give_first_is_that_of_the_name():
    with pytest.raises(ValueError, match=r"backbone is 'vit_b_16': .*Backbone\(name='vit_b_16'\)"):
        BackboneClassifier().set_params(backbone__weights=None)
    with pytest.raises(ValueError, match=r"augment is 'spec': set augment=Augment\(spec=0.7\)"):
        ConvNeXtSeverityClassifier().set_params(augment__rotation=3)
    with pytest.raises(ValueError, match=r"loss is 'cross_entropy': set loss=FocalLoss\(\)"):
        HyperLinearClassifier().set_params(loss__gamma=3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nothing_that_others_hold_is_changed(estimator):
    for name, (inside, given) in PARAMETERS.items():
        first, second = made(estimator), made(estimator)
        if name not in first.get_params(deep=False):
            continue
        before = clone(given)
        first.set_params(**{name: given})
        second.set_params(**{name: given})
        first.set_params(**{f"{name}__{inside}": 1})
        assert first.get_params()[f"{name}__{inside}"] == 1
        assert second.get_params()[name] == given == before
        assert (
            getattr(made(estimator), name) == inspect.signature(estimator).parameters[name].default
        )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_few_parameters_with_plain_defaults(estimator):
    parameters = inspect.signature(estimator).parameters
    assert len(parameters) <= 24
    plain = (str, int, float, type(None), type(inspect.Parameter.empty))
    assert all(isinstance(parameter.default, plain) for parameter in parameters.values())


def test_a_fit_leaves_the_objects_alone(table):
    X, y = table
    given = {
        "head": HyperHead(hidden_dim=4),
        "loss": FocalLoss(),
        "optimizer": SGD(),
        "lr_schedule": Schedule("plateau", warmup_epochs=1),
        "early_stopping": EarlyStopping(patience=1),
        "class_weight": EffectiveNumber(),
    }
    before = {name: pickle.dumps(value) for name, value in given.items()}
    model = HyperLinearClassifier(**given, max_epochs=3).fit(X, y, groups=np.arange(24))
    assert {name: pickle.dumps(value) for name, value in given.items()} == before
    assert all(getattr(model, name) is value for name, value in given.items())
    # Nor does the fitted model change with them.
    probabilities = model.predict_proba(X)
    given["loss"].gamma = 7.0
    given["head"].hidden_dim = 9
    assert_array_equal(model.predict_proba(X), probabilities)


# ------------------------------------------------------------------------------------- searches


def test_grids_over_parameters_of_objects_and_over_objects(table):
    X, y = table
    model = HyperLinearClassifier(
        head=HyperHead(hidden_dim=4),
        loss=FocalLoss(),
        optimizer=SGD(),
        max_epochs=2,
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(), model)
    grids = [
        {"hyperlinearclassifier__loss__gamma": [0.0, 3.0]},
        {"hyperlinearclassifier__optimizer__momentum": [0.0, 0.9]},
        {
            "hyperlinearclassifier__head": [
                HyperHead(n_contexts=2),
                HyperHead(hidden_dim=3),
                "dense",
            ]
        },
        {"hyperlinearclassifier__optimizer": [Adam(), "adamw", SGD(momentum=0.5)]},
    ]
    for grid in grids:
        search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss", error_score="raise")
        scores = search.fit(X, y).cv_results_["mean_test_score"]
        assert len(set(scores)) > 1
        (name, values) = next(iter(grid.items()))
        assert search.best_params_[name] in values


def test_names_stand_for_objects_with_their_defaults(table):
    X, y = table
    arguments = {"max_epochs": 2, "random_state": 0}
    pairs = {
        "head": ("hyper", HyperHead()),
        "loss": ("focal", FocalLoss()),
        "optimizer": ("sgd", SGD()),
        "lr_schedule": ("cosine", Schedule("cosine")),
        "class_weight": ("effective_number", EffectiveNumber()),
        "early_stopping": ("valid_loss", EarlyStopping()),
    }
    groups = np.arange(24)
    for name, (string, given) in pairs.items():
        by_name = HyperLinearClassifier(**arguments, **{name: string}).fit(X, y, groups)
        by_object = HyperLinearClassifier(**arguments, **{name: given}).fit(X, y, groups)
        assert_array_equal(by_name.predict_proba(X), by_object.predict_proba(X))
        assert getattr(by_name, name) == string
