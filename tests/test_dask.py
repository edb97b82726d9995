"""Searches and comparisons on a Dask cluster give serial numbers, also when workers die."""

import functools
import importlib
import os
import signal
import sys
import time
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria import (
    Backbone,
    ConvNeXtSeverityClassifier,
    EGeMAPSFeatures,
    LogMelDeltaImages,
    PatientVotingClassifier,
    StratifiedPatientKFold,
    compare,
    dask_backend,
    patient_scorer,
)
from sklearn_dysarthria.recordings import map_recordings

distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")

FOLDS = StratifiedPatientKFold(3, random_state=0)
SCORING = patient_scorer("balanced_accuracy")


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, each with a nanny that replaces it when it dies."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=":0",  # whichever port is free; there is no way to have none
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def _recordings(n_patients, n_each, seed=0):
    """Noise under a tone whose pitch depends on the class, too short to take long."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(4800) / 16000
    rows, labels = [], []
    for patient in range(n_patients):
        label = patient % 2
        for _ in range(n_each):
            pitch = rng.normal(140 + 25 * label, 20)
            audio = np.sin(2 * np.pi * pitch * seconds) + 0.2 * rng.normal(size=len(seconds))
            rows.append({"audio": audio.astype(np.float32), "patient": f"P{patient}"})
            labels.append(label)
    table = pd.DataFrame(rows).assign(sample_rate=16000, task="phonation")
    return table, np.array(labels)


def _svm_search(cache, *steps, cv=FOLDS):
    model = PatientVotingClassifier(
        make_pipeline(EGeMAPSFeatures(cache=cache), *steps, StandardScaler(), SVC())
    )
    grid = {"estimator__svc__C": [0.01, 1.0, 10.0]}
    return GridSearchCV(model, grid, cv=cv, scoring=SCORING, error_score="raise")


def _network(cache, max_epochs=2):
    images = LogMelDeltaImages(
        sample_rate=16000, n_fft=512, hop_length=128, n_mels=32, image_size=64, cache=cache
    )
    network = ConvNeXtSeverityClassifier(
        backbone=Backbone("convnext_tiny", depth=1, width=0.125, weights=None),
        max_epochs=max_epochs,
        random_state=0,
    )
    return PatientVotingClassifier(make_pipeline(images, network))


def _fold_scores(search):
    names = [f"split{fold}_test_score" for fold in range(search.cv.get_n_splits())]
    return np.array([search.cv_results_[name] for name in names])


def _lines(path):
    with open(path) as file:
        return file.read().split()


def _note_process(value, path):
    with open(path, "a") as log:
        log.write(f"{os.getpid()}\n")
    return value


def _note_extractions(path):
    """Have this process note in a file every recording that goes through openSMILE."""
    original = EGeMAPSFeatures._features

    @functools.wraps(original)
    def noting(*args, **kwargs):
        time.sleep(0.03)  # long enough for the others to come for the same recording
        return _note_process(original(*args, **kwargs), path)

    EGeMAPSFeatures._features = noting


def _stop_noting():
    EGeMAPSFeatures._features = EGeMAPSFeatures._features.__wrapped__


def test_search_gives_serial_scores_and_shares_the_cache(client, tmp_path):
    X, y = _recordings(12, 3)
    extractions, fits = os.fspath(tmp_path / "extractions"), os.fspath(tmp_path / "fits")
    search, again = (
        _svm_search(tmp_path / "shared", FunctionTransformer(_note_process, kw_args={"path": fits}))
        for _ in range(2)
    )
    # Neither worker shall be done with everything before the other has imported the package.
    client.run(importlib.import_module, "sklearn_dysarthria.patients.voting._classifier")
    client.run(_note_extractions, extractions)
    with joblib.parallel_config(backend="dask"):
        search.fit(X, y)
        first = _lines(extractions)
        again.fit(X, y)
        scores = cross_val_score(again.best_estimator_, X, y, cv=FOLDS, scoring=SCORING)
    second = _lines(extractions)
    client.run(_stop_noting)
    workers = {str(process) for process in client.run(os.getpid).values()}
    assert workers <= set(_lines(fits))
    assert len(first) == len(X)  # also where both workers come to a recording at the same moment
    assert second == first
    serial = _svm_search(tmp_path / "own").fit(X, y)
    np.testing.assert_array_equal(_fold_scores(search), _fold_scores(serial))
    np.testing.assert_array_equal(_fold_scores(again), _fold_scores(serial))
    np.testing.assert_array_equal(scores, _fold_scores(serial)[:, serial.best_index_])
    np.testing.assert_array_equal(search.predict(X), serial.predict(X))


def test_search_over_a_network_gives_serial_scores(client, tmp_path):
    X, y = _recordings(9, 2)
    grid = {"estimator__convnextseverityclassifier__lr": [1e-4, 1e-3]}
    search = GridSearchCV(_network(tmp_path), grid, cv=FOLDS, scoring="neg_log_loss")
    serial = GridSearchCV(_network(tmp_path), grid, cv=FOLDS, scoring="neg_log_loss")
    with joblib.parallel_config(backend="dask"):
        search.fit(X, y)
    serial.fit(X, y)
    assert np.isfinite(_fold_scores(search)).all()
    np.testing.assert_allclose(_fold_scores(search), _fold_scores(serial), rtol=1e-6)


def test_compare_gives_serial_figures(client, tmp_path):
    X, y = _recordings(12, 2)
    methods = {"search": _svm_search(tmp_path), "network": _network(tmp_path, max_epochs=1)}
    settings = {"methods": methods, "n_splits": 2, "n_resamples": 20}
    with joblib.parallel_config(backend=dask_backend(client)):
        spread = compare(X, y, **settings)
    serial = compare(X, y, **settings)
    pd.testing.assert_frame_equal(spread.predictions, serial.predictions, rtol=1e-6)
    pd.testing.assert_frame_equal(spread.table, serial.table)


# ------------------------------------------------------------------------------------- details


def test_large_arguments_travel_without_a_warning(client):
    numbers = np.ones(2_000_000)
    with warnings.catch_warnings(), joblib.parallel_config(backend=dask_backend(client)):
        warnings.simplefilter("error")
        sums = joblib.Parallel()(joblib.delayed(np.sum)(numbers) for _ in range(4))
    assert sums == [2e6] * 4


def _processes_of_items(_):
    return set(map_recordings(_process_of_item, list("abcdefgh"), n_jobs=2))


def _process_of_item(_):
    return os.getpid()


@pytest.mark.parametrize("own", [True, False])
def test_a_task_reads_its_recordings_itself(client, own):
    """The cluster is busy with tasks already; there would be one more task for each recording."""
    with joblib.parallel_config(backend=dask_backend() if own else "dask"):
        processes = joblib.Parallel()(joblib.delayed(_processes_of_items)(i) for i in range(4))
    assert [len(seen) for seen in processes] == [1] * 4


def test_a_call_outside_tasks_uses_all_workers(client):
    with joblib.parallel_config(backend=dask_backend()):
        seen = _processes_of_items(None)
    assert seen <= set(client.run(os.getpid).values())


def _active_backend():
    return type(joblib.parallel.get_active_backend()[0]).__name__


def test_parallel_work_inside_a_task_goes_through_the_same_backend(client):
    backend = dask_backend(client)
    with joblib.parallel_config(backend=backend):
        assert joblib.Parallel()([joblib.delayed(_active_backend)()]) == [type(backend).__name__]


def _processes_of_nested_work(_):
    return set(joblib.Parallel()(joblib.delayed(_process_of_item)(i) for i in range(4)))


@pytest.mark.timeout(60)
def test_work_inside_a_task_has_the_options_too(client):
    addresses = list(client.run(os.getpid))
    for address in addresses:
        with joblib.parallel_config(backend=dask_backend(client, workers=[address])):
            seen = joblib.Parallel()(joblib.delayed(_processes_of_nested_work)(i) for i in range(2))
        assert seen == [set(client.run(os.getpid, workers=[address]).values())] * 2


def _timeout_of_nested_work(_):
    return joblib.parallel.get_active_backend()[0].wait_for_workers_timeout


def test_work_inside_a_task_waits_as_long_for_workers(client):
    with joblib.parallel_config(backend=dask_backend(client, wait_for_workers_timeout=17)):
        assert joblib.Parallel()([joblib.delayed(_timeout_of_nested_work)(0)]) == [17]


@pytest.mark.timeout(60)
def test_work_inside_a_task_does_not_wait_for_the_resources_of_the_task(client):
    async def give(dask_worker):
        await dask_worker.set_resources(GPU=1)

    client.run(give)
    with joblib.parallel_config(backend=dask_backend(client, resources={"GPU": 1})):
        seen = joblib.Parallel()(joblib.delayed(_processes_of_nested_work)(i) for i in range(4))
    assert set().union(*seen) <= set(client.run(os.getpid).values())


def test_priority_counts_for_arguments_too(client):
    numbers = np.ones(1000)
    others = [client.submit(time.sleep, 0.1, key=f"other{i}") for i in range(60)]
    time.sleep(0.2)  # what is submitted within 0.1 s counts as simultaneous
    with joblib.parallel_config(backend=dask_backend(client, priority=1)):
        assert joblib.Parallel()([joblib.delayed(np.sum)(numbers)]) == [1000]
    waiting = sum(not other.done() for other in others)
    client.cancel(others)
    assert waiting > 30


def test_without_a_client():
    with pytest.raises(ValueError, match="create a Dask Client"):
        dask_backend()


# --------------------------------------------------------------------------------- workers die


def _die_once(value, folder, call, survivor):
    """Kill the process that makes a certain call, the first time only."""
    with open(os.path.join(folder, "calls"), "a") as calls:
        calls.write(".")
    late = os.path.getsize(os.path.join(folder, "calls")) >= call
    if late and os.getpid() != survivor:
        try:
            with open(os.path.join(folder, "dead"), "x") as dead:
                dead.write(str(os.getpid()))
        except FileExistsError:
            return value
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def _dying(folder, call):
    arguments = {"folder": os.fspath(folder), "call": call, "survivor": os.getpid()}
    return FunctionTransformer(_die_once, kw_args=arguments)


def test_search_outlives_a_worker(client, tmp_path):
    # Folds of more than 125 rows, whose row numbers joblib's own backend keeps on one worker; and
    # many folds, so that at any moment some lie where they have not been used yet.
    X, y = _recordings(48, 4)
    folds = StratifiedPatientKFold(10, random_state=0)
    before = set(client.run(os.getpid).values())
    search = _svm_search(tmp_path / "shared", _dying(tmp_path, call=12), cv=folds)
    with joblib.parallel_config(backend=dask_backend(client)):
        search.fit(X, y)
    dead = int((tmp_path / "dead").read_text())
    assert dead in before
    assert dead not in client.run(os.getpid).values()
    serial = _svm_search(tmp_path / "own", FunctionTransformer(), cv=folds).fit(X, y)
    assert len(np.unique(_fold_scores(serial))) > 2  # so that wrong scores would show
    np.testing.assert_array_equal(_fold_scores(search), _fold_scores(serial))


def _slow_die_once(*args):
    time.sleep(0.1)  # so that others are under way
    return _die_once(*args)


def _nested(numbers, folder, survivor):
    calls = (joblib.delayed(_slow_die_once)(numbers + i, folder, 5, survivor) for i in range(6))
    return sum(part.sum() for part in joblib.Parallel()(calls))


def test_parallel_work_inside_a_task_outlives_a_worker(client, tmp_path):
    numbers = [np.full(1000, i) for i in range(3)]
    with joblib.parallel_config(backend=dask_backend(client)):
        sums = joblib.Parallel()(
            joblib.delayed(_nested)(part, os.fspath(tmp_path), os.getpid()) for part in numbers
        )
    assert (tmp_path / "dead").exists()
    assert sums == [15000, 21000, 27000]


def test_a_task_that_kills_its_workers_is_an_error(cluster, client, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    call = joblib.delayed(_die_once)(0, os.fspath(tmp_path), 1, os.getpid())
    with (
        joblib.parallel_config(backend=dask_backend(client)),
        pytest.raises(distributed.KilledWorker),
    ):
        joblib.Parallel()([call])
