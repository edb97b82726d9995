import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dysarthria import HyperHead, TaskFusionClassifier
from sklearn_dysarthria.exceptions import (
    PatientError,
    PatientLeakWarning,
    RecordingWarning,
)

FUSIONS = ("concat", "gmu", "attention", "film")


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


def without(X, y, patients, task):
    """Leave a task of some patients out."""
    keep = ~((X["task"] == task) & X["patient"].isin(patients)).to_numpy()
    return X[keep], y[keep]


@pytest.mark.parametrize("informative", ["a", "b"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_finds_the_task_that_informs(fusion, informative):
    X, y = speakers(40, informative=informative)
    new, truth = speakers(40, informative=informative, seed=1)
    new = new.assign(patient="new " + new["patient"], audio="new " + new["audio"])
    other = "b" if informative == "a" else "a"
    model = fusion_model(fusion, max_epochs=30, task_dropout=0.2).fit(X, y)
    assert model.score(new, truth) > 0.9
    strength = model.task_contributions(new).abs().mean()
    assert strength[informative] > 2 * strength[other]
    if fusion in ("gmu", "attention"):
        weights = model.task_weights(new).mean()
        assert weights[informative] > 0.6


@pytest.mark.parametrize("fusion", FUSIONS)
def test_combines_tasks_that_are_both_needed(fusion):
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, size=(160, 2))
    y = np.repeat((scores.sum(axis=1) > 0).astype(int), 2)
    rows = [
        {"audio": f"{n}{t}", "patient": n, "task": t, "f0": v, "f1": 0.0}
        for n, pair in enumerate(scores)
        for t, v in zip("ab", pair, strict=True)
    ]
    X = pd.DataFrame(rows)
    train, test = X["patient"] < 100, X["patient"] >= 100
    size = {"embedding_dim": 32, "fusion_dim": 32, "lr": 0.01, "head": "dense"}
    both = fusion_model(fusion, max_epochs=25, **size)
    both = both.fit(X[train], y[train]).score(X[test], y[test])
    alone = fusion_model(fusion, tasks=["a"], max_epochs=15, **size)
    just_a = X["task"] == "a"
    alone.fit(X[train & just_a], y[train & just_a])
    assert both > 0.88
    assert both > alone.score(X[test & just_a], y[test & just_a]) + 0.1


# ------------------------------------------------------------------- patients, missing recordings


def test_answers_by_patient_and_by_row():
    X, y = speakers(repeats=2)
    model = fusion_model().fit(X, y)
    decided = model.predict_patients(X[::-1])
    assert decided.index.tolist() == list(dict.fromkeys(X["patient"][::-1]))
    assert decided.columns.tolist() == [
        "prediction",
        "n_recordings",
        "n_tasks",
        "proba_0",
        "proba_1",
    ]
    assert (decided["n_recordings"] == 4).all()
    assert (decided["n_tasks"] == 2).all()
    np.testing.assert_allclose(decided[["proba_0", "proba_1"]].sum(axis=1), 1)
    of_row = decided.loc[X["patient"]]
    assert (model.predict(X) == of_row["prediction"]).all()
    # Other batches round otherwise.
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], of_row["proba_1"], rtol=1e-4)
    assert (decided["prediction"] == (decided["proba_1"] > 0.5)).all()
    assert model.history_.index.name == "epoch"
    assert model.n_iter_ == 15
    assert model.recording_shape_ == (2,)
    assert model.n_parameters_ == sum(p.numel() for p in model.net_.module_.parameters())


def test_probability_is_the_mean_over_items():
    X, y = speakers(tasks="ab", repeats=2)
    model = fusion_model().fit(X, y)
    mine = X[X["patient"] == "P03"]
    takes = [mine[mine["audio"].str.endswith(f"_{take}.wav")] for take in range(2)]
    with pytest.warns(PatientLeakWarning):  # a part of the patient is other than the whole
        whole = model.predict_patients(mine.assign(audio=mine["audio"] + " ")).loc["P03"]
    each = [model.predict_patients(take).loc["P03", "proba_1"] for take in takes]
    np.testing.assert_allclose(whole["proba_1"], np.mean(each), rtol=1e-6)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_order_and_index_of_rows_do_not_matter(fusion):
    X, y = speakers(20, tasks="abc", repeats=2)
    X, y = without(X, y, ["P03", "P04"], "b")
    model = fusion_model(fusion, max_epochs=4).fit(X, y)
    expected = model.predict_patients(X)
    order = np.random.default_rng(0).permutation(len(X))
    for index in (np.arange(len(X))[::-1], ["same"] * len(X), X["audio"].to_numpy()[order]):
        shuffled = X.iloc[order].set_axis(index)
        decided = model.predict_patients(shuffled).loc[expected.index]
        pd.testing.assert_frame_equal(decided, expected, rtol=1e-6)
    again = fusion_model(fusion, max_epochs=4).fit(X.iloc[order], y[order])
    pd.testing.assert_frame_equal(again.predict_patients(X), expected, rtol=1e-4, check_dtype=False)


