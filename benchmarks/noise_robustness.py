"""Score against signal-to-noise ratio: noise in training or not, hypernetwork or dense head.

Run from the top of the checkout::

    python benchmarks/noise_robustness.py synthetic
    python benchmarks/noise_robustness.py minsk2020 --noise babble

Every fold trains four models: hypernetwork and dense head, on clean recordings and on recordings of
which half got noise of 0 to 20 dB.  The test patients are then judged at every ratio, with the same
noise for all four.  Training and test noise are of one kind, drawn independently (babble: other
stretches of the same eight voices), so that part of what training with noise gains may be knowing
the kind.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "published_tables"))

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from models import alexnet, images
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from tables import BINARY, as_markdown, described, load, options, write_command

from sklearn_dysarthria import (
    AddNoise,
    PatientVotingClassifier,
    RepeatedStratifiedPatientKFold,
    patient_bootstrap,
)

RATIOS = (np.inf, 20.0, 10.0, 5.0, 0.0, -5.0)
TRAINING = {"snr_db": (0.0, 20.0), "probability": 0.5, "training_only": True, "random_state": 1}


def main() -> None:
    parser = options(__doc__, BINARY)
    parser.add_argument("--noise", default="white", help="white, pink, babble, or a folder")
    parser.set_defaults(output=Path(__file__).parent / "results")
    args = parser.parse_args()
    corpus = load(args)
    folds = RepeatedStratifiedPatientKFold(
        args.folds, n_repeats=args.repeats, random_state=args.seed
    )
    judged = pd.concat(
        [
            judge(fold, train, test, corpus, args)
            for fold, (train, test) in enumerate(folds.split(corpus.X, corpus.y))
        ],
        ignore_index=True,
    )
    folder = args.output / "noise_robustness" / f"{corpus.name}_{Path(args.noise).stem}"
    folder.mkdir(parents=True, exist_ok=True)
    judged.to_csv(folder / "decisions.csv", index=False)
    scores = score(judged, args.seed)
    notes = [
        "balanced accuracy over patients; in brackets 95 % intervals, patient bootstrap",
        f"corpus: {corpus.description}; {corpus.X['patient'].nunique()} patients",
        f"{args.folds} folds of patients × {args.repeats}, seed {args.seed}",
        f"{args.noise} noise; in 'noisy' training half of the recordings get 0 to 20 dB of it",
        "training and test noise are of the same kind",
        *described({f"{head}, {t}": model for (head, t), model in models(args).items()}),
    ]
    text = table(scores) + "".join(f"\n- {note}" for note in notes) + "\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_command(folder)
    draw(scores).savefig(folder / "snr.png", dpi=150)
    print(text)


def models(args):
    """Return the four models by head and training."""
    noises = {"clean": "passthrough", "noisy": AddNoise(noise=args.noise, **TRAINING)}
    return {
        (head, training): PatientVotingClassifier(
            Pipeline(
                [("noise", noise), ("images", images(args)), ("classify", alexnet(args, head=head))]
            ),
            voting="soft",
        )
        for head in ("hyper", "dense")
        for training, noise in noises.items()
    }


def judge(fold, train, test, corpus, args) -> pd.DataFrame:
    """Train the four models on a fold and decide about its test patients at every ratio."""
    X, y = corpus.X, corpus.y
    heard = {
        ratio: X.iloc[test]
        if np.isinf(ratio)
        else AddNoise(ratio, noise=args.noise, random_state=2).fit_transform(X.iloc[test])
        for ratio in RATIOS
    }
    truth = pd.Series(y[test]).groupby(X["patient"].to_numpy()[test]).first()
    decided = []
    for (head, training), model in models(args).items():
        model.fit(X.iloc[train], y[train])
        for ratio, recordings in heard.items():
            made = model.predict_patients(recordings)[["prediction"]]
            made = made.assign(truth=truth.loc[made.index].to_numpy(), fold=fold, snr_db=ratio)
            decided.append(made.assign(head=head, training=training).reset_index())
    print(f"fold {fold} done", flush=True)
    return pd.concat(decided, ignore_index=True)


def score(judged: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return balanced accuracy with its interval by head, training and ratio."""
    codes = {label: code for code, label in enumerate(sorted(judged["truth"].unique()))}
    rows = []
    for key, made in judged.groupby(["head", "training", "snr_db"], sort=False):
        found = patient_bootstrap(
            balanced_accuracy_score,
            made["truth"].map(codes).to_numpy(),
            made["prediction"].map(codes).to_numpy(dtype=int),
            patients=made["patient"].to_numpy(),
            repeats=made.groupby("patient").cumcount().to_numpy(),
            n_resamples=500,
            random_state=seed,
        )
        rows.append([*key, *found])
    columns = ["head", "training", "snr_db", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _name(ratio: float) -> str:
    return "clean" if np.isinf(ratio) else f"{ratio:g} dB"


def table(scores: pd.DataFrame) -> str:
    """Return the scores by model and ratio, in Markdown."""
    lines = [["head, training", *map(_name, RATIOS)]]
    for (head, training), made in scores.groupby(["head", "training"], sort=False):
        by_ratio = made.set_index("snr_db").loc[list(RATIOS)]
        cells = [f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in by_ratio.itertuples()]
        lines.append([f"{head}, {training}", *cells])
    return as_markdown(lines)


def draw(scores: pd.DataFrame):
    """Draw the scores against the ratio."""
    figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for (head, training), made in scores.groupby(["head", "training"], sort=False):
        ax.plot(
            range(len(RATIOS)),
            made.set_index("snr_db").loc[list(RATIOS), "value"],
            marker="o",
            color={"hyper": "C0", "dense": "C1"}[head],
            linestyle={"clean": "--", "noisy": "-"}[training],
            label=f"{head} head, {training} training",
        )
    ax.axhline(0.5, color="grey", linestyle=":")
    ax.set_xticks(range(len(RATIOS)), [_name(ratio) for ratio in RATIOS])
    ax.set(xlabel="signal-to-noise ratio of the test recordings", ylabel="balanced accuracy")
    ax.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
