"""Arrays that are filled row by row, in memory and on a disk, and what stays behind."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from sklearn_dysarthria import LogMelDeltaImages
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning, TooShortAudioError
from sklearn_dysarthria.recordings import map_recordings_to_array

SMALL = {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 24, "image_size": 32}
BACKENDS = [None, "threading", "loky"]
SHAPE = (3, 5)


def chosen(backend, **options):
    return parallel_config(**({} if backend is None else {"backend": backend}), **options)


def numbered(row, out=None):
    """Fill with the row's number, as the image of a recording would."""
    number = row["audio"]
    if number < 0:
        if out is not None:
            out[:] = 7  # half done
        raise RecordingError(f"row {number}")
    result = np.full(SHAPE, number, dtype=np.float32)
    if out is None:
        return result
    assert out.shape == SHAPE
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    out[...] = result
    return out


def table_of(numbers):
    return pd.DataFrame({"audio": pd.Series(list(numbers), dtype=object)})


@pytest.fixture(name="folder", params=[False, True], ids=["memory", "disk"])
def folder_or_none(request, tmp_path):
    folder = tmp_path / "rows"
    yield folder if request.param else None
    gc.collect()
    assert not folder.exists() or not os.listdir(folder)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_rows", [0, 1, 70])
def test_rows_are_where_they_belong(folder, backend, n_rows):
    with chosen(backend):
        found = map_recordings_to_array(
            numbered, table_of(range(n_rows)), SHAPE, folder=folder, n_jobs=2
        )
    expected = np.arange(n_rows)[:, None, None] * np.ones(SHAPE)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (n_rows, *SHAPE)
    assert found.dtype == np.float32
    assert isinstance(found, np.memmap) == (folder is not None and n_rows > 0)
    assert found.flags.writeable != isinstance(found, np.memmap)


