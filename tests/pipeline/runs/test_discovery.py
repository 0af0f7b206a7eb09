"""Every discovered stage and command keeps the contract of ``pipeline/runs/stage.py``."""

import dataclasses
import inspect
import typing
from collections.abc import Callable

import pytest

from pipeline.runs import discovery, presets
from pipeline.runs.command_line import StageOptions
from pipeline.runs.stage import Later, Stage

LINE = (
    "make_scenes",
    "record_surroundings",
    "train_anticipation",
    "record_drives",
    "train_collision_risk",
    "collect_teacher",
    "pretrain_world_model",
    "train_specialist",
    "record_specialist",
    "distill_generalist",
    "export_policy",
    "evaluate_policy",
    "report",
)


@pytest.fixture(params=discovery.stage_names())
def stage(request: pytest.FixtureRequest) -> Stage[typing.Any]:
    return discovery.stage(request.param)


def test_the_line_is_complete_and_in_order() -> None:
    assert tuple(discovery.stages()) == LINE


def test_needs_exist(stage: Stage[typing.Any]) -> None:
    assert set(stage.after) <= set(LINE)


@pytest.mark.parametrize("name", discovery.command_names())
def test_commands_say_what_they_do(name: str) -> None:
    command = discovery.command(name)
    assert command.summary.endswith((".", ":")) or ". " in command.summary or ": " in command.summary
    assert command.config.__dataclass_params__.frozen
    assert _parameters(command.main) == ["config"]


def test_workers_that_others_start_are_not_listed() -> None:
    internal = {"evaluate_robot", "film_robot", "serve_robot"}
    assert not internal & set(discovery.listed())
    assert {"list", "play", "evaluate_policy"} <= set(discovery.listed())


def test_config_is_frozen_keyword_only_and_explained(stage: Stage[typing.Any]) -> None:
    assert stage.summary.endswith(".")
    assert stage.config.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(stage.config))
    types = typing.get_type_hints(stage.config)
    assert types["seed"] is int or stage.name in ("export_policy", "report")
    assert ("embodiment" in types) >= stage.per_robot
    assert not {field.name for field in dataclasses.fields(StageOptions)} & set(types)


def test_run_takes_config_and_run(stage: Stage[typing.Any]) -> None:
    assert _parameters(stage.run) == ["config", "run"]
    if stage.run_many is not None:
        assert _parameters(stage.run_many) == ["configs", "runs", "workers"]


def _parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function.load() if isinstance(function, Later) else function).parameters)


def test_presets_fit(stage: Stage[typing.Any]) -> None:
    assert set(stage.presets) <= set(presets.PRESETS) - {"laptop"}
    assert stage.sized("laptop") == stage.config()
    for preset in stage.presets:
        assert type(stage.sized(preset)) is stage.config
        assert stage.sized(preset) != stage.config()


def test_config_survives_json(stage: Stage[typing.Any]) -> None:
    """The manifest and the key are made from it."""
    for name, value in dataclasses.asdict(stage.config()).items():
        assert isinstance(value, bool | int | float | str | tuple | dict | None), name
