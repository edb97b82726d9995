import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sklearn_dysarthria import Comparison
from sklearn_dysarthria.report import METRICS


def comparison(classes, methods=("one", "two"), n=30, n_repeats=2):
    rng = np.random.default_rng(0)
    rows, scores = [], []
    for method in methods:
        for repeat in range(n_repeats):
            for number in range(n):
                truth = classes[number % len(classes)]
                values = rng.uniform(size=len(classes))
                said = classes[int(values.argmax())]
                row = [method, repeat, number % 3, f"P{number}", truth, said, *values]
                rows.append(row)
        scores += [[method, metric, *np.sort(rng.uniform(size=3))[[1, 0, 2]]] for metric in METRICS]
    names = ["method", "repeat", "fold", "patient", "truth", "prediction"]
    predictions = pd.DataFrame(rows, columns=[*names, *(f"score_{c}" for c in classes)])
    scores = pd.DataFrame(scores, columns=["method", "metric", "value", "low", "high"])
    positive = classes[1] if len(classes) == 2 else None
    return Comparison(scores, predictions, tuple(classes), positive, {"seed": 0})


LABELS = [
    [0, 1],
    [True, False],
    ["no | $x", 'ja, "sehr"\n$y_'],
    ["1 severe", "2 moderate", "3 mild", "4 no dysarthria", "5 healthy control"],
]


@pytest.mark.parametrize("classes", LABELS, ids=str)
def test_files(classes, tmp_path):
    result = comparison(classes, ["a|b", "$broken formula_", "third", "fourth"])
    paths = result.save(tmp_path / "new" / "folder")
    figures = ["intervals.png", "confusion_matrices.png"] + ["roc.png"] * (len(classes) == 2)
    names = ["comparison.md", "scores.csv", "predictions.csv", *figures]
    assert [p.name for p in paths] == names
    scores = pd.read_csv(paths[1])
    pd.testing.assert_frame_equal(scores, result.scores, check_dtype=False)
    predictions = pd.read_csv(paths[2])
    assert predictions["truth"].tolist() == result.predictions["truth"].tolist()
    assert list(predictions.columns) == list(result.predictions.columns)
    assert paths[0].read_text(encoding="utf-8") == result.to_markdown()
    for path in paths[3:]:
        pixels = matplotlib.image.imread(path)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.05


def test_figures_go_where_they_are_told():
    result = comparison([0, 1], ["a", "chance"])
    for draw in (result.plot_intervals, result.plot_confusion_matrices, result.plot_roc):
        figure = Figure()
        assert draw(figure) is figure
        assert figure.axes
    # Random guessers are the band behind the others, not a row among them.
    labels = [text.get_text() for text in result.plot_intervals().axes[0].get_yticklabels()]
    assert labels == ["a"]
    with pytest.raises(ValueError, match="two classes"):
        comparison([0, 1, 2], ["a"]).plot_roc()


def test_markdown():
    result = comparison([0, 1], ["a|b\nc", "plain"])
    lines = result.to_markdown().splitlines()
    assert r"a\|b c" in lines[2]
    assert [line.replace(r"\|", "").count("|") for line in lines[:4]] == [len(METRICS) + 2] * 4
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[5] == "- seed: 0"


def test_a_fold_without_scores_for_a_class_still_draws(tmp_path):
    result = comparison([0, 1])
    result.predictions.loc[result.predictions["fold"] == 0, "score_1"] = np.nan
    assert (tmp_path / "roc.png") in result.save(tmp_path)


def test_figures_show_every_name():
    result = comparison(["HC", "ALS"], ["one", "two", "three", "four"])
    panels = [axes for axes in result.plot_confusion_matrices().axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["one", "two", "three", "four"]
    shown = np.array([float(text.get_text()) for text in panels[0].texts])
    assert shown.sum() == 30
    legend = result.plot_roc().legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    assert [text.split(" (AUC")[0] for text in texts] == ["one", "two", "three", "four", "chance"]


def test_global_state_of_matplotlib_is_left_alone(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    comparison([0, 1]).save(tmp_path)
    assert plt.get_fignums() == before
