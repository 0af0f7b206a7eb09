"""A navigation environment without physics: the body goes where its command says, on an empty plane."""

from types import SimpleNamespace

import numpy as np
import torch

from embodiments import registry
from embodiments.limits import action_to_command, project
from embodiments.observation import Observation
from embodiments.spaces import CONTROL_DT_S, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX, ROUTE_POINTS
from pipeline.agents.agent import Agent
from pipeline.agents.truth import Truth
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.tracker import Outcome
from pipeline.simulation.physics.body import PATCH_SIDE
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.base_policy import BasePolicy
from world_model.config import WorldModelConfig
from world_model.local_planner.frames import goal_in_body
from world_model.rssm import WorldModel


class Episodes(SimpleNamespace):
    """As many as there are scene indices."""

    def __len__(self) -> int:
        return len(self.scene_index)


class PlaneNavigation:
    """Episodes of ``limit`` steps to a goal 1 m away; within 0.5 m is a success, beyond 2 m a collision."""

    def __init__(self, *, robot: str = "tiago", num_envs: int = 6, seed: int = 0, limit: int = 12) -> None:
        self.embodiment, self.num_envs, self.device = registry.get(robot), num_envs, "cpu"
        self.episodes = Episodes(
            scene_index=np.arange(8) % 4,
            initial_geodesic_m=np.linspace(1.0, 2.0, 8, dtype=np.float32),
            fastest_time_s=np.full(8, 1.0, dtype=np.float32),
            time_limit_s=np.full(8, limit * CONTROL_DT_S, dtype=np.float32),
        )
        self._descriptor = torch.from_numpy(self.embodiment.descriptor()).repeat(num_envs, 1)
        self._generator = torch.Generator().manual_seed(seed)
        self._limit = limit
        self.previous_command = torch.zeros(num_envs, 3)
        self._pose_w, self._goal_w = torch.zeros(num_envs, 3), torch.zeros(num_envs, 3)
        self._age = torch.zeros(num_envs)
        self.episode = torch.arange(num_envs) % len(self.episodes)
        self._ended = torch.ones(num_envs, dtype=torch.bool)
        self.actions: list[torch.Tensor] = []

    def assign(self, queue: torch.Tensor) -> None:
        """Remember the queue."""
        self.queue = queue

    def weigh_episodes(self, weights: torch.Tensor) -> None:
        """Remember the weights."""
        self.weights = weights

    def reseed(self, seed: int) -> None:
        """Draw goals from here on as if just built with this seed."""
        self._generator.manual_seed(seed)

    def reset(self) -> SimpleNamespace:
        """Begin anew everywhere."""
        self._ended[:] = True
        return self.step(torch.zeros(self.num_envs, 3))

    def step(self, action: torch.Tensor) -> SimpleNamespace:
        """Integrate the command."""
        self.actions.append(action)
        first = self._ended.clone()
        self._begin(first)
        command = project(action_to_command(action, self._descriptor), self.previous_command, self._descriptor)
        command = command * (~first)[:, None]
        yaw = self._pose_w[:, 2]
        forward = torch.stack([yaw.cos(), yaw.sin()], dim=1) * command[:, :1] * CONTROL_DT_S
        self._pose_w = self._pose_w + torch.cat([forward, command[:, 2:] * CONTROL_DT_S], dim=1)
        self.previous_command = command
        self._age += (~first).float()
        distance = (self._goal_w - self._pose_w)[:, :2].norm(dim=1)
        success, collision = (distance < 0.5) & ~first, (distance > 2.0) & ~first
        timeout = (self._age >= self._limit) & ~success & ~collision
        self._ended = success | collision | timeout
        none, zero = torch.zeros_like(first), torch.zeros(self.num_envs)
        return SimpleNamespace(
            observation=self.observe(),
            reward=success.float(),
            terminated=success | collision,
            truncated=timeout,
            first=first,
            outcome=Outcome(
                episode=self.episode,
                success=success,
                success_settled=success,
                collision=collision,
                fall=none,
                timeout=timeout,
                broken=none,
                time_s=self._age * CONTROL_DT_S,
                path_m=zero,
                distance_to_goal_m=distance,
                geodesic_m=distance,
                min_clearance_m=zero,
                jerk_mps3=zero,
                stopped_s=zero,
                energy_j=zero,
                person_bumped=none,
                near_person_s=zero,
            ),
        )

    def observe(self) -> Observation[torch.Tensor]:
        """Return depth that depends on the pose, so that the latent has something to see."""
        depth = (3.0 + self._pose_w[:, :1, None, None]).expand(-1, 1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
        goal_b = goal_in_body(self._goal_w, self._pose_w)
        return Observation(
            depth_m=depth.clamp(0.3, 10.0),
            velocity_b=self.previous_command,
            previous_command=self.previous_command,
            route_xy_b_m=goal_b[:, None, :2].expand(-1, ROUTE_POINTS, -1),
            goal_b=goal_b,
            descriptor=self._descriptor,
        )

    def privileged(self) -> Truth:
        """Return what the critic reads; nobody walks here."""
        ones, nobody = torch.ones(self.num_envs), torch.zeros(self.num_envs, 0, 2)
        return Truth(
            pose_w=self._pose_w,
            goal_w=self._goal_w,
            stop_xy_w=self._goal_w[:, :2],
            descent_xy_b_m=torch.zeros(self.num_envs, 2),
            clearance_m=0.5 * ones,
            away_xy_b=torch.zeros(self.num_envs, 2),
            geodesic_m=3.0 * ones,
            clearance_patch=torch.ones(self.num_envs, PATCH_SIDE**2),
            velocity_b=torch.zeros(self.num_envs, 3),
            command=self.previous_command,
            descriptor=self._descriptor,
            people_xy_w=nobody,
            people_velocity_w=nobody,
            people_present=torch.zeros(self.num_envs, 0, dtype=torch.bool),
            distance_at=lambda xy_w: torch.ones(xy_w.shape[:-1]),
            clearance_at=lambda poses_w: torch.ones(poses_w.shape[:-1]),
            cost_to_go_at=lambda xy_w: xy_w.norm(dim=-1),
            gap_at=lambda xy_w, poses_w: (xy_w - poses_w[..., :2]).norm(dim=-1),
        )

    def _begin(self, mask: torch.Tensor) -> None:
        angle = torch.rand(self.num_envs, generator=self._generator) * 6.2832
        goal = torch.stack([angle.cos(), angle.sin(), angle], dim=1)
        self._goal_w = torch.where(mask[:, None], goal, self._goal_w)
        for state in (self._pose_w, self.previous_command, self._age):
            state[mask] = 0.0


def small_base(seed: int = 0) -> BasePolicy:
    """Return an untrained base policy, small."""
    torch.manual_seed(seed)
    sizes = WorldModelConfig(
        deterministic=16, stochastic=4, hidden=16, encoder_channels=(4, 4, 4), decoder_channels=(4, 4, 4)
    )
    world_model = WorldModel(sizes).eval().requires_grad_(False)
    head = BaseHead(BaseHeadConfig(latent_size=world_model.latent_size, hidden=(16,))).eval().requires_grad_(False)
    return BasePolicy(world_model=world_model, head=head)


def plane(
    *,
    robot: str = "tiago",
    num_envs: int = 6,
    seed: int = 0,
    privileged: bool = False,
    teacher: Agent | None = None,
    curriculum: bool = False,
) -> LatentEnvironment:
    """Return the plane behind the small base policy."""
    navigation = PlaneNavigation(robot=robot, num_envs=num_envs, seed=seed)
    return LatentEnvironment(
        navigation,  # type: ignore[arg-type]
        small_base(),
        privileged=privileged,
        teacher=teacher,
        curriculum=curriculum,
    )
