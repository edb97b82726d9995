"""The store of arrays: nothing wrong comes out of it, whatever happens to it."""

import json
import os
import pickle
import time
import warnings
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sklearn_dysarthria import EGeMAPSFeatures, RecordingCache
from sklearn_dysarthria.exceptions import CacheWarning
from sklearn_dysarthria.recordings import ArrayStore, entry_key, open_store

BOUND = "SKLEARN_DYSARTHRIA_CACHE_BYTES"

ARRAY = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)


def key(number):
    return entry_key(str(number), {})


def path_of(folder, number):
    return Path(folder, key(number)[:2], key(number)[2:])


def entries(folder):
    return sorted(path for path in Path(folder).rglob("*") if len(path.name) == 62)


def size_on_disk(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in entries(folder))


@pytest.mark.parametrize(
    "array",
    [
        ARRAY,
        ARRAY.T,
        ARRAY[:, ::2],
        np.zeros((0, 2)),
        np.array([[]], dtype=np.int8),
        np.float64(3),
        np.array([True, False]),
        np.arange(4, dtype=">u2"),
        np.array([1 + 2j, np.nan, np.inf]),
        np.zeros((1,) * 9, np.float16),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_what_goes_in_comes_out(tmp_path, array):
    ArrayStore(tmp_path).put(key(0), array)
    store = pickle.loads(pickle.dumps(ArrayStore(tmp_path)))
    found = store.get(key(0))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    found[...] = 0  # the caller's own
    assert store.get(key(0)).tobytes() == array.tobytes()
    assert store.get(key(1)) is None


@pytest.mark.parametrize("order", "<>")
def test_entries_of_computers_of_another_byte_order(tmp_path, order):
    ArrayStore(tmp_path).put(key(0), ARRAY.astype(f"{order}f4"))
    out = np.empty_like(ARRAY)
    for _ in range(2):  # none is deleted as damaged
        assert ArrayStore(tmp_path).get(key(0), out) is out
        np.testing.assert_array_equal(out, ARRAY)
    assert ArrayStore(tmp_path).get(key(0), np.empty(ARRAY.shape, np.int32)) is None


@pytest.mark.parametrize(
    "array", [[None], ["text"], np.zeros(3, "f4,f4"), np.array(["2020"], "M8")]
)
def test_only_numbers_are_kept(tmp_path, array):
    with pytest.raises(TypeError, match="cannot keep"):
        ArrayStore(tmp_path).put(key(0), array)
    assert not list(tmp_path.iterdir())


def test_keys():
    assert len(entry_key("a", {})) == 64
    same = entry_key("a", {"b": 1, "c": (1.5, None, {"d": "e"})})
    assert entry_key("a", {"c": [1.5, None, {"d": "e"}], "b": 1}) == same
    others = [
        entry_key("b", {"b": 1, "c": (1.5, None, {"d": "e"})}),
        entry_key("a", {"b": 2, "c": (1.5, None, {"d": "e"})}),
        entry_key("a", {"b": 1.0, "c": (1.5, None, {"d": "e"})}),
        entry_key("a", {"b": True, "c": (1.5, None, {"d": "e"})}),
        entry_key("a", {"b": "1", "c": (1.5, None, {"d": "e"})}),
        entry_key("a", {"b": 1, "c": (np.nextafter(1.5, 2).item(), None, {"d": "e"})}),
        entry_key("a", {"b": 1, "c": (1.5, {"d": "e"}, None)}),
        entry_key("a", {"b": 1, "c": (1.5, None, {"d": "f"})}),
        entry_key("a", {"b": 1}),
    ]
    assert len({same, *others}) == 10
    for bad in ({"a": object()}, {"a": np.float32(1)}, {"a": {1: 2}}, {1: 2}):
        with pytest.raises(TypeError):
            entry_key("a", bad)


# What may happen to a file


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    store = ArrayStore(folder)
    store.put(key(0), ARRAY)
    (path,) = entries(folder)
    return store, path, path.read_bytes()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_a_miss_and_repaired(written, data):
    store, path, content = written
    region = data.draw(st.sampled_from([(0, 4), (4, 8), (8, 73), (73, 100), (100, 128), (128,)]))
    kind = data.draw(st.sampled_from(["bit", "burst", "cut", "longer", "swapped"]))
    at = data.draw(st.integers(region[0], (*region, len(content))[1] - 1))
    damaged = bytearray(content)
    if kind == "bit":
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "burst":
        burst = data.draw(st.binary(min_size=1, max_size=64))
        damaged[at : at + len(burst)] = burst
    elif kind == "cut":
        del damaged[at:]
    elif kind == "longer":
        damaged += data.draw(st.binary(min_size=1, max_size=300))
    else:
        other = data.draw(st.integers(0, len(content) - 1))
        damaged[at], damaged[other] = damaged[other], damaged[at]
    path.write_bytes(damaged)
    found = store.get(key(0))
    if damaged == content:
        assert np.array_equal(found, ARRAY)
        return
    assert found is None
    assert not path.exists()
    store.put(key(0), ARRAY)
    assert path.read_bytes() == content
    assert np.array_equal(store.get(key(0)), ARRAY)


def test_every_single_bit_of_the_header_counts(written):
    store, path, content = written
    for bit in range(8 * 130):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert store.get(key(0)) is None, bit
    store.put(key(0), ARRAY)


@settings(max_examples=200)
@given(content=st.binary(max_size=400), begins_well=st.booleans())
def test_foreign_files_are_misses(written, content, begins_well):
    store, path, whole = written
    path.write_bytes(whole[:76] + content if begins_well else content)
    assert store.get(key(0)) is None
    store.put(key(0), ARRAY)


def test_an_entry_in_the_wrong_place_is_a_miss(tmp_path):
    store = ArrayStore(tmp_path)
    store.put(key(0), ARRAY)
    store.put(key(1), ARRAY + 1)
    os.replace(path_of(tmp_path, 1), path_of(tmp_path, 0))
    assert store.get(key(0)) is None


@pytest.mark.parametrize("shape", [[2**40], [-1], [3, 5], [3, 5, 7, 0], "three", None])
def test_a_header_that_contradicts_the_content_is_a_miss(written, shape):
    """Although its checksum is right, as by a program that writes something else."""
    store, path, content = written
    header = json.dumps([key(0), "<f4", shape]).encode().ljust(120)
    rest = len(header).to_bytes(4, "little") + header + content[-ARRAY.nbytes :]
    path.write_bytes(zlib.crc32(rest).to_bytes(4, "little") + rest)
    assert store.get(key(0)) is None
    store.put(key(0), ARRAY)


def test_folders_and_links_in_the_place_of_an_entry(tmp_path):
    store = ArrayStore(tmp_path / "store")
    path = path_of(tmp_path / "store", 0)
    path.mkdir(parents=True)
    assert store.get(key(0)) is None
    with pytest.warns(CacheWarning):
        store.put(key(0), ARRAY)
    path.rmdir()
    path.symlink_to(tmp_path / "nowhere")
    assert store.get(key(0)) is None
    store.put(key(0), ARRAY)
    assert np.array_equal(store.get(key(0)), ARRAY)
    assert not (tmp_path / "nowhere").exists()


# The bound


def test_least_recently_used_entries_go_first(tmp_path):
    block = np.zeros(4096 - 128, np.uint8)
    store = ArrayStore(tmp_path, max_bytes=10 * 4096)
    now = time.time()
    for number in range(10):
        store.put(key(number), block)
        os.utime(path_of(tmp_path, number), (now - 10_000 + number,) * 2)
    assert len(entries(tmp_path)) == 10
    assert store.get(key(0)) is not None  # used now, although the oldest
    store.put(key(10), block)
    # 9 blocks are 90 % of the bound, the new entry among them.
    kept = [number for number in range(11) if path_of(tmp_path, number).exists()]
    assert kept == [0, 3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("fresh", [False, True], ids=["one store", "a store per entry"])
def test_the_bound_holds_at_all_times(tmp_path, fresh):
    rng = np.random.default_rng(0)
    store = ArrayStore(tmp_path, max_bytes=200_000)
    for number in range(150):
        if fresh:
            store = ArrayStore(tmp_path, max_bytes=200_000)
        store.put(key(number), np.zeros(rng.integers(1, 20_000), np.uint8))
        assert size_on_disk(tmp_path) <= 200_000
        assert store.get(key(number)) is not None
    assert size_on_disk(tmp_path) > 120_000


def test_a_full_store_is_pruned_seldom(tmp_path):
    removed, before = [], 0
    for number in range(300):
        ArrayStore(tmp_path, max_bytes=100 * 4096).put(key(number), np.zeros(100))
        count = len(entries(tmp_path))
        if count <= before:
            removed.append(before + 1 - count)
        before = count
    # Once per tenth of the bound, which takes about ten entries.
    assert 15 <= len(removed) <= 25
    assert sum(removed) == 300 - before


@pytest.mark.parametrize("damage", [None, b"", b"123", bytes(12), bytes(10**4)])
def test_a_size_that_is_lost_or_damaged_is_made_again(tmp_path, damage):
    bound = 100_000
    for number in range(20):
        ArrayStore(tmp_path, bound).put(key(number), np.zeros(1000))
    path = tmp_path / "size"
    assert path.stat().st_size < 100
    sound = path.read_bytes()
    for number in range(20, 40):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        ArrayStore(tmp_path, bound).put(key(number), np.zeros(1000))
        assert size_on_disk(tmp_path) <= bound
    assert path.stat().st_size == len(sound)
    assert size_on_disk(tmp_path) > bound / 2


def test_a_smaller_bound_prunes_what_a_larger_one_left(tmp_path):
    for number in range(50):
        ArrayStore(tmp_path).put(key(number), np.zeros(1000))
    ArrayStore(tmp_path, max_bytes=100_000).put(key(50), np.zeros(1000))
    assert 50_000 < size_on_disk(tmp_path) <= 100_000


def test_what_is_too_large_for_the_bound_is_not_kept_and_said(tmp_path):
    store = ArrayStore(tmp_path, max_bytes=50_000)
    store.put(key(0), np.zeros(10))
    with pytest.warns(CacheWarning, match="too large for a bound of 50000"):
        store.put(key(1), np.zeros(10_000))
    assert store.get(key(0)) is not None
    assert store.get(key(1)) is None


def test_only_its_own_files_are_ever_deleted(tmp_path):
    mine = [tmp_path / name for name in ("mine.npy", "00/mine", "tmp/mine", "notes/" + "a" * 62)]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100_000))
        os.utime(path, (0, 0))
    for number in range(50):
        ArrayStore(tmp_path, max_bytes=20_000).put(key(number), np.zeros(100))
    ArrayStore(tmp_path).clear()
    assert all(path.exists() for path in mine)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in left if path.parent.name != "locks"} == set(mine)
    assert ArrayStore(tmp_path).get(key(49)) is None


