"""RecordingOverSampler: which rows it repeats, of what, and what it refuses."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from imblearn.utils.estimator_checks import parametrize_with_checks
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone

from sklearn_dysarthria import RecordingOverSampler

SAND = {1: 21, 2: 5, 3: 2}
SEVERITY = np.array([5, 1, 2, 3, 4, 5, 5, 2])


_checks = parametrize_with_checks([RecordingOverSampler(random_state=0)])


# A list: pytest will not take the generator that imbalanced-learn gives it.
@pytest.mark.parametrize(_checks.args[0], list(_checks.args[1]), **_checks.kwargs)
def test_imbalanced_learns_own_checks(estimator, check):
    check(estimator)


# Which rows


def test_multipliers_repeat_every_row_of_a_class():
    rows = [f"{i}.wav" for i in range(8)]
    sampler = RecordingOverSampler(multipliers=SAND)
    X, y = sampler.fit_resample(rows, SEVERITY)
    assert Counter(X) == {
        rows[i]: {1: 21, 2: 5, 3: 2}.get(label, 1) for i, label in enumerate(SEVERITY)
    }
    assert Counter(y.tolist()) == {1: 21, 2: 10, 3: 2, 4: 1, 5: 3}
    assert [rows[i] for i in sampler.sample_indices_] == X
    assert sampler.sampling_strategy_ == {1: 20, 2: 8, 3: 1}
    assert (np.diff(sampler.sample_indices_) >= 0).all()
    np.testing.assert_array_equal(SEVERITY[sampler.sample_indices_], y)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    times=st.dictionaries(st.integers(0, 4), st.integers(1, 6)),
)
def test_multipliers_on_anything(labels, times):
    times = {label: number for label, number in times.items() if label in labels}
    X, y = RecordingOverSampler(multipliers=times).fit_resample(list(range(len(labels))), labels)
    expected = [i for i, label in enumerate(labels) for _ in range(times.get(label, 1))]
    assert expected == X
    assert y == [labels[i] for i in expected]


STRATEGIES = {
    "auto": "auto",
    "minority": "minority",
    "not minority": "not minority",
    "all": "all",
    "dict": {1: 6, 2: 4},
    "callable": lambda y: dict.fromkeys(np.unique(y), 7),
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rows_that_imbalanced_learn_draws(name, seed):
    X = np.arange(16.0).reshape(8, 2)
    ours = RecordingOverSampler(sampling_strategy=STRATEGIES[name], random_state=seed)
    theirs = RandomOverSampler(sampling_strategy=STRATEGIES[name], random_state=seed)
    for one, other in zip(
        ours.fit_resample(X, SEVERITY), theirs.fit_resample(X, SEVERITY), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(ours.sample_indices_, theirs.sample_indices_)
    assert ours.sampling_strategy_ == theirs.sampling_strategy_


def test_ratio_for_two_classes():
    y = np.array([0] * 10 + [1] * 3)
    _, resampled = RecordingOverSampler(sampling_strategy=0.5, random_state=0).fit_resample(y, y)
    assert Counter(resampled.tolist()) == {0: 10, 1: 5}


def test_random_state():
    X = np.arange(8)
    drawn = [
        RecordingOverSampler(random_state=seed).fit_resample(X, SEVERITY)[0].tolist()
        for seed in (0, 0, 1, np.random.RandomState(0))
    ]
    assert drawn[0] == drawn[1] == drawn[3]
    assert drawn[0] != drawn[2]
    repeats = RecordingOverSampler(multipliers={1: 2})
    assert repeats.fit_resample(X, SEVERITY)[0].tolist() == [0, 1, 1, 2, 3, 4, 5, 6, 7]


# Of what


def table():
    audio = np.empty(8, dtype=object)
    for i in range(8):
        audio[i] = np.full(100, i, dtype=np.float32)  # of one length: they must not be stacked
    X = pd.DataFrame({"audio": audio, "sample_rate": 8000, "sex": ["F", None] * 4})
    X["segments"] = pd.Series(
        [[(0.0, 0.1)], None, np.nan, [(0, 0.1), (0.2, 0.3)]] * 2, dtype=object
    )
    X["age"] = [50.0, np.nan] * 4
    X["visits"] = pd.array([1, None] * 4, dtype="Int64")
    X["group"] = pd.Categorical(["a", None] * 4)
    X["seen"] = pd.to_datetime(["2020-01-01", None] * 4)
    return X


INDICES = {
    "range": pd.RangeIndex(8),
    "subset": pd.Index([40, 3, 17, 5, 2, 99, 0, 8]),
    "names": pd.Index(list("abcdefgh")),
    "not unique": pd.Index(["a", 1, "a", None, (1, 2), 1, "b", "c"], dtype=object),
    "levels": pd.MultiIndex.from_product([["x", "y"], range(4)]),
}
SAMPLERS = {
    "multipliers": RecordingOverSampler(multipliers=SAND),
    "drawn": RecordingOverSampler(random_state=0),
}


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_tables_keep_types_cells_and_labels(index, name):
    X = table().set_index(INDICES[index])
    before = X.copy(deep=True)
    sampler = clone(SAMPLERS[name])
    out, labels = sampler.fit_resample(X, pd.Series(SEVERITY, index=X.index))
    pd.testing.assert_frame_equal(X, before)
    assert out.dtypes.equals(X.dtypes)
    pd.testing.assert_frame_equal(out, X.iloc[sampler.sample_indices_])
    assert out.index.equals(labels.index)
    for row, origin in enumerate(sampler.sample_indices_):
        assert out["audio"].iloc[row] is X["audio"].iloc[origin]  # copies cost no memory
    assert sampler.feature_names_in_.tolist() == list(X.columns)
    assert sampler.n_features_in_ == X.shape[1]


def structured():
    out = np.empty(8, dtype=[("image", "f4", (3, 4, 4)), ("context", "f4", (5,))])
    out["image"] = np.arange(8)[:, None, None, None]
    out["context"] = np.arange(8)[:, None]
    return out


FORMS = {
    "list": [f"{i}.wav" for i in range(8)],
    "series": pd.Series([f"{i}.wav" for i in range(8)], index=list("abcdefgh")),
    "objects": np.array([f"{i}.wav" for i in range(8)], dtype=object),
    "features": np.arange(16.0).reshape(8, 2),
    "failed recordings": np.full((8, 3), np.nan),
    "images": np.arange(8 * 3 * 4 * 5, dtype=np.float32).reshape(8, 3, 4, 5),
    "structured": structured(),
    "numbers only": table()[["age"]],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_forms_of_x(form, name):
    X, sampler = FORMS[form], clone(SAMPLERS[name])
    out, y = sampler.fit_resample(X, SEVERITY)
    assert type(out) is type(X)
    assert len(out) == len(y) == len(sampler.sample_indices_)
    if isinstance(X, (pd.DataFrame, pd.Series)):
        assert out.equals(X.iloc[sampler.sample_indices_])
    elif isinstance(X, list):
        assert out == [X[i] for i in sampler.sample_indices_]
    else:
        assert out.dtype == X.dtype
        assert out.shape[1:] == X.shape[1:]
        np.testing.assert_array_equal(out, X[sampler.sample_indices_])


def test_sparse_features():
    X = sparse.random(8, 5, density=0.5, format="coo", rng=0)
    sampler = RecordingOverSampler(multipliers=SAND)
    out, _ = sampler.fit_resample(X, SEVERITY)
    np.testing.assert_array_equal(out.toarray(), X.toarray()[sampler.sample_indices_])


@pytest.mark.parametrize(
    "labels",
    [
        ["mild", "severe", "none", "mild", "mild", "none", "none", "none"],
        np.array(["mild", "severe", "none", "mild", "mild", "none", "none", "none"]),
        pd.Series(["mild", "severe", "none"] * 2 + ["none"] * 2, index=list("abcdefgh")),
        pd.Series(pd.Categorical(["mild", "severe", "none"] * 2 + ["none"] * 2)),
    ],
)
def test_forms_of_y(labels):
    X, y = RecordingOverSampler(multipliers={"severe": 3}).fit_resample(np.arange(8), labels)
    assert type(y) is type(labels)
    assert Counter(list(y))["severe"] == 3 * Counter(list(labels))["severe"]
    assert [list(labels)[i] for i in X] == list(y)
    _, y = RecordingOverSampler(random_state=0).fit_resample(np.arange(8), labels)
    assert len(set(Counter(list(y)).values())) == 1


def test_a_fit_leaves_no_traces_of_another():
    sampler = RecordingOverSampler(multipliers=SAND)
    sampler.fit_resample(table(), SEVERITY)
    sampler.fit_resample(FORMS["list"], SEVERITY)
    assert not hasattr(sampler, "feature_names_in_")
    assert not hasattr(sampler, "n_features_in_")


# What it refuses


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"multipliers": {6: 2}}, r"multipliers names 6, which is not among the labels \[1, 2, 3,"),
        ({"multipliers": {"1": 2}}, "multipliers names '1'"),
        ({"multipliers": {True: 2}}, "multipliers names True"),
        ({"multipliers": {1: 0}}, r"multipliers\[1\]=0 must be an integer of 1 or more"),
        ({"multipliers": {1: -2}}, r"multipliers\[1\]=-2 must be"),
        ({"multipliers": {1: 2.0}}, r"multipliers\[1\]=2.0 must be"),
        ({"multipliers": {1: True}}, r"multipliers\[1\]=True must be"),
        ({"multipliers": {1: "2"}}, r"multipliers\[1\]='2' must be"),
        ({"multipliers": 21}, "'multipliers' parameter"),
        ({"multipliers": [21, 5, 2]}, "'multipliers' parameter"),
        ({"multipliers": {1: 2}, "sampling_strategy": "all"}, "exclude each other"),
        ({"multipliers": {}, "sampling_strategy": {1: 3}}, "exclude each other"),
        ({"sampling_strategy": True}, "'sampling_strategy' parameter"),
        ({"sampling_strategy": None}, "'sampling_strategy' parameter"),
        ({"sampling_strategy": 1.5}, "'sampling_strategy' parameter"),
        ({"sampling_strategy": "majority"}, "'sampling_strategy' parameter"),
        ({"sampling_strategy": 0.5}, "float only when the type of target is binary"),
        ({"sampling_strategy": {6: 9}}, "sampling_strategy names 6"),
        ({"sampling_strategy": {5: 1}}, "greater or equal to the original number"),
        ({"sampling_strategy": {1: 2.5}}, r"sampling_strategy\[1\]=2.5 must be an integer"),
        ({"sampling_strategy": {1: True}}, r"sampling_strategy\[1\]=True must be"),
        ({"multipliers": {1: 10**12}}, r"multipliers asks for \d+ rows, more than 100000000"),
        ({"multipliers": {1: 10**30}}, "multipliers asks for"),
        ({"sampling_strategy": {1: 10**12}}, "sampling_strategy asks for"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
)
def test_absurd_parameters(parameters, message):
    for method in ("fit", "fit_resample"):
        with pytest.raises(ValueError, match=message):
            getattr(RecordingOverSampler(**parameters), method)(np.arange(8), SEVERITY)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.arange(8), None, "needs y"),
        (np.arange(7), SEVERITY, "inconsistent numbers of samples"),
        ([], [], "there is no row"),
        (np.arange(3), [1.0, np.nan, 2.0], r"no label at positions \[1\]"),
        (np.arange(3), ["a", "b", None], r"no label at positions \[2\]"),
        (np.arange(3), [0.1, 0.2, 0.35], "Unknown label type"),
    ],
)
def test_absurd_data(X, y, message):
    for method in ("fit", "fit_resample"):
        with pytest.raises(ValueError, match=message):
            getattr(RecordingOverSampler(), method)(X, y)


def test_one_class():
    X, y = RecordingOverSampler(multipliers={1: 2}).fit_resample([1, 2], [1, 1])
    assert (X, y) == ([1, 1, 2, 2], [1, 1, 1, 1])
    with pytest.raises(ValueError, match="more than 1 class"):
        RecordingOverSampler().fit_resample([1, 2], [1, 1])


def test_parameters():
    sampler = RecordingOverSampler(multipliers=SAND, random_state=0)
    assert sampler.multipliers is SAND
    assert (
        clone(sampler).get_params()
        == sampler.get_params()
        == {
            "multipliers": SAND,
            "sampling_strategy": "auto",
            "random_state": 0,
        }
    )
    twin = pickle.loads(pickle.dumps(sampler.fit(np.arange(8), SEVERITY)))
    assert twin.sampling_strategy_ == {1: 20, 2: 8, 3: 1}
    assert "RecordingOverSampler" in sampler._repr_html_()
    with pytest.raises(TypeError):
        RecordingOverSampler(SAND)


@pytest.mark.parametrize(
    "setting", [{"transform_output": "pandas"}, {"enable_metadata_routing": True}]
)
def test_global_settings_do_not_matter(setting):
    with config_context(**setting):
        X, _ = RecordingOverSampler(multipliers=SAND).fit_resample(FORMS["images"], SEVERITY)
    assert X.shape == (37, 3, 4, 5)


# imbalanced-learn's own over-sampler on our tables


@pytest.mark.parametrize("index", INDICES)
def test_random_over_sampler_on_tables(index):
    X = table().set_index(INDICES[index])
    sampler = RandomOverSampler(random_state=0)
    out, _ = sampler.fit_resample(X, SEVERITY)
    assert out.dtypes.equals(X.dtypes)
    expected = X.iloc[sampler.sample_indices_].reset_index(drop=True)  # labels are lost
    pd.testing.assert_frame_equal(out, expected)
    for row, origin in enumerate(sampler.sample_indices_):
        assert out["audio"].iloc[row] is X["audio"].iloc[origin]


@pytest.mark.parametrize("form", ["list", "series", "objects", "images", "structured"])
def test_random_over_sampler_refuses_anything_but_tables_and_matrices(form):
    with pytest.raises(ValueError, match=r"2D|2-dimensional|dim 4"):
        RandomOverSampler().fit_resample(FORMS[form], SEVERITY)
