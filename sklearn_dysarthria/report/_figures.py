"""Figures of a comparison, made without touching matplotlib's global state."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, roc_curve

from sklearn_dysarthria.report._metrics import CHANCE

if TYPE_CHECKING:
    from sklearn_dysarthria.report._comparison import Comparison


_PANELS_PER_ROW = 3
_SHOWN = ("balanced accuracy", "AUC")


def plot_intervals(comparison: Comparison, figure: Figure | None = None) -> Figure:
    """Draw `Comparison.plot_intervals`; the band is the range of random guessers."""
    scores = comparison.scores
    methods = [m for m in dict.fromkeys(scores["method"]) if m != CHANCE]
    figure = _prepared(figure, (7.2, 1.3 + 0.32 * len(methods)))
    panels = figure.subplots(1, len(_SHOWN), sharey=True)
    places = np.arange(len(methods))
    for axes, metric in zip(panels, _SHOWN, strict=True):
        made = scores[scores["metric"] == metric].set_index("method")
        figures = made.loc[methods]
        if CHANCE in made.index:
            axes.axvspan(*made.loc[CHANCE, ["low", "high"]], color="0.92")
        value, low, high = figures[["value", "low", "high"]].to_numpy().T
        axes.errorbar(value, places, xerr=np.array([value - low, high - value]), fmt="o", capsize=3)
        axes.set(xlim=(-0.02, 1.02), xlabel=metric)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(places, [_wrapped(method, 30) for method in methods])
    panels[0].invert_yaxis()
    figure.suptitle(
        "Patients, out of fold; the grey band is where random guessers end up", fontsize=9
    )
    return figure


def plot_confusion_matrices(comparison: Comparison, figure: Figure | None = None) -> Figure:
    """Draw `Comparison.plot_confusion_matrices`, in patients per repetition."""
    methods = list(dict.fromkeys(comparison.predictions["method"]))
    names = [_wrapped(label, 14) for label in comparison.classes]
    n_columns = min(_PANELS_PER_ROW, len(methods))
    n_rows = -(-len(methods) // n_columns)
    # Room for the names of the classes, whose length decides about readability.
    edge = max(2.6, 0.62 * len(names) + 0.075 * max(map(len, "\n".join(names).split("\n"))) + 0.9)
    size = (edge * n_columns + 0.4, edge * n_rows + 0.5)
    figure = _prepared(figure, size)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, method in zip(panels, methods, strict=False):
        _draw_matrix(axes, comparison, method, names)
    for axes in panels[len(methods) :]:
        axes.set_axis_off()
    figure.suptitle("Patients, out of fold", fontsize=11)
    figure.supxlabel("predicted class", fontsize=10)
    figure.supylabel("true class", fontsize=10)
    return figure


def _prepared(figure: Figure | None, size: tuple[float, float]) -> Figure:
    if figure is None:
        return Figure(figsize=size, layout="constrained")
    figure.set_size_inches(size)
    figure.set_layout_engine("constrained")
    return figure


def _draw_matrix(axes: Any, comparison: Comparison, method: Any, names: list[str]) -> None:
    code_of = {label: code for code, label in enumerate(comparison.classes)}
    made = comparison.predictions[comparison.predictions["method"] == method]
    truth, predicted = (made[name].map(code_of) for name in ("truth", "prediction"))
    codes = range(len(names))
    counts = confusion_matrix(truth, predicted, labels=codes) / made["repeat"].nunique()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in codes:
        for j in codes:
            colour = "white" if shares[i, j] > 0.55 else "black"
            text = f"{counts[i, j]:.3g}"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=10)
    sideways = max(map(len, names)) > 5
    axes.set_xticks(codes, names, rotation=90 if sideways else 0, fontsize=9)
    axes.set_yticks(codes, names, fontsize=9)
    axes.tick_params(length=0, labelbottom=True)
    axes.set_title(_wrapped(method, 26), fontsize=10)


def _wrapped(label: Any, width: int) -> str:
    """Break a name into lines, and keep matplotlib from reading formulas into it."""
    return "\n".join(textwrap.wrap(str(label), width)).replace("$", r"\$")


def plot_roc(
    comparison: Comparison, figure: Figure | None = None, *, thresholds: int = 201
) -> Figure:
    """Draw `Comparison.plot_roc`.

    Curves within test folds are averaged vertically, at `thresholds` points, as the AUC in the
    table is within folds.
    """
    figure = _prepared(figure, (5.2, 5.2))
    axes = figure.subplots()
    grid = np.linspace(0, 1, thresholds)
    areas = comparison.scores[comparison.scores["metric"] == "AUC"].set_index("method")["value"]
    for method, made in comparison.predictions.groupby("method", sort=False):
        curves = _curves_within_folds(made, comparison.positive, grid)
        # A method with one score for all patients lies on the diagonal, which is drawn anyway.
        if curves and made[f"score_{comparison.positive}"].nunique() > 1:
            name = f"{_wrapped(method, 40)} (AUC {areas[method]:.2f})"
            axes.plot(grid, np.mean(curves, axis=0), label=name, alpha=0.85)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title(
        f"Patients out of fold, mean over folds\npositive: {_wrapped(comparison.positive, 50)}",
        fontsize=10,
    )
    # Below the axes, where no curve can run through it.
    figure.legend(loc="outside lower center", fontsize=8, frameon=False)
    return figure


def _curves_within_folds(made: Any, positive: Any, grid: np.ndarray) -> list[np.ndarray]:
    """Sensitivity over the grid of false alarms, for every fold that has both classes."""
    curves = []
    for _, fold in made.groupby(["repeat", "fold"]):
        is_positive = (fold["truth"] == positive).to_numpy()
        if 0 < is_positive.sum() < len(is_positive):
            # A model that never met the class in training gives it no score: the lowest one.
            scores = fold[f"score_{positive}"].fillna(-np.finfo(float).max)
            false_alarms, sensitivity, _ = roc_curve(is_positive, scores)
            curves.append(np.interp(grid, false_alarms, sensitivity))
            curves[-1][0] = 0.0
    return curves
