"""Downloads of corpora: every file verified, and under its own name only when it is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import uuid4

from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._folders import DATA_HOME_VARIABLE, locate_files
from sklearn_dysarthria.exceptions import CorpusNotFoundError

_CHUNK = 1 << 16
_TEMPORARY = {408, 429}  # besides every 5xx: request timeout, too many requests

# Set by git for its hooks; they would lead our commands to another repository.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY")


class DownloadError(Exception):
    """A download failed; the text is a sentence that says why."""


def read_registry(file_name: str) -> dict[str, str]:
    """Return the SHA-256 by path that a file in ``sklearn_dysarthria/datasets/data`` lists."""
    data = resources.files("sklearn_dysarthria.datasets") / "data" / file_name
    lines = data.read_text(encoding="utf-8").splitlines()
    return dict(line.rsplit(maxsplit=1) for line in lines if line.strip())


def obtain_files(
    folder: Path,
    needed: Sequence[str],
    download: Callable[[], None],
    *,
    title: str,
    by_hand: str,
    download_if_missing: bool,
) -> dict[str, Path]:
    """Return the files of a corpus by their published paths, downloaded if some are missing.

    `needed` are paths inside `folder`, which need not exist; upper and lower case do not matter on
    disk.  `download` puts missing files there, or raises :class:`DownloadError`; without
    `download_if_missing` it is not called.  `title` (the corpus's name) and `by_hand` ("download
    ... and ...") are for messages.

    Raises :class:`CorpusNotFoundError` if a needed file is missing and was not, or could not be,
    downloaded, and :class:`OSError` if files cannot be written.
    """
    found = locate_files(folder, needed)
    missing = [path for path in needed if path not in found]
    if not missing:
        return found
    if download_if_missing:
        try:
            download()
        except DownloadError as error:
            reason = str(error)
        else:
            found = locate_files(folder, needed)
            absent = [path for path in needed if path not in found]
            if not absent:
                return found
            reason = f"The source does not have {listed(map(repr, absent))}."
    else:
        reason = "It was not downloaded because download_if_missing=False."
    raise CorpusNotFoundError(
        f"The {title} is not complete in '{folder}': {len(missing)} of {len(needed)} files are "
        f"missing, the first is '{missing[0]}'. {reason} To get it by hand, {by_hand}; data_home "
        f"or the environment variable {DATA_HOME_VARIABLE} chooses another place."
    )


def check_sha256(path: Path, sha256: str) -> None:
    """Raise :class:`OSError` unless the file has this SHA-256."""
    found = _sha256(path)
    if found != sha256:
        raise OSError(
            f"'{path}' is not the published file: its SHA-256 is {found} instead of {sha256}. "
            "Remove it, or restore the original, and try again."
        )


def _sha256(path: Path) -> str:
    import pooch

    return pooch.file_hash(os.fspath(path), alg="sha256")


def download_files(
    folder: Path,
    registry: Mapping[str, str],
    base_urls: Sequence[str],
    *,
    n_retries: int = 3,
    delay: float = 1.0,
    timeout: float = 30.0,
    verbose: int = 0,
) -> None:
    """Download the files that are not in the folder yet.

    Finished files are kept even if others fail.  Several processes may do this at the same time:
    each writes to files of its own, and the last to finish one replaces it by the same content.

    `registry` gives the SHA-256 of every file by its path inside `folder`.  The mirrors in
    `base_urls` are tried in this order for every file.  After a broken connection, for which
    `timeout` seconds without any answer count, or a server's failure, a mirror is asked `n_retries`
    times again, `delay` seconds apart.  `verbose` shows a bar over files and one over the bytes of
    the current file.

    Raises :class:`DownloadError` if no mirror delivered one of the files with the right checksum,
    and :class:`OSError` if files cannot be written.
    """
    found = locate_files(folder, registry)
    missing = [path for path in registry if path not in found]
    for path in progress_bar(missing, total=len(missing), desc=folder.name, verbose=verbose):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        failures = []
        for base in base_urls:
            url = f"{base.rstrip('/')}/{quote(path)}"
            failure = _download_file(
                url, target, registry[path], n_retries, delay, timeout, verbose
            )
            if failure is None:
                break
            failures.append(f"{url}: {failure}")
        else:
            raise DownloadError(f"'{path}' could not be downloaded: {'; '.join(failures)}.")


def _download_file(
    url: str,
    target: Path,
    sha256: str,
    n_retries: int,
    delay: float,
    timeout: float,
    verbose: int,
) -> str | None:
    """Put a file in its place; return why the mirror did not deliver it, or None."""
    import requests

    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        for attempts_left in range(n_retries, -1, -1):
            try:
                _receive(url, part, timeout, verbose)
            except requests.RequestException as error:
                if attempts_left == 0 or not _is_temporary(error):
                    return _reason(error)
                time.sleep(delay)
            else:
                break
        found = _sha256(part)
        if found != sha256:
            return f"what it sent has SHA-256 {found} instead of {sha256}"
        try:
            os.replace(part, target)
        except PermissionError:
            # On Windows, while another process reads the file that it has just downloaded.
            if not target.is_file() or _sha256(target) != sha256:
                raise
        return None
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, part: Path, timeout: float, verbose: int) -> None:
    import pooch
    from tqdm.auto import tqdm

    name = unquote(url.rsplit("/", maxsplit=1)[-1])
    # pooch sets the bar's total when it knows it, until when nothing is shown (delay).
    with tqdm(
        total=1, desc=name, unit="B", unit_scale=True, leave=False, delay=0.1, disable=not verbose
    ) as bar:
        downloader = pooch.HTTPDownloader(
            progressbar=bar if verbose else False, chunk_size=_CHUNK, timeout=timeout
        )
        downloader(url, os.fspath(part), None)


def _is_temporary(error: Any) -> bool:
    status = getattr(error.response, "status_code", None)
    return status is None or status >= 500 or status in _TEMPORARY


def _reason(error: Any) -> str:
    """Return in a few words what requests wraps in many."""
    import requests

    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}".strip()
    # A timeout in the middle of a file is wrapped in another error.
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "the server does not answer in time"
    causes = {
        requests.exceptions.ProxyError: "the proxy does not let it through",
        requests.exceptions.SSLError: "the server's certificate cannot be verified",
        requests.exceptions.ChunkedEncodingError: "the connection broke in mid file",
        requests.ConnectionError: "no connection",
    }
    for kind, cause in causes.items():
        if isinstance(error, kind):
            return cause
    return f"{type(error).__name__}: {error}"


def download_git_folder(target: Path, url: str, commit: str, folder: str) -> None:
    """Copy a folder of a public git repository, as it is in one commit, completely or not at all.

    The name of a commit is a hash over everything in it. git computes the names of all objects from
    what it receives and rejects anything else, so that a fetch by the full name of a commit is a
    download with a checksum, even where no sums of the single files are published.

    The content of `folder` goes to `target`, where files that are there already are kept.  Raises
    :class:`DownloadError` if git is not installed, cannot reach the repository at `url`, or finds
    no such commit or folder, and :class:`OSError` if files cannot be written.
    """
    failed = f"Fetching {url} at commit {commit} failed"
    program = shutil.which("git")
    if program is None:
        raise DownloadError(f"{failed}: the program git is not installed.")
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
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
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"git returned {done.returncode}"]
                raise DownloadError(f"{failed}: {lines[-1].rstrip('.')}.")
        source = Path(name) / folder
        files = [path for path in sorted(source.rglob("*")) if not path.is_symlink()]
        names = [path.relative_to(source).as_posix() for path in files if path.is_file()]
        there = locate_files(target, names)
        for path in names:
            if path not in there:
                place = target / path
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source / path, place)