def test_leftovers_of_killed_writers_go_when_they_are_old(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    old, young = folder / ("0" * 32), folder / ("1" * 32)
    for path, age in ((old, 7200), (young, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    ArrayStore(tmp_path).put(key(0), ARRAY)
    assert [path.name for path in folder.iterdir()] == [young.name]


# When it cannot be written


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    store = ArrayStore(tmp_path)
    store.put(key(0), ARRAY)

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.warns(CacheWarning, match="No space left") as caught:
            store.put(key(1), ARRAY)
    assert len(caught) == 1
    assert not list((tmp_path / "tmp").iterdir())
    assert store.get(key(1)) is None
    assert np.array_equal(store.get(key(0)), ARRAY)


def test_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    store = ArrayStore(tmp_path)
    store.put(key(0), ARRAY)
    os.utime(path_of(tmp_path, 0), (0, 0))

    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    # Not by chmod: root may write anywhere.
    for name in ("utime", "makedirs", "unlink", "open"):
        monkeypatch.setattr(os, name, forbidden)
    assert np.array_equal(store.get(key(0)), ARRAY)
    with store.computing(key(1)), pytest.warns(CacheWarning, match="Permission denied"):
        store.put(key(1), ARRAY)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    store = ArrayStore(tmp_path / "file")
    assert store.get(key(0)) is None
    with store.computing(key(0)), pytest.warns(CacheWarning):
        store.put(key(0), ARRAY)
    assert (tmp_path / "file").read_text() == "mine"


# Where open files can be neither replaced nor deleted, as on Windows


@pytest.fixture
def open_files(monkeypatch):
    """Paths that another process has open."""
    paths, originals = set(), {name: getattr(os, name) for name in ("replace", "unlink")}

    def guarded(name):
        def call(*args, **kwargs):
            if paths & set(map(os.fspath, args)):
                raise PermissionError(13, "The process cannot access the file")
            return originals[name](*args, **kwargs)

        return call

    for name in originals:
        monkeypatch.setattr(os, name, guarded(name))
    return paths


def test_an_entry_that_is_being_read_is_as_good_as_written(tmp_path, open_files):
    store = ArrayStore(tmp_path)
    store.put(key(0), ARRAY)
    open_files.add(str(path_of(tmp_path, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(key(0), ARRAY)
    assert np.array_equal(store.get(key(0)), ARRAY)
    assert not list((tmp_path / "tmp").iterdir())


def test_a_damaged_entry_that_is_open_is_a_miss_and_the_result_is_used(tmp_path, open_files):
    store, path = ArrayStore(tmp_path), path_of(tmp_path, 0)
    store.put(key(0), ARRAY)
    path.write_bytes(path.read_bytes()[:-1])
    open_files.add(str(path))
    assert store.get(key(0)) is None
    with pytest.warns(CacheWarning, match="cannot access"):
        store.put(key(0), ARRAY)
    open_files.clear()
    store.put(key(0), ARRAY)
    assert np.array_equal(store.get(key(0)), ARRAY)


def test_pruning_passes_over_open_entries(tmp_path, open_files):
    store = ArrayStore(tmp_path, max_bytes=100_000)
    store.put(key(0), ARRAY)
    os.utime(path_of(tmp_path, 0), (0, 0))  # would be the first to go
    open_files.add(str(path_of(tmp_path, 0)))
    for number in range(1, 60):
        store.put(key(number), ARRAY)
        assert size_on_disk(tmp_path) <= 100_000
    assert np.array_equal(store.get(key(0)), ARRAY)


# Which store a parameter means


def test_forms_of_cache(tmp_path, monkeypatch):
    assert open_store(None) is None
    assert open_store(joblib.Memory(None)) is None
    forms = (str(tmp_path), tmp_path, joblib.Memory(tmp_path, verbose=0), RecordingCache(tmp_path))
    for form in forms:
        store = open_store(form)
        assert store.folder == str(tmp_path / "arrays")
        assert store.max_bytes == 20 * 2**30
    assert open_store(RecordingCache(tmp_path, max_bytes=7)).max_bytes == 7
    monkeypatch.setenv(BOUND, "2e9")
    assert [open_store(form).max_bytes for form in forms] == [2 * 10**9] * 4
    assert open_store(RecordingCache(tmp_path, max_bytes=7)).max_bytes == 7
    for wrong in ("0", "-1", "many", "inf"):
        monkeypatch.setenv(BOUND, wrong)
        with pytest.raises(ValueError, match=BOUND):
            open_store(tmp_path)
    for wrong in (1, True, b"folder", [str(tmp_path)]):
        with pytest.raises(TypeError, match="cache is"):
            open_store(wrong)


def test_a_relative_folder_stays_the_same_when_the_process_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put(key(0), ARRAY)
    assert entries(tmp_path / "cache")


def test_recording_cache_is_a_value(tmp_path):
    cache = RecordingCache(tmp_path, max_bytes=10**6)
    assert cache == RecordingCache(tmp_path, max_bytes=10**6) != RecordingCache(tmp_path)
    assert pickle.loads(pickle.dumps(cache)) == cache
    transformer = EGeMAPSFeatures(cache=cache)
    assert clone(transformer).get_params()["cache"] == cache
    assert clone(transformer).set_params(cache=None).cache is None
    assert "max_bytes=1000000" in repr(transformer)
    assert open_store(RecordingCache(tmp_path, max_bytes=np.int64(7))).max_bytes == 7
    for wrong in (0, -1, float("inf"), float("nan"), 2e9, "7"):
        with pytest.raises(ValueError, match=r"max_bytes is .* not a positive integer"):
            RecordingCache(tmp_path, max_bytes=wrong)
    open_store(cache).put(key(0), ARRAY)
    assert cache.clear() == 1
    assert not entries(tmp_path)
    open_store(cache).put(key(0), ARRAY)
    assert np.array_equal(open_store(cache).get(key(0)), ARRAY)
