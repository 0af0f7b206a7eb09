"""Rewards: progress along the geodesic by default, COMPASS's as an option."""

from dataclasses import dataclass

import torch

from pipeline.simulation.navigation.config import RewardConfig
from pipeline.simulation.navigation.tracker import StepInfo


@dataclass(frozen=True, kw_only=True)
class RewardTerms:
    """Inputs of the reward, (B,) unless stated. Privileged: training only."""

    cost_to_go_m: torch.Tensor
    last_cost_to_go_m: torch.Tensor
    distance_m: torch.Tensor
    heading_error_rad: torch.Tensor
    last_distance_m: torch.Tensor
    last_heading_error_rad: torch.Tensor
    clearance_m: torch.Tensor
    command_change: torch.Tensor
    """(B, 3), m/s, m/s and rad/s, divided by ``forward_mps``"""
    success: torch.Tensor
    collision: torch.Tensor
    fall: torch.Tensor
    forward_mps: torch.Tensor


def reward(terms: RewardTerms, config: RewardConfig) -> torch.Tensor:
    """Return the (B,) reward of one control step."""
    return _compass(terms) if config.kind == "compass" else _progress(terms, config)


def _progress(terms: RewardTerms, config: RewardConfig) -> torch.Tensor:
    potential = _heading_potential(terms.distance_m, terms.heading_error_rad, config)
    last_potential = _heading_potential(terms.last_distance_m, terms.last_heading_error_rad, config)
    near = (1.0 - terms.clearance_m / config.near_obstacle_m).clamp(0.0, 1.0)
    return (
        config.progress_per_m * (terms.last_cost_to_go_m - terms.cost_to_go_m).clamp(-1.0, 1.0)
        + config.heading * (potential - last_potential)
        + config.success * terms.success
        + config.collision * terms.collision
        + config.fall * terms.fall
        + config.action_change * terms.command_change.square().sum(dim=-1)
        + config.near_obstacle * near
        + config.time_per_step * terms.forward_mps
    )


def _heading_potential(distance_m: torch.Tensor, error_rad: torch.Tensor, config: RewardConfig) -> torch.Tensor:
    nearness = (1.0 - distance_m / config.heading_radius_m).clamp(0.0, 1.0)
    return -nearness * error_rad.abs() / torch.pi


def _compass(terms: RewardTerms) -> torch.Tensor:
    """Return -0.1 x distance per step, +200 at the goal, -100 at contact.

    Source: COMPASS (arXiv 2502.16372), released code v1.6.0, reward configuration.
    """
    return -0.1 * terms.distance_m + 200.0 * terms.success - 100.0 * (terms.collision | terms.fall)


class StepReward:
    """The reward of consecutive control steps; stores the previous distances."""

    def __init__(self, num_envs: int, config: RewardConfig, *, device: str) -> None:
        """Start without a previous step: the reward of the first step of an episode is meaningless."""
        self._config = config
        self._cost_to_go_m, self._distance_m, self._heading_error_rad = torch.zeros(3, num_envs, device=device)

    def after(
        self,
        step: StepInfo,
        *,
        cost_to_go_m: torch.Tensor,
        success: torch.Tensor,
        command_change: torch.Tensor,
        forward_mps: torch.Tensor,
    ) -> torch.Tensor:
        """Return the reward (B,) of a control step.

        Args:
            step: What happened in it.
            cost_to_go_m: (B,) clearance-weighted distance to the goal after it.
            success: (B,) bool.
            command_change: (B, 3) change of the command (m/s, m/s, rad/s), divided by ``forward_mps``.
            forward_mps: (B,) speed limit of the body.
        """
        terms = RewardTerms(
            cost_to_go_m=cost_to_go_m,
            last_cost_to_go_m=self._cost_to_go_m,
            distance_m=step.distance_m,
            last_distance_m=self._distance_m,
            heading_error_rad=step.heading_error_rad,
            last_heading_error_rad=self._heading_error_rad,
            clearance_m=step.clearance_m,
            command_change=command_change,
            success=success,
            collision=step.collision,
            fall=step.fall,
            forward_mps=forward_mps,
        )
        self._cost_to_go_m, self._distance_m = cost_to_go_m, step.distance_m
        self._heading_error_rad = step.heading_error_rad
        return reward(terms, self._config)
