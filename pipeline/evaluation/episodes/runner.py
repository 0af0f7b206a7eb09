"""Run the agents of one robot through the same episodes and write down how each ended.

A process builds the simulation once and runs one rollout after the other. Before each one everything is reset and
reseeded from the job's seed and the shard alone. So a rollout gives the same rows in any order and process.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from embodiments import registry as robots
from embodiments.embodiment import Embodiment
from export.runtime.viewing.view import parse
from pipeline.agents import registry as agents
from pipeline.agents.agent import Agent
from pipeline.agents.server_ids import in_file_names
from pipeline.evaluation.episodes.plan import Job, Plan, draw, shards
from pipeline.evaluation.episodes.shards import Rollout, no_room, rollouts
from pipeline.evaluation.episodes.summary import EPISODE_COLUMNS
from pipeline.evaluation.episodes.traces import LastFrames, Trace
from pipeline.evaluation.viewing.simulation_view import SimulationView, open_view
from pipeline.runs.progress import progress
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.episodes import NoFreeSpaceError
from pipeline.simulation.navigation.field_episodes import put_in_field
from pipeline.simulation.navigation.tracker import SETTLE_S, Outcome
from pipeline.simulation.physics.randomisation import nominal
from scenes.registry import random_key
from world_model import atomic_files

OUTCOME_COLUMNS = (
    "success",
    "success_settled",
    "collision",
    "fall",
    "timeout",
    "broken",
    "time_s",
    "path_m",
    "end_geodesic_m",
    "distance_to_goal_m",
    "min_clearance_m",
    "jerk_mps3",
    "stopped_s",
    "energy_j",
    "person_bumped",
    "near_person_s",
)
START_COLUMNS = ("time_limit_s", "fastest_time_s", "initial_geodesic_m")


def evaluate(job: Job, *, worker: int = 0, workers: int = 1) -> None:
    """Run the open rollouts of one robot's evaluation. One simulation per process: call it once.

    Args:
        worker: Which of the processes that work on this job; each begins at another shard.

    Raises:
        ValueError: If an agent's file does not fit the robot, or a scene has no room for it.
        FileNotFoundError: If an agent's file does not exist.
    """
    if not any(rollout.is_open for rollout in rollouts(job)):
        return
    embodiment = robots.get(job.embodiment)
    if job.device == "cpu":
        torch.set_num_threads(1)  # one process per core; sums then do not depend on the machine
    first = worker * len(shards(job)) // workers
    environment: NavigationEnvironment | None = None
    plan: Plan | None = None
    shard = -1
    while (found := _next_shard(job, present=shard, first=first)) is not None:
        if plan is None or found != shard:
            shard, plan = found, _draw(job, embodiment, shard=found)
            environment = enter(environment, plan, job, config=config_of(job))
        # Claim it only now: drawing and building take long, and another process may have finished meanwhile.
        there = (one for one in rollouts(job) if one.shard == shard and one.is_open)
        rollout = next((one for one in there if one.take()), None)
        if rollout is not None:
            assert environment is not None
            _run_rollout(
                environment, make_agent(rollout.agent, job, seed=seed_of(job, shard)), rollout, job=job, plan=plan
            )


def _draw(job: Job, embodiment: Embodiment, *, shard: int) -> Plan:
    try:
        return draw(job, embodiment, shard=shard)
    except NoFreeSpaceError as error:  # the parent decides whether the evaluation goes on without this robot
        no_room(job).parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(no_room(job), str(error))
        raise


def _next_shard(job: Job, *, present: int, first: int) -> int | None:
    """Return the shard to work on: the present one while it has an open rollout, else the next; None if none has."""
    found = {rollout.shard for rollout in rollouts(job) if rollout.is_open}
    count = len(shards(job))
    return min(found, key=lambda shard: (shard != present, (shard - first) % count)) if found else None


def config_of(job: Job) -> NavigationConfig:
    """Return how an evaluation runs episodes: nominal dynamics, on after a success until it has settled."""
    in_field = job.conditions == "field"
    return NavigationConfig(
        randomisation=nominal(), settle_s=SETTLE_S, measures_energy=True, disturbable=in_field, people=in_field
    )


def enter(
    environment: NavigationEnvironment | None, plan: Plan, job: Job, *, config: NavigationConfig
) -> NavigationEnvironment:
    """Return the environment in the plan's scenes and the job's conditions; without one, build it with ``config``."""
    task = plan.task
    if environment is None:
        environment = NavigationEnvironment(
            task, config=config, num_envs=job.num_envs, seed=job.seed, device=job.device
        )
    else:
        environment.enter(task)
    if job.conditions == "field":
        put_in_field(environment, task, seed=job.seed, numbers=np.arange(len(task.episodes)) % len(plan))
    return environment


def begin_rollout(environment: NavigationEnvironment, plan: Plan, job: Job, *, route: str, shard: int) -> np.ndarray:
    """Seed everything for one rollout and let the next reset begin it.

    Returns:
        (N,) rows of its episodes in the plan's episode set, ascending.
    """
    seed, offset = seed_of(job, shard), job.routes.index(route) * len(plan)
    torch.manual_seed(seed)
    environment.reseed(seed)
    environment.assign(torch.as_tensor(offset + longest_first(plan)))
    return offset + np.arange(len(plan))


def seed_of(job: Job, shard: int) -> int:
    """Return the seed of a shard's noise, the same for every agent and route."""
    return int(random_key("evaluation", job.seed, shard).integers(2**31))


