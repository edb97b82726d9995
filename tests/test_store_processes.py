"""The store of arrays, shared by processes that write, wait, and are killed."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from sklearn_dysarthria.recordings import ArrayStore, _cache, entry_key

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
from sklearn_dysarthria.recordings import ArrayStore, entry_key

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
    running = [writer(tmp_path, seed, 100, bound) for seed in range(3)]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert bound / 2 < size_on_disk(tmp_path) <= bound
    assert not list((tmp_path / "tmp").iterdir())


def test_a_writer_killed_at_any_moment_leaves_no_half_entry(tmp_path):
    rng = random.Random(0)
    store = ArrayStore(tmp_path, 3 * 10**6)
    for seed in range(8):
        process = writer(tmp_path, seed, 10**6, 3 * 10**6)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        there = entries(tmp_path)
        for number in range(40):
            found = store.get(key(number))
            assert found is None or np.array_equal(found, np.full(50_000, number, np.float32))
        assert entries(tmp_path) == there  # none was deleted as damaged
    assert there
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(key(0), ARRAY)  # no lock is left behind
    assert np.array_equal(store.get(key(0)), ARRAY)
    assert size_on_disk(tmp_path) <= 3 * 10**6


COMPUTER = """
import sys, time
from sklearn_dysarthria.recordings import ArrayStore, entry_key

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
def patience(monkeypatch):
    """Wait for locks for a tenth of a second."""
    monkeypatch.setattr(_cache, "_PATIENCE_SECONDS", 0.1)
    return 0.1


def test_waiting_ends(tmp_path, patience):
    store = ArrayStore(tmp_path)
    with store.computing(key(1)), ThreadPoolExecutor(1) as pool:

        def compute():
            start = time.monotonic()
            with ArrayStore(tmp_path).computing(key(1)):
                store.put(key(1), ARRAY)
                return time.monotonic() - start

        assert patience <= pool.submit(compute).result() < 30
    assert store.get(key(1)) is not None


def test_a_lock_that_is_never_released_is_waited_for_once(tmp_path, patience):
    store, path = ArrayStore(tmp_path), str(tmp_path / "locks" / "size")
    store.put(key(0), ARRAY)
    waits = []
    for _ in range(2):
        with FileLock(path):
            for number in range(1, 6):
                start = time.monotonic()
                store.put(key(number), ARRAY)
                waits.append(time.monotonic() - start >= patience)
        store.put(key(6), ARRAY)  # the lock is free again, hence waited for again
    assert waits == [True, False, False, False, False] * 2
    assert len(entries(tmp_path)) == 7


def test_the_longest_wait_is_a_minute():
    assert _cache._PATIENCE_SECONDS == 60


def test_threads_write_and_compute_at_once(tmp_path):
    computed, bound = [], 100_000

    def work(seed):
        rng, store = np.random.default_rng(seed), ArrayStore(tmp_path, bound)
        for number in rng.permutation(12):
            with store.computing(key(number)):
                found = store.get(key(number))
                if found is None:
                    computed.append(number)
                    store.put(key(number), np.full(500, number))
                else:
                    assert (found == number).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(computed) == list(range(12))


@pytest.mark.parametrize("hidden", ["fcntl", "msvcrt"])
def test_a_system_without_locks_keeps_results_all_the_same(tmp_path, hidden):
    command = [sys.executable, "-c", f"import sys; sys.modules[{hidden!r}] = None\n{COMPUTER}"]
    for _ in range(2):
        subprocess.run([*command, str(tmp_path)], check=True)
    assert (tmp_path / "computed").read_text() == "x"


GROUP = """
import os, sys
import numpy as np
from sklearn_dysarthria.recordings import ArrayStore, entry_key

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
    assert {path.name for path in made} >= {"size", "locks", key(0)[2:], key(0)[:2]}
    for path in made:
        everything = 0o777 if path.is_dir() else 0o666
        assert path.stat().st_mode & 0o777 == everything & ~umask, path


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
