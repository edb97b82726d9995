from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest

from sklearn_dysarthria.exceptions import TorchStackError
from sklearn_dysarthria.nn._torch_versions import require_torch_stack

NO_OPERATOR = "operator torchvision::nms does not exist"
UNDEFINED = "torchvision/_C.so: undefined symbol: aoti_torch_abi_version"


@pytest.fixture
def break_module(tmp_path, monkeypatch):
    """Put a module that fails while it is imported in front of the real one."""

    def break_it(name: str, statement: str) -> None:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(statement + "\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return break_it


def run_python(code: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_installed_stack_fits():
    require_torch_stack()


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        (f"raise RuntimeError({NO_OPERATOR!r})", NO_OPERATOR),
        (f"raise OSError({UNDEFINED!r})", UNDEFINED),
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
        ("import os; os.no_such_name", "no_such_name"),
        ("raise OSError('first line\\nsecond line')", "(first line)"),
        ("raise RuntimeError", "(RuntimeError)"),
    ],
)
def test_any_failure_is_one_sentence(break_module, statement, cause):
    break_module("torchvision", statement)
    with pytest.raises(TorchStackError) as caught:
        require_torch_stack()
    message = str(caught.value)
    assert cause in message
    assert "second line" not in message
    for name in ("torch", "torchvision"):
        assert f"{name} {metadata.version(name)}" in message
    assert "pip install --upgrade torch torchvision." in message
    assert "\n" not in message
    assert caught.value.__suppress_context__
    assert isinstance(caught.value, ImportError)


def test_missing_distribution_is_named(break_module, monkeypatch):
    break_module("torchvision", "raise ImportError('gone')")
    version = metadata.version

    def without_torchvision(name: str) -> str:
        if name == "torchvision":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_torchvision)
    with pytest.raises(TorchStackError, match="torchvision not installed do not fit"):
        require_torch_stack()


def test_importing_nn_on_a_broken_stack(tmp_path):
    (tmp_path / "torchvision").mkdir()
    source = f"raise RuntimeError({NO_OPERATOR!r})\n"
    (tmp_path / "torchvision" / "__init__.py").write_text(source)
    result = run_python("import sklearn_dysarthria.nn", str(tmp_path))
    assert result.returncode == 1
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("sklearn_dysarthria.exceptions.TorchStackError: torch ")
    assert NO_OPERATOR in last_line
    assert "During handling" not in result.stderr


def test_nn_is_plain_torch():
    code = (
        "import sys, torch, sklearn_dysarthria.nn as nn\n"
        "sys.modules['torchaudio'] = None\n"  # an import of it fails
        "nn.SpecAugment(1.0)(torch.zeros(1, 3, 32, 32))\n"
        "print(sorted({'sklearn', 'skorch', 'imblearn'} & set(sys.modules)))"
    )
    result = run_python(code)
    assert result.stdout.strip() == "[]", result.stderr
