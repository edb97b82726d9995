"""Models judged on a study's corpus: cross-validated, or fitted before and held out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn_dysarthria import report
from sklearn_dysarthria._utils.text import listed
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
from sklearn_dysarthria.cli._options import checked_scoring, counted, warn
from sklearn_dysarthria.cli._study import Study
from sklearn_dysarthria.persistence import describe_model, known_patients, load_model


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


def evaluate_file(study: Study, path: Path, output: Path, verbose: int, *, leave_out: bool) -> None:
    """Judge the model in a file on the study's corpus; print and save the figures."""
    from sklearn_dysarthria.features import configure_transformers

    evaluation, run = study.evaluation, study.run
    with cache_folder(run.cache) as kept, output_folder(output):
        description = describe_model(path)
        X, y = load_corpus(study.corpus, verbose=verbose)
        check_outputs(files_in(output), recordings_of(X))
        X, y = _without_known(description, path, X, y, leave_out=leave_out)
        model = load_model(path)
        checked_scoring(evaluation.scoring, model.classes_)
        configure_transformers(
            model, cache=kept, n_jobs=run.n_jobs, on_error=run.on_error, verbose=verbose
        )
        result = report.evaluate_held_out(
            model,
            X,
            y,
            name=description["study"]["model"]["name"],
            positive=positive_of(evaluation.positive, model.classes_),
            **evaluation.model_dump(exclude={"positive", "n_splits", "n_repeats"}),
            settings={
                "model": f"{path}, trained {description['trained']}",
                "corpus": corpus_on_one_line(study.corpus),
            },
        )
        show_comparison(result, output)


def _without_known(
    description: Any, path: Path, X: Any, y: Any, *, leave_out: bool
) -> tuple[Any, Any]:
    """Raise an error for patients whom the model was trained on, or leave them out."""
    known, renamed = known_patients(description, X)
    if not known and not renamed:
        return X, y
    if not leave_out:
        found = []
        if known:
            found.append(
                f"{counted(len(known), 'patient')} of this corpus "
                f"{'was' if len(known) == 1 else 'were'} in the training set of "
                f"{path} ({listed(known)})"
            )
        if renamed:
            found.append(
                f"{counted(len(renamed), 'patient')} of this corpus "
                f"{'has' if len(renamed) == 1 else 'have'} recordings that {path} "
                f"was trained on under another name ({listed(renamed)})"
            )
        raise ValueError(
            f"{' and '.join(found)}, so that the score would flatter it: give other patients, or "
            "leave these out by --known-patients leave-out."
        )
    kept = ~X["patient"].isin([*known, *renamed]).to_numpy()
    if not kept.any():
        raise ValueError(f"All patients of this corpus were in the training set of {path}.")
    if known:
        warn(f"{len(known)} training patients are left out ({listed(known)}).")
    if renamed:
        warn(
            f"{counted(len(renamed), 'patient')} whose recordings were trained on under "
            f"another name are left out ({listed(renamed)})."
        )
    return X[kept], y[kept]
