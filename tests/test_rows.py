"""Rows of a new array: whoever computes one writes it in its place, and nothing stays behind."""

import errno
import gc
import os
import pickle
import signal
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor

from sklearn_dysarthria import LogMelDeltaImages
from sklearn_dysarthria._utils import rows, workers
from sklearn_dysarthria._utils.memory_maps import is_mapped
from sklearn_dysarthria._utils.rows import RowsInMemory, RowsOfProcesses, RowsOnDisk, new_rows
from sklearn_dysarthria.exceptions import RecordingError, RecordingWarning, TooShortAudioError
from sklearn_dysarthria.recordings import _map as recordings_module
from sklearn_dysarthria.recordings import map_recordings_to_array

needs_linux = pytest.mark.skipif(not workers.HAS_MEMORY_FILES, reason="needs Linux")
SMALL = {"sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 24, "image_size": 32}
FORKS = pytest.param("multiprocessing", marks=pytest.mark.forks)
BACKENDS = ["sequential", "threading", "loky", FORKS]
SHAPE = (3, 5)


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
    out[...] = result
    return out


def table_of(numbers):
    return pd.DataFrame({"audio": pd.Series(list(numbers), dtype=object)})


def files_of(name):
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in links + maps if name in line]


@pytest.fixture(autouse=True)
def _nothing_stays():
    yield
    gc.collect()
    assert not files_of("memfd:rows")


@pytest.fixture(name="folder", params=[False, True], ids=["memory", "disk"])
def folder_or_none(request, tmp_path):
    yield tmp_path / "rows" if request.param else None
    gc.collect()
    assert not files_of(str(tmp_path / "rows"))


# The array


@needs_linux
@pytest.mark.parametrize("kind", ["memory", "processes", "disk"])
def test_every_kind_holds_what_was_written(kind, tmp_path):
    folder = tmp_path if kind == "disk" else None
    out = new_rows(folder, (5, *SHAPE), np.float32, for_processes=kind == "processes")
    kinds = {"memory": RowsInMemory, "processes": RowsOfProcesses, "disk": RowsOnDisk}
    assert isinstance(out, kinds[kind])

    def compute(row):
        assert row.shape == SHAPE
        assert row.dtype == np.float32
        assert row.flags.c_contiguous
        row[...] = 4

    out.put(0, np.arange(15).reshape(SHAPE))
    out.put(1, np.asfortranarray(np.arange(15.0).reshape(SHAPE)))
    out.put(3, np.nan)
    out.fill((4, 2), compute)
    found = out.finish()
    expected = np.empty((5, *SHAPE))
    expected[:2], expected[[2, 4]], expected[3] = np.arange(15).reshape(SHAPE), 4, np.nan
    np.testing.assert_array_equal(found, expected)
    assert found.flags.writeable == (kind != "disk")
    assert is_mapped(found) == (kind == "disk")


@needs_linux
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("for_processes", [False, True])
def test_arrays_without_elements(folder, shape, for_processes):
    out = new_rows(folder, shape, np.float32, for_processes=for_processes)
    for position in range(shape[0]):
        out.put(position, np.nan)
    assert out.finish().shape == shape
    out.close()


@needs_linux
def test_an_array_that_never_fits_is_told_before_the_work():
    with pytest.raises(MemoryError):
        RowsOfProcesses((10**6, 10**12), np.float32)


@needs_linux
def test_a_reference_writes_and_owns_nothing():
    out = RowsOfProcesses((2, 4), np.float32)
    reference = pickle.loads(pickle.dumps(out))
    before = os.listdir("/proc/self/fd")
    reference.fill((1, 0), lambda row: row.fill(3))
    assert os.listdir("/proc/self/fd") == before
    del reference
    assert (out.finish() == 3).all()


