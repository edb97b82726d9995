import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import sklearn_dysarthria

HEAVY = ["torch", "librosa", "opensmile", "pandas", "sklearn", "skorch", "matplotlib", "numpy"]
PUBLIC = [name for name in sklearn_dysarthria.__all__ if name != "__version__"]


def module_names():
    walked = pkgutil.walk_packages(sklearn_dysarthria.__path__, "sklearn_dysarthria.")
    return ["sklearn_dysarthria", *(module.name for module in walked)]


def in_subprocess(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_is_cheap():
    code = f"import sys, sklearn_dysarthria; print([m for m in {HEAVY} if m in sys.modules])"
    assert in_subprocess(code) == "[]"


def test_classical_models_do_not_need_torch():
    code = (
        "import sys\n"
        "from sklearn_dysarthria import (PatientVotingClassifier, StratifiedPatientKFold,\n"
        "    EGeMAPSFeatures, patient_bootstrap, patient_scorer, load_recordings)\n"
        "print([m for m in ('torch', 'librosa') if m in sys.modules])"
    )
    assert in_subprocess(code) == "[]"


@pytest.mark.parametrize("name", sklearn_dysarthria.__all__)
def test_public_names_resolve(name):
    assert getattr(sklearn_dysarthria, name) is not None
    assert name == "__version__" or name in dir(sklearn_dysarthria)


def test_star_import():
    names = {}
    exec("from sklearn_dysarthria import *", names)
    assert set(sklearn_dysarthria.__all__) <= set(names)


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="attribute EnergyVDA"):
        sklearn_dysarthria.EnergyVDA  # noqa: B018


def test_version():
    assert sklearn_dysarthria.__version__ == metadata.version("sklearn-dysarthria")


def test_layers():
    """Layers import only from those below; see setup.cfg."""
    config = Path(__file__).resolve().parents[1] / "setup.cfg"
    source = Path(sklearn_dysarthria.__file__).resolve().parents[1]
    if not config.exists():
        pytest.skip("the contracts are not shipped with the installed package")
    code = (
        "import sys; from importlinter.cli import lint_imports;"
        "sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, config],
        capture_output=True,
        text=True,
        check=False,
        cwd=source,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------- docstrings


def public_callables():
    for name in PUBLIC:
        value = getattr(sklearn_dysarthria, name)
        yield pytest.param(value, id=name)
        if inspect.isclass(value):
            for method_name, method in inspect.getmembers(value, callable):
                home = getattr(method, "__module__", None) or ""
                if not method_name.startswith("_") and home.startswith("sklearn_dysarthria"):
                    yield pytest.param(method, id=f"{name}.{method_name}")


def documented(docstring, section):
    """Names in a section of a numpydoc docstring; None without the section."""
    found = re.search(rf"^{section}\n-+\n((?:.+\n|\n(?!.+\n---))*)", docstring + "\n", re.MULTILINE)
    if found is None:
        return None
    heads = re.findall(r"^(\S.*?)(?: :.*)?$", found[1], flags=re.MULTILINE)
    return [name.strip("* ") for head in heads for name in head.split(",")]


def parameters_of(function):
    signature = inspect.signature(function)
    return [name for name in signature.parameters if name != "self"]


@pytest.mark.parametrize("value", list(public_callables()))
def test_docstrings_name_every_parameter(value):
    docstring = inspect.getdoc(value)
    assert docstring, "no docstring"
    assert docstring.split("\n")[0].endswith((".", ":")), "no summary line"
    section = "Attributes" if documented(docstring, "Parameters") is None else "Parameters"
    assert (documented(docstring, section) or []) == parameters_of(value)


@pytest.mark.parametrize("value", list(public_callables()))
def test_docstrings_tell_what_comes_back(value):
    if inspect.isclass(value):
        assert "Examples" in inspect.getdoc(value) or "Comparison" in value.__name__
    elif inspect.signature(value).return_annotation not in (None, "None"):
        docstring = inspect.getdoc(value)
        assert re.search(r"^(Returns|Yields)\n-+$", docstring, flags=re.MULTILINE)


def examples():
    for name in module_names():
        module = importlib.import_module(name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            if test.examples and not all(e.options.get(doctest.SKIP) for e in test.examples):
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("example", list(examples()))
def test_examples(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    output = []
    runner.run(example, out=output.append)
    assert not runner.failures, "".join(output)
