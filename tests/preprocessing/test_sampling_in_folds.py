"""Samplers inside Pipelines, folds and votes: they see training rows only, and only there."""

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline as SamplingPipeline
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dysarthria import (
    AddNoise,
    Backbone,
    BackboneClassifier,
    ConvNeXtSeverityClassifier,
    EarlyStopping,
    EGeMAPSFeatures,
    HyperHead,
    HyperLinearClassifier,
    PatientVotingClassifier,
    RecordingOverSampler,
    ResampledClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    make_dysarthric_speech,
)
from sklearn_dysarthria.exceptions import RecordingWarning

FOLDS = StratifiedPatientKFold(3, random_state=0)


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    with config_context(enable_metadata_routing=request.param):
        yield request.param


def cohort(sizes=(12, 6), seed=0):
    """Table whose column `number` is the patient, as a number, and `f` the only real feature."""
    rng = np.random.default_rng(seed)
    rows, y = [], []
    patients = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    for number, label in enumerate(patients):
        for _ in range(3):
            rows.append({"number": float(number), "f": label + rng.normal(), "audio": "never read"})
            y.append(label)
    X = pd.DataFrame(rows)
    X["patient"] = "P" + X["number"].astype(int).astype(str)
    order = rng.permutation(len(X))
    return X.iloc[order], np.array(y)[order]


