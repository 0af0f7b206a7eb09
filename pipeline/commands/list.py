"""List the robots, scenes, stages, commands and presets that exist."""

from dataclasses import dataclass

import embodiments.registry
from pipeline.runs import discovery, presets
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


def main(config: Config) -> None:
    """Print what exists, without importing a simulator or torch."""
    _section("Stages (python -m pipeline STAGE --run runs/NAME --preset PRESET)")
    for stage in discovery.stages().values():
        _row(f"{stage.name}{' *' if stage.per_robot else ''}", stage.summary)
    _row("", "(*) one folder per robot")
    _section("Commands (python -m pipeline COMMAND)")
    for command in map(discovery.command, discovery.command_names()):
        if not command.is_internal:
            _row(command.name, command.summary)
    _section("Robots (--embodiments a,b)")
    for name in embodiments.registry.names():
        _row(name, _robot(name) + _part(name))
    _section("Scenes (--scenes a,b, or the path of a Nav2 map's .yaml)")
    for name in _scenes():
        _row(name, "")
    _section("Presets (--preset)")
    for name, text in presets.PRESETS.items():
        _row(name, text)


def _robot(name: str) -> str:
    robot = embodiments.registry.get(name)
    limits = robot.limits
    speeds = f"{limits.forward_mps:.2f} m/s, {limits.yaw_rate_radps:.2f} rad/s"
    return f"{robot.family}, {speeds}; model: {robot.model.package or robot.model.name}."


def _part(name: str) -> str:
    if name in presets.DEFAULT_ROBOTS:
        return ""
    if name in presets.EVALUATED_ROBOTS:
        return " Evaluated by `make all`, never trained on."
    return " Not part of `make all`."


def _scenes() -> tuple[str, ...]:
    from scenes import registry

    return registry.names()


def _section(title: str) -> None:
    print(f"\n{title}")


def _row(name: str, text: str) -> None:
    print(f"  {name:<24}{text}".rstrip())


COMMAND = Command(config=Config, main=main)