@needs_linux
def test_a_reference_writes_to_no_other_file(tmp_path):
    out = RowsOfProcesses((2, 4), np.float32)
    reference = pickle.loads(pickle.dumps(out))
    number = int(reference.path.rpartition("/")[2])
    (tmp_path / "other").write_bytes(b"precious")
    with open(tmp_path / "other", "r+b") as other:
        out.close()
        with pytest.raises(FileNotFoundError):
            reference.put(0, 1)
        os.dup2(other.fileno(), number)
        try:
            with pytest.raises(FileNotFoundError, match="no longer"):
                reference.put(0, 1)
        finally:
            os.close(number)
    assert (tmp_path / "other").read_bytes() == b"precious"


@needs_linux
def test_what_is_written_in_parts_is_whole(monkeypatch):
    original = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: original(file, data[:5], at))
    out = RowsOfProcesses((3, 4), np.float32)
    for position in range(3):
        out.put(position, np.arange(4) + 10 * position)
    np.testing.assert_array_equal(out.finish(), np.arange(4) + 10 * np.arange(3)[:, None])


@needs_linux
def test_the_array_is_this_processs_own():
    out = RowsOfProcesses((2, 4), np.float32)
    out.put(0, 1)
    out.put(1, 2)
    array = out.finish()
    child = os.fork()
    if not child:
        array[:] = 9
        os._exit(0)
    os.waitpid(child, 0)
    assert array.tolist() == [[1] * 4, [2] * 4]
    array += 1
    assert array.tolist() == [[2] * 4, [3] * 4]
    copy = pickle.loads(pickle.dumps(array))
    view = array[1]
    del array
    gc.collect()
    assert files_of("memfd:rows")  # the view shows it
    assert view.tolist() == copy[1].tolist() == [3] * 4
    del view
    gc.collect()
    assert not files_of("memfd:rows")


