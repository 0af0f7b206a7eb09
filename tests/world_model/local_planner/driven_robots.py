"""Robots that drive through random boxes without physics, and see them through their cameras, noise included."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from embodiments import registry
from embodiments.limits import action_to_command, project
from embodiments.observation import Observation
from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, DEPTH_RANGE_M
from scenes.raycasting import SceneRaycaster
from scenes.scene import BOX, WALL, Scene, Solid, box
from world_model.local_planner.depth_to_obstacles import ray_slopes
from world_model.local_planner.frames import goal_in_body, moved, to_body

ROBOTS = ("tiago", "stretch3", "go2", "g1")
SIDE_M = 6.0
FREE_M = 1.2


@dataclass(kw_only=True)
class DrivenRobots:
    """A batch of robots, each in a scene of its own; half of them have a planned route, which bends."""

    batch: int
    seed: int
    pose_w: Tensor = field(init=False)
    command: Tensor = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self._rng, self._generator = rng, torch.Generator().manual_seed(self.seed)
        bodies = [registry.get(ROBOTS[row % len(ROBOTS)]).descriptor() for row in range(self.batch)]
        self.descriptor = torch.from_numpy(np.stack(bodies))
        self._caster = SceneRaycaster([scene(rng) for _ in range(self.batch)])
        self.pose_w, self.command = torch.zeros(self.batch, 3), torch.zeros(self.batch, 3)
        goal = rng.uniform(-5.0, 5.0, size=(self.batch, 3)).astype(np.float32)
        goal[0] = (12.0, 3.0, 0.0)  # one beyond the costmap
        self.goal_w = torch.from_numpy(goal)
        self._bend_m = torch.from_numpy(rng.uniform(0.3, 1.5, size=self.batch).astype(np.float32))
        self._bend_m[::2] = 0.0
        self._velocity_b = torch.zeros(self.batch, 3)

    def observe(self) -> Observation[Tensor]:
        """Return what the robots see."""
        along = torch.linspace(0.1, 1.0, 10)[None, :, None]
        start, end = self.pose_w[:, None, :2], self.goal_w[:, None, :2]
        aside = torch.stack([start[..., 1] - end[..., 1], end[..., 0] - start[..., 0]], dim=-1)
        aside = aside / aside.norm(dim=-1, keepdim=True).clip(min=0.1)
        bent = self._bend_m[:, None, None] * torch.sin(torch.pi * along) * aside
        return Observation(
            depth_m=self._depth(),
            velocity_b=self._velocity_b,
            previous_command=self.command,
            route_xy_b_m=to_body(start + along * (end - start) + bent, self.pose_w),
            goal_b=goal_in_body(self.goal_w, self.pose_w),
            descriptor=self.descriptor,
        )

    def drive(self, action: Tensor) -> None:
        """Execute normalised actions (B, 3) exactly; odometry is noisy."""
        self.command = project(action_to_command(action, self.descriptor), self.command, self.descriptor)
        self.pose_w = moved(self.pose_w, self.command)
        noise = 0.01 * torch.randn(self.command.shape, generator=self._generator)
        self._velocity_b = self.command + noise * (self.command != 0.0)

    def _depth(self) -> Tensor:
        """Return images (B, 1, 40, 64) [m]."""
        camera = self.descriptor[:, CAMERA_SLICE]
        left, up = ray_slopes(self.pose_w)
        yaw, pitch = self.pose_w[:, 2, None, None], camera[:, 2, None, None]
        ahead, high = pitch.cos() + pitch.sin() * up, pitch.cos() * up - pitch.sin()
        ahead, aside, high = torch.broadcast_tensors(ahead, left[None], high)
        directions = torch.stack(
            [yaw.cos() * ahead - yaw.sin() * aside, yaw.sin() * ahead + yaw.cos() * aside, high], -1
        )
        mount = camera[:, 0, None] * torch.stack([yaw[:, 0, 0].cos(), yaw[:, 0, 0].sin()], dim=-1)
        origin = torch.cat([self.pose_w[:, :2] + mount, camera[:, 1:2]], dim=1)
        scenes = np.arange(self.batch)
        planar, _ = self._caster.cast(scenes, origin.double().numpy(), directions.contiguous().numpy())
        depth = torch.from_numpy(planar).float().clip(max=DEPTH_RANGE_M)
        noise = torch.randn(depth.shape, generator=self._generator)
        lost = torch.rand(depth.shape, generator=self._generator) < 0.03
        half = [(camera[:, CAMERA_FIELDS.index(name)] / 2.0).tan()[:, None, None] for name in _FIELDS]
        unseen = (left[None].abs() > half[0]) | (up[None].abs() > half[1])
        return (depth + 0.005 * depth * noise).clip(0.05, DEPTH_RANGE_M).masked_fill(lost | unseen, 0.0)[:, None]


_FIELDS = ("camera_hfov_rad", "camera_vfov_rad")


def scene(rng: np.random.Generator) -> Scene:
    """Return a room with boxes, none of them near its middle."""
    walls = [(SIDE_M, 0.0, 0.2, 2.0 * SIDE_M), (0.0, SIDE_M, 2.0 * SIDE_M, 0.2)]
    solids = [solid(sign * x, sign * y, length, width, WALL) for x, y, length, width in walls for sign in (1.0, -1.0)]
    while len(solids) < 20:
        x, y = rng.uniform(-SIDE_M, SIDE_M, size=2)
        if np.hypot(x, y) > FREE_M + 0.6:
            solids.append(solid(x, y, *rng.uniform(0.1, 0.8, size=2), BOX, high=rng.uniform(0.15, 1.6)))
    reach = SIDE_M + 1.0
    return Scene(name="scene/test/0", kind="scene", solids=tuple(solids), extent_w_m=(-reach, -reach, reach, reach))


def solid(x: float, y: float, length: float, width: float, semantic: int, *, high: float = 2.0) -> Solid:
    """Return a box on the ground."""
    return box(
        centre_xy_w_m=(x, y), size_m=(length, width, high), yaw_rad=0.0, z_min_m=0.0, semantic=semantic, known=True
    )
