"""
===============================
The baseline on real recordings
===============================

Minsk2020 holds the vowels /a/ and /i/ of 31 people with ALS and 33 healthy ones
(:func:`~sklearn_dysarthria.fetch_minsk2020_als`; 43 MB, downloaded on first use).  This page is
not run when the documentation is built, since that must not download anything; the result of
the whole comparison on this corpus is kept in ``benchmarks/results/minsk2020/``.
"""

# %%
# A table of 128 recordings, two per speaker.  Columns such as ``bulbar`` exist for patients only;
# they are there to be looked at, and no transformer uses them.

from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    PatientFeaturesClassifier,
    PatientVotingClassifier,
    RepeatedStratifiedPatientKFold,
    fetch_minsk2020_als,
    patient_scorer,
)

X, y = fetch_minsk2020_als(return_X_y=True)
print(X.groupby("diagnosis")[["patient", "sample_rate"]].nunique())

# %%
# Two ways from recordings to one decision per patient: vote over the two vowels, or put their
# features side by side.

svm = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
features = EGeMAPSFeatures(cache="egemaps-cache")
models = {
    "vote over the vowels": PatientVotingClassifier(make_pipeline(features, svm), voting="soft"),
    "vowels side by side": PatientFeaturesClassifier(features, svm),
}

# %%
# Five folds of patients, four times.  The features are computed in the first fold and found in the
# cache ever after.

for name, model in models.items():
    scores = cross_validate(
        model,
        X,
        y,
        cv=RepeatedStratifiedPatientKFold(5, n_repeats=4, random_state=0),
        scoring={
            "AUC": patient_scorer("roc_auc"),
            "balanced accuracy": patient_scorer("balanced_accuracy"),
        },
        error_score="raise",
    )
    print(
        f"{name}: AUC {scores['test_AUC'].mean():.2f}, "
        f"balanced accuracy {scores['test_balanced accuracy'].mean():.2f}"
    )
