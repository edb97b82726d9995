"""Main result and ablations of the hypernetwork paper (arXiv:2503.01892).

    python benchmarks/published_tables/paper_ablations.py voc_als --size paper
    python benchmarks/published_tables/paper_ablations.py synthetic
    python benchmarks/published_tables/paper_ablations.py minsk2020

The first is the published experiment, for whoever has VOC-ALS (see ``load_voc_als``) and a GPU; the
others are the same comparison at a size for two processor cores.
"""

from models import alexnet, baseline, hyper_alexnet, images, voted, with_egemaps
from tables import BINARY, Row, load, options, run


def main() -> None:
    args = options(__doc__, BINARY).parse_args()
    mfcc = voted(images(args, representation="mfcc"), alexnet(args))
    static = voted(images(args, channels=("static",) * 3), alexnet(args))
    rows = {
        "hypernetwork, C ~ N(0, I)": Row(hyper_alexnet(args), "82.66 %"),
        "dense head": Row(hyper_alexnet(args, head="dense")),
        "hypernetwork, eGeMAPS context": Row(with_egemaps(args), "78.44 %"),
        "MFCC + Δ + ΔΔ": Row(mfcc, "80.18 %"),
        "log-mel without Δ and ΔΔ": Row(static),
        "AdamW": Row(hyper_alexnet(args, optimizer="adamw", weight_decay=0.01)),
        "SGD with momentum": Row(hyper_alexnet(args, optimizer="sgd", lr=1e-3)),
        "eGeMAPS + SVM": Row(baseline(args)),
    }
    run(
        "paper_ablations",
        rows,
        load(args, tasks=("rhythmPA", "rhythmTA")),
        args,
        published="accuracy, VOC-ALS",
        differences=[
            "published: VOC-ALS, dysarthria by the ALSFRS-R speech item, pretrained AlexNet, "
            "5 folds, 30 epochs, 224 × 224 images",
            "here: folds of patients, one decision per patient (mean probability over the "
            "recordings); optimiser, learning rate, batch size and how AlexNet is cut are inferred",
            "'not given': a variant that we add, or whose published figure we do not have",
        ],
    )


if __name__ == "__main__":
    main()
