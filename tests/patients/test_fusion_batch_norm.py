"""Batch normalisation in the backbone of the fusion of tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer

from sklearn_dysarthria import Backbone, HyperHead, TaskFusionClassifier


def take_images(X):
    return np.stack(list(X["audio"]))


def table(n_patients, tasks=("a", "b")):
    rng = np.random.default_rng(0)
    rows = [
        {
            "audio": rng.normal(size=(3, 32, 32)).astype(np.float32),
            "patient": f"P{number}",
            "task": task,
        }
        for number in range(n_patients)
        for task in tasks
    ]
    return pd.DataFrame(rows), np.repeat(np.arange(n_patients) % 2, len(tasks))


def fusion(**changes):
    options = {"backbone": Backbone("shufflenet_v2_x0_5", weights=None), "max_epochs": 1}
    options |= {"embedding_dim": 8, "fusion_dim": 8}
    options |= {"head": HyperHead(hidden_dim=8, context_dim=4)}
    options |= {"random_state": 0, "device": "cpu"}
    return TaskFusionClassifier(FunctionTransformer(take_images), **options | changes)


@pytest.mark.parametrize("share", [True, False])
def test_a_last_item_is_not_left_alone(share):
    X, y = table(5)
    model = fusion(batch_size=4, share_backbone=share).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_task_that_only_one_patient_has():
    X, y = table(4)
    keep = ((X["task"] == "a") | (X["patient"] == "P0")).to_numpy()
    X, y = X[keep].reset_index(drop=True), y[keep]
    with pytest.raises(ValueError, match=r"a single recording of a task, .* share_backbone=True"):
        fusion(share_backbone=False).fit(X, y)
    fusion(share_backbone=True).fit(X, y)