def make_agent(name: str, job: Job, *, seed: int) -> Agent:
    """Return one of a job's agents for its batch.

    Raises:
        ValueError: If its file or its server is not what it should be.
        OSError: If its file or its server is not there.
    """
    embodiment: Embodiment = robots.get(job.embodiment)
    return agents.make(
        job.servers.get(name, name),
        embodiment,
        num_envs=job.num_envs,
        device=job.device,
        seed=seed,
        policy=Path(job.policies[name]) if name in job.policies else None,
        server_timeout_s=job.server_timeout_s,
    )


def _run_rollout(environment: NavigationEnvironment, agent: Agent, rollout: Rollout, *, job: Job, plan: Plan) -> None:
    episodes = begin_rollout(environment, plan, job, route=rollout.route, shard=rollout.shard)
    offset = int(episodes[0])
    info = agents.get(rollout.agent)
    environment.sees = info.uses_depth
    trace, frames = Trace(), LastFrames()
    records_frames = info.make is None and environment.sees  # what somebody made elsewhere

    shown = _view(environment, agent, rollout, job)

    def record(step: Step, ended: torch.Tensor) -> None:
        trace.add(environment, step)
        if shown is not None:
            shown.observe(step)
        if records_frames:
            frames.add(environment, step, failed=ended & ~step.outcome.success)

    try:
        columns = drive(environment, agent, episodes, title=_title(rollout, job), record=record)
    finally:
        if shown is not None:
            shown.close()
    table = _table(columns, rollout, job=job, plan=plan)
    arrays = {"traces": trace.chosen(plan, table, offset=offset)}
    if records_frames:
        arrays["failures"] = frames.chosen(plan, table, offset=offset)
    rollout.write(table, **arrays)


def _view(environment: NavigationEnvironment, agent: Agent, rollout: Rollout, job: Job) -> SimulationView | None:
    """Return the view of a rollout: of a few episodes, those of the first shard."""
    if not job.view or rollout.shard > 0:
        return None
    name = f"{rollout.embodiment}.{in_file_names(rollout.agent)}.{rollout.route}"
    return open_view(str(parse(job.view).named(name)), environment, agent, name=name)


def drive(
    environment: NavigationEnvironment,
    agent: Agent,
    episodes: np.ndarray,
    *,
    title: str,
    record: Callable[[Step, torch.Tensor], None] | None = None,
) -> dict[str, np.ndarray]:
    """Drive the assigned episodes to their end.

    Args:
        episodes: (N,) ascending; all that were assigned to the environments.
        title: Of the progress bar.
        record: Called after every control step with the step and (B,) which episodes have ended.

    Returns:
        ``OUTCOME_COLUMNS`` -> (N,) in the order of ``episodes``.
    """
    outcomes: list[dict[str, np.ndarray]] = []
    with progress(len(episodes), title) as bar:
        done, successes = 0, 0
        step = environment.reset()
        while done < len(episodes):
            ended = step.terminated | step.truncated
            if record is not None:
                record(step, ended)
            if bool(ended.any()):
                outcomes.append(ended_rows(step.outcome, ended))
                count = len(outcomes[-1]["episode"])
                done, successes = done + count, successes + int(outcomes[-1]["success"].sum())
                bar.advance(count, success=successes / done)
            agent.reset(step.first)
            action = agent.act(step.observation, environment.privileged)
            step = environment.step(action) if agent.output == "action" else environment.step_command(action)
    columns = {name: np.concatenate([rows[name] for rows in outcomes]) for name in outcomes[0]}
    ended_episodes = columns.pop("episode")
    order = np.argsort(ended_episodes)
    if not np.array_equal(ended_episodes[order], episodes):
        raise RuntimeError(f"{title}: not every assigned episode ended exactly once")
    return {name: values[order] for name, values in columns.items()}


def longest_first(plan: Plan) -> np.ndarray:
    """Return the order (N,) in which a plan's episodes begin: long ones first, so that no long one runs last."""
    return np.argsort(-plan.task.episodes.initial_geodesic_m[: len(plan)], kind="stable")


def queues(episodes: np.ndarray, *, num_envs: int) -> torch.Tensor:
    """Deal episodes (N,) out to environments beforehand: (B, K) int64, padded with -1."""
    rounds = -(-len(episodes) // num_envs)
    padded = np.full(rounds * num_envs, -1, dtype=np.int64)
    padded[: len(episodes)] = episodes
    return torch.as_tensor(padded.reshape(rounds, num_envs).T.copy())


def _title(rollout: Rollout, job: Job) -> str:
    count = len(shards(job))
    which = f", {rollout.shard + 1} of {count}" if count > 1 else ""
    return f"{rollout.embodiment} {rollout.agent} ({rollout.route}{which})"


def ended_rows(outcome: Outcome, ended: torch.Tensor) -> dict[str, np.ndarray]:
    """Return ``episode`` and ``OUTCOME_COLUMNS`` -> (K,) of the environments whose episode has ended (B,) bool."""
    names = {"episode": "episode"} | {name: name for name in OUTCOME_COLUMNS} | {"end_geodesic_m": "geodesic_m"}
    return {name: getattr(outcome, field)[ended].cpu().numpy() for name, field in names.items()}


def _table(columns: Mapping[str, np.ndarray], rollout: Rollout, *, job: Job, plan: Plan) -> pd.DataFrame:
    """Return one row per episode, in the order of the plan."""
    episodes = plan.task.episodes
    same = {name: getattr(episodes, name)[: len(plan)] for name in START_COLUMNS}
    table = pd.DataFrame(
        {
            **columns,
            **same,
            "embodiment": rollout.embodiment,
            "scene": plan.scene,
            "agent": rollout.agent,
            "protocol": job.protocol,
            "conditions": job.conditions,
            "route": rollout.route,
            "episode": plan.number,
            "scene_seed": plan.scene_seed,
        }
    )
    return table[list(EPISODE_COLUMNS)]
