"""Figures of a comparison, made without touching matplotlib's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

if TYPE_CHECKING:
    from sklearn_dysarthria.report._comparison import Comparison


def plot_confusion_matrices(comparison: Comparison) -> Figure:
    """Draw one confusion matrix per method, in patients per repetition.

    Parameters
    ----------
    comparison : Comparison
        What to draw.

    Returns
    -------
    matplotlib.figure.Figure
        With repetitions averaged; colours are shares of the true class.
    """
    methods = list(dict.fromkeys(comparison.predictions["method"]))
    figure = Figure(figsize=(3.2 * len(methods), 3.4), layout="constrained")
    panels = figure.subplots(1, len(methods), squeeze=False)[0]
    classes = list(comparison.classes)
    for axes, method in zip(panels, methods, strict=True):
        made = comparison.predictions.query("method == @method")
        counts = confusion_matrix(made["truth"], made["prediction"], labels=classes)
        counts = counts / made["repeat"].nunique()
        display = ConfusionMatrixDisplay(counts, display_labels=classes)
        display.plot(ax=axes, colorbar=False, cmap="Blues", values_format=".3g")
        axes.set_title(method, fontsize=10)
    figure.suptitle("Patients, out of fold")
    return figure


def plot_roc(comparison: Comparison, thresholds: int = 201) -> Figure:
    """Draw the ROC curve of every method for a two-class problem.

    Parameters
    ----------
    comparison : Comparison
        What to draw.
    thresholds : int, default=201
        Points at which curves are averaged.

    Returns
    -------
    matplotlib.figure.Figure
        Curves within test folds, averaged vertically, as the AUC in the table is within folds.
    """
    from sklearn.metrics import roc_curve

    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0, 1, thresholds)
    for method, made in comparison.predictions.groupby("method", sort=False):
        curves: list[Any] = []
        for _, fold in made.groupby(["repeat", "fold"]):
            positive = (fold["truth"] == comparison.positive).to_numpy()
            if 0 < positive.sum() < len(positive):
                false, true, _ = roc_curve(positive, fold[f"score_{comparison.positive}"])
                curves.append(np.interp(grid, false, true))
                curves[-1][0] = 0.0
        area = comparison.scores.query("method == @method and metric == 'AUC'")["value"].iloc[0]
        axes.plot(grid, np.mean(curves, axis=0), label=f"{method} (AUC {area:.2f})")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_title(f"Patients out of fold, positive: {comparison.positive}", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    return figure
