"""When an episode ends, and the record of how it ended."""

from dataclasses import dataclass

import torch

from embodiments.spaces import CONTROL_DT_S, CONTROL_HZ, STAND_SPEED_MPS, STAND_YAW_RATE_RADPS

SUCCESS_SPEED_MPS = 0.1
SUCCESS_YAW_RATE_RADPS = 0.1
SUCCESS_HEADING_RAD = 0.1
SETTLE_S = 2.5
"""Longest time that an episode continues after a success to see whether it settles: a 1 s mean, held for 1 s."""
STOOD_S = 0.5
"""Who touches a robot that has stood for so long has walked into it."""
NEAR_PERSON_M = 0.3
_SECOND = round(CONTROL_HZ)
_RECORDED = (
    "time_s",
    "path_m",
    "distance_to_goal_m",
    "geodesic_m",
    "min_clearance_m",
    "jerk_mps3",
    "stopped_s",
    "energy_j",
    "person_bumped",
    "near_person_s",
)
"""Fields of an outcome that are recorded until the first success"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One row per environment, valid where an episode has just ended; frozen at the first success."""

    episode: torch.Tensor
    """(B,) int64, index into the episode set"""
    success: torch.Tensor
    success_settled: torch.Tensor
    collision: torch.Tensor
    fall: torch.Tensor
    timeout: torch.Tensor
    broken: torch.Tensor
    """The physics failed or the policy's command was not finite; the episode counts as failed."""
    time_s: torch.Tensor
    path_m: torch.Tensor
    """From positions 1 s apart, because a walking body sways"""
    distance_to_goal_m: torch.Tensor
    geodesic_m: torch.Tensor
    """Remaining geodesic distance at the end"""
    min_clearance_m: torch.Tensor
    jerk_mps3: torch.Tensor
    stopped_s: torch.Tensor
    """Time below both stand thresholds"""
    energy_j: torch.Tensor
    """Mechanical work of the motors; nan where it is not measured"""
    person_bumped: torch.Tensor
    """Whether somebody walked into the robot after it had stood for ``STOOD_S``; no collision of the robot's"""
    near_person_s: torch.Tensor
    """Time nearer than ``NEAR_PERSON_M`` to somebody"""


@dataclass(frozen=True, kw_only=True)
class StepInfo:
    """What happened in one control step; all (B,) but the vectors."""

    position_w: torch.Tensor
    """(B, 2)"""
    velocity_b: torch.Tensor
    """(B, 3) mean over the control step"""
    velocity_w: torch.Tensor
    """(B, 2)"""
    distance_m: torch.Tensor
    heading_error_rad: torch.Tensor
    geodesic_m: torch.Tensor
    clearance_m: torch.Tensor
    """Smallest over the control step"""
    work_j: torch.Tensor
    """Mechanical work of the motors in the control step; nan where it is not measured"""
    person_gap_m: torch.Tensor
    """Smallest gap to a person over the control step; inf without people"""
    person_bumped: torch.Tensor
    collision: torch.Tensor
    fall: torch.Tensor
    broken: torch.Tensor


