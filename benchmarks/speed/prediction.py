"""One recording, from its path to the decision about a patient: in a warm process, and cold.

Run from the repository's root::

    python benchmarks/speed/prediction.py
    python benchmarks/speed/prediction.py --rounds 3    # quicker

Targets: warm, at most 1.5 times the backbone's own forward pass of the image (one thread,
inference mode); cold, ``sklearn-dysarthria predict`` takes at most 1.5 times as long as a process
that does nothing but ``import torch, torchvision, sklearn, pandas``, and prints what the same model
decides in this process.

Weights are random, from one epoch on synthetic recordings; a 16 kHz wav of about 3 s is judged.
"""

from __future__ import annotations

from side_by_side import in_turns, keep, ratio, table, verdict  # isort: skip  (pins the threads)

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from sklearn_dysarthria import (
    PatientVotingClassifier,
    hyper_alexnet_pipeline,
    load_model,
    make_dysarthric_speech,
    sand_convnext_pipeline,
)

TARGET = 1.5
QUICK = {
    "classify__backbone__weights": None,
    "classify__max_epochs": 1,
    "classify__random_state": 0,
}
PIPELINES = {
    "AlexNet": lambda: hyper_alexnet_pipeline(**QUICK),
    "ConvNeXt-Base, energy VAD": lambda: sand_convnext_pipeline(**QUICK),
    "ConvNeXt-Tiny, energy VAD": lambda: sand_convnext_pipeline(
        classify__backbone__name="convnext_tiny", **QUICK
    ),
}
BARE = [sys.executable, "-c", "import torch, torchvision, sklearn, pandas"]
SETTINGS = {
    "eGeMAPS + SVM": ["model.name=egemaps-svm"],
    "ConvNeXt, quick preset": ["model.name=sand-convnext", "model.params.classify.max_epochs=1"],
    "AlexNet, 244 MB": [
        *("model.name=hyper-alexnet", "model.preset=paper"),
        *("model.params.classify.weights=none", "model.params.classify.max_epochs=1"),
    ],
}


def recordings(folder: Path):
    """Write synthetic recordings to files; return their table and labels."""
    X, y = make_dysarthric_speech(n_patients=4, random_state=0)
    paths = []
    for row in X.itertuples():
        paths.append(str(folder / f"{row.patient}_{row.task}.wav"))
        soundfile.write(paths[-1], row.audio, int(row.sample_rate))
    return X.drop(columns="sample_rate").assign(audio=paths), y


def warm(name: str, X, y, rounds: int) -> list[list[str]]:
    """Time a fitted model's parts and answers on one row, and check the answers."""
    model = PatientVotingClassifier(PIPELINES[name]()).fit(X, y)
    *front, (_, classifier) = model.estimator_.steps
    one = X.iloc[[0]]
    images = one
    for _, step in front:
        images = step.transform(images)
    check_answers(model, X)
    network, batch = classifier.net_.module_.eval(), torch.from_numpy(images)

    def front_end():
        table = one
        for _, step in front:
            table = step.transform(table)

    def forward():
        with torch.inference_mode():
            network.backbone(batch)

    answers = ("predict", "predict_proba", "predict_patients")
    contestants = {"backbone": forward, "front end": front_end}
    contestants["classifier"] = partial(classifier.predict_proba, images)
    contestants |= {answer: partial(getattr(model, answer), one) for answer in answers}
    seconds = in_turns(contestants, rounds=rounds, warm_up=2)
    parts = [f"{1e3 * seconds[part].median():.1f}" for part in ("backbone", "front end")]
    parts.append(f"{1e3 * (seconds['classifier'] - seconds['backbone']).median():.1f}")
    rest = seconds["predict_patients"] - seconds["classifier"] - seconds["front end"]
    parts.append(f"{1e3 * rest.median():.1f}")
    ratios = [ratio(seconds, answer, "backbone") for answer in answers]
    outcome = verdict(f"at most {TARGET}", max(ratios) <= TARGET)
    return [name, *parts, *(f"{r:.2f}" for r in ratios), outcome]


