"""The store of arrays, shared by processes that write, wait, and are killed."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_dysarthria._utils import array_file, file_locks
from sklearn_dysarthria._utils import store as store_module
from sklearn_dysarthria._utils.file_locks import file_lock
from sklearn_dysarthria._utils.store import ArrayStore, entry_key

ARRAY = np.arange(10.0)


def key(number):
    return entry_key(str(number), {})


def entries(folder):
    return sorted(path for path in Path(folder).rglob("*") if len(path.name) == 62)


def size_on_disk(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in entries(folder))


WRITER = """
import sys
import numpy as np
from sklearn_dysarthria._utils.store import ArrayStore, entry_key

folder, seed, rounds, bound = sys.argv[1], *map(int, sys.argv[2:])
store, rng = ArrayStore(folder, bound), np.random.default_rng(seed)
print("ready", flush=True)
for _ in range(rounds):
    number = int(rng.integers(40))
    key = entry_key(str(number), {})
    found = store.get(key)
    assert found is None or (found == number).all() and found.shape == (50_000,), "wrong numbers"
    store.put(key, np.full(50_000, number, np.float32))
"""


def writer(folder, seed, rounds, bound):
    arguments = map(str, (folder, seed, rounds, bound))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_write_at_once_within_the_bound(tmp_path):
    bound = 3 * 10**6  # 15 of the 40 entries
    running = [writer(tmp_path, seed, 300, bound) for seed in range(4)]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert bound / 2 < size_on_disk(tmp_path) <= bound
    assert not list((tmp_path / "tmp").iterdir())


def test_a_writer_killed_at_any_moment_leaves_no_half_entry(tmp_path):
    rng = random.Random(0)
    store = ArrayStore(tmp_path, 3 * 10**6)
    for seed in range(12):
        process = writer(tmp_path, seed, 10**6, 3 * 10**6)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for path in entries(tmp_path):  # sound although nothing was made of a damaged one
            with open(path, "rb") as file:
                identity = bytes.fromhex(path.parent.name + path.name)
                assert array_file.read_array(file, path.stat().st_size, identity) is not None
        for number in range(40):
            found = store.get(key(number))
            assert found is None or np.array_equal(found, np.full(50_000, number, np.float32))
    assert entries(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(key(0), ARRAY)  # no lock is left behind
    assert np.array_equal(store.get(key(0)), ARRAY)
    assert size_on_disk(tmp_path) <= 3 * 10**6


def test_a_ledger_that_was_shortened_is_made_again_by_the_next_process(tmp_path, monkeypatch):
    for number in range(10):
        ArrayStore(tmp_path, max_bytes=100_000).put(key(number), np.zeros(1000))
    os.truncate(tmp_path / "ledger", 1)
    monkeypatch.setattr(store_module, "_counted_folders", set())  # as in a new process
    for number in range(10, 20):
        ArrayStore(tmp_path, max_bytes=100_000).put(key(number), np.zeros(1000))
        assert size_on_disk(tmp_path) <= 100_000
    assert (tmp_path / "ledger").stat().st_size == size_on_disk(tmp_path) // 4096


def test_entries_are_added_up_once_in_a_process(tmp_path, monkeypatch):
    listed = []
    listing = ArrayStore._entries
    ArrayStore(tmp_path).put(key(0), ARRAY)
    monkeypatch.setattr(store_module, "_counted_folders", set())
    monkeypatch.setattr(ArrayStore, "_entries", lambda self: listed.append(1) or listing(self))
    for number in range(1, 5):
        ArrayStore(tmp_path).put(key(number), ARRAY)
    assert len(listed) == 1


COMPUTER = """
import sys, time
from sklearn_dysarthria._utils.store import ArrayStore, entry_key

store, key = ArrayStore(sys.argv[1]), entry_key("0", {})
with store.computing(key):
    if store.get(key) is None:
        with open(sys.argv[1] + "/computed", "a") as file:
            file.write("x")
        time.sleep(0.2)
        store.put(key, [1.0])
"""


def test_one_process_computes_and_the_others_wait(tmp_path):
    command = [sys.executable, "-c", COMPUTER, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert (tmp_path / "computed").read_text() == "x"


@pytest.fixture
def slept(monkeypatch):
    """Seconds that were waited for locks, without waiting: the clock goes on by sleeping only."""
    pauses = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(file_locks, "time", clock)
    return pauses


def test_waiting_ends_after_a_minute(tmp_path, slept):
    store = ArrayStore(tmp_path)
    with file_lock(str(tmp_path / "locks" / key(1)[:2]), patience=0) as held:
        assert held
        with store.computing(key(1)):
            assert 60 < sum(slept) < 61
            store.put(key(1), ARRAY)
    assert store.get(key(1)) is not None


def test_a_lock_that_is_never_released_is_waited_for_once(tmp_path, slept):
    store = ArrayStore(tmp_path)
    ledger = str(tmp_path / "locks" / "ledger")
    for minutes in (1, 2):
        with file_lock(ledger, patience=0) as held:
            assert held
            for number in range(6):
                store.put(key(number), ARRAY)
        assert 60 * minutes < sum(slept) < 60 * minutes + 1
        store.put(key(6), ARRAY)  # the lock is free again, hence waited for again
    assert len(entries(tmp_path)) == 7


GROUP = """
import os, sys
import numpy as np
from sklearn_dysarthria._utils.store import ArrayStore, entry_key

os.umask(int(sys.argv[2], 8))
store = ArrayStore(sys.argv[1])
for number in range(3):
    key = entry_key(str(number), {})
    with store.computing(key):
        store.put(key, np.arange(5.0))
"""


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_new_files_have_the_rights_that_the_umask_gives(tmp_path, umask):
    folder = tmp_path / "cache"
    subprocess.run([sys.executable, "-c", GROUP, str(folder), oct(umask)], check=True)
    made = [folder, *folder.rglob("*")]
    assert {path.name for path in made} >= {"ledger", "locks", key(0)[2:], key(0)[:2]}
    for path in made:
        everything = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == everything & ~umask, path


FORKER = """
import os, sys, time
from sklearn_dysarthria._utils.file_locks import file_lock

path = sys.argv[1] + "/lock"
ready, wait = os.pipe()
with file_lock(path, patience=0) as held:
    assert held
    child = os.fork()
    if child:
        os.read(ready, 1)
        with file_lock(path, patience=0) as held:
            assert not held, "the child has released what it does not hold"
if not child:
    os.write(wait, b"x")  # after leaving the block
    os._exit(0)
os.waitpid(child, 0)

with file_lock(path, patience=0) as held:
    child = os.fork()
    if not child:
        time.sleep(100)
        os._exit(0)
with file_lock(path, patience=0) as held:
    os.kill(child, 9)
    assert held, "the child has kept the lock"
"""


def test_a_forked_process_neither_keeps_nor_releases_a_lock(tmp_path):
    command = [sys.executable, "-c", FORKER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    held = COMPUTER.replace("time.sleep(0.2)", "print(flush=True); time.sleep(100)")
    command = [sys.executable, "-c", held, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    process.communicate()
    start = time.monotonic()
    with ArrayStore(tmp_path).computing(key(0)):
        assert time.monotonic() - start < 50  # it would be given up after 60 s
