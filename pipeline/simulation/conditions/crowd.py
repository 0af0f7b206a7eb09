"""People who walk to goals of their own: seen in depth, counted for contact, on nobody's map.

They move by the social-force model: each is drawn along the path to the present goal, and pushed away by walls, by
other people and by the robot. A person notices the robot after a delay, then walks around it and gives it room; one who
cannot get past it turns round and walks back, so that nobody holds a doorway for good.

Source: Helbing and Molnar 1995, "Social force model for pedestrian dynamics".
"""

from dataclasses import dataclass

import numpy as np
import torch

from embodiments.spaces import CONTROL_DT_S
from pipeline.agents.truth import PERSON_RADIUS_M
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.delay import DRIVE_STEPS
from pipeline.simulation.physics.fields import FieldBank

MAX_PEOPLE = 4
PATH_POINTS = 64
RADIUS_M = PERSON_RADIUS_M
HEIGHT_M = 1.7
RELAXATION_S = 0.5
"""Time in which a person reaches the speed they want (Helbing and Molnar 1995)"""
PEOPLE_PUSH_MPS2, PEOPLE_RANGE_M = 2.1, 0.3
WALL_PUSH_MPS2, WALL_RANGE_M = 2.0, 0.1
"""Weaker and shorter than the model's own 5 m/s2 and 0.2 m, with which people stop before a door of 0.9 m"""
ROBOT_PUSH_MPS2, ROBOT_RANGE_M = 3.0, 0.4
BEHIND = 0.5
"""Weight of what is outside of a person's view of 200 degrees (Helbing and Molnar 1995)"""
_VIEW_COS = float(np.cos(np.deg2rad(100.0)))
LARGEST_SPEED = 1.3
"""Nobody walks faster than this times the speed they want."""
SIGHT_M = 4.0
"""A robot further away is not noticed."""
STOP_GAP_M = 0.05
"""Whoever has noticed the robot steps no nearer than this."""
BLOCKED = 0.3
"""A person slower than this times the wanted speed is being blocked, by the robot or by somebody else."""
AROUND_M, AROUND_GAP_M = 2.0, 0.25
"""Within the first distance whoever has noticed the robot aims past it, with the second between them"""
AHEAD_M = 0.5
"""How far ahead on the path the point lies that a person walks to"""


@dataclass(frozen=True, kw_only=True)
class CrowdPlan:
    """Who walks where in N episodes of K people."""

    path_w_m: np.ndarray
    """(N, K, PATH_POINTS, 2) equally spaced; both ends are goals, reached in turn"""
    start_m: np.ndarray
    """(N, K) distance along the path at the beginning"""
    speed_mps: np.ndarray
    """(N, K) wanted speed; 0 where nobody is"""
    notice_s: np.ndarray
    """(N, K) how long the robot must be in sight before a person gives it room"""
    patience_s: np.ndarray
    """(N, K) how long a person is blocked before they turn round"""

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.speed_mps)