def check_answers(model, X) -> None:
    """Raise unless single recordings get what they get in a whole table."""
    alone = X.assign(patient=[f"P{i}" for i in range(len(X))])  # every recording its own patient
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = model.predict_proba(alone)
        singly = np.vstack([model.predict_proba(alone.iloc[[i]]) for i in range(len(X))])
        classes = [model.predict(alone.iloc[[i]])[0] for i in range(len(X))]
        np.testing.assert_allclose(singly, together, atol=1e-5)
        np.testing.assert_array_equal(classes, model.predict(alone))
        by_pipeline = model.estimator_.predict_proba(alone)
    np.testing.assert_allclose(together, by_pipeline, atol=1e-5)


def check_printed(printed: bytes, model: str, one) -> None:
    """Raise unless a program printed what the model in its file decides in this process."""
    fitted = load_model(model)
    decided = fitted.predict_patients(one)
    (row,) = json.loads(printed)
    assert [row["patient"]] == list(decided.index)
    assert [row["prediction"]] == list(decided["prediction"])
    scores = row["probabilities"] if "probabilities" in row else row["decision_values"]
    expected = decided.filter(regex="^(proba|decision)_").iloc[0]
    assert list(scores) == [name.partition("_")[2] for name in expected.index]
    np.testing.assert_allclose(list(scores.values()), expected.to_numpy(float), atol=1e-6)


def cold(folder: Path, one, rounds: int) -> list[list[str]]:
    """Time whole processes that decide about one row, and check what they print."""
    program = [sys.executable, "-m", "sklearn_dysarthria.cli"]
    run = partial(subprocess.run, check=True, capture_output=True)
    commands = {"bare": BARE}
    for number, (name, settings) in enumerate(SETTINGS.items()):
        model = str(folder / f"{number}.model")
        assigned = [part for setting in settings for part in ("--set", setting)]
        run([*program, "train", "synthetic", "--set", "corpus.n_patients=4", *assigned]
            + ["--output", model, "--quiet"])  # fmt: skip
        wav = one["audio"].iloc[0]
        commands[name] = [*program, "predict", model, wav, "--format", "json", "--quiet"]
        check_printed(run(commands[name]).stdout, model, one)
    seconds = in_turns({name: partial(run, c) for name, c in commands.items()}, rounds=rounds)
    rows = []
    for name in SETTINGS:
        found = ratio(seconds, name, "bare")
        outcome = verdict(f"at most {TARGET}", found <= TARGET)
        took = [f"{seconds[process].median():.2f}" for process in (name, "bare")]
        rows.append([name, *took, f"{found:.2f}", outcome])
    return rows


def main() -> None:
    """Measure both parts and keep the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--rounds", type=int, default=11, help="in a warm process; half as many cold"
    )
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        X, y = recordings(Path(folder))
        warm_rows = [warm(name, X, y, rounds) for name in PIPELINES]
        cold_rows = cold(Path(folder), X.iloc[[0]], (rounds + 1) // 2)
    columns = ["model", "backbone ms", "front end ms", "rest of the classifier ms", "vote ms"]
    columns += ["predict", "predict_proba", "predict_patients", "target"]
    keep(
        "prediction",
        "One recording, path to patient, in a warm process; the last columns are multiples of the "
        "backbone's own forward pass.  Answers equal those of a whole table to 1e-5.\n\n"
        f"{table(columns, warm_rows)}\n\n"
        "`sklearn-dysarthria predict model wav` from a fresh process, against "
        "`import torch, torchvision, sklearn, pandas`.  It prints what the same model decides in a "
        "warm process.\n\n"
        f"{table(['model', 'predict s', 'imports s', 'ratio', 'target'], cold_rows)}",
        packages=("numpy", "pandas", "scikit-learn", "torch", "torchvision", "skorch"),
    )


if __name__ == "__main__":
    main()
