"""Model comparison of the ConvNeXt entry to the ICASSP 2026 SAND challenge.

    python benchmarks/published_tables/sand_models.py sand --size paper
    python benchmarks/published_tables/sand_models.py synthetic  # needs the extra timm
    python benchmarks/published_tables/sand_models.py minsk2020

The first is the published experiment on the official split, for whoever has SAND (see
``load_sand``) and a GPU.  In ``--size quick`` three widths of a small ConvNeXt stand for small,
base and large.
"""

from sand_entry import SPLIT, TWO_CLASSES, convnext, published_networks
from tables import GRADED, Row, load, options, run


def main() -> None:
    args = options(__doc__, GRADED).parse_args()
    corpus = load(args, severity=args.corpus != "minsk2020")
    graded = corpus.name != "minsk2020"
    rows = {
        name: Row(convnext(args, network, graded=graded), published)
        for name, network, published in published_networks(args)
    }
    run(
        "sand_models",
        rows,
        corpus,
        args,
        published="macro-F1, accuracy, parameters, SAND",
        differences=[
            SPLIT,
            *([] if graded else [TWO_CLASSES]),
            "the published table gives ConvNeXt-Base an accuracy of 0.43, which its own per-class "
            "recalls contradict: they add up to 28 of 53 patients, 0.53, which it gives for Large",
        ],
    )


if __name__ == "__main__":
    main()
