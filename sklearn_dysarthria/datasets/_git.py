"""Part of a public git repository at a fixed commit, whole or not at all.

The name of a commit is a hash over everything in it.  git computes the names of all objects from
what it receives and refuses anything else, so that a fetch by the full name of a commit is a
download with a checksum, even where nobody published sums of the single files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sklearn_dysarthria.exceptions import CorpusNotFoundError

# Set by git for its hooks; they would lead the commands below to another repository.
_MISLEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


def fetch_folder(
    url: str, commit: str, folder: str, target: Path, *, problem: str = "", remedy: str = ""
) -> None:
    """Copy a folder of a repository, as it is in one commit, into ``target``.

    Parameters
    ----------
    url : str
        The repository.
    commit : str
        Full name of the commit.
    folder : str
        Folder inside the repository; its content goes into ``target``.
    target : pathlib.Path
        Created when needed.  Files that are there already are kept.
    problem, remedy : str
        Sentences that open and close the error message.

    Raises
    ------
    CorpusNotFoundError
        git is not installed, cannot reach the repository, or finds no such commit or folder.
    OSError
        The files cannot be written.
    """

    def failure(reason: str) -> CorpusNotFoundError:
        told = f"Fetching {url} at commit {commit} failed: {reason}."
        return CorpusNotFoundError(" ".join(filter(None, [problem, told, remedy])))

    program = shutil.which("git")
    if program is None:
        raise failure("the program git is not installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", ignore_cleanup_errors=True
    ) as name:
        for arguments in (
            ["init", "--quiet"],
            ["fetch", "--quiet", "--depth=1", url, commit],
            ["-c", "core.autocrlf=false", "checkout", "--quiet", commit, "--", folder],
        ):
            done = subprocess.run(
                [program, *arguments],
                cwd=name,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"git returned {done.returncode}"]
                raise failure(lines[-1].rstrip("."))
        _move_files(Path(name) / folder, target)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _move_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_file() and not path.is_symlink() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
