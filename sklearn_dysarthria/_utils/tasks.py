"""Names of tasks, and of the groups that they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def task_group(task: str) -> str:
    """Return a task's group, its leading lower-case letters: ``phonation`` of ``phonationA``."""
    match = re.match(r"[a-z_]+", task)
    return match.group() if match else task


def name_for_task(task: Any, names: Iterable[str]) -> str | None:
    """Return which of the names of tasks and groups stands for a task; None if there is none.

    Its own name comes before that of its group.

    Examples
    --------
    >>> name_for_task("phonationA", ["phonation", "phonationE"])
    'phonation'
    """
    known = set(names)
    for name in (task, task_group(task)) if isinstance(task, str) else ():
        if name in known:
            return name
    return None


def tasks_in_order(tasks: Iterable[Any]) -> list[Any]:
    """Return each task once, sorted; raise ValueError for names that have no common order."""
    found = set(tasks)
    try:
        return sorted(found)
    except TypeError:
        kinds = sorted({type(task).__name__ for task in found})
        raise ValueError(
            f"column 'task' holds names of several types ({', '.join(kinds)}): make all of them "
            "strings."
        ) from None
