import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def minsk2020_home():
    """``data_home`` that holds the Minsk2020 corpus; skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for home in (os.environ.get("SKLEARN_DYSARTHRIA_DATA"), beside):
        if home and (Path(home) / "minsk2020" / "ALS").is_dir():
            return Path(home)
    pytest.skip("the Minsk2020 corpus is not on this computer")
