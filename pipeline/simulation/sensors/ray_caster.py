"""What the depth camera asks of a ray caster, and which one it gets: Open3D's on a CPU, our own kernel on a GPU."""

from collections.abc import Sequence
from typing import Protocol

import torch

from scenes.raycasting import SceneRaycaster
from scenes.scene import Scene


class RayCaster(Protocol):
    """Casts rays against scenes; tensors are on the simulation's device."""

    def cast(
        self, scene_index: torch.Tensor, origin_w_m: torch.Tensor, directions_w: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where rays hit first.

        Args:
            scene_index: (B,) int64 which scene each batch entry looks into.
            origin_w_m: (B, 3) in that scene's own world frame.
            directions_w: (B, ..., 3), any length.

        Returns:
            distance (B, ...) float32 in units of each direction's own length, inf on a miss; semantic (B, ...) uint8,
            ``OTHER`` on a miss.
        """
        ...


class HostCaster:
    """Open3D's caster behind tensors: rays are copied to the CPU, and what they hit back."""

    def __init__(self, caster: SceneRaycaster) -> None:
        self._caster = caster

    def cast(
        self, scene_index: torch.Tensor, origin_w_m: torch.Tensor, directions_w: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where rays hit first, see ``RayCaster.cast``."""
        asked = (values.cpu().numpy() for values in (scene_index, origin_w_m, directions_w))
        distance, semantic = (torch.from_numpy(values).to(directions_w.device) for values in self._caster.cast(*asked))
        return distance, semantic


def make(scenes: Sequence[Scene], *, device: str | torch.device) -> RayCaster:
    """Return the caster for a device; on a GPU Genesis must have been started before the first cast.

    Raises:
        ValueError: If there is no scene.
    """
    where = torch.device(device)
    if where.type == "cpu":
        return HostCaster(SceneRaycaster(scenes))
    from pipeline.simulation.sensors.device_caster import DeviceCaster  # imports a compiler

    return DeviceCaster(scenes, device=where)
