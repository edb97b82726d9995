import pickle
import warnings

import imblearn.pipeline
import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import RandomOverSampler
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils import estimator_html_repr

from sklearn_dysarthria import PatientVotingClassifier, SkipFailedRows
from sklearn_dysarthria.exceptions import (
    MissingColumnError,
    PatientError,
    RecordingError,
    RecordingWarning,
)
from sklearn_dysarthria.recordings import map_recordings


class Oracle(ClassifierMixin, BaseEstimator):
    """Answers with column ``scores`` of the table."""

    def __init__(self, method="predict_proba", n_classes=3):
        self.method = method
        self.n_classes = n_classes

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if self.method != "predict":
            setattr(self, self.method, self._scores)
        return self

    def _scores(self, X):
        return np.array(X["scores"].tolist(), dtype=float).reshape(len(X), -1)

    def predict(self, X):
        return self.classes_[self._scores(X).argmax(axis=1)]


def oracle_table(scores, patients):
    table = pd.DataFrame({"audio": "x.wav", "patient": pd.Series(patients, dtype=object)})
    table["scores"] = pd.Series([list(s) for s in scores], dtype=object)
    return table


def fitted_on(labels, voting, method="predict_proba"):
    labels = np.asarray(labels)
    train = oracle_table(np.eye(len(labels)), range(len(labels)))
    return PatientVotingClassifier(Oracle(method), voting).fit(train, labels)


def slow_winner(scores, voting):
    """The rule in words: most votes, larger sum, nearer the middle, lower."""
    n_classes = len(scores[0])
    summed = [sum(row[c] for row in scores) for c in range(n_classes)]
    votes = [0] * n_classes
    for row in scores:
        votes[row.index(max(row))] += 1
    first = votes if voting == "hard" else summed
    return sorted(
        range(n_classes),
        key=lambda c: (-round(first[c], 6), -round(summed[c], 6), abs(2 * c - n_classes + 1), c),
    )[0]


# Quarters add up exactly, so that ties are ties.
rows_of_scores = st.integers(2, 5).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.integers(0, 4).map(lambda q: q / 4), min_size=n, max_size=n),
        ),
        min_size=1,
        max_size=12,
    )
)


@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.PatientLeakWarning")
@settings(max_examples=60, deadline=None)
@given(rows_of_scores, st.sampled_from(["hard", "soft"]), st.data())
def test_votes_against_a_slow_implementation(rows, voting, data):
    n_classes = len(rows[0][1])
    model = fitted_on([f"c{i}" for i in range(n_classes)], voting)
    X = oracle_table([row[1] for row in rows], [row[0] for row in rows])
    decided = model.predict_patients(X)
    assert list(decided.index) == list(dict.fromkeys(X["patient"]))
    for patient in decided.index:
        theirs = [row[1] for row in rows if row[0] == patient]
        assert decided.loc[patient, "prediction"] == f"c{slow_winner(theirs, voting)}"
        assert decided.loc[patient, "n_recordings"] == len(theirs)
        mean = np.mean(theirs, axis=0)
        np.testing.assert_allclose(
            decided.loc[patient, [f"proba_c{i}" for i in range(n_classes)]].astype(float), mean
        )
    by_row = model.predict(X)
    assert by_row.tolist() == decided.loc[X["patient"], "prediction"].tolist()
    order = data.draw(st.permutations(range(len(X))))
    shuffled = X.iloc[order].set_axis(["same label"] * len(X))
    assert model.predict(shuffled).tolist() == by_row[order].tolist()
    np.testing.assert_allclose(model.predict_proba(shuffled), model.predict_proba(X)[order])


