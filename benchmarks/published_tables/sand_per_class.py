"""Per-class table of the ConvNeXt entry to the ICASSP 2026 SAND challenge.

    python benchmarks/published_tables/sand_per_class.py sand --size paper
    python benchmarks/published_tables/sand_per_class.py synthetic
    python benchmarks/published_tables/sand_per_class.py minsk2020

Writes ``per_class.md`` beside the table of the whole.
"""

import pandas as pd
from sand_entry import SPLIT, TWO_CLASSES, convnext
from sklearn.metrics import classification_report
from tables import GRADED, Row, as_markdown, load, options, run

from sklearn_dysarthria import Backbone

PUBLISHED = {  # precision, recall, F1, patients
    1: (1.00, 0.50, 0.67, 2),
    2: (0.43, 0.75, 0.55, 4),
    3: (0.62, 0.67, 0.64, 12),
    4: (0.36, 0.57, 0.44, 14),
    5: (0.80, 0.38, 0.52, 21),
}
NAMES = {
    1: "1 (severe)",
    2: "2 (moderate)",
    3: "3 (mild)",
    4: "4 (ALS, no dysarthria)",
    5: "5 (healthy)",
}


def main() -> None:
    args = options(__doc__, GRADED).parse_args()
    graded = args.corpus != "minsk2020"
    corpus = load(args, severity=graded)
    femto = Backbone("convnext_femto", weights=None)
    network = {"backbone": "convnext_base" if args.size == "paper" else femto}
    rows = {"ConvNeXt": Row(convnext(args, network, graded=graded), "0.598")}
    run(
        "sand_per_class",
        rows,
        corpus,
        args,
        published="macro-F1, SAND",
        differences=[
            SPLIT,
            *([] if graded else [TWO_CLASSES]),
            "the published per-class F1 average to 0.56, not to the 0.598 reported for the model",
        ],
    )
    folder = args.output / "sand_per_class" / corpus.name
    predictions = pd.read_csv(folder / "predictions.csv")
    text = per_class(predictions[predictions["method"] == "ConvNeXt"], graded)
    (folder / "per_class.md").write_text(text, encoding="utf-8")
    print(text)


def per_class(made: pd.DataFrame, graded: bool) -> str:
    """Return precision, recall and F1 by class, beside the published ones, as Markdown."""
    first = made[made["repeat"] == 0]
    present = sorted(first["truth"].unique())
    report = classification_report(
        first["truth"], first["prediction"], labels=present, output_dict=True, zero_division=0
    )
    figures = ("precision", "recall", "f1-score")
    header = ["class", *(f"{f} (published, here)" for f in figures), "patients (published, here)"]
    lines = [header]
    for label in present:
        here = report[str(label)]
        said = PUBLISHED.get(label, ("–",) * 4) if graded else ("–",) * 4
        cells = [f"{said[i]}, {here[f]:.2f}" for i, f in enumerate(figures)]
        lines.append([NAMES.get(label, label), *cells, f"{said[3]}, {here['support']:.0f}"])
    average = report["macro avg"]
    told = ("0.64", "0.57", "0.56", "53") if graded else ("–",) * 4
    cells = [f"{told[i]}, {average[f]:.2f}" for i, f in enumerate(figures)]
    lines.append(["macro average", *cells, f"{told[3]}, {average['support']:.0f}"])
    return as_markdown(lines) + "\nDecisions of the first repetition of the folds.\n"


if __name__ == "__main__":
    main()
