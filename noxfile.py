"""Run the tests with pinned, newest and lowest releases of the dependencies; see CONTRIBUTING.

nox -s pinned newest lowest
nox -s newest -- tests/nn
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["pinned"]
nox.options.default_venv_backend = "uv|virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
# Its last release loads under one torch only; without it, what should not need it is seen to do so.
TIED_TO_ONE_TORCH = "torchaudio"


def declared() -> list[str]:
    """Return what the package and its tests require, as pyproject.toml writes it."""
    extras = PROJECT["optional-dependencies"]
    found = [*PROJECT["dependencies"]]
    for requirement in extras["test"]:
        itself = re.fullmatch(rf"{PROJECT['name']}\[(.+)\]", requirement)
        names = itself.group(1).split(",") if itself else []
        found += [part for name in names for part in extras[name]] if itself else [requirement]
    return found


def run_tests(session: nox.Session) -> None:
    """Run pytest on what is installed, the whole suite unless some are named."""
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs)


@nox.session
def pinned(session: nox.Session) -> None:
    """Test with the versions of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    run_tests(session)


@nox.session
def newest(session: nox.Session) -> None:
    """Test with the newest release of everything, without torchaudio."""
    required = [part for part in declared() if not part.startswith(TIED_TO_ONE_TORCH)]
    session.install("--upgrade", *required)
    session.install("--no-deps", "-e", ".")
    run_tests(session)


@nox.session(venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Test with the lowest declared releases, and the newest of what these require in turn."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(declared()))
        session.run_install(
            "uv", "pip", "install", "--resolution", "lowest-direct", "-r", str(requirements)
        )
    session.install("--no-deps", "-e", ".")
    run_tests(session)
