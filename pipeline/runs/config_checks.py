"""Refuse names that do not exist, and a missing GPU, before anything heavy starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import embodiments.registry
from pipeline.runs.discovery import unknown


def check(config: Any) -> None:
    """Check the robots, scenes and device that a configuration names.

    Raises:
        ValueError: If one does not exist; the message names what does.
    """
    device = getattr(config, "device", "cpu")
    if device != "cpu":
        check_device(device)
    robots = getattr(config, "embodiments", ())
    for robot in robots.split(",") if isinstance(robots, str) else robots or ():
        check_robot(robot)
    if isinstance(getattr(config, "embodiment", None), str):
        check_robot(config.embodiment)
    kinds = getattr(config, "scenes", ())
    if isinstance(kinds, tuple) and kinds:
        check_scenes(kinds)


def check_robot(name: str) -> None:
    """Refuse a robot that does not exist."""
    if name not in embodiments.registry.names():
        raise ValueError(embodiments.registry.unknown(name))


def check_device(device: str) -> None:
    """Refuse a device that does not exist."""
    import torch  # slow to import, and only needed for a GPU

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


def check_scenes(names: Sequence[object]) -> None:
    """Refuse scene kinds and scene files that do not exist."""
    from scenes import registry  # slow to import, and only needed for stages with scenes

    for name in names:
        if isinstance(name, str) and name not in registry.names() and not Path(name).is_file():
            what = "map" if name.endswith((".yaml", ".yml")) else "scene"
            raise ValueError(unknown(what, name, registry.names()))
