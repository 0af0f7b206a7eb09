"""The stages and commands that exist: one file each in ``stages/`` and ``commands/``, discovered, never listed."""

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.runs.stage import Command, Stage

_ROOT = Path(__file__).parents[1]


def stage_names() -> tuple[str, ...]:
    """Return the names of all stages, without importing them."""
    return _names("stages")


def command_names() -> tuple[str, ...]:
    """Return the names of all commands, without importing them."""
    return _names("commands")


def listed() -> tuple[str, ...]:
    """Return the names of what a person may call: stages in order, then commands."""
    return (*stages(), *(name for name in command_names() if not command(name).is_internal))


@cache
def stages() -> dict[str, Stage[Any]]:
    """Return every stage, in an order in which each comes after the stages it needs."""
    found = {name: stage(name) for name in stage_names()}
    ordered: dict[str, Stage[Any]] = {}
    while len(ordered) < len(found):
        waiting = [stage for name, stage in found.items() if name not in ordered]
        # A need without a file cannot be waited for; the conformance test names it.
        ready = [stage for stage in waiting if set(stage.after) & set(found) <= set(ordered)]
        if not ready:
            raise RuntimeError(f"stages need each other in a circle: {', '.join(sorted(set(found) - set(ordered)))}")
        ordered.update((stage.name, stage) for stage in ready)
    return ordered


@cache
def stage(name: str) -> Stage[Any]:
    """Return one stage.

    Raises:
        ValueError: If there is no such stage.
    """
    if name not in stage_names():
        raise ValueError(unknown("stage", name, stage_names()))
    module = importlib.import_module(f"pipeline.stages.{name}")
    found: Stage[Any] = module.STAGE
    return dataclasses.replace(found, name=name, summary=_summary(module))


@cache
def command(name: str) -> Command[Any]:
    """Return one command.

    Raises:
        ValueError: If there is no such command.
    """
    if name not in command_names():
        raise ValueError(unknown("command", name, command_names()))
    module = importlib.import_module(f"pipeline.commands.{name}")
    found: Command[Any] = module.COMMAND
    return dataclasses.replace(found, name=name, summary=_summary(module))


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Return one line that says what was asked for, what is close to it and what exists."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"no {kind} '{name}'{hint} Known: {', '.join(known) or 'none'}."


def _names(folder: str) -> tuple[str, ...]:
    modules = pkgutil.iter_modules([str(_ROOT / folder)])
    return tuple(sorted(module.name for module in modules if not module.ispkg))


def _summary(module: ModuleType) -> str:
    line = (module.__doc__ or "").partition("\n")[0].removeprefix("Stage: ")
    return line[:1].upper() + line[1:]
