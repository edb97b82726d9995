"""scikit-learn toolkit for recognising dysarthria in ALS from short recordings.

Every public name below can be imported from here.  The modules behind them are loaded on
first use, so that ``import sklearn_dysarthria`` costs milliseconds and pulls in neither torch
nor librosa nor openSMILE.
"""

import lazy_loader as lazy

_EXPORTS = {
    "classifiers": [
        "Adam",
        "AdamW",
        "Augment",
        "Backbone",
        "BackboneClassifier",
        "BackboneEmbeddings",
        "ConvNeXtSeverityClassifier",
        "Coral",
        "Corn",
        "CrossEntropy",
        "CumulativeLink",
        "EarlyStopping",
        "EffectiveNumber",
        "FocalLoss",
        "HierarchicalClassifier",
        "HyperAlexNetClassifier",
        "HyperHead",
        "HyperLinearClassifier",
        "RMSprop",
        "SGD",
        "Schedule",
        "ResampledClassifier",
        "SeedEnsembleClassifier",
        "SkipFailedRows",
    ],
    "cluster": ["dask_backend"],
    "datasets": [
        "fetch_minsk2019_als",
        "fetch_minsk2020_als",
        "load_recordings",
        "load_sand",
        "load_voc_als",
        "make_dysarthric_speech",
        "minsk_overlap",
        "write_sand_submission",
    ],
    "features": ["EGeMAPSFeatures", "ImagesWithContext", "LogMelDeltaImages"],
    "patients": [
        "PatientFeaturesClassifier",
        "PatientVotingClassifier",
        "RepeatedStratifiedPatientKFold",
        "StratifiedPatientKFold",
        "TaskFusionClassifier",
        "mae_in_classes",
        "patient_bootstrap",
        "patient_scorer",
        "quadratic_kappa",
        "within_one_class",
    ],
    "persistence": ["load_model", "save_model"],
    "pipelines": [
        "egemaps_svm_patient_model",
        "egemaps_svm_pipeline",
        "hyper_alexnet_pipeline",
        "sand_convnext_pipeline",
    ],
    "preprocessing": ["AddNoise", "EnergyVAD", "RecordingOverSampler"],
    "recordings": ["RecordingCache", "check_recordings", "load_waveform"],
    "report": ["Comparison", "compare"],
}

__version__ = "0.1.0.dev0"
__getattr__, __dir__, __all__ = lazy.attach(__name__, submod_attrs=_EXPORTS)
__all__ += ["__version__"]
