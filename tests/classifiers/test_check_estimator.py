"""scikit-learn's own checks of estimators that take tables of numbers.

Those of ResampledClassifier, SeedEnsembleClassifier and RecordingOverSampler stand with their other
tests.
"""

from __future__ import annotations

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dysarthria import HierarchicalClassifier, HyperLinearClassifier, SkipFailedRows

NOT_AMONG_THE_LABELS = "parameter healthy names a label that the check does not have"
NOT_INDEXED = "the grader needs some of the rows, which not every sparse format gives"
OF_A_HIERARCHY = {
    "check_classifiers_classes": NOT_AMONG_THE_LABELS,
    "check_fit2d_1sample": NOT_AMONG_THE_LABELS,
    "check_classifiers_one_label": "the classes are healthy and ill, and it needs both",
    "check_classifiers_train": "it decides in turn, not by the largest probability",
    "check_estimator_sparse_array": NOT_INDEXED,
    "check_estimator_sparse_matrix": NOT_INDEXED,
}


def expected_failures(estimator):
    return OF_A_HIERARCHY if isinstance(estimator, HierarchicalClassifier) else {}


@parametrize_with_checks(
    [
        # Fewer, larger steps than by default: the checks fit some hundred times.
        HyperLinearClassifier(max_epochs=20, lr=0.01),
        HyperLinearClassifier(head="dense", max_epochs=40, lr=0.05),
        HierarchicalClassifier(LogisticRegression(), healthy=1),
        SkipFailedRows(LogisticRegression()),
        SkipFailedRows(SVC()),
        SkipFailedRows(make_pipeline(StandardScaler(), LogisticRegression())),
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API.*")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