def test_rows_without_elements(folder):
    found = map_recordings_to_array(lambda *_: None, table_of([1, 2]), (0, 3), folder=folder)
    assert found.shape == (2, 0, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_failed_and_repeated_rows(folder, backend):
    table = table_of([0, 1, -2, 3, -4, 5])
    X = table.iloc[[5, 0, 2, 1, 1, 2, 3, 1, 4]]  # as a sampler repeats rows
    with chosen(backend, n_jobs=2):
        with pytest.warns(RecordingWarning, match="3 of 9") as caught:
            found = map_recordings_to_array(numbered, X, SHAPE, folder=folder, on_error="nan")
        assert len(caught) == 1
        np.testing.assert_array_equal(found[:, 0, 0], [5, 0, np.nan, 1, 1, np.nan, 3, 1, np.nan])
        assert np.isnan(found[[2, 5, 8]]).all()
        with pytest.raises(RecordingError, match="row -2"):
            map_recordings_to_array(numbered, X, SHAPE, folder=folder)


@pytest.mark.parametrize(("context", "n_jobs"), [({}, 2), ({"n_jobs": 2}, None)])
def test_threads_of_this_process_write_their_rows_themselves(folder, context, n_jobs):
    seen = set()

    def compute(row, out):  # local, so that no other process could get it by name
        seen.add(threading.get_ident())
        out[...] = row["audio"]

    with parallel_config(**context):
        found = map_recordings_to_array(
            compute, table_of(range(40)), SHAPE, folder=folder, n_jobs=n_jobs
        )
    assert threading.get_ident() not in seen
    np.testing.assert_array_equal(found[:, 0, 0], range(40))


def interrupted(row, out=None):
    """Be interrupted, as Ctrl-C in a terminal interrupts all processes."""
    if row["audio"] == 20:
        raise KeyboardInterrupt
    return numbered(row, *(() if out is None else (out,)))


@pytest.mark.parametrize("backend", [None, "threading"])
def test_an_interrupt_leaves_nothing(folder, backend):
    with chosen(backend), pytest.raises(KeyboardInterrupt):
        map_recordings_to_array(interrupted, table_of(range(40)), SHAPE, folder=folder, n_jobs=2)


# The file


def on_disk(folder, n_rows=4):
    return map_recordings_to_array(numbered, table_of(range(n_rows)), SHAPE, folder=folder)


def test_a_full_disk_while_rows_are_written_is_an_error(tmp_path, full_file):
    with pytest.raises(OSError, match="File too large"):
        on_disk(tmp_path, n_rows=9)
    gc.collect()
    assert not os.listdir(tmp_path)


@pytest.fixture
def full_file():
    """Limit files to 100 bytes, which fails as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


KILLED = """
    import os, sys
    import numpy as np, pandas as pd
    from sklearn_dysarthria.recordings import map_recordings_to_array

    X = pd.DataFrame({"audio": pd.Series(range(4), dtype=object)})
    array = map_recordings_to_array(
        lambda row, out: out.fill(1), X, (3, 5), folder=sys.argv[1]
    )
    print("ready", flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.read()
"""


def process_with_an_array(folder, end):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_file_goes_with_the_process(tmp_path):
    with process_with_an_array(tmp_path, "end") as process:
        assert process.stdout.readline() == "ready\n"
    assert process.returncode == 0
    assert not os.listdir(tmp_path)


def test_files_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    (tmp_path / "mine.rows").write_text("precious")
    with process_with_an_array(tmp_path, "wait") as process:
        assert process.stdout.readline() == "ready\n"
        theirs = {name for name in os.listdir(tmp_path) if name != "mine.rows"}
        assert theirs
        on_disk(tmp_path)
        gc.collect()
        assert set(os.listdir(tmp_path)) == theirs | {"mine.rows"}
        process.kill()
    assert theirs < set(os.listdir(tmp_path))
    on_disk(tmp_path)
    gc.collect()
    assert os.listdir(tmp_path) == ["mine.rows"]


def test_a_file_that_cannot_be_removed_yet_is_removed_later(tmp_path, monkeypatch):
    """As on Windows, where no file is removed that another process has open."""
    array = on_disk(tmp_path)
    (name,) = (name for name in os.listdir(tmp_path) if name.endswith(".rows"))
    unlink = os.unlink

    def in_use(path, **options):
        if os.path.basename(path) == name:
            raise PermissionError(13, "The process cannot access the file", path)
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", in_use)
        del array
        gc.collect()
    assert name in os.listdir(tmp_path)
    on_disk(tmp_path)
    gc.collect()
    assert not os.listdir(tmp_path)


def test_a_forked_process_removes_nothing(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    array = on_disk(tmp_path)
    child = os.fork()
    if not child:
        del array
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert any(name.endswith(".rows") for name in os.listdir(tmp_path))
    assert array[3, 0, 0] == 3


def test_a_view_keeps_the_file(tmp_path):
    array = on_disk(tmp_path)
    copy, view = pickle.loads(pickle.dumps(array)), array[1]
    del array
    gc.collect()
    assert os.listdir(tmp_path)
    assert view.tolist() == copy[1].tolist() == np.ones(SHAPE).tolist()
    del view
    gc.collect()
    assert not os.listdir(tmp_path)


# Images


@pytest.fixture(name="X", scope="module")
def recordings():
    rng = np.random.default_rng(0)
    audio = list(rng.normal(size=(9, 4000)).astype(np.float32))
    audio[4] = audio[4][:10]
    table = pd.DataFrame({"audio": pd.Series(audio, dtype=object), "sample_rate": 8000})
    return table.iloc[[*range(9), 2, 4, 2]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_are_the_same_bit_for_bit(X, folder, tmp_path, backend):
    with pytest.warns(RecordingWarning, match="2 of 12"):
        expected = LogMelDeltaImages(**SMALL, on_error="nan").fit_transform(X)
    assert np.isnan(expected).all(axis=(1, 2, 3)).nonzero()[0].tolist() == [4, 10]
    images = LogMelDeltaImages(**SMALL, mmap_folder=folder, n_jobs=2)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # computed, kept, found
        images.set_params(cache=cache, on_error="nan")
        with chosen(backend), pytest.warns(RecordingWarning, match="2 of 12"):
            found = images.fit_transform(X)
        np.testing.assert_array_equal(found, expected)
        images.set_params(on_error="raise")
        with chosen(backend), pytest.raises(TooShortAudioError, match="row 4"):
            images.fit_transform(X)


@pytest.mark.parametrize("normalize", ["recording", None])
def test_images_of_threads_however_they_are_normalized(X, normalize):
    X = X[:4]
    one, two = (
        LogMelDeltaImages(**SMALL, normalize=normalize, n_jobs=n_jobs).fit_transform(X)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


# What ends the worker processes comes last: to start them takes seconds


def die(row, out=None):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("function", "error"), [(interrupted, KeyboardInterrupt), (die, TerminatedWorkerError)]
)
def test_worker_processes_that_are_interrupted_or_die_leave_nothing(tmp_path, function, error):
    if function is die and os.name == "nt":
        pytest.skip("Windows has no signals between processes")
    try:
        with parallel_config("loky"), pytest.raises(error):
            map_recordings_to_array(function, table_of(range(40)), SHAPE, folder=tmp_path, n_jobs=2)
    finally:
        get_reusable_executor().shutdown(wait=True)
    gc.collect()
    assert not os.listdir(tmp_path)