@pytest.mark.parametrize("voting", ["hard", "soft"])
@pytest.mark.parametrize(
    ("scores", "winner"),
    [
        ([[0.9, 0.1], [0.4, 0.6]], 0),  # one vote each, larger sum
        ([[0.6, 0.4], [0.1, 0.9]], 1),
        ([[0.6, 0.4], [0.4, 0.6]], 0),  # both classes of two are extreme: the lower
        ([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], None),
        ([[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]], None),
        ([[1, 0, 0], [0, 1, 0]], 1),
        ([[0, 1, 0], [0, 0, 1]], 1),
        ([[1, 0, 0], [0, 0, 1]], 0),
        ([[1, 0, 0, 0], [0, 0, 0, 1]], 0),
        ([[1, 0, 0, 0], [0, 0, 1, 0]], 2),
        ([[0, 1, 0, 0], [0, 0, 1, 0]], 1),
        ([[1, 0, 0, 0, 0], [0, 0, 0, 1, 0]], 3),
        ([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 0]], 1),
    ],
)
def test_ties(scores, winner, voting):
    model = fitted_on(range(len(scores[0])), voting)
    if winner is None:
        winner = slow_winner(scores, voting)
    assert model.predict(oracle_table(scores, ["p"] * len(scores)))[0] == winner


def test_rounding_does_not_break_a_tie():
    model = fitted_on([0, 1, 2], "soft")
    assert 0.1 + 0.2 != 0.3
    tied = [[0.1, 0.3, 0.0], [0.2, 0.0, 0.0]]
    assert model.predict(oracle_table(tied, ["p"] * 2))[0] == 1


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba"])
def test_what_an_estimator_offers_decides_what_is_offered(method):
    model = fitted_on([0, 1, 2], "soft", method)
    X = oracle_table([[3, 1, 2], [0, 5, 1], [0, 1, 4]], ["a", "a", "b"])
    decided = model.predict_patients(X)
    assert hasattr(model, "decision_function") == (method == "decision_function")
    assert hasattr(model, "predict_proba") == (method != "decision_function")
    assert decided["prediction"].tolist() == [1, 2]  # for "predict" by the middle
    if method == "decision_function":
        assert decided["decision_1"].tolist() == [3, 1]
        assert model.decision_function(X).tolist() == [[1.5, 3, 1.5]] * 2 + [[0, 1, 4]]
    if method == "predict":
        assert decided[["proba_0", "proba_1", "proba_2"]].iloc[0].tolist() == [0.5, 0.5, 0]


def test_binary_decision_values(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(RidgeClassifier()), "soft").fit(X, y)
    values = pd.Series(model.estimator_.decision_function(X)).groupby(X["patient"].to_numpy())
    assert model.decision_function(X) == pytest.approx(values.transform("mean").to_numpy())
    assert ((model.decision_function(X) > 0) == model.predict(X)).all()


