"""A classical controller with the policies' observation: model predictive path integral control on the costmap.

The costmap is the local planner's (``world_model.local_planner.costmap``). Each control step the library samples
sequences of normalised actions, rolls a unicycle (or, with a lateral limit, a holonomic body) out under the robot's
own limits and weighs the sequences by their cost; ``MPPI_Batched`` does it for all environments in one batch. In the
last half metre the local planner's controller parks: a mean over samples does not come to rest within
0.1 rad.

Source: Williams et al. 2017, "Information Theoretic MPC for Model-Based Reinforcement Learning"; pytorch-mppi 0.9.1.
"""

from typing import Literal

import torch

from embodiments.limits import action_to_command, active_dimensions, project
from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, FOOTPRINT_SLICE, HEIGHT_LAYERS_M, LIMIT_FIELDS
from pipeline.agents.agent import AgentInfo, Privileged
from world_model.local_planner import controller, costmap, costmap_cells
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.frames import moved, wrap_angle
from world_model.local_planner.map_edge import hold_goal

SAMPLES = 128
KNOTS, KNOT_STEPS = 10, 2
"""An action holds for two control steps, ten of them reach 2 s ahead: noise that changes every 0.1 s averages out."""
SIGMA = (0.5, 0.3, 0.6)
"""Standard deviation of the sampled actions"""
TEMPERATURE = 0.1
"""In seconds of driving, as all costs are (metres of cost to go at top speed), so that it fits slow bodies too."""
COMFORT_M = 0.25
NEAR_WEIGHT, HIT_WEIGHT = 0.5, 4.0
"""Weights of a knot within ``COMFORT_M`` of an obstacle, and of one that touches it"""
HEADING_WEIGHT = 0.5
"""Weight of the time to turn from the last knot's heading to the aim"""
REVERSE_WEIGHT, LATERAL_WEIGHT = 1.0, 0.3
"""Weights of driving at top speed backwards or sideways, where the camera sees nothing, per knot"""
PARK_M, UNPARK_M = 0.4, 0.6
_POSE, _COMMAND = slice(0, 3), slice(3, 6)


