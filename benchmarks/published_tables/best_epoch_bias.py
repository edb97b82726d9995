"""How much "the best epoch on the test fold" flatters a score.

    python benchmarks/published_tables/best_epoch_bias.py sand --size paper
    python benchmarks/published_tables/best_epoch_bias.py synthetic
    python benchmarks/published_tables/best_epoch_bias.py minsk2020

Every fold is trained once, on its training patients without a fifth of them.  The decisions about
the test patients are written down after each epoch, and then the epoch is chosen by the best test
score of the fold (what must not be done), by the loss of the fifth that was held out, or as the
last one.  All choices look at the same runs, so that nothing but the choice differs.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from models import alexnet, images
from sand_entry import TWO_CLASSES, classifier, recordings
from sklearn.base import clone
from sklearn.metrics import f1_score
from skorch.callbacks import Callback
from tables import GRADED, as_markdown, described, load, options, write_command

from sklearn_dysarthria import (
    Backbone,
    EarlyStopping,
    RepeatedStratifiedPatientKFold,
    patient_bootstrap,
)

BEST, INNER = "best epoch on the test fold", "epoch with the least loss on inner patients"
LAST, MEAN = "last epoch", "mean of the last ten epochs"


def main() -> None:
    args = options(__doc__, GRADED).parse_args()
    graded = args.corpus != "minsk2020"
    corpus = load(args, severity=graded)
    made = systems(args, graded)
    runs = pd.concat(
        [
            follow(corpus, front_end, network, args).assign(model=model)
            for model, front_end, network in made
        ],
        ignore_index=True,
    )
    folder = args.output / "best_epoch_bias" / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    runs.to_csv(folder / "decisions.csv", index=False, float_format="%.6g")
    notes = [
        f"corpus: {corpus.description}; {corpus.X['patient'].nunique()} patients",
        "the official split of SAND"
        if corpus.cv
        else f"{args.folds} folds of patients × {args.repeats}, seed {args.seed}",
        *described({model: network for model, _, network in made}),
        "macro-F1 over patients, pooled over folds; a patient's class is that of the largest mean "
        "probability over the recordings",
        "in brackets 95 % intervals, patient bootstrap; the best epoch is taken by macro-F1 in "
        "each test fold, and the smaller the fold, the more there is to gain",
        "published for the SAND entry, which votes by majority and trains on all 247 patients: "
        "0.598 for the best of 75 epochs on the 53 test patients, 0.562 for the mean of the last "
        "ten",
        *([] if graded else [TWO_CLASSES]),
    ]
    text = bias_table(runs, args.seed) + "".join(f"\n- {note}" for note in notes) + "\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    write_command(folder)
    draw(runs).savefig(folder / "epochs.png", dpi=150)
    print(text)


def systems(args, graded):
    """Return name, front end and classifier of the two published systems."""
    femto = Backbone("convnext_femto", weights=None)
    network = {"backbone": "convnext_base" if args.size == "paper" else femto}
    return [
        ("SAND entry", recordings(args), classifier(args, network, graded=graded)),
        ("hypernetwork", images(args), alexnet(args)),
    ]


class TestDecisions(Callback):
    """Write down the test fold's probabilities after every epoch, for this demonstration only."""

    def __init__(self, images):
        self.images = images

    def on_epoch_end(self, net, **kwargs):
        """Predict; nothing is learned."""
        net.history.record("test_probabilities", net.predict_proba(self.images))


def follow(corpus, front_end, network, args) -> pd.DataFrame:
    """Return one row per fold, epoch and test patient: inner loss, truth, decision."""
    folds = RepeatedStratifiedPatientKFold(
        args.folds, n_repeats=args.repeats, random_state=args.seed
    )
    patients = corpus.X["patient"].to_numpy()
    pictures = clone(front_end).fit_transform(corpus.X)  # learns nothing, so once for all folds
    rows = []
    for fold, (train, test) in enumerate(corpus.cv or folds.split(corpus.X, corpus.y)):
        model = clone(network).set_params(
            # Never stops: the whole run is looked at.
            early_stopping=EarlyStopping(patience=network.max_epochs),
            callbacks=[("test_decisions", TestDecisions(pictures[test]))],
        )
        model.fit(pictures[train], corpus.y[train], groups=patients[train])
        truth = pd.Series(corpus.y[test]).groupby(patients[test]).first()
        for epoch in model.net_.history:
            mean = pd.DataFrame(epoch["test_probabilities"]).groupby(patients[test]).mean()
            decided = pd.DataFrame(
                {
                    "patient": mean.index,
                    "truth": truth.loc[mean.index].to_numpy(),
                    "prediction": model.classes_[mean.to_numpy().argmax(axis=1)],
                }
            )
            rows.append(
                decided.assign(fold=fold, epoch=epoch["epoch"], valid_loss=epoch["valid_loss"])
            )
        print(f"fold {fold} done", flush=True)
    return pd.concat(rows, ignore_index=True)