def test_a_patients_answer_does_not_depend_on_who_else_is_asked():
    X, y = speakers(tasks="abc", repeats=2)
    X, y = without(X, y, ["P03"], "b")
    model = fusion_model("attention").fit(X, y)
    together = model.predict_proba(X)
    for patient in ("P03", "P07"):
        mine = (X["patient"] == patient).to_numpy()
        np.testing.assert_allclose(model.predict_proba(X[mine]), together[mine], rtol=1e-6)
        np.testing.assert_allclose(
            model.task_weights(X[mine]), model.task_weights(X).loc[[patient]], rtol=1e-6
        )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_tasks_may_be_missing(fusion):
    X, y = speakers(tasks="abc")
    lacking = ["P01", "P02", "P05"]
    X, y = without(X, y, lacking, "b")
    X, y = without(X, y, ["P01"], "a")
    X, y = without(X, y, ["P09"], "c")
    model = fusion_model(fusion).fit(X, y)
    assert model.tasks_ == ["a", "b", "c"]
    decided = model.predict_patients(X)
    assert decided.loc[["P00", "P01", "P02"], "n_tasks"].tolist() == [3, 1, 2]
    contributions = model.task_contributions(X)
    assert contributions.loc["P01"].isna().all()
    assert contributions.isna().sum().sum() == 3 + 3
    if fusion in ("gmu", "attention"):
        weights = model.task_weights(X)
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        assert weights.loc["P01"].tolist()[2] == 1
        assert weights.isna().sum().sum() == 5
        assert weights.index.name == "patient"
        assert weights.columns.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_failed_recordings_are_missing_ones(fusion):
    X, y = speakers()
    lost = [f"{patient}_b_0.wav" for patient in ("P03", "P04")]
    broken = X.copy()
    broken.loc[broken["audio"].isin(lost), ["f0", "f1"]] = np.nan
    features = FunctionTransformer(take_features)
    model = fusion_model(fusion).set_params(transformer=features)
    with pytest.warns(RecordingWarning, match=r"2 of 60 recordings .* count as missing.*'P03'"):
        model.fit(broken, y)
    absent = clone(model).fit(*without(X, y, ["P03", "P04"], "b"))
    with pytest.warns(RecordingWarning, match="count as missing") as caught:
        probabilities = model.predict_patients(broken)
    assert [w.filename for w in caught] == [__file__]
    pd.testing.assert_frame_equal(
        probabilities, absent.predict_patients(*without(X, y, ["P03", "P04"], "b")[:1])
    )
    broken.loc[broken["patient"] == "P03", ["f0", "f1"]] = np.nan
    with pytest.raises(PatientError, match="'P03' has no usable recording"):
        model.predict(broken)
    with pytest.raises(PatientError, match="'P03' has no usable recording"):
        clone(model).fit(broken, y)


def take_features(X):
    return X[["f0", "f1"]].to_numpy()