class Crowd:
    """Up to ``MAX_PEOPLE`` people per environment."""

    def __init__(self, num_envs: int, *, device: str) -> None:
        """Start with nobody anywhere."""
        shape = (num_envs, MAX_PEOPLE)
        self.speed_mps = torch.zeros(shape, device=device)
        self.xy_w = torch.zeros(*shape, 2, device=device)
        """(B, K, 2) where they are [m]; meaningless where nobody is"""
        self.velocity_w = torch.zeros(*shape, 2, device=device)
        self._path_w = torch.zeros(*shape, PATH_POINTS, 2, device=device)
        self._spacing_m, self._along_m, self._direction = (torch.zeros(shape, device=device) for _ in range(3))
        self._notice_s, self._patience_s = (torch.zeros(shape, device=device) for _ in range(2))
        self._seen_s, self._blocked_s = (torch.zeros(shape, device=device) for _ in range(2))
        self._side = torch.zeros(shape, device=device)

    @property
    def present(self) -> torch.Tensor:
        """(B, K) bool."""
        return self.speed_mps > 0.0

    def begin(self, mask: torch.Tensor, plan: dict[str, torch.Tensor]) -> None:
        """Place the people of new episodes in the masked environments.

        Args:
            mask: (B,) bool.
            plan: The fields of ``CrowdPlan`` for every environment's episode, (B, K, ...).
        """
        path_w = plan["path_w_m"]
        spacing_m = (path_w[:, :, 1] - path_w[:, :, 0]).norm(dim=-1)
        new = {
            "_path_w": path_w,
            "_spacing_m": spacing_m,
            "_along_m": plan["start_m"],
            "speed_mps": torch.where(spacing_m > 0.0, plan["speed_mps"], 0.0),
            "_direction": torch.ones_like(spacing_m),
            "_notice_s": plan["notice_s"],
            "_patience_s": plan["patience_s"],
            "_seen_s": torch.zeros_like(spacing_m),
            "_blocked_s": torch.zeros_like(spacing_m),
            "_side": torch.zeros_like(spacing_m),
            "xy_w": _on_path(path_w, spacing_m, plan["start_m"]),
            "velocity_w": torch.zeros_like(self.velocity_w),
        }
        for name, value in new.items():
            now = getattr(self, name)
            setattr(self, name, torch.where(mask.view(-1, *[1] * (now.dim() - 1)), value, now))

    def walk(
        self, body: BodyBatch, passed_w: torch.Tensor, *, distance: FieldBank, scene_index: torch.Tensor
    ) -> torch.Tensor:
        """Walk on for one control step.

        Args:
            passed_w: (DRIVE_STEPS, B, 3) poses of the robot after each drive step.
            distance: Distance to the nearest obstacle of any height, in one layer (``FieldBank.lowest``).
            scene_index: (B,) int64.

        Returns:
            (B, K) least gap between each person and the robot's footprint in this step [m]; inf where nobody is.
        """
        if not bool(self.present.any()):
            return torch.full_like(self.speed_mps, torch.inf)
        robot_w = passed_w[0]
        before_w, gap_m = self.xy_w, self._gaps_m(body, self.xy_w, robot_w)
        self._notice(robot_w, gap_m)
        aware = self._seen_s >= self._notice_s
        velocity_w = self.velocity_w + CONTROL_DT_S * self._acceleration(robot_w, gap_m, aware, distance, scene_index)
        velocity_w = _limited(velocity_w, LARGEST_SPEED * self.speed_mps)
        after_w = _out_of_walls(before_w + CONTROL_DT_S * velocity_w, before_w, distance, scene_index)
        nearer = (self._gaps_m(body, after_w, robot_w) < gap_m) & (gap_m < STOP_GAP_M + RADIUS_M * 0.2)
        held = (aware & nearer) | ~self.present
        self.xy_w = torch.where(held[..., None], before_w, after_w)
        self.velocity_w = (self.xy_w - before_w) / CONTROL_DT_S
        self._advance()
        return self._least_gaps_m(body, before_w, passed_w)

    def cast(self, origin_w: torch.Tensor, directions_w: torch.Tensor) -> torch.Tensor:
        """Return where rays hit the nearest person; everybody is an upright cylinder.

        Args:
            origin_w: (B, 3) [m].
            directions_w: (B, ..., 3), any length.

        Returns:
            (B, ...) in units of each direction's own length, inf on a miss. The top of the head is open: cameras stand
            lower.
        """
        wide = (slice(None), *[None] * (directions_w.dim() - 2))
        across = directions_w[..., :2]
        squared = across.square().sum(dim=-1).clamp(min=1e-9)
        nearest = torch.full_like(squared, torch.inf)
        for person in range(MAX_PEOPLE):
            offset = (origin_w[:, :2] - self.xy_w[:, person])[wide]
            # |offset + t across|^2 = radius^2
            half = (offset * across).sum(dim=-1)
            root = half.square() - squared * (offset.square().sum(dim=-1) - RADIUS_M**2)
            distance = (-half - root.clamp(min=0.0).sqrt()) / squared
            z = origin_w[:, 2][wide] + distance * directions_w[..., 2]
            hit = (root > 0.0) & (distance > 0.0) & (z > 0.0) & (z < HEIGHT_M) & self.present[:, person][wide]
            nearest = torch.where(hit & (distance < nearest), distance, nearest)
        return nearest

    # -- inside ---------------------------------------------------------------------------------------------------

    def _gaps_m(self, body: BodyBatch, xy_w: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
        """Return the gap (B, K) between people at (B, K, 2) and the footprint at one pose (B, 3)."""
        return body.gap_m(xy_w.movedim(1, 0), pose_w).movedim(0, 1) - RADIUS_M

    def _least_gaps_m(self, body: BodyBatch, before_w: torch.Tensor, passed_w: torch.Tensor) -> torch.Tensor:
        """Return the least gap (B, K) over the drive steps; people move evenly between them."""
        fraction = torch.arange(1, DRIVE_STEPS + 1, device=before_w.device)[:, None, None] / DRIVE_STEPS
        start_w, end_w = (xy_w.movedim(1, 0)[:, None] for xy_w in (before_w, self.xy_w))
        at_w = start_w + fraction * (end_w - start_w)  # (K, DRIVE_STEPS, B, 2)
        gaps_m = body.gap_m(at_w, passed_w).amin(dim=1).movedim(0, 1) - RADIUS_M
        return torch.where(self.present, gaps_m, torch.inf)

    def _notice(self, robot_w: torch.Tensor, gap_m: torch.Tensor) -> None:
        """Count how long the robot has been in sight: near, and ahead of the person."""
        towards = robot_w[:, None, :2] - self.xy_w
        heading = self._wanted_direction()
        ahead = (towards * heading).sum(dim=-1) > _VIEW_COS * towards.norm(dim=-1)
        in_sight = ahead & (gap_m < SIGHT_M)
        self._seen_s = torch.where(in_sight, self._seen_s + CONTROL_DT_S, self._seen_s)

    def _wanted_direction(self, ahead_m: float = AHEAD_M) -> torch.Tensor:
        """Return the unit vectors (B, K, 2) to the points so far ahead on the paths."""
        target_w = _on_path(self._path_w, self._spacing_m, self._along_m + ahead_m * self._direction)
        return torch.nn.functional.normalize(target_w - self.xy_w, dim=-1)

    def _acceleration(
        self,
        robot_w: torch.Tensor,
        gap_m: torch.Tensor,
        aware: torch.Tensor,
        distance: FieldBank,
        scene_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return the sum of the social forces per mass (B, K, 2) [m/s^2]."""
        wanted = self._around(self._wanted_direction(), robot_w, gap_m, aware, distance, scene_index)
        drive = (self.speed_mps[..., None] * wanted - self.velocity_w) / RELAXATION_S
        from_robot = self.xy_w - robot_w[:, None, :2]
        robot = _push(from_robot, gap_m, wanted, push=ROBOT_PUSH_MPS2, reach_m=ROBOT_RANGE_M)
        return (
            drive + self._from_people(wanted) + _from_walls(self.xy_w, distance, scene_index) + aware[..., None] * robot
        )

    def _around(
        self,
        wanted: torch.Tensor,
        robot_w: torch.Tensor,
        gap_m: torch.Tensor,
        aware: torch.Tensor,
        distance: FieldBank,
        scene_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return the wanted directions (B, K, 2), past the robot where it stands in the way.

        Each passes on the side with more room beside the robot, and on the nearer side where both have enough.
        """
        offset = robot_w[:, None, :2] - self.xy_w
        apart_m = offset.norm(dim=-1).clamp(min=1e-3)
        berth_m = (apart_m - gap_m + AROUND_GAP_M).minimum(0.98 * apart_m)  # from the robot's centre to the person's
        towards = offset / apart_m[..., None]
        left = torch.stack([-towards[..., 1], towards[..., 0]], dim=-1)
        far = self._wanted_direction(AROUND_M)  # a nearer point of the path may lie inside the robot
        along, aside = (far * towards).sum(dim=-1), (far * left).sum(dim=-1)
        sine = berth_m / apart_m  # of the angle between the robot and the line that just passes it
        beside = [robot_w[:, None, :2] + sign * left * berth_m[..., None] for sign in (1.0, -1.0)]
        room = [(_wall_distance_m(point, distance, scene_index) - RADIUS_M).clamp(max=AROUND_GAP_M) for point in beside]
        better = torch.where(room[0] + 0.1 * aside > room[1] - 0.1 * aside, 1.0, -1.0)
        cosine = (1.0 - sine.square()).sqrt()
        in_the_way = aware & (gap_m < AROUND_M) & (along > cosine)
        # Whoever has chosen a side keeps it until they are past.
        self._side = torch.where(in_the_way, torch.where(self._side == 0.0, better, self._side), 0.0)
        past = towards * cosine[..., None] + left * (self._side * sine)[..., None]
        return torch.where(in_the_way[..., None], past, wanted)

    def _from_people(self, wanted: torch.Tensor) -> torch.Tensor:
        """Return how people push each other away, (B, K, 2)."""
        apart = self.xy_w[:, :, None] - self.xy_w[:, None]  # (B, K, K, 2)
        gap_m = apart.norm(dim=-1) - 2.0 * RADIUS_M
        others = self.present[:, None] & ~torch.eye(MAX_PEOPLE, dtype=torch.bool, device=apart.device)
        push = _push(apart, gap_m, wanted[:, :, None], push=PEOPLE_PUSH_MPS2, reach_m=PEOPLE_RANGE_M)
        return (push * others[..., None]).sum(dim=2)

    def _advance(self) -> None:
        """Move on along the path; turn round at its ends and when blocked for too long."""
        length_m = self._spacing_m * (PATH_POINTS - 1)
        points_m = torch.arange(PATH_POINTS, device=self.xy_w.device) * self._spacing_m[..., None]  # (B, K, P)
        made_m = (points_m - self._along_m[..., None]) * self._direction[..., None]
        off_m = (self._path_w - self.xy_w[..., None, :]).norm(dim=-1)
        near = torch.where((made_m >= 0.0) & (made_m <= AROUND_M), off_m, torch.inf).argmin(dim=-1, keepdim=True)
        passed_m = points_m.gather(-1, near)[..., 0]
        ahead = (passed_m - self._along_m) * self._direction > 0.0
        self._along_m = torch.where(ahead, passed_m, self._along_m).clamp(min=0.0).minimum(length_m)
        slow = self.velocity_w.norm(dim=-1) < BLOCKED * self.speed_mps
        self._blocked_s = torch.where(slow & self.present, self._blocked_s + CONTROL_DT_S, 0.0)
        at_end = torch.where(self._direction > 0.0, self._along_m >= length_m - AHEAD_M, self._along_m <= AHEAD_M)
        turns = at_end | (self._blocked_s >= self._patience_s)
        self._direction = torch.where(turns, -self._direction, self._direction)
        self._side = torch.where(turns, 0.0, self._side)
        self._blocked_s = torch.where(turns, 0.0, self._blocked_s)


def _on_path(path_w: torch.Tensor, spacing_m: torch.Tensor, along_m: torch.Tensor) -> torch.Tensor:
    """Return the points (B, K, 2) at distances (B, K) along paths (B, K, P, 2) of equal spacing (B, K)."""
    place = (along_m / spacing_m.clamp(min=1e-6)).clamp(0.0, PATH_POINTS - 1.001)
    low = place.floor()
    index = low.long()[..., None, None].expand(*low.shape, 1, 2)
    start, end = path_w.gather(2, index)[:, :, 0], path_w.gather(2, index + 1)[:, :, 0]
    return start + (place - low)[..., None] * (end - start)


def _push(
    apart: torch.Tensor, gap_m: torch.Tensor, wanted: torch.Tensor, *, push: float, reach_m: float
) -> torch.Tensor:
    """Return the acceleration (..., 2) away from somebody at ``apart`` (..., 2), weaker from behind."""
    away = torch.nn.functional.normalize(apart, dim=-1)
    in_view = -(away * wanted).sum(dim=-1) > _VIEW_COS
    size = push * torch.exp(-gap_m.clamp(min=0.0) / reach_m) * torch.where(in_view, 1.0, BEHIND)
    return size[..., None] * away


def _wall_distance_m(xy_w: torch.Tensor, distance: FieldBank, scene_index: torch.Tensor) -> torch.Tensor:
    """Return the distance (B, Q) to the nearest obstacle at world points (B, Q, 2)."""
    index = scene_index[:, None].expand(xy_w.shape[:2])
    return distance.sample(index, torch.zeros_like(index), xy_w)


def _from_walls(xy_w: torch.Tensor, distance: FieldBank, scene_index: torch.Tensor) -> torch.Tensor:
    """Return how walls and furniture push people (B, K, 2) away [m/s^2]."""
    wall_m, away = _wall(xy_w, distance, scene_index)
    size = WALL_PUSH_MPS2 * torch.exp(-(wall_m - RADIUS_M).clamp(min=0.0) / WALL_RANGE_M)
    return size[..., None] * away


def _wall(xy_w: torch.Tensor, distance: FieldBank, scene_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distance (B, K) to the nearest obstacle and the unit vector (B, K, 2) away from it."""
    step = distance.resolution_m
    offsets = xy_w.new_tensor([[0.0, 0.0], [step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]])
    points = (xy_w[:, :, None] + offsets).flatten(1, 2)  # (B, K * 5, 2)
    value = _wall_distance_m(points, distance, scene_index).unflatten(1, (-1, 5))
    slope = torch.stack([value[..., 1] - value[..., 2], value[..., 3] - value[..., 4]], dim=-1)
    return value[..., 0], torch.nn.functional.normalize(slope, dim=-1, eps=1e-6)


def _out_of_walls(
    after_w: torch.Tensor, before_w: torch.Tensor, distance: FieldBank, scene_index: torch.Tensor
) -> torch.Tensor:
    """Return the places (B, K, 2) moved out of obstacles; where that is not enough people stay where they were."""
    wall_m, away = _wall(after_w, distance, scene_index)
    moved_w = after_w + (RADIUS_M - wall_m).clamp(min=0.0)[..., None] * away
    still_inside = _wall_distance_m(moved_w, distance, scene_index) < RADIUS_M - distance.resolution_m
    return torch.where(still_inside[..., None], before_w, moved_w)


def _limited(velocity_w: torch.Tensor, most_mps: torch.Tensor) -> torch.Tensor:
    """Return velocities (B, K, 2) no faster than (B, K)."""
    speed = velocity_w.norm(dim=-1).clamp(min=1e-6)
    return velocity_w * (most_mps / speed).clamp(max=1.0)[..., None]
