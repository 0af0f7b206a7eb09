"""When an episode ends and what is written down about it."""

from dataclasses import dataclass

import torch

from embodiments.spaces import CONTROL_DT_S, CONTROL_HZ, STAND_SPEED_MPS, STAND_YAW_RATE_RADPS

SUCCESS_SPEED_MPS = 0.1
SUCCESS_YAW_RATE_RADPS = 0.1
SUCCESS_HEADING_RAD = 0.1
SETTLE_S = 2.5
"""How long an episode goes on after a success to see whether it settles: a mean over 1 s, held for 1 s, and some."""
_SECOND = round(CONTROL_HZ)


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
    """Physics failed in this environment or the policy's answer was no number; the episode counts as failed."""
    time_s: torch.Tensor
    path_m: torch.Tensor
    """From positions 1 s apart: a walking body sways"""
    distance_to_goal_m: torch.Tensor
    geodesic_m: torch.Tensor
    """Geodesic distance left at the end"""
    min_clearance_m: torch.Tensor
    jerk_mps3: torch.Tensor
    stopped_s: torch.Tensor
    """Time below both stand thresholds"""
    energy_j: torch.Tensor
    """Mechanical work of the motors; nan where it is not measured"""


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
    collision: torch.Tensor
    fall: torch.Tensor
    broken: torch.Tensor


