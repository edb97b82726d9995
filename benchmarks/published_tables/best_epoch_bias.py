"""How much "the best epoch on the test fold" flatters a score.

    python benchmarks/published_tables/best_epoch_bias.py sand --size paper
    python benchmarks/published_tables/best_epoch_bias.py synthetic
    python benchmarks/published_tables/best_epoch_bias.py minsk2020

Every fold is trained once, on its training patients without a fifth of them.  The score of the
test patients is written down after each epoch, and then the epoch is chosen by the best test score
of the fold (what must not be done), by the loss of the fifth that was held out, or as the last
one.  All choices look at the same runs, so that nothing but the choice differs.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from models import alexnet, images
from sand_entry import classifier, recordings
from sklearn.base import clone
from sklearn.metrics import f1_score
from skorch.callbacks import Callback
from tables import as_markdown, load, options, write_command

from sklearn_dysarthria import RepeatedStratifiedPatientKFold

INNER = "epoch with the least loss on inner patients"
CHOICES = {
    "best epoch on the test fold": lambda run: run["macro_f1"].max(),
    INNER: lambda run: run["macro_f1"].iloc[run["valid_loss"].argmin()],
    "last epoch": lambda run: run["macro_f1"].iloc[-1],
    "mean of the last ten epochs": lambda run: run["macro_f1"].iloc[-10:].mean(),
}


def main() -> None:
    args = options(__doc__).parse_args()
    graded = args.corpus in ("synthetic", "sand")
    corpus = load(args, severity=graded)
    runs = pd.concat(
        [
            follow(corpus, front_end, network, args).assign(model=model)
            for model, front_end, network in systems(args, graded)
        ],
        ignore_index=True,
    )
    folder = args.output / "best_epoch_bias" / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_csv(folder / "epochs.csv", index=False, float_format="%.6g")
    text = bias_table(runs) + (
        f"\n- corpus: {corpus.description}\n"
        f"- {args.folds} folds of patients × {args.repeats}, seed {args.seed}, size {args.size}\n"
        "- macro-F1 over the test patients of a fold: mean over the folds ± standard error, and "
        "in brackets the mean difference to the epoch chosen on inner patients ± its standard "
        "error\n"
        "- published for the SAND entry: 0.598 for the best of 75 epochs on the test patients, "
        "0.562 for the mean of the last ten\n"
    )
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_command(folder)
    draw(runs).savefig(folder / "epochs.png", dpi=150)
    print(text)


def systems(args, graded):
    """Return name, front end and classifier of the two published systems."""
    size = {} if args.size == "paper" else {"weights": None}
    backbone = "convnext_base" if args.size == "paper" else "convnext_femto"
    network = {"backbone": backbone, **size}
    return [
        ("SAND entry", recordings(args), classifier(args, network, graded=graded)),
        ("hypernetwork", images(args), alexnet(args)),
    ]


class TestScores(Callback):
    """Write down the test fold's probabilities after every epoch, for this demonstration only."""

    def __init__(self, images):
        self.images = images

    def on_epoch_end(self, net, **kwargs):
        """Predict; nothing is learned."""
        net.module_.eval()
        with torch.no_grad():
            logits = [net.module_(batch.to(net.device)) for batch in self.images.split(64)]
        net.history.record("test_probabilities", torch.cat(logits).softmax(1).cpu().numpy())


def follow(corpus, front_end, network, args) -> pd.DataFrame:
    """Return one row per fold and epoch: inner loss, and macro-F1 of the test patients."""
    folds = RepeatedStratifiedPatientKFold(
        args.folds, n_repeats=args.repeats, random_state=args.seed
    )
    patients = corpus.X["patient"].to_numpy()
    pictures = clone(front_end).fit_transform(corpus.X)  # learns nothing, so once for all folds
    rows = []
    for fold, (train, test) in enumerate(corpus.cv or folds.split(corpus.X, corpus.y)):
        model = clone(network).set_params(
            early_stopping=True,
            patience=network.max_epochs,  # never stops: the whole run is looked at
            callbacks=[("test_scores", TestScores(torch.from_numpy(pictures[test])))],
        )
        model.fit(pictures[train], corpus.y[train], groups=patients[train])
        for epoch in model.net_.history:
            score = macro_f1(
                epoch["test_probabilities"], corpus.y[test], patients[test], model.classes_
            )
            rows.append([fold, epoch["epoch"], epoch["valid_loss"], score])
        print(f"fold {fold} done", flush=True)
    return pd.DataFrame(rows, columns=["fold", "epoch", "valid_loss", "macro_f1"])


def macro_f1(probabilities, y, patients, classes) -> float:
    """Score the patients: mean probability over the recordings, then macro-F1."""
    mean = pd.DataFrame(probabilities).groupby(patients).mean()
    truth = pd.Series(y).groupby(patients).first().loc[mean.index]
    predicted = classes[mean.to_numpy().argmax(axis=1)]
    return f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)


def bias_table(runs: pd.DataFrame) -> str:
    """Return the score under every choice of the epoch, in Markdown."""
    lines = [["macro-F1", *runs["model"].unique()]]
    chosen = {
        (model, how): np.array([pick(run) for _, run in made.groupby("fold")])
        for model, made in runs.groupby("model", sort=False)
        for how, pick in CHOICES.items()
    }
    for how in CHOICES:
        cells = []
        for model in runs["model"].unique():
            score, gap = chosen[model, how], chosen[model, how] - chosen[model, INNER]
            cells.append(f"{_with_error(score)} ({_with_error(gap, '+')})")
        lines.append([how, *cells])
    return as_markdown(lines)


def _with_error(values: np.ndarray, sign: str = "") -> str:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():{sign}.3f} ± {error:.3f}"


def draw(runs: pd.DataFrame):
    """Draw the test score of every fold against the epoch, with its best epoch."""
    models = runs["model"].unique()
    figure, axes = plt.subplots(
        1, len(models), figsize=(4.2 * len(models), 3.4), sharey=True, layout="constrained"
    )
    for ax, model in zip(axes, models, strict=True):
        for _, run in runs[runs["model"] == model].groupby("fold"):
            ax.plot(run["epoch"], run["macro_f1"], color="0.75", linewidth=1)
            best = run.nlargest(1, "macro_f1")
            ax.plot(best["epoch"], best["macro_f1"], "o", color="C3", markersize=4)
        mean = runs[runs["model"] == model].groupby("epoch")["macro_f1"].mean()
        ax.plot(mean.index, mean, color="C0", label="mean over folds")
        ax.plot([], [], "o", color="C3", markersize=4, label="a fold's best epoch")
        ax.set(title=model, xlabel="epoch")
    axes[0].set_ylabel("macro-F1 of the test patients")
    axes[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
