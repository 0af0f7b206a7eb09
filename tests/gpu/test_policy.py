"""The policy's step on CUDA against the graph on the CPU: the same frames, the same state before each of them."""

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from distill.pretraining import pretraining_loss
from embodiments.observation import Observation
from tests.world_model.local_planner.driven_robots import DrivenRobots
from tests.world_model.test_base_policy import policy
from tests.world_model.test_world_model import networks, windows
from world_model import anticipation
from world_model.anticipation import INPUTS, SIDE, Anticipation
from world_model.base_policy import BasePolicy
from world_model.checkpoint import load_module
from world_model.config import LossWeights
from world_model.local_planner import costmap, planner
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.map_edge import hold_goal
from world_model.local_planner.stand_in import graph_only

STEPS = 30
SAME = 1e-3
"""Largest difference of what is nearly always the same: commands in parts of the limits, metres, relative sizes"""
RARE = 2e-3
"""Fraction of values that may differ by more: of pixels that are equally near, or ways that are equally good, either is
taken, and the last bit decides"""


def network() -> Anticipation:
    """Return the shipped one."""
    folder = Path(__file__).parents[2] / "export" / "pretrained" / "anticipation"
    return load_module(Anticipation, folder, "anticipation").eval()


def base_policy() -> BasePolicy:
    """Return an untrained one with the shipped anticipation network."""
    base = policy()
    base.world_model.anticipation = network()
    return base


def frames() -> Iterator[Observation[Tensor]]:
    """Drive robots by the local planner on the CPU, and yield what they see before every step."""
    robots, state = DrivenRobots(batch=8, seed=5), torch.zeros(8, planner.STATE_SIZE)
    for _ in range(STEPS):
        observation = robots.observe()
        yield observation
        action, state = planner.drive_step(observation, state)
        robots.drive(action)


def on(device: str, observation: Observation[Tensor]) -> Observation[Tensor]:
    return observation.map(lambda tensor: tensor.to(device))


def assert_nearly_the_same(here: Tensor, there: Tensor, device: str, *, fraction: float = RARE) -> None:
    """Check values, and that those of the device stayed there."""
    assert there.device.type == torch.device(device).type
    off = (here - there.cpu()).abs() > SAME * (1.0 + here.abs())
    assert float(off.float().mean()) <= fraction, f"{float(off.float().mean()):.5f} of the values differ"


@torch.no_grad()
def test_obstacle_points(device: str) -> None:
    with graph_only():
        for observation in frames():
            there = on(device, observation)
            here = obstacle_points(observation.depth_m, observation.descriptor)
            assert_nearly_the_same(here, obstacle_points(there.depth_m, there.descriptor), device)


@torch.no_grad()
def test_costmap(device: str) -> None:
    """Every field of the costmap after an update from the same costmap."""
    with graph_only():
        state = torch.zeros(8, costmap.STATE_SIZE)
        for observation in frames():
            held, state = hold_goal(observation, state, state[:, :3])
            points, there = obstacle_points(held.depth_m, held.descriptor), on(device, held)
            here = costmap.update(costmap.unpack(state), points, held)
            found = costmap.update(costmap.unpack(state.to(device)), points.to(device), there)
            assert_nearly_the_same(costmap.pack(here), costmap.pack(found), device)
            state = costmap.pack(here)


@torch.no_grad()
def test_anticipation_network(device: str) -> None:
    here = network()
    there = copy.deepcopy(here).to(device)
    square = torch.rand(8, INPUTS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    assert_nearly_the_same(here(square), there(square.to(device)), device, fraction=0.0)


@torch.no_grad()
def test_whole_step_of_the_policy(device: str) -> None:
    """Action, features and state, from the same state each time; with the anticipated map."""
    here = base_policy()
    there = BasePolicy(world_model=copy.deepcopy(here.world_model).to(device), head=copy.deepcopy(here.head).to(device))
    with graph_only():
        state = here.initial_state(8)
        for observation in frames():
            expected = here.step(observation, state)
            found = there.step(on(device, observation), state.to(device))
            for name, one, other in zip(("action", "features", "state"), expected, found, strict=True):
                assert torch.isfinite(other).all(), name
                assert_nearly_the_same(one, other, device, fraction=0.05 if name == "action" else RARE)
            state = expected[2]
    assert here.world_model.state_size == state.shape[1] > anticipation.STATE_SIZE


def test_gradients_of_pre_training(device: str) -> None:
    """Loss and gradients of world model and base head on the same windows; nothing is sampled."""
    batch, (here, head) = windows(), networks()
    there, there_head = copy.deepcopy(here).to(device), copy.deepcopy(head).to(device)
    for modules, seen in (((here, head), batch), ((there, there_head), batch.to(device))):
        world_model, base_head = (module.eval() for module in modules)
        pretraining_loss(world_model, base_head, seen, LossWeights()).total.backward()
    for name, parameter in here.named_parameters():
        found = dict(there.named_parameters())[name]
        if parameter.grad is not None:
            assert found.grad is not None, name
            assert_nearly_the_same(parameter.grad, found.grad, device)
