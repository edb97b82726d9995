"""What speakers are recorded doing: five vowels and three syllables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TASKS = (
    *("phonationA", "phonationE", "phonationI", "phonationO", "phonationU"),
    *("rhythmPA", "rhythmTA", "rhythmKA"),
)
"""The eight recordings that VOC-ALS and SAND have of every speaker."""

_GROUPS = {"phonation", "rhythm"}


def choose_tasks(tasks: str | Sequence[str] | None) -> list[str]:
    """Return the tasks to load, a subset of :data:`TASKS` in its order.

    None chooses all; a group ("phonation", "rhythm") stands for its tasks.  Raises ValueError for
    an unknown task, or none at all.
    """
    if tasks is None:
        return list(TASKS)
    names = [tasks] if isinstance(tasks, str) else tasks
    chosen = list(names) if isinstance(names, Iterable) else []
    if not chosen or any(not isinstance(n, str) or n not in _GROUPS | {*TASKS} for n in chosen):
        raise ValueError(
            f"tasks={tasks!r}; choose from {list(TASKS)}, or the groups 'phonation' and 'rhythm'."
        )
    groups = tuple(_GROUPS.intersection(chosen))
    return [task for task in TASKS if task in chosen or (groups and task.startswith(groups))]
