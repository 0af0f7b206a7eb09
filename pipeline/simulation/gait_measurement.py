"""How well a gait does what it is told: tracking over a grid of commands, stopping, falls."""

from typing import Any

import torch
from torch import nn

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.limits import project
from embodiments.spaces import CONTROL_HZ, DRIVE_HZ
from pipeline.simulation.gait_policy import GaitController
from pipeline.simulation.physics import RobotPhysics

WARM_UP_S = 2.0
TRACK_S = 5.0
STOP_S = 2.0
"""Time after the command went to zero before standing is judged."""
STAND_S = 2.0


def command_grid(embodiment: Embodiment) -> torch.Tensor:
    """Return the (G, 3) commands that a gait is measured on; the last one is standing."""
    limits = embodiment.limits
    forward = [-limits.reverse_mps, 0.0, 0.1, 0.3 * limits.forward_mps, 0.6 * limits.forward_mps, limits.forward_mps]
    yaw = [-limits.yaw_rate_radps, -0.4, 0.0, 0.15, 0.4, limits.yaw_rate_radps]
    grid = [(vx, 0.0, w) for vx in forward for w in yaw if (vx, w) != (0.0, 0.0)]
    grid += [(vx, vy, 0.0) for vx in (0.0, 0.3) for vy in (-limits.lateral_mps, 0.15, limits.lateral_mps)]
    return torch.tensor([*grid, (0.0, 0.0, 0.0)])


@torch.no_grad()
def measure_gait(embodiment: Embodiment, physics: RobotPhysics, network: nn.Module) -> dict[str, Any]:
    """Drive every command of the grid, then stop; nominal dynamics, no sensor noise, no pushes.

    Commands pass through ``limits.project`` at the control rate, as everywhere else: they start and stop with the
    robot's acceleration limits.

    Returns:
        Tracking errors as root mean squares, over commands, of (mean measured velocity - command); how much the
        instantaneous velocity sways; how still the robot stands; and the share of robots that fell.
    """
    grid = command_grid(embodiment)
    index = torch.arange(physics.num_envs) % len(grid)
    command = grid[index].to(physics.device)
    run = _Run(embodiment, physics, network)
    run.go(command, WARM_UP_S)
    velocity = run.go(command, TRACK_S)  # (T, B, 3)
    run.go(torch.zeros_like(command), STOP_S)
    still = run.go(torch.zeros_like(command), STAND_S)
    error = velocity.mean(0) - command
    upright = ~run.fell
    rms = (error[upright] ** 2).mean(0).sqrt()
    speed, yaw_rate = still[..., :2].norm(dim=-1)[:, upright], still[..., 2].abs()[:, upright]
    return {
        "robots": int(physics.num_envs),
        "fell_share": float(run.fell.float().mean()),
        "rms_vx_mps": float(rms[0]),
        "rms_vy_mps": float(rms[1]),
        "rms_yaw_rate_radps": float(rms[2]),
        "worst_vx_mps": float(error[upright, 0].abs().max()),
        "worst_yaw_rate_radps": float(error[upright, 2].abs().max()),
        "sway_speed_mps": float(velocity[:, upright, :2].std(0).norm(dim=-1).mean()),
        "sway_yaw_rate_radps": float(velocity[:, upright, 2].std(0).mean()),
        "stand_speed_mean_mps": float(speed.mean()),
        "stand_speed_p95_mps": float(speed.flatten().quantile(0.95)),
        "stand_yaw_rate_p95_radps": float(yaw_rate.flatten().quantile(0.95)),
        "stand_quiet_share": float(((speed < 0.1) & (yaw_rate < 0.1)).float().mean()),
        "fell_at": [_rounded(c) for c in grid[index[run.fell.cpu()].unique()]],
        "by_command": _by_command(grid, index.to(error.device), velocity.mean(0), upright),
    }


class _Run:
    """A gait in motion, remembering who fell."""

    def __init__(self, embodiment: Embodiment, physics: RobotPhysics, network: nn.Module) -> None:
        assert isinstance(embodiment.drive, GaitDrive)
        self.physics, self.network = physics, network
        self.descriptor = torch.as_tensor(embodiment.descriptor(), device=physics.device).expand(physics.num_envs, -1)
        self.command = torch.zeros(physics.num_envs, 3, device=physics.device)
        self.controller = GaitController(embodiment.drive, num_envs=physics.num_envs, device=physics.device)
        everyone = torch.ones(physics.num_envs, dtype=torch.bool, device=physics.device)
        zeros = torch.zeros(physics.num_envs, 2, device=physics.device)
        if physics.is_randomisable:
            physics.randomise(everyone, generator=torch.Generator(device=physics.device))  # back to nominal
        physics.reset(everyone, zeros, zeros[:, 0])
        self.fell = ~everyone
        self.substeps = round(1.0 / (DRIVE_HZ * physics.dt_s))

    def go(self, command: torch.Tensor, duration_s: float) -> torch.Tensor:
        """Track a command for a while and return the velocities (T, B, 3)."""
        velocities = []
        for step in range(round(duration_s * DRIVE_HZ)):
            if step % round(DRIVE_HZ / CONTROL_HZ) == 0:
                self.command = project(command, self.command, self.descriptor)
            action = self.network(self.controller.observe(self.physics, self.command))
            self.physics.set_position_targets(self.controller.act(action, self.command))
            self.physics.step(self.substeps)
            self.fell |= self.physics.fallen() | self.physics.broken()
            velocities.append(self.physics.velocity_b)
        return torch.stack(velocities)


def _by_command(
    grid: torch.Tensor, index: torch.Tensor, velocity: torch.Tensor, upright: torch.Tensor
) -> list[dict[str, Any]]:
    rows = []
    for number, command in enumerate(grid):
        chosen = upright & (index == number)
        if bool(chosen.any()):
            mean = velocity[chosen].mean(0)
            rows.append({"command": _rounded(command), "measured": _rounded(mean)})
    return rows


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(float(value), 3) for value in values]
