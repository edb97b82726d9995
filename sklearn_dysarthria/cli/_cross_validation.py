"""What ``evaluate`` and ``compare`` share: models are cross-validated on a study's corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn_dysarthria import report
from sklearn_dysarthria.cli._corpus import (
    check_folds,
    corpus_on_one_line,
    load_corpus,
    positive_of,
)
from sklearn_dysarthria.cli._files import (
    cache_folder,
    check_outputs,
    files_in,
    output_folder,
    recordings_of,
    show_comparison,
)
from sklearn_dysarthria.cli._models import build_model
from sklearn_dysarthria.cli._options import checked_scoring
from sklearn_dysarthria.cli._study import Study


def cross_validate(
    study: Study,
    output: Path,
    *,
    name: str | None,
    settings: dict[str, Any],
    build_others: Callable[[Any], dict[str, Any]] | None = None,
    options: tuple[str, str] = ("", ""),
    verbose: int,
) -> None:
    """Cross-validate the study's model under a name, None for no model; print and save figures.

    `build_others` returns models to compare with it, by name, for the table of recordings.
    `options` set the number of folds and the positive class beside the study.  What can be wrong
    is tried before hours are spent.
    """
    from sklearn_dysarthria.features import configure_transformers, find_unusable_recordings

    evaluation, run = study.evaluation, study.run
    if name is not None:
        build_model(study.model)
    with cache_folder(run.cache) as kept, output_folder(output):
        X, y = load_corpus(study.corpus, verbose=verbose)
        check_outputs(files_in(output), recordings_of(X))
        check_folds(X, y, evaluation.n_splits, options[0])
        positive = positive_of(evaluation.positive, y, options[1])
        checked_scoring(evaluation.scoring, y)
        models = {} if build_others is None else build_others(X)
        if name is not None:
            models[name] = build_model(study.model, X, y)
        for model in models.values():
            configure_transformers(model, cache=kept, on_error=run.on_error)
            if run.on_error == "nan":
                find_unusable_recordings(model, X, n_jobs=run.n_jobs, verbose=verbose)
        result = report.compare(
            X,
            y,
            methods=models,
            positive=positive,
            **evaluation.model_dump(exclude={"positive"}),
            n_jobs=run.n_jobs,
            verbose=verbose,
            settings={**settings, "corpus": corpus_on_one_line(study.corpus)},
        )
        show_comparison(result, output)
