"""A person who walks back and forth across the route: visible in depth, counted as a collision, not on the map.

The person is an upright cylinder. Its ray casts are computed by formula, so that it moves without a new scene. It does
not walk through furniture. It stands still while the robot is near, so that every contact is caused by the robot.
"""

import math
from collections.abc import Callable

import torch

from embodiments.spaces import CONTROL_DT_S
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.delay import DRIVE_STEPS

RADIUS_M = 0.25
HEIGHT_M = 1.7
REACH_M = 2.0
"""Largest distance from the route to either side"""
YIELD_M = 0.4
"""A person stands still while the robot's footprint is nearer than this."""
START_CLEAR_M = 1.2
"""Least distance between a person and the robot's origin at the start of an episode."""
LEAST_SPEED_MPS = 0.1
"""Below this walking speed there is no person."""
_CROSSING_RANGE = (0.3, 0.7)
"""Fractions of the route between which a person may cross it"""
_AMPLE_CLEARANCE_M = 0.6
_STEP_M = 0.1

Clearance = Callable[[torch.Tensor], torch.Tensor]
"""Distance (B, Q) to the nearest obstacle of world points (B, Q, 2)"""


class Person:
    """At most one person per environment."""

    def __init__(self, num_envs: int, *, device: str) -> None:
        """Start without people."""
        zeros = torch.zeros(num_envs, device=device)
        self.present = zeros.bool()
        """(B,) bool"""
        self._centre_w, self._across_w = torch.zeros(2, num_envs, 2, device=device)
        self._along_m, self._low_m, self._high_m, self._velocity_mps = (zeros.clone() for _ in range(4))

    @property
    def xy_w(self) -> torch.Tensor:
        """(B, 2) position [m]; only valid where ``present``."""
        return self._centre_w + self._along_m[:, None] * self._across_w

    def begin(
        self,
        mask: torch.Tensor,
        *,
        speed_mps: torch.Tensor,
        phase: torch.Tensor,
        route_w_m: torch.Tensor,
        clearance: Clearance,
    ) -> None:
        """Place a person in the masked environments, where there is free space to cross the route.

        Args:
            mask: (B,) bool.
            speed_mps: (B,) walking speed.
            phase: (B,) in [0, 1): where between the two ends of the walk the person starts.
            route_w_m: (B, P, 2) from the robot to the goal.
            clearance: Distances in each environment's own scene.
        """
        centre_w, across_w = _crossing(route_w_m, clearance)
        low_m, high_m = _reach_m(centre_w, across_w, clearance)
        along_m = low_m + phase * (high_m - low_m)
        start_w = route_w_m[:, 0]

        def from_start_m(along: torch.Tensor) -> torch.Tensor:
            return (centre_w + along[:, None] * across_w - start_w).norm(dim=1)

        farther_m = torch.where(from_start_m(low_m) > from_start_m(high_m), low_m, high_m)
        along_m = torch.where(from_start_m(along_m) > START_CLEAR_M, along_m, farther_m)
        fits = (clearance(centre_w[:, None])[:, 0] > RADIUS_M) & (from_start_m(along_m) > START_CLEAR_M)
        present = fits & (speed_mps >= LEAST_SPEED_MPS)
        self.present = torch.where(mask, present, self.present)
        self._centre_w = torch.where(mask[:, None], centre_w, self._centre_w)
        self._across_w = torch.where(mask[:, None], across_w, self._across_w)
        self._along_m = torch.where(mask, along_m, self._along_m)
        self._low_m = torch.where(mask, low_m, self._low_m)
        self._high_m = torch.where(mask, high_m, self._high_m)
        self._velocity_mps = torch.where(mask, speed_mps, self._velocity_mps)

    def advance(self, body: BodyBatch, passed_w: torch.Tensor) -> torch.Tensor:
        """Walk for one control step; return the least clearance (B,) to the robot's footprint, inf without a person.

        Args:
            passed_w: (DRIVE_STEPS, B, 3) poses of the body after each drive step.
        """
        now_m = body.gap_m(self.xy_w, passed_w[0]) - RADIUS_M
        gaps_m = body.gap_m(self._walk(now_m > YIELD_M), passed_w) - RADIUS_M
        return torch.where(self.present, gaps_m.amin(dim=0), torch.inf)

    def _walk(self, free: torch.Tensor) -> torch.Tensor:
        """Walk where ``free`` (B,); return the positions after each drive step, (DRIVE_STEPS, B, 2)."""
        before_w = self.xy_w
        velocity = self._velocity_mps
        velocity = torch.where(self._along_m >= self._high_m, -velocity.abs(), velocity)
        velocity = torch.where(self._along_m <= self._low_m, velocity.abs(), velocity)
        moved = (self._along_m + velocity * CONTROL_DT_S).clamp(min=self._low_m, max=self._high_m)
        walks = self.present & free
        self._velocity_mps = torch.where(walks, velocity, self._velocity_mps)
        self._along_m = torch.where(walks, moved, self._along_m)
        fraction = torch.arange(1, DRIVE_STEPS + 1, device=before_w.device)[:, None, None] / DRIVE_STEPS
        return before_w + fraction * (self.xy_w - before_w)

    def cast(self, origin_w: torch.Tensor, directions_w: torch.Tensor) -> torch.Tensor:
        """Return where rays hit the person.

        Args:
            origin_w: (B, 3) [m].
            directions_w: (B, ..., 3), any length.

        Returns:
            (B, ...) in units of each direction's own length, inf on a miss: planar depth for rays whose component along
            the optical axis is 1. The top of the head is open: cameras stand lower.
        """
        wide = (slice(None), *[None] * (directions_w.dim() - 2))
        offset = (origin_w[:, :2] - self.xy_w)[wide]
        xy = directions_w[..., :2]
        # |offset + t xy|^2 = radius^2
        a = xy.square().sum(dim=-1).clamp(min=1e-9)
        b = (offset * xy).sum(dim=-1)
        c = offset.square().sum(dim=-1) - RADIUS_M**2
        root = b.square() - a * c
        distance = (-b - root.clamp(min=0.0).sqrt()) / a
        z = origin_w[:, 2][wide] + distance * directions_w[..., 2]
        hit = (root > 0.0) & (distance > 0.0) & (z > 0.0) & (z < HEIGHT_M) & self.present[wide]
        return torch.where(hit, distance, torch.inf)


