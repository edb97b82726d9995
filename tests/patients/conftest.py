import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline


def cohort(n_patients=24, n_classes=2, seed=0, labels=None, max_recordings=4):
    """Table whose columns f0 and f1 are the features, so that no audio is needed."""
    rng = np.random.default_rng(seed)
    rows, y = [], []
    for number in range(n_patients):
        code = number % n_classes
        centre = rng.normal(size=2) * 0.6 + [1.5 * code, -code]
        for recording in range(rng.integers(1, max_recordings + 1)):
            f0, f1 = centre + rng.normal(size=2) * 0.7
            task = "abc"[recording % 3]
            rows.append({"patient": f"P{number:02d}", "task": task, "f0": f0, "f1": f1})
            y.append(code if labels is None else labels[code])
    X = pd.DataFrame(rows).assign(audio="never read.wav")
    order = rng.permutation(len(X))
    return X.iloc[order], np.asarray(y)[order]


def on_features(classifier):
    """Pipeline from the table to classes; made of scikit-learn's parts, so that it pickles."""
    features = ColumnTransformer([("f", "passthrough", ["f0", "f1"])])
    return make_pipeline(features, classifier)


@pytest.fixture(name="cohort")
def cohort_fixture():
    return cohort


@pytest.fixture(name="on_features")
def on_features_fixture():
    return on_features


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def tasks(cohort):
    """The cohort with tasks in two groups."""

    names = ["phonationA", "phonationE", "rhythmPA"]

    def make(**arguments):
        X, y = cohort(**{"n_patients": 30, "max_recordings": 5} | arguments)
        return X.replace({"task": dict(zip("abc", names, strict=True))}).reset_index(drop=True), y

    return make
