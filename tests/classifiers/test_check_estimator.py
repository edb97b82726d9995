from __future__ import annotations

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dysarthria import HyperLinearClassifier, SkipFailedRows


@parametrize_with_checks(
    [
        # Fewer, larger steps than by default: the checks fit some hundred times.
        HyperLinearClassifier(max_epochs=20, lr=0.01),
        HyperLinearClassifier(head="dense", max_epochs=40, lr=0.05),
        SkipFailedRows(LogisticRegression()),
        SkipFailedRows(SVC()),
        SkipFailedRows(make_pipeline(StandardScaler(), LogisticRegression())),
    ]
)
@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API.*")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