@pytest.mark.parametrize("n_classes", [3, 4])
def test_scores_of_pairs_are_refused(cohort, on_features, n_classes):
    X, y = cohort(n_patients=32, n_classes=n_classes)
    pairs = SkipFailedRows(SVC(decision_function_shape="ovo"))
    for estimator in (on_features(pairs), GridSearchCV(on_features(pairs), {}, cv=2)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows, not patients, in the grid search
            model = PatientVotingClassifier(estimator).fit(X, y)
        with pytest.raises(ValueError, match="set decision_function_shape='ovr'"):
            model.predict(X)
    model = PatientVotingClassifier(on_features(SVC())).fit(X, y)
    assert model.decision_function(X).shape == (len(X), n_classes)


@pytest.mark.parametrize("inner", [False, True], ids=["inside", "around"])
def test_votes_are_predictions_not_largest_probabilities(cohort, on_features, inner):
    X, y = cohort()
    if inner:
        estimator = on_features(FixedThresholdClassifier(LogisticRegression(), threshold=0.99))
    else:
        estimator = FixedThresholdClassifier(on_features(LogisticRegression()), threshold=0.99)
    model = PatientVotingClassifier(estimator).fit(X, y)
    expected = pd.Series(model.estimator_.predict(X)).groupby(X["patient"].to_numpy()).sum()
    assert model.predict_patients(X)["votes_1"].to_dict() == expected.to_dict()
    assert (model.predict_proba(X).argmax(axis=1) != model.predict(X)).any()


def test_imbalanced_learn_pipeline(cohort, on_features):
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as with_samplers

    X, y = cohort()
    features = on_features(LogisticRegression())[0]
    sampler = RandomOverSampler(random_state=0)
    steps = with_samplers(features, sampler, "passthrough", LogisticRegression())
    model = PatientVotingClassifier(steps).fit(X, y)
    expected = model.estimator_.predict_proba(X[X["patient"] == "P00"]).mean(axis=0)
    row = model.predict_patients(X).loc["P00", ["proba_0", "proba_1"]].astype(float)
    assert row.to_numpy() == pytest.approx(expected)


def test_features_are_computed_once_per_call(cohort):
    from sklearn.preprocessing import FunctionTransformer

    calls = []

    def features(X):
        calls.append(len(X))
        return X[["f0", "f1"]].to_numpy()

    X, y = cohort()
    model = PatientVotingClassifier(
        make_pipeline(FunctionTransformer(features), LogisticRegression())
    ).fit(X, y)
    calls.clear()
    model.predict_patients(X)
    assert calls == [len(X)]


def broken(X, rows):
    X = X.copy()
    X.iloc[rows, X.columns.get_indexer(["f0", "f1"])] = np.nan
    return X


def test_failed_recordings_have_no_vote(cohort, on_features):
    X, y = cohort()
    X = X.reset_index(drop=True)
    model = PatientVotingClassifier(on_features(SkipFailedRows(SVC()))).fit(X, y)
    patient = X["patient"].mode()[0]
    row = int(np.flatnonzero(X["patient"] == patient)[0])
    with pytest.warns(RecordingWarning) as caught:
        decided = model.predict_patients(broken(X, [row]))
    assert len(caught) == 1
    assert f"1 of {len(X)} recordings" in str(caught[0].message)
    assert f"rows {row} (patient {patient!r})" in str(caught[0].message)
    expected = model.predict_patients(X.drop(index=row)).loc[decided.index]
    pd.testing.assert_frame_equal(decided, expected)


def test_patient_with_nothing_left(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(SkipFailedRows(LogisticRegression()))).fit(X, y)
    rows = np.flatnonzero(X["patient"] == "P05")
    with pytest.raises(PatientError, match="patient 'P05' has no usable recording"):
        model.predict(broken(X, rows))


@pytest.mark.parametrize(
    "labels",
    [["HC", "ALS"], [5, 1], np.array([True, False]), [1.0, 2.0], np.array([3, 1], dtype=np.int8)],
    ids=str,
)
def test_labels_keep_their_type(cohort, on_features, labels):
    X, y = cohort(labels=labels)
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    assert model.classes_.tolist() == sorted(set(y.tolist()))
    assert model.predict(X).dtype == y.dtype
    assert model.score(X, y) > 0.5
    assert {f"votes_{c}" for c in model.classes_} <= set(model.predict_patients(X).columns)


def test_labels_that_print_alike(cohort, on_features):
    X, y = cohort(labels=np.array(["1", "1 "]))
    decided = PatientVotingClassifier(on_features(SVC())).fit(X, y).predict_patients(X)
    assert not decided.columns.duplicated().any()


def test_series_of_labels_with_another_index(cohort, on_features):
    X, y = cohort(labels=["HC", "ALS"])
    model = PatientVotingClassifier(on_features(SVC()))
    expected = model.fit(X, y).predict(X)
    assert clone(model).fit(X, pd.Series(y, index=X.index[::-1])).predict(X).tolist() == (
        expected.tolist()
    )


@pytest.mark.parametrize("kind", ["int", "mixed", "categorical"])
def test_patients_of_any_type(cohort, on_features, kind):
    X, y = cohort()
    expected = PatientVotingClassifier(on_features(SVC())).fit(X, y).predict(X)
    number = X["patient"].str[1:].astype(int)
    patients = {
        "int": number,
        "mixed": number.map(lambda n: n if n % 2 else str(n + 1)).astype(object),
        "categorical": X["patient"].astype("category"),
    }[kind]
    renamed = X.assign(patient=patients)
    found = PatientVotingClassifier(on_features(SVC())).fit(renamed, y).predict(renamed)
    assert found.tolist() == expected.tolist()


def test_single_recording_and_missing_tasks(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    one = X.iloc[[0]]
    assert model.predict(one) == model.estimator_.predict(one)
    assert model.predict(X.drop(columns="task")).tolist() == model.predict(X).tolist()


def test_errors(cohort, on_features):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(SVC()))
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(MissingColumnError, match="'patient' is needed to decide per patient"):
        model.fit(X.drop(columns="patient"), y)
    theirs = np.flatnonzero(X["patient"] == X["patient"].mode()[0])
    mixed = y.copy()
    mixed[theirs[0]] = 1 - mixed[theirs[0]]
    with pytest.raises(PatientError, match="carries different labels"):
        model.fit(X, mixed)
    with pytest.raises(ValueError, match="needs y"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="no label"):
        model.fit(X, np.where(X["patient"] == "P00", np.nan, y))
    with pytest.raises(ValueError, match="voting"):
        PatientVotingClassifier(on_features(SVC()), "loud").fit(X, y)
    with pytest.raises(NotFittedError):  # a failed fit leaves nothing that looks fitted
        model.predict(X)
    with pytest.raises(MissingColumnError):
        model.fit(X, y).predict(X.drop(columns="patient"))


def test_scikit_learn_contract(cohort, on_features, tmp_path):
    X, y = cohort()
    model = PatientVotingClassifier(on_features(LogisticRegression()), voting="soft")
    model.set_params(estimator__logisticregression__C=0.5)
    copy = clone(model)
    assert copy.get_params()["estimator__logisticregression__C"] == 0.5
    copy.fit(X, y)
    assert not hasattr(model.estimator[-1], "coef_")
    assert "PatientVotingClassifier" in estimator_html_repr(copy)
    expected = copy.predict_proba(X)
    assert (pickle.loads(pickle.dumps(copy)).predict_proba(X) == expected).all()
    joblib.dump(copy, tmp_path / "model")
    assert (joblib.load(tmp_path / "model").predict_proba(X) == expected).all()
    assert X.equals(cohort()[0])


class Listener(TransformerMixin, BaseEstimator):
    """Turns recordings into two numbers; some cannot be used."""

    def fit(self, X, y=None):
        return self

    def fit_transform(self, X, y=None):
        return self.transform(X)

    def transform(self, X):
        rows = map_recordings(self.listen, X, on_error="nan")
        return np.array([[np.nan] * 2 if row is None else row for row in rows])

    @staticmethod
    def listen(row):
        if np.isnan(row["f0"]):
            raise RecordingError("cannot be heard", remedy="none")
        return row["f0"], row["f1"]


@pytest.mark.filterwarnings("ignore::sklearn_dysarthria.exceptions.RecordingWarning")
def test_failed_recordings_behind_a_sampler_that_numbers_rows_anew(cohort):
    X, y = cohort(seed=0, labels=["HC", "ALS"], max_recordings=3, n_patients=20)
    # Labels that are positions of other rows, as those of a training fold are.
    X.index = np.random.default_rng(0).permutation(len(X))
    patients = X["patient"].to_numpy()
    several = [p for p in dict.fromkeys(patients) if (patients == p).sum() > 1]
    X.iloc[[np.flatnonzero(patients == p)[0] for p in several], X.columns.get_loc("f0")] = np.nan
    pipeline = imblearn.pipeline.make_pipeline(
        RandomOverSampler(random_state=0), Listener(), SkipFailedRows(LogisticRegression())
    )
    model = PatientVotingClassifier(pipeline).fit(X, y)
    assert len(model.predict_patients(X)) == len(dict.fromkeys(patients))
