import pytest

from sklearn_dysarthria import make_dysarthric_speech


@pytest.fixture(scope="session")
def speech():
    """Twelve patients, two short recordings each."""
    return make_dysarthric_speech(
        n_patients=12, duration=0.6, sample_rate=8000, classes=["HC", "ALS"], random_state=0
    )
