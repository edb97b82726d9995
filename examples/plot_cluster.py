"""
===============================
Search on more than one machine
===============================

Scikit-learn hands its parallel work to joblib, and joblib can hand it to a cluster that
`Dask <https://distributed.dask.org>`_ manages.  A search, a cross-validation or
:func:`~sklearn_dysarthria.compare` then runs there as it is written.  This page needs
``distributed`` (``pip install "sklearn-dysarthria[dask]"``).

Here the cluster consists of two processes of one computer, one of which is killed in the middle.
:doc:`/cluster` tells how to reach a real one.
"""

# %%
# A search as anywhere else
# -------------------------
#
# Only the cache deserves a thought: it is what the workers share, so that none of them extracts
# what another has extracted already.  On a real cluster its folder, and the recordings, must be on
# a file system that all computers see.

import os
import signal
import tempfile
import threading
import time

import joblib
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from sklearn_dysarthria import (
    PatientVotingClassifier,
    StratifiedPatientKFold,
    dask_backend,
    egemaps_svm_pipeline,
    make_dysarthric_speech,
    patient_scorer,
)

C = np.logspace(-2, 3, 6)


def make_search(cache):
    """Build the search over the baseline's C."""
    return GridSearchCV(
        PatientVotingClassifier(egemaps_svm_pipeline(cache=cache), voting="soft"),
        {"estimator__classify__estimator__C": C},
        cv=StratifiedPatientKFold(4, random_state=0),
        scoring=patient_scorer("balanced_accuracy"),
        error_score="raise",
    )


# %%
# A worker dies
# -------------
#
# On a cluster that happens all the time: a time limit ends, memory runs out, a job of higher
# priority needs the machine.  This function kills a worker soon after the first features are there.


def kill_one_worker(cluster, cache):
    """Wait for the first results in the cache, then kill a worker as a batch system does."""
    victim = next(iter(cluster.workers.values())).process.pid
    while not any(files for _, _, files in os.walk(cache)):
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(victim, signal.SIGKILL)
    print("killed one of two workers")


# %%
# With joblib's own backend (``parallel_config(backend="dask")``) the search would now fail, because
# joblib keeps a part of its data on one worker only.  :func:`~sklearn_dysarthria.dask_backend` is
# the same backend with data that outlive a worker; what was under way there is done again by
# another.


def search_on_two_workers(X, y, cache):
    """Search on a cluster that loses one of its workers."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
        ) as cluster,
        Client(cluster) as client,
    ):
        killer = threading.Thread(target=kill_one_worker, args=(cluster, cache))
        killer.start()
        with joblib.parallel_config(backend=dask_backend(client)):
            search = make_search(cache).fit(X, y)
        killer.join()
    return search


# %%
# The same scores
# ---------------
#
# Worker processes begin by importing the script that they were started from.  Whatever starts
# them therefore stands behind ``if __name__ == "__main__":``, or they would start workers in turn.
# A notebook needs no such line.

if __name__ == "__main__":
    X, y = make_dysarthric_speech(n_patients=32, difficulty="medium", random_state=0)
    with tempfile.TemporaryDirectory() as cache:
        spread = search_on_two_workers(X, y, cache)
        serial = make_search(cache).fit(X, y)

    scores = {
        where: np.array([search.cv_results_[f"split{fold}_test_score"] for fold in range(4)])
        for where, search in [("two workers", spread), ("one process", serial)]
    }
    print("same scores:", np.array_equal(*scores.values()))

    fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    ax.plot(C, scores["two workers"].mean(axis=0), "o", markersize=9, label="two workers")
    ax.plot(C, scores["one process"].mean(axis=0), ".-", label="one process")
    ax.axhline(0.5, color="grey", linestyle=":", label="chance")
    ax.set(xscale="log", xlabel="C of the SVM", ylabel="balanced accuracy\n(patients)")
    ax.set_title("The same search, there and here")
    ax.legend(fontsize=9)

# %%
# Two processes of one computer win nothing over ``n_jobs=2``, and starting them costs seconds.  A
# cluster pays when there are many fits, or one machine has too few cores or GPUs.
