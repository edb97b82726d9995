"""The older Minsk corpus: a sustained /a/ of patients with bulbar ALS and of controls."""

from __future__ import annotations

import os
import warnings
from functools import partial
from importlib import resources
from typing import Any

import pandas as pd

from sklearn_dysarthria._utils.text import listed
from sklearn_dysarthria.datasets._bunch import as_dataset, read_description
from sklearn_dysarthria.datasets._download import download_git_folder, obtain_files
from sklearn_dysarthria.datasets._folders import (
    find_folder,
    get_data_home,
    sample_rates,
    walk_files,
)
from sklearn_dysarthria.exceptions import RecordingWarning

_REPOSITORY = "https://github.com/Mak-Sim/Troparion"
_COMMIT = "c57ca459dc34261ed7d4f7eab1195b792ba5aa08"
_FOLDER = "SPA2019"
_GROUPS = ("Pathology", "Control")


def fetch_minsk2019_als(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Any:
    """Load the older Minsk corpus (classification), downloading it if necessary.

    =================   ==================================================
    Speakers            54 (15 with bulbar ALS, 39 healthy controls)
    Recordings          54 (a sustained /a/ of each speaker)
    Sampling rate       44.1 kHz
    =================   ==================================================

    The download needs git: the authors' repository is fetched at a fixed commit, whose name is a
    checksum of everything in it.  A copy put in place by hand is compared with the list of
    speakers only, because no checksums of the single files are published.

    Most speakers seem to be in Minsk2020 as well; see :func:`minsk_overlap` before using both.

    Parameters
    ----------
    data_home : path-like, optional
        Folder that holds the corpora, this one in ``minsk2019/`` (with ``Pathology/`` and
        ``Control/`` in it); by default the environment variable ``SKLEARN_DYSARTHRIA_DATA``,
        else the user's cache folder.  The folder of the corpus itself and the unpacked
        repository (``Troparion*``) are accepted as well.
    download_if_missing : bool, default=True
        If False, raise an error instead of downloading what is not there.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        If False, ``data`` is an object array of paths and ``target`` an array, without
        patients: splits by patient then need the table.

    Returns
    -------
    dataset : :class:`sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (54, 7) or ndarray of shape (54,)
            The table of recordings: ``audio`` (absolute path), ``sample_rate`` (Hz, of the
            file; missing where the file cannot be read), ``patient`` (group and code, as in
            Minsk2020: "ALS020"), ``task``, ``diagnosis``, ``sex`` and ``age`` (years).  Beyond
            ``task`` these columns are metadata; ``diagnosis`` is the label.
        target : Series or ndarray of shape (54,)
            "ALS" or "HC".
        frame : DataFrame of shape (54, 8)
            ``data`` and ``target`` together; None with ``as_frame=False``.
        target_names : ndarray of str
            The classes in the order of a classifier's ``classes_``.
        feature_names : list of str
            Names of the columns of ``data``.
        filenames : ndarray of shape (54,)
            Absolute paths of the recordings.
        DESCR : str
            Source, citation, counts and oddities of the corpus.

    (data, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    CorpusNotFoundError
        The corpus is not on this computer and was not, or could not be, downloaded.

    Warns
    -----
    RecordingWarning
        There are recordings of speakers who are not in the published list; they are skipped.

    References
    ----------
    .. [1] M. Vashkevich, Yu. Rushkevich, A. Petrovsky, "Bulbar ALS detection based on analysis
       of voice perturbation and vibrato", Signal Processing: Algorithms, Architectures,
       Arrangements, and Applications (SPA), Poznan, 2019, pp. 267-272.

    Examples
    --------
    >>> from sklearn_dysarthria.datasets import fetch_minsk2019_als
    >>> X, y = fetch_minsk2019_als(return_X_y=True)  # doctest: +SKIP
    >>> y.value_counts().to_dict()  # doctest: +SKIP
    {'HC': 39, 'ALS': 15}
    """
    speakers = _published_speakers()
    home = get_data_home(data_home)
    folder = find_folder(
        home,
        "minsk2019",
        lambda place: all((place / group).is_dir() for group in _GROUPS),
        [_FOLDER, f"Troparion*/{_FOLDER}"],
    )
    files = obtain_files(
        folder,
        list(speakers["path"]),
        partial(download_git_folder, folder, _REPOSITORY, _COMMIT, _FOLDER),
        title="Minsk2019 corpus",
        by_hand=f"download {_REPOSITORY}/archive/{_COMMIT}.zip and put the content of its folder "
        f"{_FOLDER} into '{folder}'",
        download_if_missing=download_if_missing,
    )
    unpublished = [
        path.relative_to(folder).as_posix()
        for group in _GROUPS
        for path in walk_files(folder / group, 0)
        if path.suffix.casefold() == ".wav" and path not in files.values()
    ]
    if unpublished:
        warnings.warn(
            f"Minsk2019: {len(unpublished)} recordings are not in the published list and are "
            f"skipped: {listed(map(repr, unpublished))}.",
            RecordingWarning,
            stacklevel=2,
        )
    audio = speakers["path"].map(lambda path: str(files[path]))
    table = pd.DataFrame({"audio": audio, "sample_rate": sample_rates(audio)})
    table["patient"] = speakers["patient"]
    table["task"] = "phonationA"
    table[["diagnosis", "sex", "age"]] = speakers[["diagnosis", "sex", "age"]]
    return as_dataset(
        table,
        table["diagnosis"].astype(object).rename("target"),
        read_description("minsk2019.rst"),
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _published_speakers() -> pd.DataFrame:
    """Return path, patient, diagnosis, sex and age of the speakers in the authors' README."""
    data = resources.files("sklearn_dysarthria.datasets") / "data" / "minsk2019_speakers.csv"
    with data.open(encoding="utf-8") as file:
        return pd.read_csv(file)
