from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from sklearn_dysarthria import EarlyStopping, HyperHead, HyperLinearClassifier
from sklearn_dysarthria.exceptions import PatientError

PATIENTS = np.repeat([f"p{n:02d}" for n in range(16)], 3)
LABELS = np.repeat(["ALS", "HC"], 24)
# Sixteen patients of three recordings each; the first eight are ALS.


@pytest.fixture
def X():  # noqa: N802
    rng = np.random.default_rng(0)
    return rng.normal(size=(48, 5)) + (LABELS == "HC")[:, None]


def model(**changes):
    model = HyperLinearClassifier(
        head=HyperHead(hidden_dim=16),
        early_stopping=EarlyStopping(patience=10),
        max_epochs=4,
        random_state=0,
    )
    return model.set_params(**changes)


def test_patients_are_needed(X):
    with pytest.raises(ValueError, match="holds out patients, and needs to know them"):
        model().fit(X, LABELS)


def test_held_out_patients_never_train(X, watch):
    fitted = model(callbacks=[watch]).fit(X, LABELS, groups=PATIENTS)
    valid, train = watch.rows("valid"), watch.rows("train")
    assert set(PATIENTS[valid]).isdisjoint(PATIENTS[train])
    assert_array_equal(np.sort(np.concatenate([valid, train])), np.arange(48))
    assert set(fitted.validation_patients_) == set(PATIENTS[valid])
    assert len(fitted.validation_patients_) == 4


@pytest.mark.parametrize(("fraction", "each"), [(0.2, 2), (0.01, 1), (0.5, 4), (0.99, 7)])
def test_stratified(X, fraction, each):
    fitted = model(early_stopping__validation_fraction=fraction).fit(X, LABELS, groups=PATIENTS)
    held_out = np.isin(PATIENTS, fitted.validation_patients_)
    assert [len(set(PATIENTS[held_out & (c == LABELS)])) for c in ("ALS", "HC")] == [each, each]


def test_reproducible_and_decided_by_random_state(X):
    def held_out(seed):
        fitted = model(random_state=seed, max_epochs=1).fit(X, LABELS, groups=PATIENTS)
        return tuple(fitted.validation_patients_)

    assert held_out(0) == held_out(0)
    assert len({held_out(seed) for seed in range(5)}) > 1


def test_patients_keep_their_type(X):
    numbers = np.repeat(np.arange(16), 3)
    fitted = model(max_epochs=1).fit(X, LABELS, groups=numbers)
    assert fitted.validation_patients_.dtype == numbers.dtype
    mixed = [1, "1", 2, "2"] * 12
    labels = ["a", "a", "b", "b"] * 12
    fitted = model(max_epochs=1).fit(X, labels, groups=mixed)
    assert len(fitted.validation_patients_) == 2
    assert set(fitted.validation_patients_) < {1, "1", 2, "2"}


def test_a_class_with_one_patient_stays_in_training(X):
    patients = np.where(LABELS == "HC", "only", PATIENTS)
    fitted = model().fit(X, LABELS, groups=patients)
    assert "only" not in fitted.validation_patients_
    with pytest.raises(ValueError, match="at least two patients"):
        model().fit(X, LABELS, groups=LABELS)


def test_two_labels_for_one_patient(X):
    patients = PATIENTS.copy()
    patients[-1] = "p00"
    with pytest.raises(PatientError, match="patient 'p00' carries different labels"):
        model().fit(X, LABELS, groups=patients)


def test_failed_rows_do_not_count(X, watch):
    X[PATIENTS == "p03"] = np.nan
    fitted = model(early_stopping__validation_fraction=0.99, callbacks=[watch])
    with pytest.warns(UserWarning, match="3 of 48 rows"):
        fitted.fit(X, LABELS, groups=PATIENTS)
    assert "p03" not in fitted.validation_patients_
    used = np.concatenate([watch.rows("valid"), watch.rows("train")])
    assert len(used) == 45
    assert "p03" not in PATIENTS[used]


def test_oversampled_rows_are_training_rows_only(watch, convnext, make_images):
    images, y = make_images(24)
    patients = np.arange(24) // 4 * 2 + y
    fitted = convnext.model(early_stopping=EarlyStopping(), oversample={1: 3}, callbacks=[watch])
    fitted.fit(images, y, groups=patients)
    valid, train = watch.rows("valid"), watch.rows("train")
    assert len(np.unique(valid)) == len(valid)
    times = np.bincount(train, minlength=24)
    assert_array_equal(times, np.where(np.isin(np.arange(24), valid), 0, np.where(y, 3, 1)))


def loss_on(fitted, X, y, rows):
    codes = np.searchsorted(fitted.classes_, y[rows])
    p = fitted.predict_proba(X[rows])
    return -np.log(p[np.arange(len(rows)), codes]).mean()


def test_the_best_epochs_weights_are_restored(X):
    # Steps this large make the loss go up and down.
    fitted = model(max_epochs=25, early_stopping__patience=25, lr=0.3).fit(
        X, LABELS, groups=PATIENTS
    )
    losses = fitted.history_["valid_loss"]
    assert losses.idxmin() < len(losses)
    held_out = np.flatnonzero(np.isin(PATIENTS, fitted.validation_patients_))
    now = loss_on(fitted, X, LABELS, held_out)
    assert now == pytest.approx(losses.min(), rel=1e-3)
    assert abs(now - losses.iloc[-1]) > 1e-3


def test_stops_after_patience(X):
    fitted = model(max_epochs=200, early_stopping__patience=2, lr=0.3).fit(
        X, LABELS, groups=PATIENTS
    )
    losses = fitted.history_["valid_loss"]
    assert fitted.n_iter_ == len(losses) < 200
    assert fitted.n_iter_ - losses.idxmin() == 2


def test_refit_without_early_stopping_forgets_the_patients(X):
    fitted = model(max_epochs=1).fit(X, LABELS, groups=PATIENTS)
    fitted.set_params(early_stopping=None).fit(X, LABELS, groups=PATIENTS)
    assert not hasattr(fitted, "validation_patients_")
    assert "valid_loss" not in fitted.history_


def test_history_columns(X):
    plain = model(early_stopping=None).fit(X, LABELS).history_
    assert list(plain.columns) == ["train_loss", "seconds"]
    assert list(plain.index) == [1, 2, 3, 4]
    assert plain.index.name == "epoch"
    full = model(lr_schedule="cosine").fit(X, LABELS, groups=PATIENTS).history_
    expected = ["train_loss", "valid_loss", "valid_accuracy", "lr", "seconds"]
    assert list(full.columns) == expected
    assert full["valid_accuracy"].between(0, 1).all()


def test_the_choice_ignores_torchs_generator(X):
    torch.manual_seed(0)
    first = model(max_epochs=1).fit(X, LABELS, groups=PATIENTS).validation_patients_
    torch.manual_seed(1)
    again = model(max_epochs=1).fit(X, LABELS, groups=PATIENTS).validation_patients_
    assert_array_equal(first, again)