class MppiAgent:
    """Samples, rolls out and weighs; keeps a costmap and a nominal sequence per environment."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        from pytorch_mppi import MPPI_Batched  # slow to import, and only this agent needs it

        self._map = torch.zeros(num_envs, costmap.STATE_SIZE, device=device)
        self._parks = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._num_envs, self._steps = num_envs, 0
        limit = torch.ones(COMMAND_SIZE, device=device)
        self._seed = seed
        self._mppi = MPPI_Batched(
            self._roll,
            self._cost,
            nx=6,
            noise_sigma=torch.diag(torch.tensor(SIGMA, device=device).square()),
            num_envs=num_envs,
            num_samples=SAMPLES,
            horizon=KNOTS,
            device=device,
            lambda_=TEMPERATURE,
            u_min=-limit,
            u_max=limit,
            step_dependent_dynamics=True,
        )
        self._mppi.U.zero_()

    def reset(self, mask: torch.Tensor) -> None:
        """Forget what was remembered for the environments in ``mask`` (B,).

        A reset of all environments reseeds the noise, so that no result depends on earlier episodes: the library draws
        from torch's own generator.
        """
        if bool(mask.all()):
            torch.manual_seed(self._seed)
            self._steps = 0
        self._map = self._map.masked_fill(mask[:, None], 0.0)
        self._mppi.U[mask] = 0.0
        self._parks = self._parks & ~mask

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from depth, odometry, route and goal."""
        goal_b, descriptor = observation.goal_b, observation.descriptor
        held, state = hold_goal(observation, self._map, self._map[:, :3])
        updated = costmap.update(costmap.unpack(state), obstacle_points(held.depth_m, descriptor), held)
        self._map = costmap.pack(updated)
        self._prepare(updated, held.goal_b, descriptor)
        shift = self._steps % KNOT_STEPS == 0
        self._steps += 1
        start = torch.cat([updated.pose, observation.previous_command], dim=1)
        action = self._mppi.command(start, shift_nominal_trajectory=shift) * active_dimensions(descriptor)
        self._mppi.U = self._mppi.U.clamp(-1.0, 1.0)
        distance_m = torch.linalg.vector_norm(goal_b[:, :2], dim=1)
        self._parks = distance_m < torch.where(self._parks, UNPARK_M, PARK_M)
        parking = controller.drive(goal_b, goal_b[:, :2], descriptor, speed_scale=torch.ones_like(distance_m))
        return torch.where(self._parks[:, None], parking, action)

    def _prepare(self, grid: costmap.Costmap, goal_b: torch.Tensor, descriptor: torch.Tensor) -> None:
        """Set what the roll-outs of this control step look up."""
        self._total_m, self._distance_m = costmap.total_m(grid, goal_b), costmap.distance_m(grid)
        self._descriptor = descriptor[:, None]  # (B, 1, E)
        self._forward_mps = descriptor[:, LIMIT_FIELDS.index("forward_mps"), None]
        self._yaw_rate_radps = descriptor[:, LIMIT_FIELDS.index("yaw_rate_radps"), None]
        aim_b = costmap.query(grid, goal_b, descriptor).aim_b
        self._aim_rad = (torch.atan2(aim_b[:, 1], aim_b[:, 0]) + grid.pose[:, 2])[:, None]
        extents = (
            descriptor[:, FOOTPRINT_SLICE].unflatten(-1, (len(HEIGHT_LAYERS_M), 3)).amax(dim=1)
        )  # front, rear, half width
        self._radius_m = extents[:, 2:]
        ends = (extents[:, :2] - self._radius_m).clamp(min=0.0)
        self._ends_m = torch.stack([ends[:, 0], -ends[:, 1]])[..., None]  # (2, B, 1)

    def _roll(self, state: torch.Tensor, action: torch.Tensor, knot: int) -> torch.Tensor:
        """Return the states (B K, 6) after one knot: pose in the frame of the map, and the command executed last."""
        many = (self._num_envs, SAMPLES, -1)
        states, target = state.view(*many), action_to_command(action.view(*many), self._descriptor)
        pose, command = states[..., _POSE], states[..., _COMMAND]
        for _ in range(KNOT_STEPS):
            command = project(target, command, self._descriptor)
            pose = moved(pose, command)
        return torch.cat([pose, command], dim=-1).view(len(state), -1)

    def _cost(self, state: torch.Tensor, action: torch.Tensor, knot: int) -> torch.Tensor:
        """Return what one knot costs (B K,), in seconds of driving."""
        states = state.view(self._num_envs, SAMPLES, -1)
        pose, command = states[..., _POSE], states[..., _COMMAND]
        clearance_m = self._clearance_m(pose)
        near = (1.0 - clearance_m / COMFORT_M).clamp(0.0, 1.0)
        hit = (-clearance_m / 0.1).clamp(0.0, 1.0)
        forward, aside = command[..., 0] / self._forward_mps, command[..., 1].abs() / self._forward_mps
        cost = NEAR_WEIGHT * near * (0.3 + forward.abs()) + HIT_WEIGHT * hit
        cost = cost + REVERSE_WEIGHT * (-forward).clamp(min=0.0) + LATERAL_WEIGHT * aside
        to_go_s = costmap_cells.look_up(self._total_m, pose[..., :2]) / self._forward_mps
        if knot < KNOTS - 1:
            return (cost + to_go_s / KNOTS).view(-1)
        turn_s = wrap_angle(pose[..., 2] - self._aim_rad).abs() / self._yaw_rate_radps
        return (cost + to_go_s + HEADING_WEIGHT * turn_s).view(-1)

    def _clearance_m(self, pose: torch.Tensor) -> torch.Tensor:
        """Return the clearance (B, K) of the body's footprint, a capsule along its axis."""
        heading = torch.stack([pose[..., 2].cos(), pose[..., 2].sin()], dim=-1)
        front, rear = (pose[..., :2] + end[..., None] * heading for end in self._ends_m)
        distance_m = (costmap_cells.look_up(self._distance_m, point) for point in (front, rear))
        return torch.minimum(*distance_m) - self._radius_m


AGENT = AgentInfo(
    label="model predictive path integral control on the planner's map, nothing learned",
    kind="classical",
    order=40,
    colour="#b07fa8",
    by_default=False,  # about as good as planner at twice its price
    make=MppiAgent,
)
