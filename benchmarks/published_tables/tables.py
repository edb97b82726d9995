"""What the scripts of this folder share: options, corpora, sizes, and a table beside the paper's.

Every script takes the same options and writes to ``benchmarks/results/published_tables/``: the
figures with their intervals beside the published ones and the differences in protocol
(``table.md``), every out-of-fold decision (``predictions.csv``) and the command (``run.md``).
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from sklearn_dysarthria import Backbone, compare, datasets, patient_bootstrap
from sklearn_dysarthria.exceptions import SmallClassWarning

RESULTS = Path(__file__).resolve().parents[1] / "results" / "published_tables"
PACKAGES = ("numpy", "scikit-learn", "torch", "torchvision", "skorch", "librosa", "opensmile")
CORPORA = ("synthetic", "minsk2020", "voc_als", "sand")
BINARY = ("synthetic", "minsk2020", "voc_als")
"""Corpora of the hypernetwork paper's question, dysarthria (or ALS) or not."""
GRADED = ("synthetic", "minsk2020", "sand")
"""Corpora of the SAND tables; Minsk2020 has two classes where the others have five."""
_BEGAN = time.perf_counter()
METRICS = ("accuracy", "balanced accuracy", "macro-F1")

QUICK_IMAGES = {
    "sample_rate": 16000,
    "n_fft": 1024,
    "hop_length": 256,
    "n_mels": 64,
    "image_size": 64,
}
"""Front end of ``--size quick``; that of ``--size paper`` is the default of LogMelDeltaImages."""

QUICK_ALEXNET = {"backbone": Backbone("alexnet", weights=None, width=0.25), "lr": 5e-4}
"""AlexNet of ``--size quick``: a quarter of the channels, from random weights."""


@dataclass(frozen=True)
class Corpus:
    """Recordings, labels, and how they are split."""

    name: str
    X: pd.DataFrame
    y: np.ndarray
    description: str
    cv: Any = None


@dataclass(frozen=True)
class Row:
    """One line of a published table: the model here, and what was printed there."""

    model: Any
    published: str = "not given"


