"""From recordings to patients: votes, splits, scores and intervals."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "_bootstrap": ["patient_bootstrap"],
        "_features": ["PatientFeaturesClassifier"],
        "_scores": ["mae_in_classes", "patient_scorer", "quadratic_kappa", "within_one_class"],
        "_splits": ["RepeatedStratifiedPatientKFold", "StratifiedPatientKFold"],
        "fusion": ["TaskFusionClassifier"],
        "voting": ["PatientVotingClassifier"],
    },
)
