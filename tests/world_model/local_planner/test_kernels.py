"""Compiled kernels against the graph: the same commands and maps on random and driven frames, whatever the batch."""

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher
from torch import Tensor

from embodiments import registry
from embodiments.observation import Observation, from_inputs
from export.graph import example_inputs
from tests.world_model.local_planner.driven_robots import ROBOTS, DrivenRobots
from tests.world_model.test_base_policy import policy
from world_model import anticipation
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module
from world_model.local_planner import cost_to_go, costmap, costmap_cells, planner
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.map_edge import hold_goal
from world_model.local_planner.planner import LocalPlan
from world_model.local_planner.stand_in import graph_only, kernel, stands_in

ROOT = Path(__file__).parents[3]
MODULES = [f"world_model.local_planner.kernels.{name}" for name in ("obstacles", "splatting", "sweeps", "reading")]
ACTION = 1e-4
"""Largest difference of a command, in parts of the body's limits"""
AIM_M = 1e-4
VANISHING_M = 0.05
"""The direction of a shorter aim is not defined: opposite ways are equally good, and rounding, the graph's too, turns
it"""
STATE = 2e-3
"""Largest difference of a costmap, relative to 1 + its size"""
POINT_M = 0.05
"""Of several pixels of a column that are equally near either may become its point"""

Plan = Callable[[Observation[Tensor], Tensor], tuple[LocalPlan, Tensor]]


def plan_of(name: str) -> tuple[Plan, int]:
    """Return the planner's step, on the measured or the anticipated map, and the size of its state."""
    if name == "planner":
        return planner.step, planner.STATE_SIZE
    network = load_module(Anticipation, ROOT / "export" / "pretrained" / "anticipation", "anticipation").eval()
    return lambda observation, state: anticipation.plan(network, observation, state), anticipation.STATE_SIZE


def held(plan: Plan, observation: Observation[Tensor], state: Tensor) -> tuple[LocalPlan, Tensor]:
    """Plan for goals at any distance."""
    return plan(*hold_goal(observation, state, state[:, :3]))


def both(function: Callable, *args: object, **kwargs: object) -> tuple:
    """Return what the graph answers, and what the kernel does."""
    with graph_only():
        graph = function(*args, **kwargs)
    assert stands_in((*args, *kwargs.values()))
    return graph, function(*args, **kwargs)


def assert_alike(graph: LocalPlan, compiled: LocalPlan) -> None:
    aims = graph.aim_b.norm(dim=1) > VANISHING_M
    torch.testing.assert_close(compiled.action[aims], graph.action[aims], atol=ACTION, rtol=0.0)
    torch.testing.assert_close(compiled.aim_b, graph.aim_b, atol=AIM_M, rtol=0.0)
    torch.testing.assert_close(compiled.stop_b, graph.stop_b, atol=AIM_M, rtol=0.0)
    assert aims.float().mean() > 0.8


@pytest.mark.parametrize(("name", "seed"), [("planner", 0), ("planner", 1), ("anticipating", 2)])
@torch.no_grad()
def test_robots_that_drive_by_either_get_the_same_commands(name: str, seed: int) -> None:
    """Each has its own state, fed back for 100 steps; the graph's command is executed."""
    plan, size = plan_of(name)
    robots = DrivenRobots(batch=8, seed=seed)
    state = compiled_state = torch.zeros(robots.batch, size)
    for _ in range(100):
        observation = robots.observe()
        with graph_only():
            expected, state = held(plan, observation, state)
        found, compiled_state = held(plan, observation, compiled_state)
        assert_alike(expected, found)
        robots.drive(expected.action)
        grids, compiled = state[:, : planner.STATE_SIZE], compiled_state[:, : planner.STATE_SIZE]
        torch.testing.assert_close(compiled, grids, atol=STATE, rtol=STATE)
        torch.testing.assert_close(compiled_state, state, atol=POINT_M, rtol=STATE)
    assert robots.pose_w[:, :2].norm(dim=1).mean() > 2.0  # they did drive