# The work


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_rows", [0, 1, 70])
def test_rows_are_where_they_belong(folder, backend, n_rows):
    with parallel_config(backend=backend):
        found = map_recordings_to_array(
            numbered, table_of(range(n_rows)), SHAPE, folder=folder, n_jobs=2
        )
    expected = np.arange(n_rows)[:, None, None] * np.ones(SHAPE)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
    assert isinstance(found, np.memmap) == (folder is not None and n_rows > 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_failed_and_repeated_rows(folder, backend):
    table = table_of([0, 1, -2, 3, -4, 5])
    X = table.iloc[[5, 0, 2, 1, 1, 2, 3, 1, 4]]  # as a sampler repeats rows
    with parallel_config(backend=backend, n_jobs=2):
        with pytest.warns(RecordingWarning, match="3 of 9") as caught:
            found = map_recordings_to_array(numbered, X, SHAPE, folder=folder, on_error="nan")
        assert len(caught) == 1
        np.testing.assert_array_equal(found[:, 0, 0], [5, 0, np.nan, 1, 1, np.nan, 3, 1, np.nan])
        assert np.isnan(found[[2, 5, 8]]).all()
        with pytest.raises(RecordingError, match="row -2"):
            map_recordings_to_array(numbered, X, SHAPE, folder=folder)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_where_files_cannot_be_shared_results_are_sent(folder, backend, monkeypatch):
    monkeypatch.setattr(workers, "HAS_MEMORY_FILES", False)
    monkeypatch.setattr(rows, "RowsOfProcesses", None)
    table = table_of([0, 1, -2, 3]).iloc[[3, 2, 1, 1, 0]]
    with parallel_config(backend=backend), pytest.warns(RecordingWarning, match="1 of 5"):
        found = map_recordings_to_array(
            numbered, table, SHAPE, folder=folder, n_jobs=2, on_error="nan"
        )
    np.testing.assert_array_equal(found[:, 0, 0], [3, np.nan, 1, 1, 0])


@needs_linux
@pytest.mark.parametrize("backend", ["loky", FORKS])
def test_no_row_goes_through_a_pipe(backend, monkeypatch):
    returned = []
    original = recordings_module.parallel_map

    def kept(*arguments, **options):
        returned.extend(original(*arguments, **options))
        return returned

    monkeypatch.setattr(recordings_module, "parallel_map", kept)
    monkeypatch.setattr(RowsInMemory, "put", lambda *arguments: pytest.fail("copied"))
    with parallel_config(backend=backend):
        map_recordings_to_array(numbered, table_of(range(9)), SHAPE, n_jobs=2)
    assert returned == [None] * 9


def row_of(row, out):
    """Do as a row says: die, or meet a full disk."""
    number = row["audio"]
    if number == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if number == "full":

        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        os.pwrite = full  # in a worker that is ended afterwards
    out[...] = 0


@needs_linux
@pytest.mark.parametrize(("what", "error"), [("die", BrokenProcessPool), ("full", OSError)])
def test_a_worker_that_dies_or_cannot_write(folder, what, error):
    X = table_of(["well"] * 30 + [what] + ["well"] * 30)
    try:
        with pytest.raises(error) as raised:
            map_recordings_to_array(row_of, X, SHAPE, folder=folder, n_jobs=2)
        if what == "full":
            assert raised.value.errno == errno.ENOSPC
    finally:
        get_reusable_executor().shutdown(wait=True)
    del raised
    gc.collect()
    assert not files_of("memfd:rows")
    assert map_recordings_to_array(numbered, table_of([1]), SHAPE, n_jobs=2).shape == (1, *SHAPE)


def interrupted(row, out):
    """Be interrupted, as Ctrl-C in a terminal interrupts all processes."""
    if row["audio"] == 20:
        raise KeyboardInterrupt
    out[...] = 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_leaves_nothing(folder, backend):
    with parallel_config(backend=backend), pytest.raises(KeyboardInterrupt):
        map_recordings_to_array(interrupted, table_of(range(40)), SHAPE, folder=folder, n_jobs=2)


@needs_linux
def test_descriptors_do_not_add_up(folder):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    X, bad = table_of(range(20)), table_of([*range(10), -1, *range(10)])
    map_recordings_to_array(numbered, X, SHAPE, folder=folder, n_jobs=2)  # starts the workers
    before = count()
    for _ in range(10):
        map_recordings_to_array(numbered, X, SHAPE, folder=folder, n_jobs=2)
        with pytest.raises(RecordingError):
            map_recordings_to_array(numbered, bad, SHAPE, folder=folder, n_jobs=2)
    assert count() <= before


# Images


@pytest.fixture(name="X", scope="module")
def recordings():
    rng = np.random.default_rng(0)
    audio = list(rng.normal(size=(9, 4000)).astype(np.float32))
    audio[4] = audio[4][:10]
    table = pd.DataFrame({"audio": pd.Series(audio, dtype=object), "sample_rate": 8000})
    return table.iloc[[*range(9), 2, 4, 2]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("normalize", ["imagenet", "recording", None])
def test_images_are_the_same_bit_for_bit(X, folder, tmp_path, backend, normalize):
    with pytest.warns(RecordingWarning, match="2 of 12"):
        expected = LogMelDeltaImages(**SMALL, normalize=normalize, on_error="nan").fit_transform(X)
    assert np.isnan(expected).all(axis=(1, 2, 3)).nonzero()[0].tolist() == [4, 10]
    images = LogMelDeltaImages(**SMALL, normalize=normalize, mmap_folder=folder, n_jobs=2)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):  # computed, kept, found
        images.set_params(cache=cache, on_error="nan")
        with parallel_config(backend=backend), pytest.warns(RecordingWarning, match="2 of 12"):
            found = images.fit_transform(X)
        np.testing.assert_array_equal(found, expected)
        images.set_params(on_error="raise")
        with parallel_config(backend=backend), pytest.raises(TooShortAudioError, match="row 4"):
            images.fit_transform(X)


def test_images_from_a_damaged_cache(X, folder, tmp_path):
    X = X[:4]
    images = LogMelDeltaImages(**SMALL, cache=tmp_path / "cache", mmap_folder=folder)
    expected = np.array(images.fit_transform(X))
    entries = [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 62]
    assert len(entries) == 4
    for path in entries:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    np.testing.assert_array_equal(images.fit_transform(X), expected)
    np.testing.assert_array_equal(images.fit_transform(X), expected)
