"""TaskFusionClassifier as scikit-learn sees it, and its errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_dysarthria import (
    Backbone,
    EarlyStopping,
    HyperHead,
    StratifiedPatientKFold,
    TaskFusionClassifier,
    patient_scorer,
)
from sklearn_dysarthria.exceptions import (
    MissingColumnError,
    PatientError,
    PatientLeakWarning,
    RecordingWarning,
)


def speakers(n_patients=30, n_classes=2, tasks="ab", informative="ab", seed=0, repeats=1):
    """One or more recordings of every task; only some tasks differ by class."""
    rng = np.random.default_rng(seed)
    rows, y = [], []
    for number in range(n_patients):
        code = number % n_classes
        for task in tasks:
            for take in range(repeats):
                f0, f1 = rng.normal(size=2) * 0.5 + (task in informative) * (2.0 * code)
                name = f"P{number:02d}"
                audio = f"{name}_{task}_{take}.wav"
                rows.append({"audio": audio, "patient": name, "task": task, "f0": f0, "f1": f1})
                y.append(code)
    return pd.DataFrame(rows), np.array(y)


def fusion_model(fusion="gmu", **parameters):
    """A small network on columns f0 and f1."""
    features = ColumnTransformer([("f", "passthrough", ["f0", "f1"])])
    small = {"embedding_dim": 8, "fusion_dim": 8, "head": HyperHead(hidden_dim=16, context_dim=8)}
    small |= {"lr": 0.02, "max_epochs": 15, "random_state": 0, "device": "cpu"}
    return TaskFusionClassifier(
        make_pipeline(features, StandardScaler()), fusion=fusion, **small | parameters
    )


def take_features(X):
    return X[["f0", "f1"]].to_numpy()


def take_image(X):
    return np.stack([np.full((3, 32, 32), value) for value in X["f0"]])


@pytest.mark.usefixtures("routing")
def test_model_selection():
    X, y = speakers(24)
    model = fusion_model(max_epochs=2)
    folds = StratifiedPatientKFold(2, random_state=0)
    scorer = patient_scorer("balanced_accuracy")
    scores = cross_val_score(model, X, y, cv=folds, scoring=scorer)
    assert scores.shape == (2,)
    grid = {"fusion": ["gmu", "film"], "transformer__standardscaler__with_std": [True]}
    search = GridSearchCV(model, grid, cv=folds, scoring=scorer, error_score="raise").fit(X, y)
    assert search.best_params_["fusion"] in ("gmu", "film")
    stopped = fusion_model(max_epochs=2, early_stopping=EarlyStopping())
    assert np.isfinite(cross_val_score(stopped, X, y, cv=folds)).all()


def test_parameters_clone_pickle_and_repeat():
    X, y = speakers(12)
    model = fusion_model("attention", task_dropout=0.2, max_epochs=3)
    model.set_params(transformer__standardscaler__with_mean=False, fusion_dim=6)
    copy = clone(model)
    assert copy.get_params()["transformer__standardscaler__with_mean"] is False
    assert copy.fusion_dim == 6
    model.fit(X, y)
    assert not hasattr(model.transformer[-1], "scale_")
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), expected)
    np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), expected)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    pd.testing.assert_frame_equal(again.task_weights(X), model.task_weights(X))
    assert "TaskFusionClassifier" in model._repr_html_()
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.predict_proba(X), expected)


@pytest.mark.parametrize(
    "labels", [np.array(["HC", "ALS"]), np.array([False, True]), np.array([7, -2]), [0.0, 3.0]]
)
def test_labels_of_any_type(labels):
    X, y = speakers(12)
    labels = np.asarray(labels)
    model = fusion_model().fit(X, labels[y])
    assert model.predict(X).dtype == labels.dtype
    assert model.classes_.tolist() == sorted(labels.tolist())
    assert model.score(X, labels[y]) > 0.9
    assert model.predict_patients(X)["prediction"].tolist() == model.predict(X)[::2].tolist()
    same = fusion_model().fit(X, pd.Series(labels[y], index=X.index[::-1]))
    assert same.predict(X).tolist() == model.predict(X).tolist()


def test_early_stopping_holds_out_whole_patients():
    X, y = speakers(repeats=3)
    model = fusion_model(early_stopping=EarlyStopping(validation_fraction=0.3), max_epochs=3).fit(
        X, y
    )
    held_out = set(model.validation_patients_)
    assert 0 < len(held_out) < 15
    assert held_out < set(X["patient"])
    assert "valid_loss" in model.history_
    assert not hasattr(fusion_model(max_epochs=1).fit(X, y), "validation_patients_")


def test_leaks_draw_a_warning():
    X, y = speakers()
    model = fusion_model().fit(X, y)
    model.predict(X)
    with pytest.warns(PatientLeakWarning, match="were in the training set"):
        model.predict(X.assign(audio=X["audio"] + "2"))
    by_rows = SelectFromModel(ElasticNetCV(cv=2))
    features = make_pipeline(FunctionTransformer(take_features), by_rows)
    with pytest.warns(PatientLeakWarning, match="splits recordings, not patients"):
        fusion_model(max_epochs=1).set_params(transformer=features).fit(X, y)


@pytest.mark.parametrize("share", [True, False])
def test_images(share):
    X, y = speakers(6)
    X.loc[3, "f0"] = np.nan
    model = TaskFusionClassifier(
        FunctionTransformer(take_image),
        fusion="gmu",
        backbone=Backbone("convnext_femto", weights=None, freeze=1),
        share_backbone=share,
        embedding_dim=8,
        fusion_dim=4,
        head="dense",
        max_epochs=1,
        random_state=0,
        device="cpu",
    )
    with pytest.warns(RecordingWarning, match="1 of 12 recordings"):
        model.fit(X, y)
    assert model.recording_shape_ == (3, 32, 32)
    assert len(model.net_.module_.encoders) == (1 if share else 2)
    with pytest.warns(RecordingWarning, match="1 of 12 recordings"):
        assert model.predict_patients(X)["n_tasks"].tolist() == [2, 1, 2, 2, 2, 2]


def test_errors():
    X, y = speakers(6)
    model = fusion_model(max_epochs=1)
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(MissingColumnError, match="'task' is needed to fuse tasks"):
        model.fit(X.drop(columns="task"), y)
    with pytest.raises(MissingColumnError, match="'patient'"):
        model.fit(X.drop(columns="patient"), y)
    with pytest.raises(ValueError, match="only one class, 0"):
        model.fit(X, 0 * y)
    with pytest.raises(PatientError, match="different labels"):
        model.fit(X, np.arange(len(y)) % 2)
    with pytest.raises(ValueError, match=r"made shape \(12,\)"):
        clone(model).set_params(transformer=FunctionTransformer(one_column)).fit(X, y)
    broken = X.copy()
    broken.loc[4, "f0"] = np.inf
    partly = clone(model).set_params(transformer=FunctionTransformer(take_features))
    with pytest.raises(ValueError, match=r"NaN or infinity inside rows \[4\]"):
        partly.fit(broken, y)
    partly.fit(X, y)
    partly.transformer_.set_params(func=take_one)
    with pytest.raises(ValueError, match=r"shape \(1,\), but the network was trained on \(2,\)"):
        partly.predict(X)
    with pytest.raises(ValueError, match="only one class"):
        partly.fit(X, 0 * y)
    with pytest.raises(NotFittedError):
        partly.predict(X)  # of the earlier fit


def one_column(X):
    return X["f0"].to_numpy()


def take_one(X):
    return X[["f0"]].to_numpy()


@pytest.mark.parametrize(
    "parameters",
    [
        {"fusion": "sum"},
        {"head": "hyp"},
        {"task_dropout": 1.0},
        {"fusion_dim": 0},
        {"tasks": "phonationA"},
        {"share_backbone": "yes"},
        {"backbone__freeze": "some"},
        {"loss": "crossentropy"},
        {"early_stopping": True},
        {"lr": 0.0},
        {"mixed_precision": "always"},
        {"transformer": "egemaps"},
    ],
)
def test_parameters_are_validated(parameters):
    X, y = speakers(6)
    model = fusion_model(backbone=Backbone())
    with pytest.raises(InvalidParameterError, match=next(iter(parameters)).split("__")[-1]):
        model.set_params(**parameters).fit(X, y)


def test_contexts_are_noise():
    X, y = speakers(6)
    with pytest.raises(ValueError, match="context='data' needs a vector beside each image"):
        fusion_model(head=HyperHead(context="data")).fit(X, y)


@pytest.mark.parametrize("loss", ["coral", "corn", "cumulative_link"])
def test_grades_are_fused_with_ordinal_losses(loss):
    X, y = speakers(n_classes=3)
    decided = fusion_model(loss=loss).fit(X, y).predict_patients(X)
    above_0, above_1 = decided["proba_1"] + decided["proba_2"], decided["proba_2"]
    median = (above_0 > 0.5).astype(int) + (above_1 > 0.5)
    assert decided["prediction"].tolist() == median.tolist()
    truth = pd.Series(y, index=X["patient"]).groupby(level=0).first()
    assert np.mean(decided["prediction"] == truth.loc[decided.index]) > 0.8


def test_backbones_can_be_cut_and_made_narrow():
    X, y = speakers(n_patients=4)
    images = FunctionTransformer(take_image)
    model = TaskFusionClassifier(
        images,
        backbone=Backbone("convnext_femto", weights=None),
        max_epochs=1,
        embedding_dim=8,
        fusion_dim=8,
        random_state=0,
    )
    whole = clone(model).fit(X, y)
    cut = clone(model).set_params(backbone__depth=2).fit(X, y)
    narrow = clone(model).set_params(backbone__width=0.5).fit(X, y)
    assert cut.n_parameters_ < whole.n_parameters_ > narrow.n_parameters_
