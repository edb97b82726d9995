"""``predict_patients(on_unusable="nan")``: patients without a usable recording keep their row."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline

from sklearn_dysarthria import (
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    SkipFailedRows,
    TaskFusionClassifier,
)
from sklearn_dysarthria.exceptions import PatientError, RecordingWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore:No task decides better than chance:UserWarning",
    "ignore:.*which never happened in training.*:sklearn_dysarthria.exceptions.RecordingWarning",
)


class Features(TransformerMixin, BaseEstimator):
    """Columns f0 and f1 of the table; counts the rows that were transformed."""

    def fit(self, X, y=None):
        self.n_transformed_ = 0
        return self

    def transform(self, X):
        self.n_transformed_ += len(X)
        return X[["f0", "f1"]].to_numpy(np.float32)


def skipping():
    return make_pipeline(Features(), SkipFailedRows(LogisticRegression()))


MODELS = {
    **{
        voting: lambda voting=voting: PatientVotingClassifier(skipping(), voting, cv=3)
        for voting in ("hard", "soft", "weighted", "stacked")
    },
    "decision values": lambda: PatientVotingClassifier(
        make_pipeline(Features(), SkipFailedRows(RidgeClassifier())), "soft"
    ),
    "abstaining": lambda: PatientVotingClassifier(skipping(), abstain_below=0.99, abstain_label=-1),
    "features": lambda: PatientFeaturesClassifier(
        Features(), make_pipeline(SimpleImputer(), LogisticRegression())
    ),
    "fusion": lambda: TaskFusionClassifier(
        Features(), embedding_dim=4, fusion_dim=4, max_epochs=1, random_state=0
    ),
}


def front_end(model):
    return model.transformer_ if hasattr(model, "transformer_") else model.estimator_[0]


@pytest.mark.parametrize("kind", MODELS)
class TestUnusablePatients:
    @pytest.fixture
    def fitted(self, cohort, kind):
        X, y = cohort(n_classes=3)
        return MODELS[kind]().fit(X, y), X

    @pytest.mark.parametrize("lost", [["P03"], ["P00", "P11", "P23"]])
    def test_rows_and_counts(self, fitted, lost):
        model, X = fitted
        broken = X.copy()
        broken.loc[X["patient"].isin(lost), ["f0", "f1"]] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordingWarning)
            with pytest.raises(PatientError, match="has no usable recording"):
                model.predict_patients(broken)
        transformed = front_end(model).n_transformed_
        with pytest.warns(RecordingWarning) as caught:
            decided = model.predict_patients(broken, on_unusable="nan")
        assert front_end(model).n_transformed_ == transformed + len(X)
        message = f"{len(lost)} patients have no usable recording and get no decision: "
        about_patients = [str(w.message) for w in caught if message in str(w.message)]
        assert len(about_patients) == 1
        assert all(patient in about_patients[0] for patient in lost)

        assert decided.index.tolist() == list(dict.fromkeys(X["patient"]))
        expected = model.predict_patients(X[~X["patient"].isin(lost)])
        assert decided.columns.tolist() == expected.columns.tolist()
        pd.testing.assert_frame_equal(
            decided.drop(index=lost), expected, check_dtype=False, rtol=1e-12
        )
        counts = [n for n in decided if n.startswith(("n_", "votes_"))]
        assert (decided.loc[lost, counts] == 0).all(axis=None)
        assert decided[counts].dtypes.map(lambda dtype: dtype.kind == "i").all()
        assert decided.loc[lost].drop(columns=counts).isna().all(axis=None)

    def test_all_are_usable(self, fitted):
        model, X = fitted
        pd.testing.assert_frame_equal(
            model.predict_patients(X, on_unusable="nan"), model.predict_patients(X)
        )

    def test_none_is_usable(self, fitted):
        model, X = fitted
        broken = X.assign(f0=np.nan, f1=np.nan)
        with pytest.warns(RecordingWarning) as caught:
            decided = model.predict_patients(broken, on_unusable="nan")
        assert any("24 patients have no usable recording" in str(w.message) for w in caught)
        assert len(decided) == X["patient"].nunique()
        assert decided["prediction"].isna().all()

    def test_a_value_that_does_not_exist(self, fitted):
        model, X = fitted
        with pytest.raises(ValueError, match="on_unusable='drop' must be 'raise' or 'nan'"):
            model.predict_patients(X, on_unusable="drop")


@pytest.mark.filterwarnings("ignore:tasks ")
def test_patients_without_a_task_of_the_fusion(cohort):
    X, y = cohort()
    model = MODELS["fusion"]().set_params(tasks=["a"]).fit(X, y)
    X.loc[X["patient"] == "P04", "task"] = "b"
    with pytest.raises(PatientError, match=r"patient 'P04' has no recording of the tasks \['a'\]"):
        model.predict_patients(X)
    with pytest.warns(RecordingWarning, match="1 patients have no usable recording"):
        decided = model.predict_patients(X, on_unusable="nan")
    assert decided.index[decided["prediction"].isna()].tolist() == ["P04"]
    only_others = X.assign(task="b")
    with pytest.warns(RecordingWarning, match="get no decision"):
        assert model.predict_patients(only_others, "nan")["prediction"].isna().all()
