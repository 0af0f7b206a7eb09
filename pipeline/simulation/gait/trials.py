"""Trials of a gait under randomised dynamics, latency, noise and pushes; returns raw measurements."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.simulation.physics.dynamics import GaitDynamics, GaitRandomisation
from pipeline.simulation.physics.gait_policy import GaitController
from pipeline.simulation.physics.robot_physics import RobotPhysics

FORWARD_STEPS, LATERAL_STEPS, YAW_STEPS = 7, 3, 5
"""Commands per axis of the grid."""
SETTLE_S, MEAN_S = 1.0, 1.0
COMMAND_S = 3.0
"""How long a command holds in the fall and stop trials."""
PUSH_S, PUSH_MPS = 8.0, 0.5
REDRAW_S = 30.0
"""How long a robot has the same dynamics in the fall trial."""
STOP_S, STAND_S = 1.5, 10.0
"""A robot must come to rest within the first, and is then observed for the second."""
STOP_SPEED_MPS, STOP_YAW_RATE_RADPS = 0.1, 0.1

Report = Callable[[int], None]
"""Receives the number of drive steps done since the last call"""


@dataclass(frozen=True, kw_only=True)
class TrackingResult:
    """A grid of commands, each executed by several robots."""

    command: torch.Tensor
    """(N, 3)."""
    velocity: torch.Tensor
    """(N, 3) mean over ``MEAN_S``, nan where the robot fell."""


@dataclass(frozen=True, kw_only=True)
class FallResult:
    """Falls under random commands and pushes."""

    minutes: float
    falls: int
    broken: int
    """Robots whose simulation failed; counted as falls too."""


@dataclass(frozen=True, kw_only=True)
class StopResult:
    """Stops from random commands; (N,) each."""

    stopped: torch.Tensor
    """Whether speed and yaw rate were both below their limits within ``STOP_S``, and the robot never fell."""
    drift_m: torch.Tensor
    """Distance between the positions at the start and end of ``STAND_S``, nan where it fell."""
    quiet_fraction: torch.Tensor
    """Fraction of ``STAND_S`` below both limits."""


def command_range(embodiment: Embodiment) -> torch.Tensor:
    """Return the (2, 3) smallest and largest command that a gait must follow."""
    assert isinstance(embodiment.drive, GaitDrive)
    limits = embodiment.limits
    low = (-embodiment.drive.reverse_mps, -limits.lateral_mps, -limits.yaw_rate_radps)
    return torch.tensor([low, (limits.forward_mps, limits.lateral_mps, limits.yaw_rate_radps)])


def command_grid(embodiment: Embodiment) -> torch.Tensor:
    """Return the (G, 3) commands over the whole range, shuffled so that a short trial has all kinds."""
    (x_low, y_low, w_low), (x_high, y_high, w_high) = command_range(embodiment).tolist()
    axes = (
        torch.linspace(x_low, x_high, FORWARD_STEPS),
        torch.linspace(y_low, y_high, LATERAL_STEPS),
        torch.linspace(w_low, w_high, YAW_STEPS),
    )
    grid = torch.cartesian_prod(*axes)
    return grid[torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))]


def drive_steps(embodiment: Embodiment, *, num_envs: int, rounds: int, minutes: float) -> int:
    """Return how many drive steps all trials together take."""
    seconds = rounds * (_ramp_s(embodiment) + SETTLE_S + MEAN_S + COMMAND_S + STOP_S + STAND_S)
    return round((seconds + minutes * 60.0 / num_envs) * DRIVE_HZ)


class GaitTrials:
    """A batch of one robot under its gait."""

    def __init__(
        self,
        embodiment: Embodiment,
        physics: RobotPhysics,
        network: nn.Module,
        *,
        block: GaitRandomisation,
        seed: int,
        report: Report = lambda steps: None,
    ) -> None:
        """Take a randomisable ``physics``."""
        assert isinstance(embodiment.drive, GaitDrive)
        self._embodiment, self._physics, self._network, self._report = embodiment, physics, network, report
        self._dynamics = GaitDynamics(physics, block, seed=seed)
        self._controller = GaitController(embodiment.drive, num_envs=physics.num_envs, device=physics.device)
        self._generator = torch.Generator(device=physics.device).manual_seed(seed + 1)
        self._range = command_range(embodiment).to(physics.device)
        self._command_step = _accelerations(embodiment).to(physics.device) / DRIVE_HZ
        self._everyone = torch.ones(physics.num_envs, dtype=torch.bool, device=physics.device)
        self._command = torch.zeros(physics.num_envs, 3, device=physics.device)
        self._fell = ~self._everyone

    def restart(self) -> None:
        """Reset all robots, with new dynamics."""
        self._dynamics.resample(self._everyone)
        self._reset(self._everyone)

    @torch.no_grad()
    def walk(self, target: torch.Tensor) -> None:
        """Advance by one drive step; the command ramps to the target (B, 3) with the robot's accelerations."""
        self._command = self._command + (target - self._command).clamp(-self._command_step, self._command_step)
        observation = self._controller.observe(self._physics, self._command, noise=self._dynamics.noise())
        self._dynamics.step(self._controller.act(self._network(observation), self._command))
        self._fell |= self._physics.fallen() | self._physics.broken()
        self._report(1)

    @torch.no_grad()
    def track(self, *, rounds: int) -> TrackingResult:
        """Walk the grid of commands: every environment executes one command per round."""
        grid = command_grid(self._embodiment).to(self._physics.device)
        commands, means = [], []
        for number in range(rounds):
            index = torch.arange(self._physics.num_envs, device=grid.device) + number * self._physics.num_envs
            target = grid[index % len(grid)]
            self.restart()
            self._hold(target, _ramp_s(self._embodiment) + SETTLE_S)
            velocity = torch.stack(self._hold(target, MEAN_S)).mean(0)
            commands.append(target)
            means.append(torch.where(self._fell[:, None], torch.nan, velocity))
        return TrackingResult(command=torch.cat(commands), velocity=torch.cat(means))

    @torch.no_grad()
    def walk_pushed(self, *, minutes: float) -> FallResult:
        """Walk random commands under pushes; ``minutes`` is the simulated time summed over the environments."""
        count = self._physics.num_envs
        steps = round(minutes * 60.0 * DRIVE_HZ / count)
        self.restart()
        target, falls, broken = self._random_command(), 0, 0
        # Every robot gets its pushes and commands at its own times.
        clock = torch.randint(0, 10_000, (count,), generator=self._generator, device=self._physics.device)
        for step in range(steps):
            if step % round(REDRAW_S * DRIVE_HZ) == 0:
                self._dynamics.resample(self._everyone)
            due = (clock + step) % round(COMMAND_S * DRIVE_HZ) == 0
            target = torch.where(due[:, None], self._random_command(), target)
            pushed = (clock + step) % round(PUSH_S * DRIVE_HZ) == 0
            self._dynamics.push(pushed, torch.full((count,), PUSH_MPS, device=self._physics.device))
            self.walk(target)
            falls += int(self._fell.sum())
            broken += int(self._physics.broken().sum())
            self._reset(self._fell)
        return FallResult(minutes=steps * count / DRIVE_HZ / 60.0, falls=falls, broken=broken)

    @torch.no_grad()
    def stop(self, *, rounds: int) -> StopResult:
        """Walk a random command, then stand."""
        parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for _ in range(rounds):
            self.restart()
            self._hold(self._random_command(), COMMAND_S)
            stand = torch.zeros_like(self._command)
            stopped = torch.stack([_is_still(v) for v in self._hold(stand, STOP_S)]).any(0)
            place = self._physics.position_w[:, :2].clone()
            quiet = torch.stack([_is_still(v) for v in self._hold(stand, STAND_S)]).float().mean(0)
            drift = (self._physics.position_w[:, :2] - place).norm(dim=-1)
            parts.append((stopped & ~self._fell, torch.where(self._fell, torch.nan, drift), quiet))
        stopped, drift, quiet = (torch.cat(column) for column in zip(*parts, strict=True))
        return StopResult(stopped=stopped, drift_m=drift, quiet_fraction=quiet)

    def _hold(self, target: torch.Tensor, duration_s: float) -> list[torch.Tensor]:
        """Hold a target (B, 3) and return the velocities (B, 3) after every drive step."""
        velocities = []
        for _ in range(round(duration_s * DRIVE_HZ)):
            self.walk(target)
            velocities.append(self._physics.velocity_b.clone())
        return velocities

    def _reset(self, mask: torch.Tensor) -> None:
        if bool(mask.any()):
            zeros = torch.zeros(len(mask), 2, device=mask.device)
            self._physics.reset(mask, zeros, zeros[:, 0])
            self._controller.reset(mask)
            self._dynamics.hold(mask, self._controller.default_rad.expand(len(mask), -1))
            self._command = torch.where(mask[:, None], 0.0, self._command)
            self._fell = self._fell & ~mask

    def _random_command(self) -> torch.Tensor:
        unit = torch.rand(self._physics.num_envs, 3, generator=self._generator, device=self._physics.device)
        return self._range[0] + (self._range[1] - self._range[0]) * unit


def _accelerations(embodiment: Embodiment) -> torch.Tensor:
    limits = embodiment.limits
    return torch.tensor([limits.acceleration_mps2, limits.acceleration_mps2, limits.yaw_acceleration_radps2])


def _ramp_s(embodiment: Embodiment) -> float:
    """Return the time to ramp to the largest command of the grid with the robot's accelerations."""
    return float((command_range(embodiment).abs().amax(0) / _accelerations(embodiment)).max())


def _is_still(velocity: torch.Tensor) -> torch.Tensor:
    return (velocity[:, :2].norm(dim=-1) < STOP_SPEED_MPS) & (velocity[:, 2].abs() < STOP_YAW_RATE_RADPS)
