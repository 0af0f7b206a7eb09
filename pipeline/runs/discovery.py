"""The stages and commands that exist: one file each in ``stages/`` and ``commands/``, discovered, never listed.

A **stage** file defines at its top level ``NEEDS`` (names of the stages it reads), ``Config`` (frozen keyword-only
dataclass) and ``run(config, run)``; with ``PER_ROBOT = True`` it has one folder per robot and a field ``embodiment``.
Optional are ``run_many(configs, runs, workers)`` (several robots in one process), ``NEEDS_DISK_GB`` (free space to ask
for), ``READS_IF_THERE`` (stages whose finished folders it reads, and that it can do without), ``READS_FILES_IF_THERE``
(files of the run that no stage makes, likewise), ``TRAINS`` (the agent whose network it trains), ``BUDGET`` (a number
of its configuration, such as "ppo.control_steps", that an interrupted run may be given more of and go on) and
``NOT_IN_KEY`` (numbers of its configuration that do not change what it makes, such as "workers"). A ``Config`` may have
a property ``does_without``: those of ``NEEDS`` that it does not read as it is configured.
A **command** file defines ``Config`` and ``main(config)`` and has no ``NEEDS``.

Files are read, not imported, so that listing them costs no torch and no simulator.
"""

import ast
import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

FOLDERS = tuple(Path(__file__).parents[1] / name for name in ("stages", "commands"))
_CONSTANTS = (
    "NEEDS",
    "READS_IF_THERE",
    "READS_FILES_IF_THERE",
    "PER_ROBOT",
    "NEEDS_DISK_GB",
    "TRAINS",
    "BUDGET",
    "NOT_IN_KEY",
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stage or command, as read from its file without importing it."""

    name: str
    summary: str
    """First line of the file's docstring, without "Stage:"."""
    is_stage: bool
    needs: tuple[str, ...] = ()
    reads_if_there: tuple[str, ...] = ()
    reads_files_if_there: tuple[str, ...] = ()
    """Paths in the run's folder"""
    per_robot: bool = False
    takes_many: bool = False
    """Whether it has ``run_many``, which runs several robots in one process."""
    disk_gb: float = 1.0
    trains: str | None = None
    """The agent whose network it trains"""
    budget: str | None = None
    """Where its configuration says how much it trains"""
    not_in_key: tuple[str, ...] = ()
    """Where its configuration says what does not change its result"""

    @property
    def after(self) -> tuple[str, ...]:
        """Stages that come before this one in a run."""
        return self.needs + self.reads_if_there

    def load(self) -> ModuleType:
        """Import the file."""
        return importlib.import_module(f"pipeline.{'stages' if self.is_stage else 'commands'}.{self.name}")


@cache
def stages() -> dict[str, Entry]:
    """Return every stage, in an order in which each comes after the stages it needs."""
    found = {entry.name: entry for entry in _entries() if entry.is_stage}
    ordered: dict[str, Entry] = {}
    while len(ordered) < len(found):
        # A need without a file cannot be waited for; the conformance test names it.
        ready = [
            e for n, e in found.items() if n not in ordered and all(x in ordered or x not in found for x in e.after)
        ]
        if not ready:
            raise RuntimeError(f"stages need each other in a circle: {', '.join(sorted(set(found) - set(ordered)))}")
        ordered.update((entry.name, entry) for entry in ready)
    return ordered


@cache
def commands() -> dict[str, Entry]:
    """Return every command."""
    return {entry.name: entry for entry in _entries() if not entry.is_stage}


def stage(name: str) -> Entry:
    """Return one stage.

    Raises:
        ValueError: If there is no such stage.
    """
    if name not in stages():
        raise ValueError(unknown("stage", name, tuple(stages())))
    return stages()[name]


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Return one line that says what was asked for, what is close to it and what exists."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"no {kind} '{name}'{hint} Known: {', '.join(known) or 'none'}."


@cache
def _entries() -> tuple[Entry, ...]:
    entries = (_read(file) for file in sorted(file for folder in FOLDERS for file in folder.glob("*.py")))
    return tuple(entry for entry in entries if entry is not None)


def _read(file: Path) -> Entry | None:
    """Read what a file defines at its top level; None if it is neither a stage nor a command."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    has_config = any(isinstance(node, ast.ClassDef) and node.name == "Config" for node in tree.body)
    constants = _constants(tree)
    is_stage = "NEEDS" in constants
    if not is_stage and not (has_config and "main" in functions):
        return None
    needs, disk_gb = constants.get("NEEDS", ()), constants.get("NEEDS_DISK_GB", 1.0)
    reads_if_there = constants.get("READS_IF_THERE", ())
    trains, budget = constants.get("TRAINS"), constants.get("BUDGET")
    not_in_key = constants.get("NOT_IN_KEY", ())
    assert isinstance(needs, tuple) and isinstance(reads_if_there, tuple) and isinstance(disk_gb, int | float)
    reads_files = constants.get("READS_FILES_IF_THERE", ())
    assert isinstance(reads_files, tuple) and isinstance(not_in_key, tuple)
    assert trains is None or isinstance(trains, str)
    assert budget is None or isinstance(budget, str)
    return Entry(
        name=file.stem,
        summary=_summary(ast.get_docstring(tree) or ""),
        is_stage=is_stage,
        needs=needs,
        reads_if_there=reads_if_there,
        reads_files_if_there=reads_files,
        per_robot=constants.get("PER_ROBOT", False) is True,
        takes_many="run_many" in functions,
        disk_gb=float(disk_gb),
        trains=trains,
        budget=budget,
        not_in_key=not_in_key,
    )


def _summary(docstring: str) -> str:
    line = docstring.partition("\n")[0].removeprefix("Stage: ")
    return line[:1].upper() + line[1:]


def _constants(tree: ast.Module) -> dict[str, object]:
    """Return the literal values assigned at the top level to the names of the contract."""
    values: dict[str, object] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and target.id in _CONSTANTS:
                assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
                values[target.id] = ast.literal_eval(node.value)
    return values
