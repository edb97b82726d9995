"""From recordings to patients: votes, splits, scores and intervals."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_bootstrap": ["patient_bootstrap"],
        "_features": ["PatientFeaturesClassifier"],
        "fusion": ["TaskFusionClassifier"],
        "_ordinal": ["mae_in_classes", "quadratic_kappa", "within_one_class"],
        "_scorers": ["patient_scorer"],
        "_splits": ["RepeatedStratifiedPatientKFold", "StratifiedPatientKFold"],
        "_voting": ["PatientVotingClassifier"],
    },
)
