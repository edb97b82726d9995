"""Files that are written whole or not at all, and folders that are not left empty."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Make a folder, tell now if it takes no files, and remove it if nothing comes of the work.

    Parameters
    ----------
    folder : Path
        Made with its parents where missing.

    Yields
    ------
    Path
        The folder.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield folder
    except BaseException:
        for path in made:  # the innermost first; a folder with something in it stays
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Prepare a file whose place is checked now and which appears when the work is done.

    Parameters
    ----------
    path : Path
        Replaced if it exists; its folder is made.

    Yields
    ------
    Path
        Where to write meanwhile, of the same suffix.
    """
    with output_folder(path.absolute().parent) as folder:
        handle, name = tempfile.mkstemp(dir=folder, suffix=path.suffix, prefix=f".{path.stem}-")
        os.close(handle)
        unfinished = Path(name)
        try:
            yield unfinished
            # mkstemp keeps others out; the result is a file like any other.
            umask = os.umask(0)
            os.umask(umask)
            unfinished.chmod(0o666 & ~umask)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
