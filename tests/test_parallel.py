"""Work that is shared among workers: the same results, and no more threads than cores."""

import os
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor

from sklearn_dysarthria import EGeMAPSFeatures, LogMelDeltaImages, make_dysarthric_speech
from sklearn_dysarthria._utils.parallel import parallel_map
from sklearn_dysarthria.exceptions import RecordingWarning

BACKENDS = ["loky", "threading"]


def share(function, items, n_jobs=2, **options):
    return parallel_map(function, items, n_jobs=n_jobs, verbose=0, desc="items", **options)


def square(number):
    return number * number


def big(number):
    return np.full(50_000, number, dtype=np.float32), {"number": number}, np.empty(0)


def small_square(number):
    return number * number if number < 2 else OverflowError("too large")


def fail_from_seven(number):
    if number >= 7:
        raise ZeroDivisionError(number)
    return number


def torch_threads(_):
    import torch

    time.sleep(0.02)  # so that one worker cannot do it all
    return torch.get_num_threads(), os.getpid(), threading.get_ident()


def pools(_):
    import numpy  # noqa: F401 - brings OpenBLAS
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info()), default=1)


# Results


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_jobs", [1, 2, -1])
@pytest.mark.parametrize("n_items", [0, 1, 101])
def test_order_is_kept(backend, n_jobs, n_items):
    with parallel_config(backend=backend):
        assert share(square, range(n_items), n_jobs) == [i * i for i in range(n_items)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_arrays_outlive_the_work_and_can_be_written(backend):
    with parallel_config(backend=backend):
        results = share(big, range(70))
    for number, (array, facts, nothing) in enumerate(results):
        assert (array == number).all()
        array[:] = -1
        assert facts == {"number": number}
        assert nothing.shape == (0,)


def test_arrays_are_taken_one_by_one():
    taken = np.zeros((70, 50_000), dtype=np.float32)

    def take(position, result):
        taken[position] = result[0]
        return position

    assert share(big, range(70), take=take) == list(range(70))
    np.testing.assert_array_equal(taken, np.arange(70)[:, None] * np.ones(50_000))


def test_classes_without_a_module_come_back():
    local = type("Local", (), {"__module__": "__main__"})
    results = share(lambda number: (local(), number), range(5))
    assert [number for _, number in results] == list(range(5))


# Ends


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_early_end(backend):
    n_jobs = 1 if backend is None else 2
    with parallel_config(backend=backend or "sequential"), warnings.catch_warnings():
        warnings.simplefilter("error")
        *done, last = share(small_square, range(1000), n_jobs, until=OverflowError)
    assert done == [0, 1]
    assert isinstance(last, OverflowError)


def test_early_end_leaves_most_items_alone(tmp_path):
    def touch(number):
        (tmp_path / str(number)).touch()
        return number

    share(touch, range(1000), until=int)
    assert len(list(tmp_path.iterdir())) < 400


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_the_function_surface(backend):
    with parallel_config(backend=backend), pytest.raises(ZeroDivisionError):
        share(fail_from_seven, range(100))
    with parallel_config(backend=backend):
        assert share(square, range(10)) == [i * i for i in range(10)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_taking_leaves_the_workers_usable(error):
    def take(position, result):
        if position == 3:
            raise error

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            share(big, range(200), take=take)
    assert share(square, range(10)) == [i * i for i in range(10)]


# Threads


@pytest.fixture
def new_processes():
    """End loky's workers: torch, imported late by one, looks like a leak to it, and it warns."""
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def without_limits(monkeypatch, new_processes):
    """Remove what the tests' own environment says about threads: it would win."""
    for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "VECLIB"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    monkeypatch.delenv("BLIS_NUM_THREADS", raising=False)


@pytest.fixture
def many_threads():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(4 * cpu_count())
    yield
    assert torch.get_num_threads() == 4 * cpu_count()  # the caller's setting is untouched
    torch.set_num_threads(before)


@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", 2), ("threading", 2), ("threading", 3)])
def test_workers_do_not_oversubscribe(backend, n_jobs, without_limits, many_threads):
    with parallel_config(backend=backend):
        found = share(torch_threads, range(24), n_jobs)
    allowed = max(1, cpu_count() // n_jobs)
    assert {threads for threads, *_ in found} == {allowed}
    assert len({tuple(worker) for _, *worker in found}) > 1


def test_numerical_libraries_in_processes(without_limits):
    with parallel_config(backend="loky"):
        assert set(share(pools, range(8))) == {max(1, cpu_count() // 2)}
    with parallel_config(backend="loky", inner_max_num_threads=1):  # the user's number wins
        assert set(share(pools, range(4))) == {1}


def who(_):
    return os.getpid(), threading.get_ident()


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("prefer", [None, "threads"])
def test_nested_jobs_do_not_multiply(backend, prefer):
    def outer(_):
        return set(share(who, range(20), n_jobs=2, prefer=prefer)) == {who(None)}

    with parallel_config(backend=backend):
        assert all(Parallel(n_jobs=2)(delayed(outer)(i) for i in range(4)))


def test_one_job_is_a_plain_loop():
    assert share(who, range(3), n_jobs=1) == [who(None)] * 3
    assert share(who, range(3), n_jobs=None) == [who(None)] * 3


def test_preferred_threads_and_the_users_backend():
    here = {os.getpid()}
    assert {pid for pid, _ in share(who, range(20), prefer="threads")} == here
    with parallel_config(backend="loky"):
        assert not here & {pid for pid, _ in share(who, range(20), prefer="threads")}
    with parallel_config(n_jobs=2):
        threads = {thread for _, thread in share(who, range(20), None, prefer="threads")}
    assert threading.get_ident() not in threads


# Transformers


@pytest.fixture(scope="module")
def X():  # noqa: N802
    table, _ = make_dysarthric_speech(n_patients=4, random_state=0)
    bad = pd.DataFrame({"audio": [np.ones(800) * np.arange(800) / 800], "sample_rate": [16000]})
    return pd.concat([table, bad, table], ignore_index=True)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize(
    "transformer",
    [
        EGeMAPSFeatures(on_error="nan"),
        LogMelDeltaImages(sample_rate=16000, n_mels=32, image_size=32, on_error="nan"),
    ],
    ids=["openSMILE", "images"],
)
def test_transformers_give_the_same_numbers(X, transformer, backend):
    match = "1 of 17 recordings"
    with pytest.warns(RecordingWarning, match=match):
        expected = transformer.set_params(n_jobs=None).fit_transform(X)
    chosen = {} if backend is None else {"backend": backend}
    with parallel_config(**chosen), pytest.warns(RecordingWarning, match=match) as caught:
        found = transformer.set_params(n_jobs=2).fit_transform(X)
    # joblib may warn, too, that it replaces a worker that grew by importing torch.
    assert [entry.category for entry in caught].count(RecordingWarning) == 1
    # Other numbers of threads, and other places in memory, add up in another order.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert np.isnan(expected[8]).all()