class Failing(TransformerMixin, BaseEstimator):
    """Turns the recordings that do not exist into NaN, as the package's transformers do."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        from sklearn_dysarthria.recordings import map_recordings

        rows = map_recordings(read, X, on_error="nan")
        return np.array([[np.nan, np.nan] if row is None else row for row in rows])

    def __sklearn_is_fitted__(self):
        return True


def read(row):
    from sklearn_dysarthria.exceptions import MissingFileError

    if row["audio"].startswith("missing"):
        raise MissingFileError("no such file.")
    return [row["f0"], row["f1"]]


def test_an_imputer_does_not_hide_a_failed_recording():
    X, y = speakers()
    X.loc[5, "audio"] = "missing.wav"
    model = fusion_model().set_params(transformer=make_pipeline(Failing(), SimpleImputer()))
    with pytest.warns(RecordingWarning) as caught:
        model.fit(X.set_axis(["same"] * len(X)), y)
    assert any("count as missing: rows 5 (patient 'P02')" in str(w.message) for w in caught)
    with pytest.warns(RecordingWarning):
        assert model.predict_patients(X).loc["P02", "n_tasks"] == 1


def test_named_tasks_and_unknown_ones():
    X, y = speakers(tasks="abc")
    with pytest.warns(RecordingWarning, match=r"tasks \['b'\] are not among") as caught:
        model = fusion_model(tasks=["c", "a"]).fit(X, y)
    assert [w.filename for w in caught] == [__file__]
    assert model.tasks_ == ["c", "a"]
    rest = X["task"] != "b"
    same = fusion_model(tasks=["c", "a"]).fit(X[rest], y[rest])
    decided = model.predict_patients(X)  # the fit has warned of "b" already
    pd.testing.assert_frame_equal(decided, same.predict_patients(X[rest]))
    new = X.assign(task=X["task"].replace("b", "d"))
    others = X.assign(patient="Q" + X["patient"])
    for fitted, table in ((model, new), (same, others)):
        with pytest.warns(RecordingWarning, match=r"\['[bd]'\] were not trained on") as caught:
            assert len(fitted.predict_patients(table)) == len(decided)
        assert [w.filename for w in caught] == [__file__]
    only_b = X["task"] == "b"
    with pytest.raises(PatientError, match="'P00' has no rec"):
        model.predict(X[only_b])
    moved = X.copy()
    moved.loc[moved["patient"] == "P04", "task"] = "b"
    with pytest.warns(RecordingWarning), pytest.raises(PatientError, match="'P04' has no rec"):
        model.fit(moved, y)
    for wrong in ([], ["a", "a"]):
        with pytest.raises(ValueError, match="at least one task, and each only once"):
            fusion_model(tasks=wrong).fit(X, y)
    with pytest.raises(ValueError, match=r"names 'phonation', of which the training set has no"):
        fusion_model(tasks=["a", "phonation"]).fit(X, y)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_absence_that_was_never_trained_draws_a_warning(fusion):
    X, y = speakers()
    part = X[(X["task"] == "a") | (X["patient"] != "P00")]
    model = fusion_model(fusion).fit(X, y)
    if fusion in ("concat", "gmu"):
        with pytest.warns(RecordingWarning, match=r"tasks \['b'\] are missing or with") as caught:
            model.predict_patients(part)
        assert [w.filename for w in caught] == [__file__]
        model.set_params(task_dropout=0.3).fit(X, y)
    model.predict(part)
    model.task_contributions(X)


# ------------------------------------------------------------------------------- contributions


@pytest.mark.parametrize("fusion", FUSIONS)
def test_contributions_are_what_withholding_changes(fusion):
    X, y = speakers(tasks="abc", informative="abc", repeats=2)
    X, y = X.iloc[:-1], y[:-1]  # the last patient has one take of c, and two of the others
    model = fusion_model(fusion, task_dropout=0.3, max_epochs=3).fit(X, y)
    contributions = model.task_contributions(X)
    complete = model.predict_patients(X)["proba_1"]
    for task in "abc":
        rest = model.predict_patients(X[X["task"] != task])["proba_1"]
        np.testing.assert_allclose(contributions[task], complete - rest, atol=1e-6)
    assert (contributions.abs().max() > 1e-3).all()


def test_contributions_and_weights_of_several_classes():
    X, y = speakers(n_classes=3)
    labels = np.array(["mild", "none", "severe"])
    model = fusion_model("attention").fit(X, labels[y])
    contributions = model.task_contributions(X)
    assert contributions.columns.names == ["class", "task"]
    assert contributions["severe"].columns.tolist() == ["a", "b"]
    assert contributions.shape == (30, 6)
    total = sum(contributions[label] for label in labels)
    np.testing.assert_allclose(total, 0, atol=1e-6)
    assert model.predict_proba(X).shape == (60, 3)
    assert set(model.predict(X)) <= set(labels)
    assert model.score(X, labels[y]) > 0.9


def test_task_weights_only_where_tasks_are_weighted():
    for fusion in ("concat", "film"):
        model = fusion_model(fusion)
        with pytest.raises(AttributeError) as error:
            model.task_weights  # noqa: B018
        assert "one of ('gmu', 'attention')" in str(error.value.__cause__)
        assert hasattr(model, "task_contributions")
    X, y = speakers(6)
    model = fusion_model("gmu", max_epochs=1).fit(X, y)
    assert hasattr(model.set_params(fusion="film"), "task_weights")
    state = torch.get_rng_state()
    assert model.task_weights(X).shape == (6, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert not hasattr(model.fit(X, y), "task_weights")


def test_one_task_is_the_network_on_it_alone():
    X, y = speakers(tasks="a")
    for fusion in FUSIONS:
        model = fusion_model(fusion, max_epochs=4).fit(X, y)
        assert model.score(X, y) > 0.9
        assert model.task_contributions(X).isna().all().all()
    assert (fusion_model("gmu", max_epochs=1).fit(X, y).task_weights(X) == 1).all().all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_mixed_precision(fusion):
    X, y = speakers(12, tasks="abc")
    model = fusion_model(fusion, task_dropout=0.2, max_epochs=3)
    expected = model.fit(X, y).predict_proba(X)
    mixed = model.set_params(mixed_precision=True).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(mixed, expected, atol=0.1)
    assert not np.array_equal(mixed, expected)
