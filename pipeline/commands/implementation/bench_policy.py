"""Time the parts of the policy's step and whole control steps, by graph and kernels in turn, on the same input.

Times are the thread's own processor time, so that other load on the machine matters less.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from embodiments.observation import Observation
from pipeline.agents import registry as agents
from pipeline.commands.bench import Config as BenchConfig
from pipeline.commands.bench_policy import Config
from pipeline.commands.implementation import bench
from pipeline.runs.processes import spawned
from pipeline.runs.provenance import describe
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from world_model import anticipation, atomic_files
from world_model.anticipation import Anticipation
from world_model.fixed_batches import ROWS_AT_ONCE, by_rows
from world_model.local_planner import controller, cost_to_go, costmap, planner
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.frames import moved
from world_model.local_planner.stand_in import graph_only

AGENTS = ("planner", "anticipating")


def main(config: Config) -> None:
    """Measure every robot in a process of its own, and print a table for each."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    with spawned(1) as pool:
        for robot in config.embodiments:
            results[robot] = pool.submit(measure, config, robot).result()
            _print_table(robot, results[robot])
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(config.out, json.dumps({**describe(), "results": results}, indent=2, default=str))


@torch.no_grad()
def measure(config: Config, robot: str) -> dict[str, dict[str, float]]:
    """Return milliseconds of the batch's step and of its parts: name -> graph, kernels and their ratio."""
    torch.set_num_threads(1)
    environment = bench.build(BenchConfig(), robot, config.num_envs)
    network = environment.base.world_model.anticipation
    assert network is not None
    observation = environment.reset().observation
    state = torch.zeros(config.num_envs, anticipation.STATE_SIZE)
    for _ in range(config.warm_up_steps):
        plan, state = anticipation.plan(network, observation, state)
        observation = environment.step_action(plan.action).observation
    calls = parts(network, observation, state) | steps(environment, network, observation, state)
    return {name: _times(call, turns=config.turns) for name, call in calls.items()}


def parts(network: Anticipation, observation: Observation[Tensor], state: Tensor) -> dict[str, Callable[[], object]]:
    """Return calls of the planner's parts, in their order, each on some rows at once as policies compute them."""
    batches = [slice(low, low + ROWS_AT_ONCE) for low in range(0, len(state), ROWS_AT_ONCE)]
    calls = [_parts_of_rows(network, observation.rows(rows), state[rows]) for rows in batches]

    def together(name: str) -> Callable[[], object]:
        return lambda: [call[name]() for call in calls]

    return {name: together(name) for name in calls[0]}


def _parts_of_rows(
    network: Anticipation, seen_now: Observation[Tensor], state: Tensor
) -> dict[str, Callable[[], object]]:
    grids, trail = state.split([planner.STATE_SIZE, anticipation.TRAIL_SIZE], dim=-1)
    before, descriptor, goal_b = costmap.unpack(grids), seen_now.descriptor, seen_now.goal_b
    pose = moved(before.pose, seen_now.velocity_b)
    points = obstacle_points(seen_now.depth_m, descriptor)
    evidence, seen = costmap.entered(before.evidence, before.seen, points, pose)
    trail = anticipation.remembered(trail, points, pose)
    square = anticipation.square(evidence, seen, pose, trail)
    around = anticipation.surroundings(network(square))
    planned = anticipation.onto_costmap(around, evidence, seen, pose, descriptor=descriptor)

    def correct() -> Tensor:
        return cost_to_go.corrected(before.cost_to_go, pose, seen_now, **planned._asdict())

    after = costmap.UpdatedCostmap(
        pose=pose, evidence=evidence, seen=seen, cost_to_go=correct(), distance_m=planned.distance_m
    )
    query = costmap.query(after, goal_b, descriptor)
    return {
        "depth to obstacle points": lambda: obstacle_points(seen_now.depth_m, descriptor),
        "costmap update": lambda: costmap.entered(before.evidence, before.seen, points, pose),
        "network's input": lambda: anticipation.square(evidence, seen, pose, trail),
        "network": lambda: anticipation.surroundings(network(square)),
        "network's answer onto the costmap": lambda: anticipation.onto_costmap(
            around, evidence, seen, pose, descriptor=descriptor
        ),
        "costs and sweeps": correct,
        "planner's query": lambda: costmap.query(after, goal_b, descriptor),
        "controller": lambda: controller.drive(goal_b, query.aim_b, descriptor, speed_scale=query.clearance_m),
    }


def steps(
    environment: LatentEnvironment, network: Anticipation, observation: Observation[Tensor], state: Tensor
) -> dict[str, Callable[[], object]]:
    """Return calls of whole steps: of the planner, the base policy, an evaluation and the training environment."""
    navigation, robot = environment.environment, environment.environment.embodiment
    grids, base = state[:, : planner.STATE_SIZE], environment.base
    latent = base.initial_state(len(state))
    still = torch.zeros(len(state), 3)
    calls: dict[str, Callable[[], object]] = {
        "planner's step": lambda: by_rows(planner.drive_step, observation, grids),
        "planner's step with the network": lambda: by_rows(_with(network), observation, state),
        "base policy's step": lambda: by_rows(base.step, observation, latent),
        "simulation's step": lambda: navigation.step(still),
    }
    for name in AGENTS:
        agent = agents.make(name, robot, num_envs=len(state), device="cpu", seed=0)

        def evaluate(agent: Any = agent) -> None:
            agent.act(navigation.step(still).observation, navigation.privileged)

        calls[f"evaluation step, {name}"] = evaluate
    return calls | {"training environment's step": lambda: environment.step(still)}


def _with(network: Anticipation) -> Callable[[Observation[Tensor], Tensor], tuple[Tensor, Tensor]]:
    def step(observation: Observation[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        plan, state = anticipation.plan(network, observation, state)
        return plan.action, state

    return step


def _times(call: Callable[[], object], *, turns: int) -> dict[str, float]:
    """Return the median milliseconds of a call by the graph and by kernels, which take turns, and their ratio."""
    spent: dict[str, list[float]] = {"graph_ms": [], "kernels_ms": []}
    for _ in range(turns):
        with graph_only():
            spent["graph_ms"].append(_milliseconds(call))
        spent["kernels_ms"].append(_milliseconds(call))
    times = {name: round(statistics.median(values), 3) for name, values in spent.items()}
    return times | {"ratio": round(times["graph_ms"] / times["kernels_ms"], 2)}


def _milliseconds(call: Callable[[], object]) -> float:
    began_s = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - began_s)


def _print_table(robot: str, figures: dict[str, dict[str, float]]) -> None:
    print(f"{robot:<36} {'graph ms':>10} {'kernels ms':>10} {'ratio':>7}")
    for name, row in figures.items():
        print(f"{name:<36} {row['graph_ms']:>10.2f} {row['kernels_ms']:>10.2f} {row['ratio']:>7.2f}")