@pytest.mark.parametrize("name", ["planner", "anticipating"])
@torch.no_grad()
def test_random_frames_and_bodies(name: str) -> None:
    plan, size = plan_of(name)
    state = torch.zeros(16, size)
    for step in range(20):
        observation = from_inputs(example_inputs(size, batch=16, seed=step // 4))
        (expected, after), (found, compiled) = both(held, plan, observation, state)
        assert_alike(expected, found)
        grids, compiled_grids = after[:, : planner.STATE_SIZE], compiled[:, : planner.STATE_SIZE]
        torch.testing.assert_close(compiled_grids, grids, atol=STATE, rtol=STATE)
        state = after


@torch.no_grad()
def test_what_is_learned_is_untouched() -> None:
    """History and sample of a base policy are the same to the last bit."""
    base, robots = policy(), DrivenRobots(batch=4, seed=9)
    state = compiled = base.initial_state(4)
    for _ in range(10):
        observation = robots.observe()
        with graph_only():
            action, _, state = base.step(observation, state)
        found, _, compiled = base.step(observation, compiled)
        learned = slice(0, base.world_model.dynamic_size)
        assert torch.equal(compiled[:, learned], state[:, learned])
        torch.testing.assert_close(found, action, atol=ACTION, rtol=0.0)
        robots.drive(action.clip(-1.0, 1.0))


@torch.no_grad()
def test_a_robot_does_not_depend_on_its_batch() -> None:
    """Points, map and plan of each are those that it gets alone, to the last bit."""
    robots, state = DrivenRobots(batch=5, seed=3), torch.zeros(5, planner.STATE_SIZE)
    for _ in range(4):
        observation = robots.observe()
        plan, after = held(planner.step, observation, state)
        for row in range(5):
            one = slice(row, row + 1)
            alone, alone_after = held(planner.step, observation.rows(one), state[one])
            assert torch.equal(alone_after[0], after[row])
            assert all(torch.equal(value[0], whole[row]) for value, whole in zip(alone, plan, strict=True))
        state = after
        robots.drive(plan.action)


@torch.no_grad()
def test_a_tie_is_resolved_alike() -> None:
    """A wall across the way, the same on the left and on the right."""
    sight = torch.zeros(1, 64, 6)
    sight[0, :, 0], sight[0, :, 1] = 1.2, torch.linspace(-1.0, 1.0, 64)
    sight[0, :, 2:4] = torch.tensor([1.0, 0.4])
    body = torch.from_numpy(registry.get("tiago").descriptor())[None]
    goal = torch.tensor([[4.0, 0.0, 1.0, 0.0]])
    along = torch.linspace(0.1, 1.0, 10)[None, :, None]
    still = torch.zeros(1, 3)
    seen = Observation(
        depth_m=torch.zeros(1, 1, 40, 64),
        velocity_b=still,
        previous_command=still,
        route_xy_b_m=along * goal[:, None, :2],
        goal_b=goal,
        descriptor=body,
    )
    states = [costmap.empty(1, like=body)] * 2
    for _ in range(30):
        with graph_only():
            states[0] = costmap.update(states[0], sight, seen)
            expected = costmap.query(states[0], goal, body)
        states[1] = costmap.update(states[1], sight, seen)
        for one, other in zip(expected, costmap.query(states[1], goal, body), strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)


@given(seed=st.integers(0, 10_000), is_true=st.booleans())
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_every_function_for_itself(seed: int, is_true: bool) -> None:
    """Maps, poses and answers of a network as no drive makes them; places outside the map, too."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(3, *shape, generator=generator) * (high - low) + low

    grid = (costmap_cells.CELLS, costmap_cells.CELLS)
    evidence, seen, cost = uniform(*grid).square(), uniform(*grid), 5.0 * uniform(*grid)
    pose = uniform(3, low=-9.0, high=9.0)
    bodies = torch.stack([torch.from_numpy(registry.get(name).descriptor()) for name in ROBOTS[:3]])
    seen_now = from_inputs(example_inputs(1, batch=3, seed=seed))
    points = obstacle_points(seen_now.depth_m, bodies)
    side = (anticipation.SIDE, anticipation.SIDE)
    around = anticipation.Surroundings(
        distance_m=uniform(*side), still=uniform(*side), moving=uniform(len(anticipation.HORIZONS_S), *side)
    )
    trail = uniform(anticipation.TRAIL_SIZE, low=-4.0, high=4.0)
    distance_m = cost_to_go.distance_to_evidence_m(evidence)
    state = costmap.Costmap(pose=pose, evidence=evidence, seen=seen, cost_to_go=cost)
    calls = [
        both(costmap.entered, evidence, seen, points, pose),
        both(cost_to_go.distance_to_evidence_m, evidence),
        both(cost_to_go.corrected, cost, pose, seen_now, distance_m=distance_m, seen=seen, cost=cost),
        both(costmap.query, state, seen_now.goal_b, bodies),
        both(anticipation.square, evidence, seen, pose, trail),
        both(anticipation.onto_costmap, around, evidence, seen, pose, descriptor=bodies, is_true=is_true),
    ]
    for expected, found in calls:
        torch.testing.assert_close(tuple(found), tuple(expected), atol=2e-5, rtol=2e-5)


@torch.no_grad()
def test_what_is_not_a_number_ends_no_process() -> None:
    observation = DrivenRobots(batch=2, seed=0).observe()
    observation.depth_m[0], observation.velocity_b[0] = float("nan"), float("inf")
    for name in ("planner", "anticipating"):
        plan, size = plan_of(name)
        found, state = plan(observation, torch.zeros(2, size))
        alone, _ = plan(observation.rows(slice(1, 2)), torch.zeros(1, size))
        torch.testing.assert_close(found.action[1:], alone.action, atol=ACTION, rtol=0.0)
        assert state[1].isfinite().all()


def test_a_kernel_stands_in_on_a_cpu_without_gradients_only() -> None:
    values = torch.zeros(2)
    assert stands_in((values, (values, None, 3)))
    assert not stands_in((values.double(),)) and not stands_in((values, values.to("meta")))
    needs = torch.zeros(2, requires_grad=True)
    assert not stands_in((values, needs))
    with torch.no_grad():
        assert stands_in((values, needs))
    with graph_only():
        assert not stands_in((values,))


def test_what_is_exported_is_the_graph() -> None:
    class Points(torch.nn.Module):
        def forward(self, depth_m: Tensor, descriptor: Tensor) -> Tensor:
            return obstacle_points(depth_m, descriptor)

    seen = from_inputs(example_inputs(1, batch=2))
    exported = torch.export.export(Points().eval(), (seen.depth_m, seen.descriptor))
    assert sum(node.op == "call_function" for node in exported.graph.nodes) > 50


def test_a_stand_in_must_exist() -> None:
    @kernel("world_model.local_planner.kernels.sweeps")
    def missing(values: Tensor) -> Tensor:
        return values

    with pytest.raises(AttributeError, match="missing"):
        missing(torch.zeros(1))


@pytest.mark.parametrize(
    "module", [*MODULES, "world_model.anticipation_kernel", "pipeline.simulation.sensors.depth_noise_kernel"]
)
def test_cached_code_depends_on_its_own_file_alone(module: str) -> None:
    """Numba compiles a cached function anew when its own file changes, not when another does."""
    found = importlib.import_module(module)
    tree = ast.parse(inspect.getsource(found))
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in nodes for alias in node.names}
    compiled = [value for value in vars(found).values() if isinstance(value, Dispatcher)]
    assert compiled
    for dispatcher in compiled:
        function = dispatcher.py_func
        assert inspect.getfile(function) == found.__file__, f"{function.__name__} comes from another file"
        read = imported & set(function.__code__.co_names)
        assert not read, f"{function.__name__} reads {sorted(read)}, whose changes would not be seen"
