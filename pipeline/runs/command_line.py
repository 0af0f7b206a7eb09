"""From words on the command line to the ``Config`` of a stage, and from there to its run."""

import contextlib
import dataclasses
import io
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import embodiments.registry
from pipeline.runs import presets, processes, run_folder
from pipeline.runs.discovery import Entry, unknown

_HELP = ("-h", "--help")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every stage takes besides the fields of its ``Config``."""

    run: str | None
    out: str | None
    preset: str
    embodiments: tuple[str, ...]
    workers: int | None


def run_stage(entry: Entry, arguments: Sequence[str]) -> int:
    """Run one stage as the command line says and return the exit status.

    Raises:
        ValueError: If an option, robot, scene or preset does not exist, or the stage cannot run.
    """
    common, rest = _split(entry, arguments)
    if common.preset not in presets.PRESETS:
        raise ValueError(unknown("preset", common.preset, tuple(presets.PRESETS)))
    for robot in common.embodiments:
        _check_robot(robot)
    run_root = common.run or (None if common.out else f"runs/{common.preset}")
    out = Path(common.out) if common.out else None
    configs = _configs(entry, common, rest)
    if len(configs) == 1 or entry.takes_many:
        run_folder.execute_many(
            entry.name, configs, run_root, preset=common.preset, out=out, workers=common.workers or 0
        )
        return 0
    return _run_side_by_side(entry, common, run_root, rest)


def parse(config: Any, arguments: Sequence[str], *, prog: str, default: Any = None) -> Any:
    """Read a ``Config`` from options; a tuple may be written ``a,b`` or ``a b``.

    Args:
        config: The dataclass.
        arguments: What is left of the command line.
        prog: Shown in the help.
        default: Instance whose values hold where an option is not given.

    Raises:
        ValueError: In one line, if an option does not exist or its value does not fit.
    """
    known = dict(_options(config))
    words: list[str] = []
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option.startswith("--") and option != "--help":
            key = option.removeprefix("--").replace("_", "-")
            if key not in known:
                raise ValueError(unknown("option", option, [f"--{name}" for name in known]))
            words += [f"--{key}", *([value] if equals else [])]
            continue
        words.append(argument)
    words = _split_tuples(words, known)
    heading = {"prog": prog} | ({"default": default} if default is not None else {})
    if any(word in _HELP for word in words):
        return tyro.cli(config, args=words, **heading)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            return tyro.cli(config, args=words, **heading)
    except SystemExit:
        raise ValueError(_condense(errors.getvalue())) from None


def _configs(entry: Entry, common: Common, rest: Sequence[str]) -> list[Any]:
    config_type = entry.load().Config
    prog = f"python -m pipeline {entry.name}"
    configs = []
    for robot in common.embodiments if entry.per_robot else (None,):
        default = config_type(embodiment=robot) if robot else config_type()
        config = parse(config_type, rest, prog=prog, default=presets.apply(common.preset, entry.name, default))
        _check_names(config)
        configs.append(config)
    return configs


def _run_side_by_side(entry: Entry, common: Common, run_root: str | None, rest: Sequence[str]) -> int:
    """Run one process per robot: a process holds one simulated scene."""
    settings = [entry.name, "--run", str(run_root), "--preset", common.preset, *rest]
    commands = {robot: [*settings, "--embodiments", robot] for robot in common.embodiments}
    results = processes.run_side_by_side(commands, workers=common.workers or processes.cores())
    failed = [robot for robot, status in results.items() if status]
    if failed:
        print(f"error: {entry.name} failed for {', '.join(failed)}; see the lines marked so above.", file=sys.stderr)
    return 2 if failed else 0


def _split(entry: Entry, arguments: Sequence[str]) -> tuple[Common, list[str]]:
    """Take the options that every stage has out of the arguments."""
    names = ["run", "out", "preset"] + (["embodiments", "embodiment", "workers"] if entry.per_robot else [])
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if not option.startswith("--") or name not in names:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise ValueError(f"option {option} needs a value.")
        found[name] = value
    robots = found.get("embodiments", found.get("embodiment", ",".join(presets.DEFAULT_ROBOTS)))
    if "out" in found and entry.per_robot:
        raise ValueError(f"stage '{entry.name}' has one folder per robot; choose --run runs/NAME instead of --out.")
    workers = found.get("workers")
    if workers is not None and not (workers.isdigit() and int(workers) > 0):
        raise ValueError(f"option --workers is '{workers}', it must be a whole number above 0.")
    common = Common(
        run=found.get("run"),
        out=found.get("out"),
        preset=found.get("preset", "laptop"),
        embodiments=tuple(dict.fromkeys(robot for robot in robots.split(",") if robot)),
        workers=int(workers) if workers else None,
    )
    return common, rest


def _options(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name on the command line, type) of every field, nested ones with a dot."""
    types = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        name = f"{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(types[field.name]):
            yield from _options(types[field.name], f"{name}.")
            continue
        yield name, types[field.name]
        if types[field.name] is bool:
            yield f"{prefix}no-{field.name.replace('_', '-')}", bool


def _split_tuples(words: Sequence[str], known: dict[str, Any]) -> list[str]:
    """Split ``a,b`` where the option before it takes a tuple."""
    split: list[str] = []
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word.removeprefix("--")
            split.append(word)
        else:
            is_tuple = "tuple[" in str(known.get(option, ""))
            split += [part for part in word.split(",") if part] if is_tuple else [word]
    return split


def _condense(text: str) -> str:
    """Return tyro's boxed message as one line."""
    lines = [re.sub(r"[─-╿]|-{3,}", "", line).strip() for line in text.splitlines()]
    message = " ".join(line for line in lines[1:] if line)  # the first line is the box's title
    return message.partition("Argument helptext:")[0].strip() or "the options could not be read"


def _check_names(config: Any) -> None:
    """Refuse unknown robots and scenes, and a missing GPU, before anything heavy starts."""
    device = getattr(config, "device", "cpu")
    if device != "cpu":
        _check_device(device)
    robots = getattr(config, "embodiments", ())
    for robot in robots.split(",") if isinstance(robots, str) else robots or ():
        _check_robot(robot)
    if isinstance(getattr(config, "embodiment", None), str):
        _check_robot(config.embodiment)
    kinds = getattr(config, "scenes", ())
    if isinstance(kinds, tuple) and kinds:
        _check_scenes(kinds)


def _check_robot(name: str) -> None:
    if name not in embodiments.registry.names():
        raise ValueError(unknown("robot", name, embodiments.registry.names()))


def _check_device(device: str) -> None:
    import torch  # only those who ask for a GPU pay for it here

    try:
        known = torch.device(device).type in ("cpu", "cuda")
    except RuntimeError:
        known = False
    if not known:
        raise ValueError(f"there is no device '{device}'; it is cpu, cuda or cuda:NUMBER.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device '{device}' is not there: no GPU, or a torch without CUDA (README); or use --device cpu."
        )


def _check_scenes(names: Sequence[object]) -> None:
    from scenes import registry  # only stages with scenes pay for it

    for name in names:
        if isinstance(name, str) and name not in registry.names() and not Path(name).is_file():
            what = "map" if name.endswith((".yaml", ".yml")) else "scene"
            raise ValueError(unknown(what, name, registry.names()))
