"""The transformers that recordings pass first, found inside models."""

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from sklearn_dysarthria import (
    EGeMAPSFeatures,
    EnergyVAD,
    LogMelDeltaImages,
    PatientVotingClassifier,
    egemaps_svm_patient_model,
    egemaps_svm_pipeline,
    make_dysarthric_speech,
)
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.features import (
    configure_transformers,
    find_unusable_recordings,
    front_end,
    recording_transformers,
    run_front_end,
)


@pytest.fixture
def speech():
    X, _ = make_dysarthric_speech(n_patients=3, duration=0.5, sample_rate=8000, random_state=0)
    return X


def voices():
    """Two transformers in a row, as images of the SAND entry have them."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(EnergyVAD(), EGeMAPSFeatures(), SVC())


def test_transformers_are_found_at_any_depth():
    images = LogMelDeltaImages(vad=EnergyVAD())
    assert [type(t) for t in recording_transformers(images)] == [LogMelDeltaImages, EnergyVAD]
    pipeline = egemaps_svm_pipeline()
    ensemble = VotingClassifier([("a", pipeline), ("b", pipeline), ("c", voices())])
    search = GridSearchCV(PatientVotingClassifier(ensemble), {})
    found = recording_transformers(search)
    assert [type(t) for t in found] == [EGeMAPSFeatures, EnergyVAD, EGeMAPSFeatures]
    assert recording_transformers(SVC()) == []


def test_settings_reach_the_transformers_that_have_them():
    model = PatientVotingClassifier(voices())
    settings = {"cache": "kept", "on_error": "nan", "mmap_folder": "mapped", "C": 3}
    assert configure_transformers(model, **settings) is model
    vad, features, svm = (step for _, step in model.estimator.steps)
    assert (vad.cache, vad.on_error) == (features.cache, features.on_error) == ("kept", "nan")
    assert svm.C == 1


def test_the_front_end_ends_where_learning_begins():
    pipeline = voices()
    assert front_end(PatientVotingClassifier(pipeline)) == [pipeline[0], pipeline[1]]
    assert [type(t) for t in front_end(egemaps_svm_patient_model())] == [EGeMAPSFeatures]
    assert front_end(PatientVotingClassifier(SVC())) == []


def test_it_computes_what_the_pipeline_computes(speech):
    pipeline = voices()
    values, failed = run_front_end(front_end(PatientVotingClassifier(pipeline)), speech)
    np.testing.assert_array_equal(values, pipeline[:-1].fit_transform(speech))
    assert not failed.any()


def test_recordings_that_cannot_be_used(speech):
    speech["audio"] = speech["audio"].astype(object)
    speech.at[speech.index[1], "audio"] = np.zeros(4000)
    model = configure_transformers(PatientVotingClassifier(egemaps_svm_pipeline()), on_error="nan")
    with pytest.warns(RecordingWarning):
        found = find_unusable_recordings(model, speech)
    assert found.tolist() == [False, True, False, False, False, False]
    speech.at[speech.index[0], "audio"] = np.zeros(4000)
    patient = speech["patient"].iloc[0]
    message = f"1 patient has no usable recording: {patient}"
    with pytest.warns(RecordingWarning), pytest.raises(ValueError, match=message):
        find_unusable_recordings(model, speech)