def macro_f1(truth, predicted) -> float:
    """Score decisions over the classes that there are."""
    present = np.unique(truth)
    return f1_score(truth, predicted, labels=present, average="macro", zero_division=0)


def choose(runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per fold and patient, with the decision under every choice of the epoch."""
    chosen = []
    for _, run in runs.groupby("fold"):
        epochs = sorted(run["epoch"].unique())
        scores = [macro_f1(e["truth"], e["prediction"]) for _, e in run.groupby("epoch")]
        losses = run.groupby("epoch")["valid_loss"].first()
        by_epoch = run.pivot(index="patient", columns="epoch", values="prediction")
        made = run.groupby("patient")[["truth", "fold"]].first()
        made[BEST] = by_epoch[epochs[int(np.argmax(scores))]]
        made[INNER] = by_epoch[losses.idxmin()]
        for back, epoch in enumerate(reversed(epochs[-10:])):
            made[f"{LAST} but {back}"] = by_epoch[epoch]
        chosen.append(made.reset_index())
    return pd.concat(chosen, ignore_index=True)


def bias_table(runs: pd.DataFrame, seed: int) -> str:
    """Return the score under every choice of the epoch, in Markdown."""
    rules = [BEST, INNER, LAST, MEAN]
    lines = [["macro-F1", *runs["model"].unique()]] + [[rule] for rule in rules]
    lines += [[f"{rule}, less that on inner patients"] for rule in (BEST, LAST, MEAN)]
    for _, run in runs.groupby("model", sort=False):
        chosen = choose(run)
        columns = [c for c in chosen.columns if c not in ("patient", "truth", "fold")]
        labels = pd.unique(chosen[["truth", *columns]].to_numpy().ravel())
        codes = {label: code for code, label in enumerate(sorted(labels))}

        def every_rule(truth, decisions, columns=tuple(columns)):
            score = dict(zip(columns, (macro_f1(truth, d) for d in decisions.T), strict=True))
            late = [score[c] for c in columns if c.startswith(LAST)]
            values = np.array([score[BEST], score[INNER], late[0], np.mean(late)])
            return np.concatenate([values, values[[0, 2, 3]] - values[1]])

        found = patient_bootstrap(
            every_rule,
            chosen["truth"].map(codes).to_numpy(),
            np.column_stack([chosen[name].map(codes) for name in columns]),
            patients=chosen["patient"].to_numpy(),
            repeats=chosen.groupby("patient").cumcount().to_numpy(),
            n_resamples=500,
            random_state=seed,
        )
        for line, value, low, high in zip(lines[1:], *found, strict=True):
            line.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
    return as_markdown(lines)


def draw(runs: pd.DataFrame):
    """Draw the test score of every fold against the epoch, with its best epoch."""
    models = runs["model"].unique()
    figure, axes = plt.subplots(
        1, len(models), figsize=(4.2 * len(models), 3.4), sharey=True, layout="constrained"
    )
    for ax, model in zip(axes, models, strict=True):
        scores = {
            key: macro_f1(made["truth"], made["prediction"])
            for key, made in runs[runs["model"] == model].groupby(["fold", "epoch"])
        }
        curves = pd.Series(scores).unstack(0)
        ax.plot(curves, color="0.75", linewidth=1)
        ax.plot(curves.idxmax(), curves.max(), "o", color="C3", markersize=4)
        ax.plot(curves.mean(axis=1), color="C0", label="mean over folds")
        ax.plot([], [], "o", color="C3", markersize=4, label="a fold's best epoch")
        ax.set(title=model, xlabel="epoch")
    axes[0].set_ylabel("macro-F1 of the test patients")
    axes[0].legend(fontsize=8)
    return figure


if __name__ == "__main__":
    main()
