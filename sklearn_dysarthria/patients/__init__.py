"""From recordings to patients: votes, splits, scores and intervals."""

from sklearn_dysarthria._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "_bootstrap": ["patient_bootstrap"],
        "_features": ["PatientFeaturesClassifier"],
        "_fusion": ["TaskFusionClassifier"],
        "_ordinal": ["mae_in_classes", "quadratic_kappa", "within_one_class"],
        "_scorers": ["patient_scorer"],
        "_splits": ["RepeatedStratifiedPatientKFold", "StratifiedPatientKFold"],
        "_voting": ["PatientVotingClassifier"],
    },
)
