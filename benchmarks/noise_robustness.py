"""Score against signal-to-noise ratio: noise in training or not, hypernetwork or dense head.

Run from the top of the checkout::

    python benchmarks/noise_robustness.py synthetic
    python benchmarks/noise_robustness.py minsk2020 --noise babble

Every fold trains four models: hypernetwork and dense head, on clean recordings and on recordings of
which half got noise of 0 to 20 dB.  The test patients are then judged at every ratio, with the same
noise for all four.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "published_tables"))

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from models import alexnet, images
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import Pipeline
from tables import as_markdown, load, options, write_command

from sklearn_dysarthria import AddNoise, PatientVotingClassifier, RepeatedStratifiedPatientKFold

RATIOS = (np.inf, 20.0, 10.0, 5.0, 0.0, -5.0)


def main() -> None:
    parser = options(__doc__, output=Path(__file__).parent / "results" / "noise_robustness")
    parser.add_argument("--noise", default="white", help="white, pink, babble, or a folder")
    args = parser.parse_args()
    corpus = load(args)
    judged = pd.concat(
        [judge(fold, *rows, corpus, args) for fold, rows in enumerate(_folds(corpus, args))],
        ignore_index=True,
    )
    folder = args.output / f"{corpus.name}_{Path(args.noise).stem}"
    folder.mkdir(parents=True, exist_ok=True)
    judged.to_csv(folder / "folds.csv", index=False, float_format="%.6g")
    text = table(judged) + (
        "\n- balanced accuracy over the test patients of a fold: mean over folds ± standard error\n"
        f"- corpus: {corpus.description}; {args.folds} folds of patients × {args.repeats}, "
        f"seed {args.seed}; {args.noise} noise; size {args.size}\n"
    )
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_command(folder)
    draw(judged).savefig(folder / "snr.png", dpi=150)
    print(text)


def _folds(corpus, args):
    folds = RepeatedStratifiedPatientKFold(
        args.folds, n_repeats=args.repeats, random_state=args.seed
    )
    return folds.split(corpus.X, corpus.y)


def models(args):
    """Return the four models by head and training."""
    noises = {
        "clean": "passthrough",
        "noisy": AddNoise(
            (0.0, 20.0), noise=args.noise, probability=0.5, training_only=True, random_state=1
        ),
    }
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
    """Train the four models on a fold and score them at every ratio."""
    X, y = corpus.X, corpus.y
    heard = {
        ratio: X.iloc[test]
        if np.isinf(ratio)
        else AddNoise(ratio, noise=args.noise, random_state=2).fit_transform(X.iloc[test])
        for ratio in RATIOS
    }
    rows = []
    for (head, training), model in models(args).items():
        model.fit(X.iloc[train], y[train])
        for ratio, table in heard.items():
            decided = model.predict_patients(table)
            truth = pd.Series(y[test], index=table["patient"].to_numpy()).groupby(level=0).first()
            truth = truth.loc[decided.index].to_numpy()
            score = decided.filter(like="proba_").iloc[:, -1]
            rows.append(
                {
                    "fold": fold,
                    "head": head,
                    "training": training,
                    "snr_db": ratio,
                    "balanced_accuracy": balanced_accuracy_score(
                        truth, decided["prediction"].to_numpy().astype(truth.dtype)
                    ),
                    "auc": roc_auc_score(truth == model.classes_[-1], score),
                }
            )
    print(f"fold {fold} done", flush=True)
    return pd.DataFrame(rows)


def _name(ratio: float) -> str:
    return "clean" if np.isinf(ratio) else f"{ratio:g} dB"


def table(judged: pd.DataFrame) -> str:
    """Return the scores by model and ratio, in Markdown."""
    lines = [["head, training", *map(_name, RATIOS)]]
    for (head, training), made in judged.groupby(["head", "training"], sort=False):
        cells = []
        for ratio in RATIOS:
            values = made.loc[made["snr_db"] == ratio, "balanced_accuracy"]
            cells.append(f"{values.mean():.2f} ± {values.sem():.2f}")
        lines.append([f"{head}, {training}", *cells])
    return as_markdown(lines)


def draw(judged: pd.DataFrame):
    """Draw the scores against the ratio."""
    figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for (head, training), made in judged.groupby(["head", "training"], sort=False):
        mean = made.groupby("snr_db")["balanced_accuracy"].mean().loc[list(RATIOS)]
        ax.plot(
            range(len(RATIOS)),
            mean,
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
