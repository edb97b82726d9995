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
            ``comparison.md``, ``scores.csv``, ``predictions.csv``, ``confusion_matrices.png``
            and, for two classes, ``roc.png``.
        """
        from sklearn_dysarthria.report._figures import plot_confusion_matrices, plot_roc

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comparison.md").write_text(self.to_markdown(), encoding="utf-8")
        self.scores.to_csv(folder / "scores.csv", index=False)
        self.predictions.to_csv(folder / "predictions.csv", index=False)
        names = ["comparison.md", "scores.csv", "predictions.csv", "confusion_matrices.png"]
        plot_confusion_matrices(self).savefig(folder / names[-1], dpi=150)
        if len(self.classes) == 2:
            plot_roc(self).savefig(folder / "roc.png", dpi=150)
            names.append("roc.png")
        return [folder / name for name in names]


def _in_cell(text: Any) -> str:
    """Return text on one line, without what would end a cell of the table."""
    return " ".join(str(text).split()).replace("|", r"\|")