def _crossing(route_w_m: torch.Tensor, clearance: Clearance) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the point (B, 2) with most clearance in the middle of the route, and the unit vector (B, 2) across it."""
    count = route_w_m.shape[1]
    first, last = (round(fraction * (count - 1)) for fraction in _CROSSING_RANGE)
    middle = route_w_m[:, first : last + 1]  # (B, Q, 2)
    off_centre = torch.linspace(-1.0, 1.0, middle.shape[1], device=route_w_m.device).abs()
    best = (clearance(middle).clamp(max=_AMPLE_CLEARANCE_M) - 0.05 * off_centre).argmax(dim=1) + first
    rows = torch.arange(len(route_w_m), device=route_w_m.device)
    along = torch.nn.functional.normalize(route_w_m[rows, best + 1] - route_w_m[rows, best - 1], dim=1)
    return route_w_m[rows, best], torch.stack([-along[:, 1], along[:, 0]], dim=1)


def _reach_m(centre_w: torch.Tensor, across_w: torch.Tensor, clearance: Clearance) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far (B,) the person can walk to the right (negative) and to the left before an obstacle."""
    steps = math.ceil(REACH_M / _STEP_M)
    ends = []
    for side in (-1.0, 1.0):
        offset = side * _STEP_M * torch.arange(1, steps + 1, device=centre_w.device)
        free = clearance(centre_w[:, None] + offset[:, None] * across_w[:, None]) > RADIUS_M
        ends.append(side * _STEP_M * free.long().cumprod(dim=1).sum(dim=1))
    return ends[0], ends[1]
