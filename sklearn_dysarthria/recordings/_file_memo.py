"""Values that were read from files, remembered until the files change."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

# A file that is written twice within one tick of its clock may keep size and times although its
# content differs (git calls that "racily clean").  Ticks are milliseconds on most file systems
# and two seconds on the worst, so nothing is remembered of a file changed that recently: after
# that time any change shows, for the time of the last change (ctime) cannot be set back.
_SETTLING_SECONDS = 2.5


class FileMemo:
    """Values by file, valid for one state of it; the oldest are forgotten first.

    Parameters
    ----------
    size : int
        Number of files to remember.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[str, tuple[tuple[int, ...], Any]] = {}
        self._lock = threading.Lock()

    def get(self, path: str, facts: os.stat_result) -> Any:
        """Return the value for a file in its present state, or None.

        Parameters
        ----------
        path : str
            Its name.
        facts : os.stat_result
            Its present state.
        """
        state, value = self._known.get(path, (None, None))
        return value if state == file_state(facts) else None

    def put(self, path: str, facts: os.stat_result, value: Any) -> None:
        """Remember a value, unless the file has changed just now.

        Parameters
        ----------
        path : str
            Its name.
        facts : os.stat_result
            Its state *before* the value was read from it.
        value : object
            Not None.
        """
        if time.time() - max(facts.st_mtime, facts.st_ctime) < _SETTLING_SECONDS:
            return
        with self._lock:
            while len(self._known) >= self._size and path not in self._known:
                del self._known[next(iter(self._known))]
            self._known[path] = file_state(facts), value


def file_state(facts: os.stat_result) -> tuple[int, ...]:
    """Return the facts of a file that change with its content.

    Parameters
    ----------
    facts : os.stat_result
        What :func:`os.stat` says.
    """
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
