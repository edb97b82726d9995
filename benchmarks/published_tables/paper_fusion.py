"""Fusion of two tasks, as in the hypernetwork paper (arXiv:2503.01892).

    python benchmarks/published_tables/paper_fusion.py voc_als --size paper
    python benchmarks/published_tables/paper_fusion.py synthetic
    python benchmarks/published_tables/paper_fusion.py minsk2020

/pa/ and /ta/ are fused, or the two vowels of Minsk2020.
"""

from models import hyper_alexnet, images
from sklearn.dummy import DummyClassifier
from tables import BINARY, QUICK_ALEXNET, Row, load, options, run

from sklearn_dysarthria import PatientVotingClassifier, TaskFusionClassifier

PUBLISHED = {"gmu": "77.21 %", "concat": "76.05 %", "attention": "not given", "film": "not given"}


def main() -> None:
    args = options(__doc__, BINARY).parse_args()
    corpus = load(args, tasks=("rhythmPA", "rhythmTA"))
    tasks = sorted(corpus.X["task"].unique())
    rows = {f"fusion: {how}": Row(fused(how, args), said) for how, said in PUBLISHED.items()}
    rows["vote over both tasks"] = Row(hyper_alexnet(args))
    for task in tasks:
        rows[f"{task} alone"] = Row(single(task, tasks, args))
    run(
        "paper_fusion",
        rows,
        corpus,
        args,
        published="accuracy, VOC-ALS",
        differences=[
            "published: VOC-ALS, /pa/ and /ta/, pretrained AlexNet, 5 folds, 30 epochs; 82.66 % "
            "without fusion",
            f"here: {tasks[0]} and {tasks[1]}, folds of patients, one decision per patient",
            "'… alone': the other task has no weight; a patient without the task would be guessed",
            "'not given': a variant that we add, or whose published figure we do not have",
        ],
    )


def fused(how: str, args) -> TaskFusionClassifier:
    """Return a fusion of the tasks."""
    sized = QUICK_ALEXNET if args.size == "quick" else {}
    epochs = args.epochs or 30
    return TaskFusionClassifier(
        images(args), fusion=how, max_epochs=epochs, random_state=args.seed, **sized
    )


def single(task: str, tasks: list[str], args) -> PatientVotingClassifier:
    """Return the system trained and judged on one task only.

    The other tasks have weight 0, so that every model decides about the same patients.
    """
    others = {name: DummyClassifier() for name in tasks if name != task}
    return PatientVotingClassifier(
        task_estimators={task: hyper_alexnet(args).estimator, **others},
        voting="weighted",
        task_weights={name: float(name == task) for name in tasks},
    )


if __name__ == "__main__":
    main()
