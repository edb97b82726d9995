"""Locks between processes that end with the process that holds them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]


_given_up: set[str] = set()


@contextlib.contextmanager
def file_lock(path: str, *, patience: float) -> Iterator[bool]:
    """Hold a lock on a file, which is made if it is not there.

    For work that is done twice without harm: where the lock is not to be had, the block runs
    without it.  A lock that was given up is not waited for again in this process until it was to be
    had: whoever holds it may be stopped, and every entry would wait anew.

    Parameters
    ----------
    path : str
        The file; it stays.
    patience : float
        Seconds after which to go on without the lock.

    Yields
    ------
    bool
        Whether the lock is held.
    """
    descriptor, holder = None, None
    try:
        with contextlib.suppress(OSError):  # a folder that may not be written
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if descriptor is not None:
            if _locked(descriptor, 0 if path in _given_up else patience):
                holder = os.getpid()
                _given_up.discard(path)
            elif patience:
                _given_up.add(path)
        yield holder is not None
    finally:
        if descriptor is not None:
            # Closing is not enough: a process forked meanwhile has the descriptor, and with it
            # the lock.  Nor may that process release the lock for the one that holds it.
            if holder == os.getpid():
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _locked(descriptor: int, patience: float) -> bool:
    if fcntl is None:
        return False
    end, pause = time.monotonic() + patience, 0.0005
    while True:
        try:
            # flock, unlike lockf, also keeps the threads of one process apart.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
        except OSError:  # a file system without locks
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