def options(doc: str, corpora: Sequence[str] = CORPORA) -> argparse.ArgumentParser:
    """Return the parser of the options that all scripts share.

    Parameters
    ----------
    doc : str
        Docstring of the script, shown by ``--help``.
    corpora : sequence of str
        What may be asked for.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", choices=corpora)
    parser.add_argument(
        "--size",
        choices=("quick", "paper"),
        default="quick",
        help="quick: small images, small networks from random weights; paper: as published",
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="instead of the size's number")
    parser.add_argument("--patients", type=int, default=60, help="of the synthetic corpus")
    parser.add_argument("--difficulty", default="medium", help="of the synthetic corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--cache", help="folder that keeps features and images")
    parser.add_argument("--data-home", help="where corpora are kept")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser


def load(
    args: argparse.Namespace, *, tasks: Sequence[str] | None = None, severity: bool = False
) -> Corpus:
    """Load the corpus that was asked for.

    Parameters
    ----------
    args : argparse.Namespace
        See `options`.
    tasks : sequence of str, optional
        Tasks of VOC-ALS, SAND and the synthetic corpus; Minsk2020 has two vowels and no others.
    severity : bool, default=False
        Five classes, 1 (severe) to 5 (healthy), where the corpus has them.
    """
    if args.corpus == "synthetic":
        graded = {"classes": [5, 4, 3, 2, 1], "weights": [0.3, 0.25, 0.2, 0.15, 0.1]}
        X, y = datasets.make_dysarthric_speech(
            args.patients,
            tasks=tasks or ("phonationA", "rhythmPA"),
            difficulty=args.difficulty,
            random_state=args.seed,
            **(graded if severity else {}),
        )
        return Corpus("synthetic", X, y, f"synthetic speakers, difficulty {args.difficulty!r}")
    if args.corpus == "minsk2020":
        X, y = datasets.fetch_minsk2020_als(data_home=args.data_home, return_X_y=True)
        return Corpus("minsk2020", X, np.asarray(y), "Minsk2020, ALS or healthy, /a/ and /i/")
    if args.corpus == "voc_als":
        X, y = datasets.load_voc_als(args.data_home, return_X_y=True)
        description = "VOC-ALS, dysarthria (ALSFRS-R speech item below 4) or not"
    else:
        data = datasets.load_sand(args.data_home)
        X, y, description = data.data, data.target, "SAND, task 1"
    y = np.asarray(y)
    chosen = np.ones(len(X), bool) if tasks is None else X["task"].isin(tasks).to_numpy()
    cv = None
    if args.corpus == "sand" and severity:
        side = data.baseline_split.test_fold[chosen]
        cv = [(np.flatnonzero(side == -1), np.flatnonzero(side == 0))]
        description += ", official training and validation split"
    return Corpus(args.corpus, X[chosen].reset_index(drop=True), y[chosen], description, cv)


def run(
    table: str,
    rows: Mapping[str, Row],
    corpus: Corpus,
    args: argparse.Namespace,
    *,
    published: str,
    differences: Sequence[str],
) -> pd.DataFrame:
    """Cross-validate the models and write their figures beside the published ones.

    Parameters
    ----------
    table : str
        Name of the folder of the results.
    rows : mapping of str to Row
        Models that decide per patient, with the published figure.
    corpus : Corpus
        See `load`.
    args : argparse.Namespace
        See `options`.
    published : str
        What the published column holds, and where from.
    differences : sequence of str
        How this protocol differs from the published one.

    Returns
    -------
    pandas.DataFrame
        One row per model and metric: ``model``, ``metric``, ``value``, ``low``, ``high``.
    """
    result = compare(
        corpus.X,
        corpus.y,
        methods={name: row.model for name, row in rows.items()},
        n_splits=args.folds,
        n_repeats=args.repeats,
        cv=corpus.cv,
        positive=_positive(corpus.y),
        n_resamples=2,  # the intervals of the metrics below are computed below
        cache=args.cache,
        n_jobs=args.n_jobs,
        random_state=args.seed,
        verbose=1,
    )
    figures = score(result.predictions, args.seed)
    folder = args.output / table / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    result.predictions.to_csv(folder / "predictions.csv", index=False, float_format="%.6g")
    text = _markdown(figures, rows, published)
    notes = [
        f"corpus: {corpus.description}",
        *(f"{name}: {result.settings[name]}" for name in ("patients", "cross-validation")),
        *described({name: row.model for name, row in rows.items()}),
        *differences,
        "intervals: 95 %, patient bootstrap of the out-of-fold decisions",
    ]
    text += "".join(f"\n- {note}" for note in notes) + "\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_command(folder)
    print(text)
    return figures


def describe(model: Any) -> str:
    """Return with which network, images and training a model was made.

    Parameters
    ----------
    model : estimator
        A patient model of these tables.
    """
    # Of several models inside, by task, all but one are dummies.
    params = model.get_params(deep=True)
    said = []
    for name, value in params.items():
        last = name.rpartition("__")[2]
        if name.endswith("backbone__name"):
            last = "backbone"
        elif isinstance(value, Backbone):
            continue  # described by what it holds
        elif last == "backbone":  # a name, which stands for published weights
            value = f"{value}, weights {Backbone(value).weights}"
        if "vad__" in name or (last == "sample_rate" and value is None):
            continue
        if last in _TOLD and (last not in _DEFAULTS or value != _DEFAULTS[last]):
            said.append(f"{_TOLD[last]} {value}")
    return ", ".join(dict.fromkeys(said)) or type(model).__name__


def described(models: Mapping[str, Any]) -> list[str]:
    """Return a line for each kind of model, with the names of those that are described alike."""
    names: dict[str, list[str]] = {}
    for name, model in models.items():
        names.setdefault(describe(model), []).append(name)
    return [f"here, {'; '.join(alike)}: {said}" for said, alike in names.items()]


_TOLD = {
    "image_size": "image size",
    "n_mels": "mel bands",
    "sample_rate": "resampled to (Hz)",
    "backbone": "backbone",
    "width": "width",
    "weights": "weights",
    "optimizer": "optimiser",
    "lr": "learning rate",
    "max_epochs": "epochs",
    "batch_size": "batch size",
    "oversample": "oversampling",
    "voting": "vote",
}
_DEFAULTS = {"width": 1.0, "oversample": None}


def score(predictions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return `METRICS` by model with patient-bootstrap intervals.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of a :class:`~sklearn_dysarthria.Comparison`.
    seed : int
        Of the bootstrap.
    """
    figures = []
    for model, made in predictions.groupby("method", sort=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SmallClassWarning)  # compare has said it
            value, low, high = patient_bootstrap(
                _metrics,
                made["truth"].to_numpy(),
                made["prediction"].to_numpy(),
                patients=made["patient"].to_numpy(),
                repeats=made["repeat"].to_numpy(),
                random_state=seed,
            )
        figures += zip([model] * len(METRICS), METRICS, value, low, high, strict=True)
    return pd.DataFrame(figures, columns=["model", "metric", "value", "low", "high"])


def _metrics(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    present = np.unique(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a resample may lack a predicted class
        balanced = balanced_accuracy_score(truth, predicted)
    macro_f1 = f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    return np.array([np.mean(truth == predicted), balanced, macro_f1])


def _positive(y: np.ndarray) -> Any:
    return "ALS" if "ALS" in y else None


def _markdown(figures: pd.DataFrame, rows: Mapping[str, Row], published: str) -> str:
    cells = {
        (r.model, r.metric): f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]"
        for r in figures.itertuples()
    }
    lines = [["model", f"published ({published})", *METRICS]]
    for model in dict.fromkeys(figures["model"]):
        printed = rows[model].published if model in rows else "–"
        lines.append([model, printed, *(cells[model, metric] for metric in METRICS)])
    return as_markdown(lines)


def as_markdown(lines: Sequence[Sequence[Any]]) -> str:
    """Return rows of cells, the first of them the header, as a Markdown table."""
    text = [[str(cell) for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in text) for i in range(len(text[0]))]
    drawn = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in text
    ]
    drawn.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(drawn) + "\n"


def write_command(folder: Path) -> None:
    """Write how the results of a folder were made: command, minutes, versions."""
    script = Path(sys.argv[0]).resolve().relative_to(Path(__file__).resolve().parents[2])
    command = " ".join(["python", str(script), *sys.argv[1:]])
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    minutes = (time.perf_counter() - _BEGAN) / 60
    text = (
        f"`{command}`\n\n"
        f"{minutes:.1f} minutes with {torch.get_num_threads()} thread(s); "
        f"Python {platform.python_version()}, {versions}; "
        f"{platform.system()} {platform.machine()}.\n"
    )
    (folder / "run.md").write_text(text, encoding="utf-8")
