"""What networks answer along imported episodes: the planner's features, and those of a base policy."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from distill.recordings import depth_from_mm
from embodiments.observation import Observation
from pipeline.data_formats.drive import Drive
from pipeline.runs.progress import progress
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.base_policy import BasePolicy
from world_model.collision_risk import CollisionRisk
from world_model.fixed_batches import ROWS_AT_ONCE
from world_model.local_planner.map_edge import hold_goal

Step = Callable[[Observation[torch.Tensor], torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
DEMONSTRATED_STD = 0.2
"""Of a demonstrated action, as a fraction of the limit: a person is not more certain than a specialist after PPO."""


def with_plan_features(drives: Sequence[Drive], network: Anticipation, risk: CollisionRisk) -> list[Drive]:
    """Return drives with ``plan_features``; a new costmap begins where ``first`` says so.

    Args:
        drives: With every other field; those that have this one, too, stay as they are.
        network: Completes the map that the planner plans on.
        risk: Slows the plan down.
    """
    open_ = [index for index, drive in enumerate(drives) if "plan_features" not in drive.rows]
    found = list(drives)
    if open_:
        made = side_by_side([drives[index] for index in open_], _plan_step(network, risk), anticipation.STATE_SIZE)
        for index, features in zip(open_, made, strict=True):
            found[index] = replace(drives[index], rows=drives[index].rows | {"plan_features": features})
    return found


def with_specialist_rows(drives: Sequence[Drive], base: BasePolicy) -> list[Drive]:
    """Return drives with what a specialist's recording holds: features of the base policy, and the demonstrated action.

    The action is a Gaussian around the demonstrated one, as certain as ``DEMONSTRATED_STD``.
    """
    made = side_by_side(drives, lambda observation, state: base.step(observation, state)[1:], base.state_size)
    found = []
    for drive, features in zip(drives, made, strict=True):
        mean = drive.rows["teacher_action"]
        log_std = np.full_like(mean, np.log(DEMONSTRATED_STD))
        found.append(replace(drive, rows=drive.rows | {"features": features, "mean": mean, "log_std": log_std}))
    return found


@torch.no_grad()
def side_by_side(drives: Sequence[Drive], step: Step, state_size: int) -> list[np.ndarray]:
    """Return what a recurrent step answers (T, ...) along each drive, a few drives at a time.

    Args:
        step: Observation and state (B, state_size), zero where ``first`` says so, to an answer and the next state.
    """
    found: list[np.ndarray] = []
    with progress(len(drives), "go through the episodes") as bar:
        for low in range(0, len(drives), ROWS_AT_ONCE):
            group = drives[low : low + ROWS_AT_ONCE]
            found += _stepped(group, step, state_size)
            bar.advance(len(group))
    return found


def _stepped(drives: Sequence[Drive], step: Step, state_size: int) -> list[np.ndarray]:
    state = torch.zeros(len(drives), state_size)
    answers: list[list[np.ndarray]] = [[] for _ in drives]
    for row in range(max(map(len, drives))):
        running = [index for index, drive in enumerate(drives) if row < len(drive)]
        first = torch.as_tensor([bool(drives[index].rows["first"][row]) for index in running])
        observation = _observation([drives[index] for index in running], row)
        answer, state[running] = step(observation, state[running] * (~first)[:, None])
        for index, one in zip(running, answer.numpy(), strict=True):
            answers[index].append(one)
    return [np.stack(rows).astype(np.float32) for rows in answers]


def _plan_step(network: Anticipation, risk: CollisionRisk) -> Step:
    def step(observation: Observation[torch.Tensor], state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        plan, state = collision_risk.plan(network, risk, *hold_goal(observation, state, state[:, :3]))
        return plan.features(), state

    return step


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
