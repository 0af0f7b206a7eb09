"""Recordings of episodes beside their rows: trajectories for maps, and the last images before failures."""

from collections import deque

import numpy as np
import pandas as pd
import torch

from embodiments.spaces import CONTROL_HZ
from pipeline.evaluation.episodes.plan import Plan
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step

TRACE_STEPS = round(CONTROL_HZ / 2)
"""A trajectory has two positions per second."""
TRACES_PER_CELL = 4
"""Recorded trajectories per robot, scene kind and agent, for the report's maps."""
FRAMES = 5
FRAME_STEPS = round(CONTROL_HZ / 2)
"""The last images of a failed episode: so many, so many control steps apart."""
FAILURES_PER_AGENT = 4
"""Failed episodes whose images are recorded, per robot, agent and route."""
ENDINGS = ("success", "collision", "fall", "timeout", "broken")


class Trace:
    """Positions over time of all environments, thinned out."""

    def __init__(self) -> None:
        self._steps = 0
        self._episode: list[np.ndarray] = []
        self._pose_w: list[np.ndarray] = []

    def add(self, environment: NavigationEnvironment, step: Step) -> None:
        """Record the present positions, twice a second and where an episode begins or ends."""
        keep = step.first | step.terminated | step.truncated
        if self._steps % TRACE_STEPS == 0:
            keep = torch.ones_like(keep)
        self._steps += 1
        keep = keep & ~environment.idle
        if bool(keep.any()):
            self._episode.append(environment.episode[keep].cpu().numpy())
            self._pose_w.append(environment.pose_w[keep].cpu().numpy())

    def chosen(self, plan: Plan, table: pd.DataFrame, *, offset: int) -> dict[str, np.ndarray]:
        """Return the traces of the first episodes of every cell, in order of time."""
        episode, pose_w = np.concatenate(self._episode) - offset, np.concatenate(self._pose_w)
        rows = np.flatnonzero(plan.number < TRACES_PER_CELL)
        paths = [pose_w[episode == row] for row in rows]
        return _described(rows, plan, table) | {
            "start_w": plan.task.episodes.start_w[rows],
            "length": np.asarray([len(path) for path in paths], dtype=np.int64),
            "pose_w": np.concatenate([np.zeros((0, 3)), *paths]).astype(np.float32),
        }


class LastFrames:
    """The images before each failure, in a ring over all environments."""

    def __init__(self) -> None:
        self._ring: deque[torch.Tensor] = deque(maxlen=(FRAMES - 1) * FRAME_STEPS + 1)
        self._age: torch.Tensor | None = None
        self._episode: list[np.ndarray] = []
        self._depth_m: list[np.ndarray] = []
        self._pose_w: list[np.ndarray] = []

    def add(self, environment: NavigationEnvironment, step: Step, *, failed: torch.Tensor) -> None:
        """Add the present image; record the last ones of the environments that ``failed`` (B,) just now."""
        self._ring.append(step.observation.depth_m[:, 0].half())  # (B, H, W)
        self._age = torch.zeros_like(environment.episode) if self._age is None else self._age + 1
        self._age[step.first] = 0
        if not bool(failed.any()):
            return
        frames = []
        for back in range((FRAMES - 1) * FRAME_STEPS, -1, -FRAME_STEPS):  # oldest first
            there = self._age[failed] >= back
            frame = self._ring[max(len(self._ring) - 1 - back, 0)][failed]
            frames.append(frame * there[:, None, None])
        self._episode.append(environment.episode[failed].cpu().numpy())
        self._depth_m.append(torch.stack(frames, dim=1).cpu().numpy())  # (K, F, H, W)
        self._pose_w.append(environment.pose_w[failed].cpu().numpy())

    def chosen(self, plan: Plan, table: pd.DataFrame, *, offset: int) -> dict[str, np.ndarray]:
        """Return the failures with the lowest numbers, of all scenes in turn."""
        if not self._episode:
            return {}
        rows = np.concatenate(self._episode) - offset
        first = np.lexsort((rows, plan.number[rows]))[:FAILURES_PER_AGENT]
        return _described(rows[first], plan, table) | {
            "depth_m": np.concatenate(self._depth_m)[first],
            "pose_w": np.concatenate(self._pose_w)[first],
        }


def _described(rows: np.ndarray, plan: Plan, table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what says which episodes of a plan (K,) these are, and how they ended."""
    episodes, shown = plan.task.episodes, table.iloc[rows]
    endings = [next(name for name in ENDINGS if row[name]) for _, row in shown.iterrows()]
    return {
        **{name: shown[name].to_numpy(dtype=str) for name in ("embodiment", "agent", "route", "scene")},
        "scene_name": np.asarray([plan.task.scenes[index].name for index in episodes.scene_index[rows]], dtype=str),
        "episode": plan.number[rows],
        "ending": np.asarray(endings, dtype=str),
        "goal_w": episodes.goal_w[rows],
    }
