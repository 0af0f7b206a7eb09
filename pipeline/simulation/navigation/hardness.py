"""How hard scenes are: how often the straight line to the goal is blocked, and how much longer the path is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from embodiments.embodiment import Embodiment
from pipeline.simulation.navigation.episodes import (
    FEASIBLE_FRACTION,
    EpisodeSet,
    SceneFields,
    build_episodes,
)
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.fields import FieldBank
from pipeline.simulation.physics.randomisation import nominal
from scenes.scene import Scene

REQUIRED_BLOCKED = {"office": 0.60}
"""Least fraction of COMPASS episodes with a blocked straight line, per kind; elsewhere ``REQUIRED_ELSEWHERE``."""
REQUIRED_ELSEWHERE = 0.40
_STEP_M = 0.05


@dataclass(frozen=True, kw_only=True)
class Hardness:
    """Figures of one kind of scene for one body, over COMPASS episodes."""

    kind: str
    embodiment: str
    episodes: int
    blocked: float
    """Fraction of episodes in which the body collides when it drives straight to the goal"""
    detour_median: float
    """Geodesic distance over straight distance"""
    detour_p90: float
    in_time: float
    """Fraction of the sampled episodes whose fastest drive takes at most ``FEASIBLE_FRACTION`` of the time limit"""

    @property
    def hard_enough(self) -> bool:
        """Whether the straight line is blocked as often as required."""
        return self.blocked >= REQUIRED_BLOCKED.get(self.kind, REQUIRED_ELSEWHERE)


def measure(
    embodiment: Embodiment, scenes: Sequence[Scene], fields: Sequence[SceneFields], *, per_scene: int, seed: int
) -> Hardness:
    """Sample COMPASS episodes in scenes of one kind, all as evaluation sets them; return how hard they are."""
    episodes = build_episodes(
        embodiment,
        scenes,
        fields,
        protocol="compass",
        per_scene=per_scene,
        route="straight",
        seed=seed,
    )
    feasible = episodes.fastest_time_s <= FEASIBLE_FRACTION * episodes.time_limit_s
    straight = np.linalg.norm(episodes.goal_w[:, :2] - episodes.start_w[:, :2], axis=1)
    detour = episodes.initial_geodesic_m / straight
    return Hardness(
        kind=scenes[0].kind,
        embodiment=embodiment.name,
        episodes=len(detour),
        blocked=float(blocked(embodiment, fields, episodes).mean()),
        detour_median=float(np.median(detour)),
        detour_p90=float(np.quantile(detour, 0.9)),
        in_time=float(feasible.mean()),
    )


def blocked(embodiment: Embodiment, fields: Sequence[SceneFields], episodes: EpisodeSet) -> np.ndarray:
    """Return (N,) bool: whether the body collides on the straight line to the goal, facing the goal."""
    start, goal = episodes.start_w[:, :2], episodes.goal_w[:, :2]
    offset = goal - start
    samples = int(np.ceil(np.linalg.norm(offset, axis=1).max() / _STEP_M)) + 1
    fraction = np.linspace(0.0, 1.0, samples)[None, :, None]
    xy = start[:, None] + fraction * offset[:, None]  # (N, P, 2)
    yaw = np.broadcast_to(np.arctan2(offset[:, 1], offset[:, 0])[:, None, None], (*xy.shape[:2], 1))
    pose_w = torch.as_tensor(np.concatenate([xy, yaw], axis=-1), dtype=torch.float32).view(-1, 3)
    index = torch.as_tensor(episodes.scene_index).repeat_interleave(samples)
    body = BodyBatch(embodiment, num_envs=len(pose_w), block=nominal(), generator=torch.Generator(), device="cpu")
    bank = FieldBank([field.distance for field in fields], device="cpu")
    touching = body.clearance_m(bank, index, pose_w) < 0.0
    return touching.view(len(start), samples).any(dim=1).numpy()


def table(rows: Sequence[Hardness]) -> str:
    """Return the figures as a text table."""
    lines = [
        f"{'scene':<18}{'robot':<12}{'episodes':>9}{'blocked':>9}{'required':>10}{'detour':>8}{'p90':>6}{'in time':>9}"
    ]
    for row in rows:
        required = REQUIRED_BLOCKED.get(row.kind, REQUIRED_ELSEWHERE)
        remark = "" if row.hard_enough else "  too easy"
        lines.append(
            f"{row.kind:<18}{row.embodiment:<12}{row.episodes:>9}{row.blocked:>9.0%}{required:>10.0%}"
            f"{row.detour_median:>8.2f}{row.detour_p90:>6.2f}{row.in_time:>9.0%}{remark}"
        )
    return "\n".join(lines)
