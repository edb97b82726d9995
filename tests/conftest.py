import os
from pathlib import Path

import pytest

# Small arrays gain nothing from threads of torch and BLAS, and threads of several workers wait for
# each other.  Read when these libraries are loaded, hence here.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def minsk2020_home():
    """``data_home`` that holds the Minsk2020 corpus; skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for home in (os.environ.get("SKLEARN_DYSARTHRIA_DATA"), beside):
        if home and (Path(home) / "minsk2020" / "ALS").is_dir():
            return Path(home)
    pytest.skip("the Minsk2020 corpus is not on this computer")
