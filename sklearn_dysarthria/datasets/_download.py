"""Where corpora live on disk, and how their files get there whole.

A file appears under its own name only after its SHA-256 matched.  Until then it grows in a
``.part`` file beside it, which survives an interruption and is resumed by the next attempt.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria.datasets._layout import find_folder
from sklearn_dysarthria.exceptions import CorpusNotFoundError

DATA_HOME_VARIABLE = "SKLEARN_DYSARTHRIA_DATA"
_CHUNK = 1 << 16
_WORTH_RETRYING = {408, 429}  # besides every 5xx: request timeout, too many requests


@dataclass(frozen=True)
class Corpus:
    """A public corpus: what it consists of and where to get it."""

    title: str
    """Name for messages."""
    folder: str
    """Folder inside the data home."""
    marker: str
    """File that tells the corpus's own folder from any other."""
    registry: Mapping[str, str]
    """SHA-256 of every file, by path inside the folder."""
    base_urls: Sequence[str]
    """Mirrors, in the order in which they are tried; a file's path is appended."""
    archive_url: str
    """The whole corpus, for those who get it by hand."""
    unpacked: Sequence[str] = ()
    """Patterns of the folders that the archive unpacks to."""


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds the corpora, one folder per corpus.

    Parameters
    ----------
    data_home : path-like, optional
        The folder; by default the environment variable ``SKLEARN_DYSARTHRIA_DATA``, and where
        that is unset or empty ``sklearn_dysarthria`` in the user's cache folder.

    Returns
    -------
    pathlib.Path
        Absolute path.  The folder is not created before something is downloaded into it.
    """
    chosen = os.environ.get(DATA_HOME_VARIABLE) if data_home is None else data_home
    if not chosen:
        import pooch

        return Path(pooch.os_cache("sklearn_dysarthria"))
    return Path(os.path.abspath(os.path.expanduser(chosen)))


def read_registry(file_name: str) -> dict[str, str]:
    """Read a list of files shipped with the package.

    Parameters
    ----------
    file_name : str
        File in ``sklearn_dysarthria/datasets/data`` with a path and its SHA-256 on every line.

    Returns
    -------
    dict of str to str
        SHA-256 by path.
    """
    data = resources.files("sklearn_dysarthria.datasets") / "data" / file_name
    lines = data.read_text(encoding="utf-8").splitlines()
    return dict(line.rsplit(maxsplit=1) for line in lines if line.strip())


def read_description(file_name: str) -> str:
    """Return the text of a file in ``sklearn_dysarthria/datasets/descr``."""
    descr = resources.files("sklearn_dysarthria.datasets") / "descr" / file_name
    return descr.read_text(encoding="utf-8")


def obtain_corpus(
    corpus: Corpus,
    needed: Collection[str],
    *,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
    verbose: int,
) -> Path:
    """Return the corpus's folder with the needed files in it, downloaded and verified.

    Parameters
    ----------
    corpus : Corpus
        Which corpus.
    needed : collection of str
        Paths from the corpus's registry that the caller is going to read.
    data_home : path-like, optional
        See :func:`get_data_home`; may also be the unpacked corpus itself.
    download_if_missing : bool
        Whether to download the corpus when a needed file is missing.
    verbose : int
        Positive shows progress bars.

    Returns
    -------
    pathlib.Path
        The corpus's folder.

    Raises
    ------
    CorpusNotFoundError
        A needed file is missing and was not, or could not be, downloaded.
    OSError
        A needed file is not the published one.
    """
    home = get_data_home(data_home)
    folder = find_folder(
        home, corpus.folder, lambda place: (place / corpus.marker).exists(), corpus.unpacked
    )
    missing = [path for path in needed if not (folder / path).is_file()]
    if missing:
        problem = (
            f"The {corpus.title} is not complete in '{folder}': {len(missing)} of {len(needed)} "
            f"files are missing, the first is '{missing[0]}'."
        )
        remedy = (
            f"To get it by hand, download {corpus.archive_url} and unpack it so that "
            f"'{folder / missing[0]}' exists; data_home or the environment variable "
            f"{DATA_HOME_VARIABLE} chooses another place."
        )
        if not download_if_missing:
            raise CorpusNotFoundError(
                f"{problem} It was not downloaded because download_if_missing=False. {remedy}"
            )
        download_files(corpus.base_urls, corpus.registry, folder, problem, remedy, verbose=verbose)
    for path in needed:
        verify_file(folder / path, corpus.registry[path])
    return folder


def verify_file(path: Path, sha256: str) -> None:
    """Raise :class:`OSError` unless the file has this SHA-256."""
    found = _sha256_of(path)
    if found != sha256:
        raise OSError(
            f"'{path}' is not the published file: its SHA-256 is {found} instead of {sha256}. "
            "Remove it, or restore the original, and try again."
        )


def _sha256_of(path: str | os.PathLike[str]) -> str:
    import pooch

    return pooch.file_hash(os.fspath(path), alg="sha256")


@dataclass(frozen=True)
class _Client:
    """The connection to the mirrors, and how long to insist on each."""

    session: Any
    n_retries: int
    delay: float
    timeout: float
    verbose: int


class _MirrorError(Exception):
    """One mirror did not deliver one file; the text says why."""


def download_files(
    base_urls: Sequence[str],
    registry: Mapping[str, str],
    folder: Path,
    problem: str = "",
    remedy: str = "",
    *,
    n_retries: int = 3,
    delay: float = 1.0,
    timeout: float = 30.0,
    verbose: int = 0,
) -> None:
    """Download the files that are not in the folder yet.

    Finished files are kept whatever happens to the others, and an unfinished one is resumed by
    the next call where the server allows it.  Several processes may do this at the same time.

    Parameters
    ----------
    base_urls : sequence of str
        Mirrors, tried in this order for every file.
    registry : mapping of str to str
        SHA-256 of every file, by path inside the folder.
    folder : pathlib.Path
        Where to put them; created when needed.
    problem, remedy : str
        Sentences that open and close the error message.
    n_retries : int, default=3
        How often a mirror is asked again after a broken connection or a server's failure.
    delay : float, default=1.0
        Seconds between two attempts.
    timeout : float, default=30.0
        Seconds without any answer after which a connection counts as broken.
    verbose : int, default=0
        Positive shows a bar over files and one over the bytes of the current file.

    Raises
    ------
    CorpusNotFoundError
        No mirror delivered one of the files, or what it delivered had the wrong checksum.
    OSError
        The files cannot be written.
    """
    import requests

    missing = [path for path in registry if not (folder / path).exists()]
    files = progress_bar(missing, total=len(missing), desc=folder.name, verbose=verbose)
    with requests.Session() as session:
        client = _Client(session, n_retries, delay, timeout, verbose)
        for path in files:
            urls = [f"{base.rstrip('/')}/{quote(path)}" for base in base_urls]
            reasons = _download_file(client, urls, folder / path, registry[path])
            if reasons:
                failure = f"'{path}' could not be downloaded: {'; '.join(reasons)}."
                raise CorpusNotFoundError(" ".join(filter(None, [problem, failure, remedy])))


def _download_file(client: _Client, urls: Sequence[str], target: Path, sha256: str) -> list[str]:
    """Put one file in its place; return why every mirror failed, or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons: list[str] = []
    with _claimed_part(target) as part:
        if target.exists():  # another process finished it while this one waited
            return []
        for url in urls:
            try:
                _complete(client, url, part, sha256)
            except _MirrorError as error:
                reasons.append(f"{url}: {error}")
            else:
                os.replace(part.name, target)
                return []
    return reasons


