"""How the teacher gives way: it tries commands against where people will be, and takes the one that costs least.

People are expected to walk on as they do. That is true for a second and wrong after three, so a predicted contact
counts less the later it is. A robot that stands is safe: whoever walks into it then is not its fault.
"""

import itertools

import torch

from embodiments.limits import action_to_command, active_dimensions, project
from embodiments.spaces import CONTROL_DT_S, LIMIT_FIELDS
from pipeline.agents.truth import PERSON_RADIUS_M, Truth
from world_model.local_planner.frames import moved

HORIZON_STEPS, EVERY = 20, 2
"""Control steps that are looked ahead, and how many of them one check covers"""
WALL_CHECKS, WALL_M = 6, 0.06
"""So many checks must keep this clearance of walls; further ahead the command will have changed"""
ROOM_M = 0.3
"""Gap to a person below which a command costs something"""
NEAR_M = 4.0
"""Further people are not waited for."""
FORGET_S = 0.6
"""Time after which a predicted contact counts by a factor e less"""
PERSON_COST_M, WALL_COST_M = 10.0, 20.0
"""What contact costs, in metres of the cost to go"""
STANDING = 0.15
"""What contact counts while the robot stands: people who see it stop, and whoever walks into it has bumped it"""
MOTION_MPS, MOTION_RADPS = 0.1, 0.5
"""Motion at which contact counts in full"""
MOVES = (-0.6, -0.3, 0.0, 0.35, 0.7, 1.0)
TURNS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SIDE_STEPS = ((0.0, 1.0), (0.0, -1.0), (0.5, 1.0), (0.5, -1.0))
"""Normalised forward and lateral actions for bodies that can move sideways"""
IGNORED_M = 0.3
"""Below this cost of contact the action that ignores people is right"""


def give_way(action: torch.Tensor, truth: Truth) -> torch.Tensor:
    """Return actions (B, 3): those given (B, 3) where nobody is in the way, better ones where somebody is."""
    distance_m = (truth.people_xy_w - truth.pose_w[:, None, :2]).norm(dim=-1)
    concerned = (truth.people_present & (distance_m < NEAR_M)).any(dim=1)
    if not bool(concerned.any()):
        return action
    candidates = _candidates(action, truth.descriptor)  # (C, B, 3)
    contact_m, rest_m = _costs_m(candidates, truth)
    best = candidates.gather(0, (contact_m + rest_m).argmin(dim=0)[None, :, None].expand(1, -1, 3))[0]
    in_the_way = concerned & (contact_m[0] > IGNORED_M)
    return torch.where(in_the_way[:, None], best, action)


def _candidates(action: torch.Tensor, descriptor: torch.Tensor) -> torch.Tensor:
    """Return the actions (C, B, 3) to choose from; the first is the given one (B, 3)."""
    driven = [(move, 0.0, turn) for move, turn in itertools.product(MOVES, TURNS)]
    aside = [(move, side, 0.0) for move, side in SIDE_STEPS]
    active = active_dimensions(descriptor)
    grid = action.new_tensor([*driven, *aside])[:, None] * active
    return torch.cat([action[None], grid.expand(-1, len(action), -1)])


def _costs_m(candidates: torch.Tensor, truth: Truth) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what contact with people and what the rest of each candidate (C, B, 3) costs, both (C, B) [m]."""
    count = len(candidates)
    descriptor = truth.descriptor.expand(count, -1, -1)
    target = action_to_command(candidates, descriptor)
    command, pose = truth.command.expand(count, -1, -1), truth.pose_w.expand(count, -1, -1)
    poses, motions = [], []
    for step in range(HORIZON_STEPS):
        command = project(target, command, descriptor)
        pose = moved(pose, command)
        if step % EVERY == EVERY - 1:
            poses.append(pose)
            motions.append(command[..., :2].norm(dim=-1) / MOTION_MPS + command[..., 2].abs() / MOTION_RADPS)
    path = torch.stack(poses)  # (T, C, B, 3)
    blame = STANDING + (1.0 - STANDING) * torch.stack(motions).clamp(max=1.0)
    time_s = CONTROL_DT_S * EVERY * torch.arange(1, len(path) + 1, device=pose.device)[:, None, None]
    fades = torch.exp(-time_s / FORGET_S)
    near = torch.zeros_like(path[..., 0])
    for person in range(truth.people_present.shape[1]):
        there_w = truth.people_xy_w[:, person] + time_s[..., None] * truth.people_velocity_w[:, person]  # (T, 1, B, 2)
        gap_m = truth.gap_at(there_w.expand_as(path[..., :2]), path) - PERSON_RADIUS_M
        near = torch.maximum(near, (1.0 - gap_m / ROOM_M).clamp(min=0.0, max=2.0) * truth.people_present[:, person])
    person_m = PERSON_COST_M * (near.square() * blame * fades).amax(dim=0)
    hit = (truth.clearance_at(path[:WALL_CHECKS]) < WALL_M).to(near.dtype)
    forward_mps = truth.descriptor[:, LIMIT_FIELDS.index("forward_mps")]
    slow = truth.cost_to_go_at(path[-1, ..., :2]) / forward_mps.clamp(min=0.1).sqrt()
    return person_m, WALL_COST_M * hit.amax(dim=0) + slow
