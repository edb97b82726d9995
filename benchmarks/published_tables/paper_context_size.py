"""Score and size of the network against the size of the context (arXiv:2503.01892).

    python benchmarks/published_tables/paper_context_size.py voc_als --size paper
    python benchmarks/published_tables/paper_context_size.py synthetic
    python benchmarks/published_tables/paper_context_size.py minsk2020

Also draws ``context_size.png``.
"""

import matplotlib.pyplot as plt
from models import hyper_alexnet
from tables import BINARY, Row, load, options, run

from sklearn_dysarthria import HyperHead
from sklearn_dysarthria.nn import HyperAlexNetModule, count_parameters

SIZES = (32, 64, 128, 256)


def main() -> None:
    args = options(__doc__, BINARY).parse_args()
    corpus = load(args, tasks=("rhythmPA", "rhythmTA"))
    names = {size: f"context of {size}" for size in SIZES}
    published = {128: "82.66 %"}
    rows = {
        names[size]: Row(
            hyper_alexnet(args, head=HyperHead(context_dim=size)), published.get(size, "not given")
        )
        for size in SIZES
    }
    figures = run(
        "paper_context_size",
        rows,
        corpus,
        args,
        published="accuracy, VOC-ALS",
        differences=[
            "parameters of the hypernetwork, which generates 768 × 2 weights and 2 biases: "
            + ", ".join(f"{size}: {n_head_parameters(size):,}" for size in SIZES),
            "published: VOC-ALS, pretrained AlexNet, 5 folds, 30 epochs",
            "here: folds of patients, one decision per patient",
            "'not given': a size whose published figure we do not have",
        ],
    )
    draw(figures, names).savefig(
        args.output / "paper_context_size" / corpus.name / "context_size.png", dpi=150
    )


def n_head_parameters(context_dim: int) -> int:
    """Count the weights of the hypernetwork."""
    module = HyperAlexNetModule(context_dim=context_dim, width=0.25)
    return count_parameters(module.head)


def draw(figures, names):
    """Draw the score with its interval, and the number of parameters, against the size."""
    figure, left = plt.subplots(figsize=(6, 3.6), layout="constrained")
    accuracy = figures[figures["metric"] == "balanced accuracy"].set_index("model")
    shown = accuracy.loc[list(names.values())]
    margins = [shown["value"] - shown["low"], shown["high"] - shown["value"]]
    left.errorbar(list(names), shown["value"], yerr=margins, fmt="o-", capsize=4)
    left.axhline(0.5, color="grey", linestyle=":")
    left.set_xscale("log", base=2)
    left.set_xticks(list(names), [str(size) for size in names])
    left.set(xlabel="size of the context C", ylabel="balanced accuracy (patients)", ylim=(0, 1))
    right = left.twinx()
    counts = [n_head_parameters(size) / 1e6 for size in names]
    right.plot(list(names), counts, "s--", color="C1")
    right.set_ylabel("parameters of the hypernetwork (millions)", color="C1")
    right.set_ylim(bottom=0)
    return figure


if __name__ == "__main__":
    main()