@contextmanager
def _claimed_part(target: Path) -> Iterator[BinaryIO]:
    """Open the file's ``.part`` for this process alone; what is worth resuming stays on disk."""
    part = target.with_name(target.name + ".part")
    file = _open_locked(part)
    resumable = file is not None
    if file is None:
        file = open(part.with_suffix(f".{uuid.uuid4().hex}.part"), "a+b")  # noqa: SIM115
    try:
        yield file
    finally:
        if not resumable or os.fstat(file.fileno()).st_size == 0:
            Path(file.name).unlink(missing_ok=True)
        file.close()


def _open_locked(part: Path) -> BinaryIO | None:
    """Open and lock a file that other processes may hold; None where locks do not work.

    The lock is the kernel's: it ends with the process, so that none is ever left behind.
    """
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        file = open(part, "a+b")  # noqa: SIM115  (the caller closes it)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # some network file systems have no locks
            if os.fstat(file.fileno()).st_size == 0:
                part.unlink(missing_ok=True)
            file.close()
            return None
        if _is_still_named(file, part):
            return file
        file.close()  # whoever held it has renamed or removed it: this locks nothing


def _is_still_named(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _complete(client: _Client, url: str, part: BinaryIO, sha256: str) -> None:
    """Fill the part from one mirror until its checksum matches."""
    import requests

    attempts_left = client.n_retries
    while True:
        resumed = os.fstat(part.fileno()).st_size > 0
        if resumed and _sha256_of(part.name) == sha256:  # complete, but killed before its renaming
            return
        try:
            _receive(client, url, part)
        except requests.RequestException as error:
            if attempts_left == 0 or not _worth_retrying(error):
                raise _MirrorError(_reason(error)) from None
            attempts_left -= 1
            time.sleep(client.delay)
            continue
        found = _sha256_of(part.name)
        if found == sha256:
            return
        part.truncate(0)
        if not resumed:  # a resumed file may have begun elsewhere: that one starts afresh
            raise _MirrorError(f"what it sent has SHA-256 {found} instead of {sha256}")


def _receive(client: _Client, url: str, part: BinaryIO) -> None:
    """Append to the part what it lacks, or write it anew where the server cannot resume."""
    have = os.fstat(part.fileno()).st_size
    # Ranges count compressed bytes where the server compresses, hence the identity.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    request = client.session.get(url, headers=headers, stream=True, timeout=client.timeout)
    with request as response:
        if have and not _continues(response, have):
            part.truncate(0)
            have = 0
            if response.status_code != 200:
                return _receive(client, url, part)
        response.raise_for_status()
        with _byte_bar(response, url, have, client.verbose) as bar:
            try:
                for chunk in response.iter_content(_CHUNK):
                    part.write(chunk)
                    bar.update(len(chunk))
            finally:
                part.flush()
    return None


def _continues(response: Any, have: int) -> bool:
    """Tell whether the answer starts where the part ends, or is an error that leaves it valid."""
    if response.status_code == 206:
        return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return response.status_code not in (200, 416)  # 416: the part is longer than the file


def _byte_bar(response: Any, url: str, have: int, verbose: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(
        total=have + int(response.headers.get("Content-Length", 0)) or None,
        initial=have,
        desc=url.rsplit("/", maxsplit=1)[-1],
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not verbose,
    )


def _worth_retrying(error: Any) -> bool:
    status = getattr(error.response, "status_code", None)
    return status is None or status >= 500 or status in _WORTH_RETRYING


def _reason(error: Any) -> str:
    """Say in a few words what requests wraps in many."""
    import requests

    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}".strip()
    if isinstance(error, requests.Timeout) or "timed out" in str(
        error
    ):  # in mid file it is wrapped
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
