"""From words on the command line to the config of a stage or command, and from there to its run."""

import contextlib
import dataclasses
import functools
import io
import itertools
import re
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from embodiments import registry
from pipeline.runs import config_checks, external_loggers, processes, run_folder
from pipeline.runs.discovery import unknown
from pipeline.runs.presets import DEFAULT_ROBOTS, PRESETS
from pipeline.runs.stage import Command, Stage

_TYPES = ConstructorRegistry()
ROBOT_FILE = "--robot-file"
"""Option of every stage and command: a robot of the user's own."""


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """Options of every stage."""

    run: Path | None = None
    """Run folder, runs/NAME; by default runs/PRESET"""
    preset: Literal["smoke", "laptop", "workstation"] = "laptop"
    """Sizes; other options overrule them"""
    out: Path | None = None
    """Folder to write into instead of RUN/STAGE"""


@dataclass(frozen=True, kw_only=True)
class RobotOptions(StageOptions):
    """Options of every stage with one folder per robot."""

    embodiments: tuple[str, ...] = DEFAULT_ROBOTS
    """Robots"""
    workers: int = 0
    """Robots at once; 0 = one per core"""


def run_stage(stage: Stage[Any], arguments: Sequence[str]) -> int:
    """Run one stage as the command line says and return the exit status.

    Raises:
        ValueError: If an option, robot, scene, preset or logger does not exist, or the stage cannot run.
    """
    external_loggers.asked()  # before anything is made: a line of stages trains late
    options, config = _stage_config(stage, arguments)
    configs: list[Any] = [config]
    robots: tuple[str, ...] = ()
    workers = 0
    if isinstance(options, RobotOptions):
        if options.out is not None:
            raise ValueError(f"stage '{stage.name}' has one folder per robot; choose --run instead of --out.")
        if options.workers < 0:
            raise ValueError(f"option --workers is {options.workers}; it must be at least 0.")
        robots, workers = tuple(dict.fromkeys(options.embodiments)), options.workers
        configs = [dataclasses.replace(config, embodiment=robot) for robot in robots]
    for one in configs:
        config_checks.check(one)
    if len(configs) > 1 and stage.run_many is None:
        return _run_side_by_side(stage, robots, arguments, workers=workers)
    run_root = options.run or (None if options.out else Path("runs") / options.preset)
    run_folder.execute_many(stage.name, configs, run_root, preset=options.preset, out=options.out, workers=workers)
    return 0


def run_command(command: Command[Any], arguments: Sequence[str]) -> int:
    """Run one command as the command line says and return the exit status."""
    config = parse(command.config, arguments, prog=f"python -m pipeline {command.name}", description=command.summary)
    config_checks.check(config)
    command.main(config)
    return 0


def parse(config: Any, arguments: Sequence[str], *, prog: str, description: str | None = None) -> Any:
    """Read a dataclass from options; a tuple may be written ``a,b`` or ``a b``.

    Raises:
        ValueError: In one line, if an option does not exist or its value does not fit.
    """
    read = functools.partial(tyro.cli, config, args=arguments, prog=prog, description=description, registry=_TYPES)
    if {"-h", "--help"} & set(arguments):
        return read()
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            return read()
    except SystemExit:
        raise ValueError(_one_line(errors.getvalue())) from None


def with_robot_files(arguments: Sequence[str]) -> list[str]:
    """Let the robot files count that ``--robot-file`` names, and return the other words.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If one is ill, or no file is named.
    """
    rest: list[str] = []
    files: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in (ROBOT_FILE, ROBOT_FILE.replace("-f", "_f")):
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise ValueError(f"option {ROBOT_FILE} needs the path of a Python file that defines EMBODIMENT")
        files += [file for file in value.split(",") if file]
    registry.add_files(files)
    return rest


def _stage_config(stage: Stage[Any], arguments: Sequence[str]) -> tuple[StageOptions, Any]:
    """Read the options of every stage and those of this one; the preset gives the defaults."""
    options = RobotOptions() if stage.per_robot else StageOptions()
    defaults = {"options": options, "config": stage.sized(_preset(arguments))}
    fields = [
        (name, Annotated[type(value), tyro.conf.arg(name="")], field(default=value))  # "": options without a prefix
        for name, value in defaults.items()
    ]
    both = dataclasses.make_dataclass("Options", fields, frozen=True)
    found = parse(both, arguments, prog=f"python -m pipeline {stage.name}", description=stage.summary)
    return found.options, found.config


def _preset(arguments: Sequence[str]) -> str:
    """Return the preset that the command line names; the other options' defaults depend on it."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    named = [value for option, value in itertools.pairwise(words) if option == "--preset"]
    preset = named[-1] if named and not named[-1].startswith("--") else "laptop"
    if preset not in PRESETS:
        raise ValueError(unknown("preset", preset, tuple(PRESETS)))
    return preset


def _run_side_by_side(stage: Stage[Any], robots: Sequence[str], arguments: Sequence[str], *, workers: int) -> int:
    """Run one process per robot: a process holds one simulated scene. The last of two equal options counts."""
    commands = {robot: [stage.name, *arguments, "--embodiments", robot] for robot in robots}
    results = processes.run_side_by_side(commands, workers=workers or processes.cores())
    failed = [robot for robot, status in results.items() if status]
    if failed:
        print(f"error: {stage.name} failed for {', '.join(failed)}; see the lines marked so above.", file=sys.stderr)
    return 2 if failed else 0


@_TYPES.primitive_rule
def _tuple(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[tuple[Any, ...]] | None:
    """Read ``a,b`` like ``a b`` where a tuple of any length is expected."""
    arguments = typing.get_args(info.type)
    if typing.get_origin(info.type) is not tuple or arguments[1:] != (Ellipsis,):
        return None
    choices = typing.get_args(arguments[0]) if typing.get_origin(arguments[0]) is Literal else ()

    def read(words: list[str]) -> tuple[Any, ...]:
        parts = [part for word in words for part in word.split(",") if part]
        for part in parts:
            if choices and part not in choices:
                raise ValueError(f"invalid choice '{part}'. Expected one of {choices}")
        return tuple(parts if choices else map(arguments[0], parts))

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=",".join(choices) or f"{arguments[0].__name__.upper()},...",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(str, value))],
    )


def _one_line(text: str) -> str:
    """Return tyro's boxed message as one line."""
    lines = [re.sub(r"[─-╿]|-{3,}", "", line).strip() for line in text.splitlines()]
    message = " ".join(line for line in lines[1:] if line)  # the first line is the box's title
    for end in ("Argument helptext:", "For full helptext"):
        message = message.partition(end)[0]
    return message.strip() or "the options could not be read"
