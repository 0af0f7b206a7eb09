"""Run the agents of one robot through the same episodes and write down how each ended.

The environment is built once; every agent then drives the same episodes, each environment through its own list of them.
A part (one agent on one route) is written when it is finished, so that an interrupted evaluation goes on with the next.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from embodiments import registry as robots
from embodiments.spaces import CONTROL_HZ
from pipeline.agents import registry as agents
from pipeline.agents.agent import Agent
from pipeline.evaluation.plan import Job, Plan, draw
from pipeline.evaluation.summary import EPISODE_COLUMNS
from pipeline.progress import progress
from pipeline.simulation.navigation import NavigationConfig, NavigationEnvironment, Step
from pipeline.simulation.randomisation import nominal
from pipeline.simulation.task import make_environment

SETTLE_S = 2.5
"""How long an episode goes on after a success to see whether it settles: a mean over 1 s, held for 1 s, and some."""
TRACE_STEPS = round(CONTROL_HZ / 2)
"""Positions of a trajectory are kept twice a second."""
TRACES_PER_CELL = 4
"""Trajectories kept per robot, scene kind and agent, for the report's maps."""
OUTCOME_COLUMNS = (
    "success",
    "success_settled",
    "collision",
    "fall",
    "timeout",
    "broken",
    "time_s",
    "path_m",
    "geodesic_m",
    "distance_to_goal_m",
    "min_clearance_m",
    "jerk_mps3",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One agent on one route: rows and traces, in two files."""

    embodiment: str
    agent: str
    route: str
    folder: Path

    @property
    def rows(self) -> Path:
        """Where the rows are; it exists only when the part is finished."""
        return self.folder / f"{self.embodiment}.{self.agent}.{self.route}.parquet"

    @property
    def traces(self) -> Path:
        """Where the trajectories are; written before ``rows``."""
        return self.rows.with_suffix(".npz")


def parts(job: Job) -> Iterator[Part]:
    """Yield the parts of a job in the order in which they run."""
    for agent in job.agents:
        for route in job.routes:
            yield Part(embodiment=job.embodiment, agent=agent, route=route, folder=Path(job.parts))


def evaluate(job: Job) -> None:
    """Run what is not finished yet of one robot's evaluation. One simulation per process: call it once.

    Raises:
        ValueError: If an agent's file does not fit the robot, or a scene has no room for it.
        FileNotFoundError: If an agent's file does not exist.
    """
    todo = [part for part in parts(job) if not part.rows.exists()]
    if not todo:
        return
    embodiment = robots.get(job.embodiment)
    torch.manual_seed(job.seed)
    made = {name: _make(name, job) for name in dict.fromkeys(part.agent for part in todo)}  # fail before the long work
    plan = draw(job, embodiment)
    environment = make_environment(
        plan.task,
        config=NavigationConfig(randomisation=nominal(), settle_s=SETTLE_S),
        num_envs=job.num_envs,  # though some may idle: the simulator compiles anew for every size of a batch
        seed=job.seed,
        device=job.device,
    )
    for part in todo:
        twin = _twin(part, job)
        if twin is not None:
            _relabel(twin, part)
            continue
        _run_part(environment, made[part.agent], part, job=job, plan=plan)


def _make(name: str, job: Job) -> Agent:
    return agents.make(
        name,
        robots.get(job.embodiment),
        num_envs=job.num_envs,
        device=job.device,
        seed=job.seed,
        policy=Path(job.policies[name]) if name in job.policies else None,
    )


def _twin(part: Part, job: Job) -> Part | None:
    """Return the finished part with the same motions: scripted agents do not look at the route."""
    if part.agent not in agents.SCRIPTED or part.route == job.routes[0]:
        return None
    return Part(embodiment=part.embodiment, agent=part.agent, route=job.routes[0], folder=part.folder)


def _relabel(done: Part, part: Part) -> None:
    traces = dict(np.load(done.traces))
    traces["route"] = np.full_like(traces["route"], part.route)
    _write(part, pd.read_parquet(done.rows).assign(route=part.route), traces)


def _run_part(environment: NavigationEnvironment, agent: Agent, part: Part, *, job: Job, plan: Plan) -> None:
    offset = job.routes.index(part.route) * len(plan)
    environment.assign(queues(offset + np.arange(len(plan)), num_envs=environment.num_envs))
    environment.reseed(job.seed)  # the same sensor noise for every agent, and after an interruption
    environment.sees = part.agent not in agents.BLIND
    outcomes: list[dict[str, np.ndarray]] = []
    trace = _Trace()
    with progress(len(plan), f"{part.embodiment} {part.agent} ({part.route})") as bar:
        done = 0
        step = environment.reset()
        while done < len(plan):
            trace.add(environment, step)
            ended = step.terminated | step.truncated
            if bool(ended.any()):
                outcomes.append(_ended_rows(step, ended))
                done += len(outcomes[-1]["episode"])
                success = np.concatenate([rows["success"] for rows in outcomes]).mean()
                bar.advance(len(outcomes[-1]["episode"]), success=float(success))
            agent.reset(step.first)
            action = agent.act(step.observation, environment.privileged)
            step = environment.step(action) if agent.output == "share" else environment.step_command(action)
    columns = {name: np.concatenate([rows[name] for rows in outcomes]) for name in outcomes[0]}
    columns["episode"] -= offset
    order = np.argsort(columns["episode"])
    table = _table({name: values[order] for name, values in columns.items()}, part, job=job, plan=plan)
    _write(part, table, trace.chosen(plan, part, offset=offset, table=table))


def queues(episodes: np.ndarray, *, num_envs: int) -> torch.Tensor:
    """Deal episodes (N,) out to environments: (B, K) int64, padded with -1."""
    rounds = -(-len(episodes) // num_envs)
    padded = np.full(rounds * num_envs, -1, dtype=np.int64)
    padded[: len(episodes)] = episodes
    return torch.as_tensor(padded.reshape(rounds, num_envs).T.copy())


def _ended_rows(step: Step, ended: torch.Tensor) -> dict[str, np.ndarray]:
    return {name: getattr(step.outcome, name)[ended].cpu().numpy() for name in ("episode", *OUTCOME_COLUMNS)}


def _table(columns: Mapping[str, np.ndarray], part: Part, *, job: Job, plan: Plan) -> pd.DataFrame:
    """Return one row per episode, in the order of the plan."""
    if not np.array_equal(columns["episode"], np.arange(len(plan))):
        raise RuntimeError(f"{part.rows.name}: not every assigned episode ended exactly once")
    episodes = plan.task.episodes
    same = {name: getattr(episodes, name)[: len(plan)] for name in _EPISODE_FACTS}
    table = pd.DataFrame(
        {
            **{name: columns[name] for name in OUTCOME_COLUMNS},
            **same,
            "embodiment": part.embodiment,
            "scene": plan.scene,
            "agent": part.agent,
            "protocol": job.protocol,
            "route": part.route,
            "episode": plan.number,
            "scene_seed": plan.scene_seed,
        }
    )
    return table[[*EPISODE_COLUMNS, "broken"]]


_EPISODE_FACTS = ("time_limit_s", "fastest_time_s", "initial_geodesic_m")


class _Trace:
    """Positions over time of all environments, thinned out."""

    def __init__(self) -> None:
        self._steps = 0
        self._episode: list[np.ndarray] = []
        self._pose_w: list[np.ndarray] = []

    def add(self, environment: NavigationEnvironment, step: Step) -> None:
        """Keep where the environments are now, twice a second and where an episode begins or ends."""
        keep = step.first | step.terminated | step.truncated
        if self._steps % TRACE_STEPS == 0:
            keep = torch.ones_like(keep)
        self._steps += 1
        keep = keep & ~environment.idle
        if bool(keep.any()):
            self._episode.append(environment.episode[keep].cpu().numpy())
            self._pose_w.append(environment.pose_w[keep].cpu().numpy())

    def chosen(self, plan: Plan, part: Part, *, offset: int, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return the traces of the first episodes of every cell, in order of time."""
        episode, pose_w = np.concatenate(self._episode) - offset, np.concatenate(self._pose_w)
        rows = np.flatnonzero(plan.number < TRACES_PER_CELL)
        paths = [pose_w[episode == row] for row in rows]
        endings = ("success", "collision", "fall", "timeout")
        ending = [next((e for e in endings if table[e].iloc[row]), "broken") for row in rows]
        scenes = plan.task.scenes
        return {
            "embodiment": np.full(len(rows), part.embodiment),
            "agent": np.full(len(rows), part.agent),
            "route": np.full(len(rows), part.route),
            "scene": plan.scene[rows],
            "scene_name": np.asarray([scenes[i].name for i in plan.task.episodes.scene_index[rows]]),
            "episode": plan.number[rows],
            "ending": np.asarray(ending),
            "start_w": plan.task.episodes.start_w[rows],
            "goal_w": plan.task.episodes.goal_w[rows],
            "length": np.asarray([len(path) for path in paths]),
            "pose_w": np.concatenate(paths).astype(np.float32),
        }


def _write(part: Part, table: pd.DataFrame, traces: Mapping[str, np.ndarray]) -> None:
    """Write a part; the rows last and by renaming, for they say that it is finished."""
    part.folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(part.traces, **dict(traces))  # type: ignore[arg-type]
    temporary = part.rows.with_suffix(".tmp")
    table.to_parquet(temporary, index=False)
    temporary.replace(part.rows)
