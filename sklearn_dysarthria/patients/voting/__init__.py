"""One decision per patient, voted over the recordings of that patient."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submod_attrs={"_classifier": ["PatientVotingClassifier"]}
)