def features():
    return ColumnTransformer([("f", "passthrough", ["number", "f"])])


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps the rows it was trained on and those it was asked about."""

    def fit(self, X, y):
        self.classes_, self.rows_, self.labels_ = np.unique(y), np.asarray(X), np.asarray(y)
        self.asked_ = []
        return self

    def predict_proba(self, X):
        self.asked_.append(np.asarray(X))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


SAMPLERS = {
    "multipliers": RecordingOverSampler(multipliers={1: 4}),
    "drawn": RecordingOverSampler(random_state=0),
    "imbalanced-learn": RandomOverSampler(random_state=0),
}


def sampled_first(sampler, classifier):
    return make_sampling_pipeline(clone(sampler), features(), classifier)


def sampled_last(sampler, classifier):
    return make_sampling_pipeline(features(), clone(sampler), classifier)


def sampled_inside(sampler, classifier):
    return make_pipeline(features(), ResampledClassifier(clone(sampler), classifier))


def spy_in(model):
    last = model.estimator_[-1]
    return getattr(last, "estimator_", last)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("build", [sampled_first, sampled_last, sampled_inside])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_fold_trains_on_copies_of_its_own_rows_and_tests_on_every_row_once(build, name):
    X, y = cohort()
    model = PatientVotingClassifier(build(SAMPLERS[name], Spy()))
    result = cross_validate(model, X, y, cv=FOLDS, return_estimator=True, error_score="raise")
    for fitted, (train, test) in zip(result["estimator"], FOLDS.split(X, y), strict=True):
        spy = spy_in(fitted)
        known = X.iloc[train][["number", "f"]].to_numpy()
        assert {tuple(row) for row in spy.rows_} == {tuple(row) for row in known}
        counts = np.bincount(spy.labels_)
        before = np.bincount(y[train])
        assert counts[0] == before[0]
        assert counts[1] == (4 * before[1] if name == "multipliers" else before[0])
        asked = np.concatenate(spy.asked_)
        of_test = X.iloc[test][["number", "f"]].to_numpy()
        assert {tuple(row) for row in asked} == {tuple(row) for row in of_test}
        assert len(spy.asked_[0]) == len(test)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("build", [sampled_last, sampled_inside])
def test_smote_mixes_training_patients_only(build):
    X, y = cohort()
    model = PatientVotingClassifier(build(SMOTE(k_neighbors=3, random_state=0), Spy()))
    result = cross_validate(model, X, y, cv=FOLDS, return_estimator=True, error_score="raise")
    for fitted, (train, test) in zip(result["estimator"], FOLDS.split(X, y), strict=True):
        spy = spy_in(fitted)
        known = {tuple(row) for row in X.iloc[train][["number", "f"]].to_numpy()}
        made = np.array([row for row in spy.rows_ if tuple(row) not in known])
        assert len(made) == (y[train] == 0).sum() - (y[train] == 1).sum()
        # A made row lies on the line between two training rows of its class, and so does the
        # number of its patient.
        ends = X.iloc[train][y[train] == 1][["number", "f"]].to_numpy()
        for row in made:
            assert lies_between_two(row, ends)
        others = X.iloc[test][["number", "f"]].to_numpy()
        assert not any(tuple(row) in {tuple(r) for r in spy.rows_} for row in others)


def lies_between_two(row, ends):
    for a in ends:
        away, along = row - a, ends - a
        along = along[along.any(axis=1)]
        cross = np.abs(along[:, 0] * away[1] - along[:, 1] * away[0])
        inside = (along * away).sum(axis=1) <= (along**2).sum(axis=1) + 1e-9
        if ((cross < 1e-6) & inside & ((along * away).sum(axis=1) >= 0)).any():
            return True
    return False


def test_a_made_row_is_told_from_any_other():
    ends = np.array([[0.0, 0.0], [2.0, 2.0], [5.0, 1.0]])
    assert lies_between_two(np.array([1.0, 1.0]), ends)
    assert not lies_between_two(np.array([1.0, 2.0]), ends)
    assert not lies_between_two(np.array([3.0, 3.0]), ends)


def test_samplers_are_parameters_of_a_search():
    X, y = cohort()
    model = PatientVotingClassifier(sampled_last(SAMPLERS["multipliers"], LogisticRegression()))
    grid = {"estimator__recordingoversampler__multipliers": [{1: 1}, {1: 2}, {0: 2, 1: 4}]}
    search = GridSearchCV(model, grid, cv=FOLDS, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    swapped = {"estimator__recordingoversampler": list(SAMPLERS.values()) + ["passthrough"]}
    GridSearchCV(model, swapped, cv=FOLDS, error_score="raise").fit(X, y)


def test_the_same_training_as_oversample_in_the_classifier():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((10, 3, 32, 32)).astype(np.float32)
    y = np.array([1, 5, 5, 2, 5, 1, 5, 5, 2, 5])
    tiny = ConvNeXtSeverityClassifier(
        backbone=Backbone("convnext_femto", weights=None),
        max_epochs=1,
        batch_size=4,
        lr=1e-3,
        random_state=0,
    )
    times = {1: 3, 2: 2}
    inside = clone(tiny).set_params(oversample=times).fit(images, y)
    sampler = RecordingOverSampler(multipliers=times)
    for model in (
        SamplingPipeline([("repeat", sampler), ("classify", tiny)]),
        ResampledClassifier(sampler, tiny),
    ):
        np.testing.assert_array_equal(
            model.fit(images, y).predict_proba(images), inside.predict_proba(images)
        )


def test_recordings_that_fail_are_told_by_their_own_label():
    X, y = make_dysarthric_speech(6, tasks=("phonationA", "rhythmPA"), duration=0.5, random_state=0)
    X.index = [f"row {i}" for i in range(len(X))]
    bad = int(np.flatnonzero(y == 1)[0])
    X["audio"] = [np.zeros(4000) if i == bad else cell for i, cell in enumerate(X["audio"])]
    model = PatientVotingClassifier(
        make_sampling_pipeline(
            RecordingOverSampler(multipliers={1: 2}),
            AddNoise(20, training_only=True, on_error="nan", random_state=0),
            EGeMAPSFeatures(on_error="nan"),
            SkipFailedRows(LogisticRegression(max_iter=10_000)),
        )
    )
    with pytest.warns(RecordingWarning) as caught:
        model.fit(X, y)
    messages = [str(warning.message) for warning in caught if "silent" in str(warning.message)]
    assert messages
    for message in messages:  # of both copies, once
        assert message.startswith("2 of ")
        assert message.count(f"row 'row {bad}'") == 1
    with pytest.warns(RecordingWarning, match=f"row {bad}"):
        assert len(model.predict(X)) == len(X)


# Patients behind a sampler


@pytest.fixture
def inner_splits(monkeypatch):
    """Labels and patients of every inner training and validation part, as they were made."""
    made = []
    genuine = EarlyStopping.hold_out

    def spy(self, labels, patients, seed):
        train, valid = genuine(self, labels, patients, seed)
        made.append([(labels[part], patients[part]) for part in (train, valid)])
        return train, valid

    monkeypatch.setattr(EarlyStopping, "hold_out", spy)
    return made


def network():
    return HyperLinearClassifier(
        early_stopping=EarlyStopping(),
        max_epochs=1,
        head=HyperHead(context_dim=2, hidden_dim=2, n_contexts=1),
        random_state=0,
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(
    "sampler", [*SAMPLERS.values(), RandomUnderSampler(random_state=0)], ids=[*SAMPLERS, "fewer"]
)
def test_early_stopping_holds_out_whole_patients_behind_a_sampler(sampler, inner_splits):
    X, y = cohort()
    model = PatientVotingClassifier(sampled_inside(sampler, network()))
    for train, test in FOLDS.split(X, y):
        inner_splits.clear()
        model.fit(X.iloc[train], y[train])
        ((labels, training), (_, validation)) = inner_splits[0]
        assert set(training)
        assert set(validation)
        assert not set(training) & set(validation)
        assert not (set(training) | set(validation)) & set(X["patient"].iloc[test])
        if not isinstance(sampler, RandomUnderSampler):
            assert set(training) | set(validation) == set(X["patient"].iloc[train])
        # Every row came with its own patient: a patient's label is the patient's.
        truth = pd.Series(y[train], index=X["patient"].iloc[train]).groupby(level=0).first()
        np.testing.assert_array_equal(truth[training], labels)


@pytest.mark.usefixtures("routing")
def test_rows_made_up_by_smote_belong_to_nobody():
    X, y = cohort()
    smote = SMOTE(k_neighbors=3, random_state=0)
    with pytest.raises(ValueError, match="early_stopping holds out patients"):
        PatientVotingClassifier(sampled_inside(smote, network())).fit(X, y)
    # A plain step behind a sampler gets none either, whatever the sampler.
    plain = PatientVotingClassifier(sampled_last(SAMPLERS["multipliers"], network()))
    with pytest.raises(ValueError, match="early_stopping holds out patients"):
        plain.fit(X, y)


def test_failed_recordings_and_smote():
    X, y = cohort()
    rows = features().fit_transform(X)
    rows[3] = np.nan
    model = SkipFailedRows(ResampledClassifier(SMOTE(k_neighbors=3, random_state=0), Spy()))
    with pytest.warns(RecordingWarning, match=r"left out of the fit: \[3\]"):
        model.fit(rows, y)
    assert np.isfinite(model.estimator_.estimator_.rows_).all()
    assert np.isnan(model.predict_proba(rows)).any(axis=1).nonzero()[0].tolist() == [3]


# ResampledClassifier by itself


@parametrize_with_checks(
    [
        ResampledClassifier(RecordingOverSampler(random_state=0), LogisticRegression()),
        ResampledClassifier(RandomOverSampler(random_state=0), LogisticRegression()),
    ]
)
@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API.*")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_methods_are_those_of_the_classifier():
    model = ResampledClassifier(RecordingOverSampler(), Spy())
    assert hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")
    for wrong in ({"sampler": LogisticRegression()}, {"estimator": RecordingOverSampler()}):
        with pytest.raises(ValueError, match="parameter of ResampledClassifier must be"):
            clone(model).set_params(**wrong).fit([[0.0], [1.0]], [0, 1])


def test_the_parts_given_stay_unfitted():
    sampler, spy = RecordingOverSampler(multipliers={1: 2}), Spy()
    model = ResampledClassifier(sampler, spy).fit(np.arange(4.0)[:, None], [0, 0, 1, 1])
    assert not hasattr(sampler, "sample_indices_")
    assert not hasattr(spy, "rows_")
    assert model.estimator_.labels_.tolist() == [0, 0, 1, 1, 1, 1]
    assert model.sampler_.sample_indices_.tolist() == [0, 1, 2, 2, 3, 3]


def test_a_fit_leaves_no_names_of_columns_behind():
    table = pd.DataFrame({"a": np.arange(4.0), "b": np.arange(4.0)})
    model = ResampledClassifier(RecordingOverSampler(), LogisticRegression())
    assert model.fit(table, [0, 0, 0, 1]).feature_names_in_.tolist() == ["a", "b"]
    model.fit(table.to_numpy()[:, :1], [0, 0, 0, 1])
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 1


def test_a_subclass_with_its_own_fit_is_given_images():
    class Doubled(BackboneClassifier):
        def fit(self, X, y, groups=None):
            return super().fit(2 * np.asarray(X), y, groups)

    images = np.random.default_rng(0).normal(size=(6, 3, 32, 32)).astype(np.float32)
    net = Doubled(
        Backbone("convnext_femto", weights=None), max_epochs=1, random_state=0, device="cpu"
    )
    model = ResampledClassifier(RecordingOverSampler(multipliers={1: 2}), net)
    assert model.fit(images, [0, 0, 0, 0, 1, 1]).predict(images).shape == (6,)
