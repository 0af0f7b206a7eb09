"""Every discovered stage keeps the contract that ``pipeline/discovery.py`` describes."""

import dataclasses
import inspect
import typing
from types import ModuleType

import pytest

from pipeline.runs import discovery, presets

LINE = (
    "make_scenes",
    "collect_teacher",
    "pretrain_world_model",
    "train_specialist",
    "record_specialist",
    "distill_generalist",
    "export_policy",
    "evaluate_policy",
    "report",
)
STAGES = tuple(discovery.stages())


@pytest.fixture(params=STAGES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return discovery.stage(request.param).load()


def name_of(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def make_config(module: ModuleType) -> typing.Any:
    return module.Config(embodiment="go2") if discovery.stage(name_of(module)).per_robot else module.Config()


def test_the_line_is_complete_and_in_order() -> None:
    assert [name for name in STAGES if name in LINE] == list(LINE)


def test_needs_exist() -> None:
    for entry in discovery.stages().values():
        assert set(entry.needs) <= set(STAGES), entry.name


def test_what_was_read_is_what_is_imported(module: ModuleType) -> None:
    entry = discovery.stage(name_of(module))
    assert entry.needs == module.NEEDS
    assert getattr(module, "PER_ROBOT", False) == entry.per_robot
    assert entry.summary.endswith(".")


def test_config_is_frozen_keyword_only_and_explained(module: ModuleType) -> None:
    parameters = module.Config.__dataclass_params__
    assert parameters.frozen
    assert all(field.kw_only for field in dataclasses.fields(module.Config))
    types = typing.get_type_hints(module.Config)
    assert types["seed"] is int or name_of(module) in ("export_policy", "report")
    assert ("embodiment" in types) >= discovery.stage(name_of(module)).per_robot


def test_run_takes_config_and_run(module: ModuleType) -> None:
    assert list(inspect.signature(module.run).parameters) == ["config", "run"]
    if hasattr(module, "run_many"):
        assert list(inspect.signature(module.run_many).parameters) == ["configs", "runs", "workers"]


@pytest.mark.parametrize("preset", tuple(presets.PRESETS))
def test_presets_fit(module: ModuleType, preset: str) -> None:
    config = make_config(module)
    sized = presets.apply(preset, name_of(module), config)
    assert type(sized) is type(config)
    if preset == "laptop":
        assert sized == config


def test_config_survives_json(module: ModuleType) -> None:
    """The manifest and the key are made from it."""
    values = dataclasses.asdict(make_config(module))
    for name, value in values.items():
        assert isinstance(value, bool | int | float | str | tuple | dict | None), name
