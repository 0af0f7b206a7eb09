"""Rays against many scenes at once where the simulation runs: on a GPU neither rays nor images leave it.

It runs on a CPU, too, where Open3D's caster is faster; there it serves the tests.
"""

from collections.abc import Sequence

import torch

from pipeline.simulation.sensors import cast_kernel
from scenes import box_tree
from scenes.scene import Scene


class DeviceCaster:
    """Casts rays against scenes, each by a tree of boxes of its own, in its own world frame."""

    def __init__(self, scenes: Sequence[Scene], *, device: torch.device) -> None:
        """Build the trees on the CPU and copy them.

        Args:
            device: That of all rays; the device on which Quadrants was started, in the simulation by Genesis.

        Raises:
            ValueError: If there is no scene.
        """
        trees = box_tree.build(scenes)
        self._trees = {name: torch.as_tensor(values, device=device) for name, values in vars(trees).items()}

    def cast(
        self, scene_index: torch.Tensor, origin_w_m: torch.Tensor, directions_w: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where rays hit first, see ``RayCaster.cast``."""
        shape = directions_w.shape[:-1]
        distance = torch.empty(len(directions_w), shape[1:].numel(), device=directions_w.device)
        semantic = torch.empty(distance.shape, dtype=torch.uint8, device=directions_w.device)
        cast_kernel.cast(
            **self._trees,
            scene_index=scene_index.int().contiguous(),
            origin=origin_w_m.float().contiguous(),
            direction=directions_w.reshape(*distance.shape, 3).float().contiguous(),
            distance=distance,
            found=semantic,
        )
        return distance.masked_fill_(distance >= cast_kernel.FAR, torch.inf).view(shape), semantic.view(shape)
