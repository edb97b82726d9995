"""Make the mistakes of mutants.toml one at a time, and see whether the tests notice.

    python tests/mutants/run.py                          # all of them
    python tests/mutants/run.py --report results.md      # and write a table
    python tests/mutants/run.py vad-threshold ...        # some of them
    python tests/mutants/run.py --list                   # where they are, without running anything

The checkout is copied to a temporary folder first and stays as it is.  Each mistake runs the tests
that its entry names, up to the first failure.  The exit code is 1 if a mistake survives, and 2 if
an entry does not fit the code any more or its tests could not run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "sklearn_dysarthria"
LEFT_OUT = shutil.ignore_patterns(
    ".git", "__pycache__", ".hypothesis", ".pytest_cache", ".*_cache", "_build", "build", ".venv"
)


class EntryError(Exception):
    """An entry does not fit the code."""


@dataclass
class Result:
    """What became of one mistake."""

    name: str
    place: str
    outcome: str
    detail: str
    seconds: float


def read_list() -> list[dict]:
    """Return the entries of mutants.toml."""
    entries = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    names = [entry["name"] for entry in entries]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise EntryError(f"several entries are called {', '.join(repeated)}.")
    return entries


def find(entry: dict, root: Path) -> tuple[Path, str, str]:
    """Return the file that an entry changes, the text in it and what takes its place."""
    sources = {path: path.read_text(encoding="utf-8") for path in (root / PACKAGE).rglob("*.py")}
    problems = []
    for pair in [entry, *entry.get("variants", [])]:
        counts = {path: text.count(pair["old"]) for path, text in sources.items()}
        places = [path for path, count in counts.items() if count]
        if len(places) == 1 and counts[places[0]] == 1:
            return places[0], pair["old"], pair["new"]
        where = ", ".join(f"{path.relative_to(root)} ({counts[path]})" for path in places)
        problems.append(f"{pair['old']!r} occurs {f'in {where}' if places else 'nowhere'}")
    raise EntryError(f"{'; '.join(problems)}.")


def tests_of(entry: dict, root: Path) -> list[str]:
    """Return those of the named tests that exist."""
    tests = [path for path in entry["tests"] if (root / path.partition("::")[0]).exists()]
    if not tests:
        raise EntryError(f"none of its tests exists: {', '.join(entry['tests'])}.")
    return tests


def run_tests(tests: list[str], root: Path, timeout: float) -> tuple[int, str]:
    """Run tests on the copy of the package; return the exit code and what was printed."""
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "--tb=no", *tests]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED (no end within {timeout:g} s)"
    return done.returncode, done.stdout + done.stderr


def check_copy_is_used(root: Path) -> None:
    """Make sure that the tests import the copy, not an installed package."""
    code = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True
    )
    if not done.stdout.strip().startswith(str(root)):
        raise SystemExit(f"The tests would not import the copy: {done.stdout}{done.stderr}")


def try_mistake(entry: dict, root: Path, timeout: float) -> Result:
    """Make one mistake in the copy, run its tests, and take it back."""
    begin = time.monotonic()
    try:
        path, old, new = find(entry, root)
        tests = tests_of(entry, root)
    except EntryError as error:
        return Result(entry["name"], "", "not applicable", str(error), 0.0)
    place = str(path.relative_to(root))
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(old, new), encoding="utf-8")
    try:
        code, output = run_tests(tests, root, timeout)
    finally:
        path.write_text(original, encoding="utf-8")
    seconds = time.monotonic() - begin
    failed = re.search(r"^(?:FAILED|ERROR) (\S+|\(.*\))", output, flags=re.MULTILINE)
    if code == 0:
        return Result(entry["name"], place, "survived", " ".join(tests), seconds)
    if code == 1 and failed and not output.count("error during collection"):
        return Result(entry["name"], place, "killed", failed[1], seconds)
    last = output.strip().splitlines()[-1:] or ["nothing was printed"]
    return Result(entry["name"], place, "not run", f"exit code {code}: {last[0]}", seconds)


def as_markdown(results: list[Result]) -> str:
    """Return the results as a table."""
    counts = {r.outcome: sum(o.outcome == r.outcome for o in results) for r in results}
    lines = [
        ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) + f" of {len(results)}.",
        "",
        "| mistake | file | outcome | first failing test, or the reason | s |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        detail = r.detail.replace("|", r"\|")
        lines.append(f"| {r.name} | {r.place} | {r.outcome} | {detail} | {r.seconds:.0f} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="entries of mutants.toml; all by default")
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="another checkout")
    parser.add_argument("--report", type=Path, help="write the results here, in Markdown")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one mistake")
    parser.add_argument("--list", action="store_true", help="only say where the mistakes are made")
    arguments = parser.parse_args()
    entries = read_list()
    unknown = set(arguments.names) - {entry["name"] for entry in entries}
    if unknown:
        parser.error(f"there is no entry {', '.join(sorted(unknown))}")
    chosen = [e for e in entries if not arguments.names or e["name"] in arguments.names]
    if arguments.list:
        return list_places(chosen, arguments.root)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "checkout"
        shutil.copytree(arguments.root, root, ignore=LEFT_OUT, symlinks=True)
        check_copy_is_used(root)
        for entry in chosen:
            result = try_mistake(entry, root, arguments.timeout)
            results.append(result)
            print(f"{result.outcome:15}{result.seconds:5.0f} s  {result.name}: {result.detail}")
            sys.stdout.flush()
            if arguments.report:
                arguments.report.write_text(as_markdown(results), encoding="utf-8")
    outcomes = {result.outcome for result in results}
    if outcomes & {"not applicable", "not run"}:
        return 2
    return int("survived" in outcomes)


def list_places(entries: list[dict], root: Path) -> int:
    """Print the file of every entry; return 2 if one fits nowhere."""
    code = 0
    for entry in entries:
        try:
            place = find(entry, root)[0].relative_to(root)
            print(f"{entry['name']}: {place}, {' '.join(tests_of(entry, root))}")
        except EntryError as error:
            code = 2
            print(f"{entry['name']}: {error}")
    return code


if __name__ == "__main__":
    sys.exit(main())