class EpisodeTracker:
    """Counts time, detects success, and accumulates what the outcome needs."""

    def __init__(self, num_envs: int, *, radius_m: float, needs_heading: bool, settle_s: float, device: str) -> None:
        """Prepare for ``num_envs`` episodes; ``settle_s`` as for ``settle_for``."""
        self._radius_m = radius_m
        self._needs_heading = needs_heading
        self._device = device
        self.settle_for(settle_s)
        zeros = torch.zeros(num_envs, device=device)
        self._steps = zeros.long()
        self._since_success = zeros.long()
        self._held = zeros.long()
        self._success = zeros.bool()
        self._settled = zeros.bool()
        self._values = {name: zeros.clone() for name in _RECORDED}
        self._jerk_sum = zeros.clone()
        self._anchor_w = torch.zeros(num_envs, 2, device=device)
        self._whole_path_m = zeros.clone()
        self._past_velocity_w = torch.zeros(num_envs, 2, 2, device=device)
        # The last second of: vx, vy, yaw rate, distance, sine and cosine of the heading error
        self._window = torch.full((num_envs, _SECOND, 6), torch.inf, device=device)

    def settle_for(self, seconds: float) -> None:
        """Set how long an episode continues at most after a success, to see whether it settles."""
        self._settle_steps = round(seconds * CONTROL_HZ)

    @property
    def steps(self) -> torch.Tensor:
        """(B,) control steps since the episode began."""
        return self._steps

    def begin(self, mask: torch.Tensor, position_w: torch.Tensor) -> None:
        """Clear the masked environments; their new episodes start at ``position_w`` (B, 2)."""
        for counter in (self._steps, self._since_success, self._held):
            counter[mask] = 0
        self._success &= ~mask
        self._settled &= ~mask
        for value in self._values.values():
            value[mask] = 0.0
        self._values["min_clearance_m"][mask] = torch.inf
        self._jerk_sum[mask] = 0.0
        self._whole_path_m[mask] = 0.0
        self._anchor_w[mask] = position_w[mask]
        self._past_velocity_w[mask] = 0.0
        self._window[mask] = torch.inf

    def update(self, step: StepInfo, active: torch.Tensor, time_limit_s: torch.Tensor) -> dict[str, torch.Tensor]:
        """Process one control step; return (B,) bool each: ``succeeded`` (in this step), ``ended``, ``timeout``."""
        self._steps += active.long()
        self._record(step, active & ~self._success)
        arrived = self._within(
            step.distance_m, step.velocity_b[:, :2].norm(dim=1), step.velocity_b[:, 2], step.heading_error_rad
        )
        failed = step.collision | step.fall | step.broken
        succeeded = active & arrived & ~failed & ~self._success
        self._settle(step, active)
        self._since_success += (self._success & active).long()
        self._success |= succeeded
        timeout = active & (self._steps * CONTROL_DT_S >= time_limit_s - 1e-4) & ~self._success & ~failed
        over = self._success & (self._settled | (self._since_success >= self._settle_steps))
        return {"succeeded": succeeded, "timeout": timeout, "ended": active & (failed | over | timeout)}

    def outcome(self, step: StepInfo, episode: torch.Tensor, timeout: torch.Tensor) -> Outcome:
        """Return the record of every environment; only valid where an episode has just ended."""
        unsuccessful = ~self._success
        return Outcome(
            episode=episode.clone(),
            success=self._success.clone(),
            success_settled=self._settled & self._success,
            collision=step.collision & unsuccessful,
            fall=step.fall & unsuccessful,
            timeout=timeout.clone(),
            broken=step.broken & unsuccessful,
            **{name: value.clone() for name, value in self._values.items() if name != "person_bumped"},
            person_bumped=self._values["person_bumped"] > 0.0,
        )

    def _within(
        self, distance_m: torch.Tensor, speed_mps: torch.Tensor, yaw_rate: torch.Tensor, heading: torch.Tensor
    ) -> torch.Tensor:
        slow = (speed_mps < SUCCESS_SPEED_MPS) & (yaw_rate.abs() < SUCCESS_YAW_RATE_RADPS)
        turned = heading.abs() < SUCCESS_HEADING_RAD if self._needs_heading else torch.ones_like(slow)
        return (distance_m < self._radius_m) & slow & turned

    def _settle(self, step: StepInfo, active: torch.Tensor) -> None:
        """Check the success conditions on the 1 s mean, held for 1 s."""
        error_rad = step.heading_error_rad
        facing = torch.stack([step.distance_m, error_rad.sin(), error_rad.cos()], dim=1)
        now = torch.cat([step.velocity_b, facing], dim=1)
        self._window = torch.cat([self._window[:, 1:], now[:, None]], dim=1)
        mean = self._window.mean(dim=1)  # (B, 6), inf or nan until a second has passed
        heading = torch.atan2(mean[:, 4], mean[:, 5])
        holds = self._within(mean[:, 3], mean[:, :2].norm(dim=1), mean[:, 2], heading)
        self._held = torch.where(holds & active, self._held + 1, 0)
        self._settled |= self._held >= _SECOND

    def _record(self, step: StepInfo, running: torch.Tensor) -> None:
        values = self._values
        since_anchor = (step.position_w - self._anchor_w).norm(dim=1)
        second = running & (self._steps % _SECOND == 0)
        path = self._whole_path_m + since_anchor
        self._whole_path_m = torch.where(second, path, self._whole_path_m)
        self._anchor_w = torch.where(second[:, None], step.position_w, self._anchor_w)
        jerk = (step.velocity_w - 2 * self._past_velocity_w[:, 1] + self._past_velocity_w[:, 0]).norm(dim=1)
        counted = running & (self._steps >= 3)
        self._jerk_sum += torch.where(counted, jerk / CONTROL_DT_S**2, 0.0)
        self._past_velocity_w = torch.stack([self._past_velocity_w[:, 1], step.velocity_w], dim=1)
        fresh = {
            "time_s": self._steps * CONTROL_DT_S,
            "path_m": path,
            "distance_to_goal_m": step.distance_m,
            "geodesic_m": step.geodesic_m,
            "min_clearance_m": torch.minimum(values["min_clearance_m"], step.clearance_m),
            "jerk_mps3": torch.where(self._steps >= 3, self._jerk_sum / (self._steps - 2).clamp(min=1), torch.nan),
            "stopped_s": values["stopped_s"] + stands(step.velocity_b) * CONTROL_DT_S,
            "energy_j": values["energy_j"] + step.work_j,
            "near_person_s": values["near_person_s"] + (step.person_gap_m < NEAR_PERSON_M) * CONTROL_DT_S,
            "person_bumped": torch.maximum(values["person_bumped"], step.person_bumped.float()),
        }
        for name, value in fresh.items():
            values[name] = torch.where(running, value, values[name])


def stands(velocity_b: torch.Tensor) -> torch.Tensor:
    """Return (B,) bool: velocities (B, 3) below both stand thresholds."""
    return (velocity_b[:, :2].norm(dim=1) < STAND_SPEED_MPS) & (velocity_b[:, 2].abs() < STAND_YAW_RATE_RADPS)
