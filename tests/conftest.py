import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config, items):
    """Leave out what forks this process, unless it was asked for; `test_forks` asks for it."""
    if "forks" in config.getoption("-m"):
        return
    forking = [item for item in items if item.get_closest_marker("forks")]
    config.hook.pytest_deselected(items=forking)
    items[:] = [item for item in items if item not in forking]


@pytest.fixture(scope="session")
def minsk2020_home():
    """``data_home`` that holds the Minsk2020 corpus; skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    for home in (os.environ.get("SKLEARN_DYSARTHRIA_DATA"), beside):
        if home and (Path(home) / "minsk2020" / "ALS").is_dir():
            return Path(home)
    pytest.skip("the Minsk2020 corpus is not on this computer")
