"""Sizes of a run: ``smoke`` (minutes, CI), ``laptop`` (the defaults of every ``Config``), ``workstation`` (one GPU)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.stages import unknown

DEFAULT_ROBOTS = ("tiago", "stretch3", "go2", "g1")
"""The robots of ``make all``; others are named with ``--embodiments``."""

_SMOKE: Mapping[str, Mapping[str, Any]] = {}
_WORKSTATION: Mapping[str, Mapping[str, Any]] = {}


def smoke(stage: str, config: Any) -> Any:
    """Return ``config`` with the smallest sizes that still run every line of a stage."""
    return dataclasses.replace(config, **_SMOKE.get(stage, {}))


def laptop(stage: str, config: Any) -> Any:
    """Return ``config`` unchanged: the defaults are sized for two cores and two hours for the whole line."""
    return config


def workstation(stage: str, config: Any) -> Any:
    """Return ``config`` with budgets of COMPASS's scale for one GPU."""
    return dataclasses.replace(config, **_WORKSTATION.get(stage, {}))


PRESETS: Mapping[str, Callable[[str, Any], Any]] = {"smoke": smoke, "laptop": laptop, "workstation": workstation}


def apply(preset: str, stage: str, config: Any) -> Any:
    """Return ``config`` in the sizes of a preset.

    Raises:
        ValueError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(unknown("preset", preset, tuple(PRESETS)))
    return PRESETS[preset](stage, config)
