"""The planner's features of imported episodes, which their costmaps give from the first image on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from distill.recordings import depth_from_mm
from embodiments.observation import Observation
from pipeline.data_formats.drive import Drive
from pipeline.runs.progress import progress
from world_model import anticipation
from world_model.anticipation import Anticipation
from world_model.fixed_batches import ROWS_AT_ONCE
from world_model.local_planner.map_edge import hold_goal


def with_plan_features(drives: Sequence[Drive], network: Anticipation) -> list[Drive]:
    """Return drives with ``plan_features``; a new costmap begins where ``first`` says so.

    Args:
        drives: With every other field; those that have this one, too, stay as they are.
    """
    open_ = [index for index, drive in enumerate(drives) if "plan_features" not in drive.rows]
    found = list(drives)
    if not open_:
        return found
    with progress(len(open_), "plan") as bar:
        for low in range(0, len(open_), ROWS_AT_ONCE):
            group = open_[low : low + ROWS_AT_ONCE]
            for index, features in zip(group, _planned([drives[i] for i in group], network), strict=True):
                found[index] = replace(drives[index], rows=drives[index].rows | {"plan_features": features})
            bar.advance(len(group))
    return found


@torch.no_grad()
def _planned(drives: Sequence[Drive], network: Anticipation) -> list[np.ndarray]:
    """Return the features (T, M) of each drive, stepped side by side."""
    state = torch.zeros(len(drives), anticipation.STATE_SIZE)
    features: list[list[np.ndarray]] = [[] for _ in drives]
    for step in range(max(map(len, drives))):
        running = [index for index, drive in enumerate(drives) if step < len(drive)]
        first = torch.as_tensor([bool(drives[index].rows["first"][step]) for index in running])
        observation = _observation([drives[index] for index in running], step)
        before = state[running] * (~first)[:, None]
        plan, after = anticipation.plan(network, *hold_goal(observation, before, before[:, :3]))
        state[running] = after
        for index, row in zip(running, plan.features().numpy(), strict=True):
            features[index].append(row)
    return [np.stack(rows).astype(np.float32) for rows in features]


def _observation(drives: Sequence[Drive], step: int) -> Observation[torch.Tensor]:
    def column(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([drive.rows[name][step] for drive in drives]))

    depth_m = np.stack([depth_from_mm(drive.rows["depth_mm"][step]) for drive in drives])[:, None]
    return Observation(
        depth_m=torch.from_numpy(depth_m),
        velocity_b=column("velocity_b"),
        previous_command=column("previous_command"),
        route_xy_b_m=column("route_xy_b_m"),
        goal_b=column("goal_b"),
        descriptor=column("embodiment"),
    )