class EpisodeTracker:
    """Counts time, notices success, and keeps what the outcome needs."""

    def __init__(self, num_envs: int, *, radius_m: float, needs_heading: bool, settle_s: float, device: str) -> None:
        """Prepare for ``num_envs`` episodes; after a success they go on for up to ``settle_s``, see ``settle_for``."""
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
        recorded = ("time_s", "path_m", "distance", "geodesic", "clearance", "jerk", "stopped_s", "energy_j")
        self._values = {name: zeros.clone() for name in recorded}
        self._jerk_sum = zeros.clone()
        self._anchor_w = torch.zeros(num_envs, 2, device=device)
        self._whole_path_m = zeros.clone()
        self._past_velocity_w = torch.zeros(num_envs, 2, 2, device=device)
        # last second of: vx, vy, yaw rate, distance, sine and cosine of the heading error
        self._window = torch.full((num_envs, _SECOND, 6), torch.inf, device=device)

    def settle_for(self, seconds: float) -> None:
        """Let episodes go on after a success for up to so long, to see whether it settles."""
        self._settle_steps = round(seconds * CONTROL_HZ)

    @property
    def steps(self) -> torch.Tensor:
        """(B,) control steps since the episode began."""
        return self._steps

    def begin(self, mask: torch.Tensor, position_w: torch.Tensor) -> None:
        """Forget the last episode of the masked environments; they start at ``position_w`` (B, 2)."""
        for counter in (self._steps, self._since_success, self._held):
            counter[mask] = 0
        self._success &= ~mask
        self._settled &= ~mask
        for value in self._values.values():
            value[mask] = 0.0
        self._values["clearance"][mask] = torch.inf
        self._jerk_sum[mask] = 0.0
        self._whole_path_m[mask] = 0.0
        self._anchor_w[mask] = position_w[mask]
        self._past_velocity_w[mask] = 0.0
        self._window[mask] = torch.inf

    def update(self, facts: StepInfo, active: torch.Tensor, time_limit_s: torch.Tensor) -> dict[str, torch.Tensor]:
        """Take in one control step; return (B,) booleans: succeeded (just now), ended, timeout."""
        self._steps += active.long()
        self._record(facts, active & ~self._success)
        arrived = self._within(
            facts.distance_m, facts.velocity_b[:, :2].norm(dim=1), facts.velocity_b[:, 2], facts.heading_error_rad
        )
        failed = facts.collision | facts.fall | facts.broken
        succeeded = active & arrived & ~failed & ~self._success
        self._settle(facts, active)
        self._since_success += (self._success & active).long()
        self._success |= succeeded
        timeout = active & (self._steps * CONTROL_DT_S >= time_limit_s - 1e-4) & ~self._success & ~failed
        over = self._success & (self._settled | (self._since_success >= self._settle_steps))
        return {"succeeded": succeeded, "timeout": timeout, "ended": active & (failed | over | timeout)}

    def outcome(self, facts: StepInfo, episode: torch.Tensor, timeout: torch.Tensor) -> Outcome:
        """Return the record of every environment; it is of use where an episode has ended."""
        failed_first = ~self._success
        return Outcome(
            episode=episode.clone(),
            success=self._success.clone(),
            success_settled=self._settled & self._success,
            collision=facts.collision & failed_first,
            fall=facts.fall & failed_first,
            timeout=timeout.clone(),
            broken=facts.broken & failed_first,
            time_s=self._values["time_s"].clone(),
            path_m=self._values["path_m"].clone(),
            distance_to_goal_m=self._values["distance"].clone(),
            geodesic_m=self._values["geodesic"].clone(),
            min_clearance_m=self._values["clearance"].clone(),
            jerk_mps3=self._values["jerk"].clone(),
            stopped_s=self._values["stopped_s"].clone(),
            energy_j=self._values["energy_j"].clone(),
        )

    def _within(
        self, distance_m: torch.Tensor, speed_mps: torch.Tensor, yaw_rate: torch.Tensor, heading: torch.Tensor
    ) -> torch.Tensor:
        still = (speed_mps < SUCCESS_SPEED_MPS) & (yaw_rate.abs() < SUCCESS_YAW_RATE_RADPS)
        turned = heading.abs() < SUCCESS_HEADING_RAD if self._needs_heading else torch.ones_like(still)
        return (distance_m < self._radius_m) & still & turned

    def _settle(self, facts: StepInfo, active: torch.Tensor) -> None:
        """Ask the same of the 1 s mean, held for 1 s."""
        error_rad = facts.heading_error_rad
        facing = torch.stack([facts.distance_m, error_rad.sin(), error_rad.cos()], dim=1)
        now = torch.cat([facts.velocity_b, facing], dim=1)
        self._window = torch.cat([self._window[:, 1:], now[:, None]], dim=1)
        mean = self._window.mean(dim=1)  # (B, 6), inf or nan until a second has passed
        heading = torch.atan2(mean[:, 4], mean[:, 5])
        holds = self._within(mean[:, 3], mean[:, :2].norm(dim=1), mean[:, 2], heading)
        self._held = torch.where(holds & active, self._held + 1, 0)
        self._settled |= self._held >= _SECOND

    def _record(self, facts: StepInfo, running: torch.Tensor) -> None:
        values = self._values
        since_anchor = (facts.position_w - self._anchor_w).norm(dim=1)
        second = running & (self._steps % _SECOND == 0)
        path = self._whole_path_m + since_anchor
        self._whole_path_m = torch.where(second, path, self._whole_path_m)
        self._anchor_w = torch.where(second[:, None], facts.position_w, self._anchor_w)
        jerk = (facts.velocity_w - 2 * self._past_velocity_w[:, 1] + self._past_velocity_w[:, 0]).norm(dim=1)
        counted = running & (self._steps >= 3)
        self._jerk_sum += torch.where(counted, jerk / CONTROL_DT_S**2, 0.0)
        self._past_velocity_w = torch.stack([self._past_velocity_w[:, 1], facts.velocity_w], dim=1)
        velocity_b = facts.velocity_b
        stands = (velocity_b[:, :2].norm(dim=1) < STAND_SPEED_MPS) & (velocity_b[:, 2].abs() < STAND_YAW_RATE_RADPS)
        fresh = {
            "time_s": self._steps * CONTROL_DT_S,
            "path_m": path,
            "distance": facts.distance_m,
            "geodesic": facts.geodesic_m,
            "clearance": torch.minimum(values["clearance"], facts.clearance_m),
            "jerk": torch.where(self._steps >= 3, self._jerk_sum / (self._steps - 2).clamp(min=1), torch.nan),
            "stopped_s": values["stopped_s"] + stands * CONTROL_DT_S,
            "energy_j": values["energy_j"] + facts.work_j,
        }
        for name, value in fresh.items():
            values[name] = torch.where(running, value, values[name])
