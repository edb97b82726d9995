"""The result of a comparison: figures, decisions about patients, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sklearn_dysarthria.report._metrics import METRICS


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Attributes
    ----------
    scores : pandas.DataFrame
        One row per method and metric: ``method``, ``metric``, ``value``, ``low``, ``high``.
    predictions : pandas.DataFrame
        One row per method, repetition and patient: ``method``, ``repeat``, ``fold``,
        ``patient``, ``truth``, ``prediction`` and ``score_<class>``, all out of fold.
    classes : tuple
        Labels in order.
    positive : object
        Label that sensitivity and specificity speak of; None for more than two classes.
    settings : dict
        What was compared how, as printed under the table.
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    classes: tuple[Any, ...]
    positive: Any
    settings: dict[str, Any]

    @property
    def table(self) -> pd.DataFrame:
        """The comparison table: methods × metrics, ``value [low, high]``."""
        cells = self.scores.assign(
            cell=[f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in self.scores.itertuples()]
        )
        table = cells.pivot(index="method", columns="metric", values="cell")
        table.columns.name = None
        return table.loc[list(dict.fromkeys(self.scores["method"])), list(METRICS)]

    def to_markdown(self) -> str:
        """Return the table and how it came about, in Markdown.

        Returns
        -------
        str
            Ready to be printed or pasted.
        """
        table = self.table.reset_index()
        rows = [[_in_cell(c) for c in row] for row in (table.columns, *table.to_numpy())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
            for row in rows
        ]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        notes = [f"- {name}: {' '.join(str(v).split())}" for name, v in self.settings.items()]
        return "\n".join([*lines, "", *notes, ""])

    def save(self, folder: Any) -> list[Path]:
        """Write table, figures, and decisions about patients.

        Parameters
        ----------
        folder : str or path
            Made if missing.

        Returns
        -------
        list of Path
            ``comparison.md``, ``scores.csv``, ``predictions.csv``, ``intervals.png``,
            ``confusion_matrices.png`` and, for two classes, ``roc.png``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.md").write_text(self.to_markdown(), encoding="utf-8")
        self.scores.to_csv(folder / "scores.csv", index=False)
        self.predictions.to_csv(folder / "predictions.csv", index=False)
        figures = {
            "intervals": self.plot_intervals,
            "confusion_matrices": self.plot_confusion_matrices,
        }
        if len(self.classes) == 2:
            figures["roc"] = self.plot_roc
        # A curve of an earlier comparison must not lie beside this table.
        (folder / "roc.png").unlink(missing_ok=True)
        for name, draw in figures.items():
            draw().savefig(folder / f"{name}.png", dpi=150)
        written = ["comparison.md", "scores.csv", "predictions.csv"]
        return [folder / name for name in [*written, *(f"{name}.png" for name in figures)]]

    def plot_intervals(self, figure: Any = None) -> Any:
        """Draw every method's figures with their intervals.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            Where to draw; None makes a figure that pyplot does not know.

        Returns
        -------
        matplotlib.figure.Figure
            One panel for the balanced accuracy and one for the AUC.
        """
        from sklearn_dysarthria.report import _figures

        return _figures.plot_intervals(self, figure)

    def plot_confusion_matrices(self, figure: Any = None) -> Any:
        """Draw one confusion matrix per method, in patients.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            Where to draw; None makes a figure that pyplot does not know.

        Returns
        -------
        matplotlib.figure.Figure
            Repetitions are averaged; the numbers are patients, the colours shares of the true
            class.
        """
        from sklearn_dysarthria.report import _figures

        return _figures.plot_confusion_matrices(self, figure)

    def plot_roc(self, figure: Any = None) -> Any:
        """Draw the ROC curve of every method, for two classes.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, optional
            Where to draw; None makes a figure that pyplot does not know.

        Returns
        -------
        matplotlib.figure.Figure
            Curves within test folds, averaged, as the AUC in the table is within folds.

        Raises
        ------
        ValueError
            There are more than two classes.
        """
        from sklearn_dysarthria.report import _figures

        if len(self.classes) != 2:
            raise ValueError(f"A ROC curve is for two classes; here are {len(self.classes)}.")
        return _figures.plot_roc(self, figure)


def _in_cell(text: Any) -> str:
    """Return text on one line, without what would end a cell of the table."""
    return " ".join(str(text).split()).replace("|", r"\|")
