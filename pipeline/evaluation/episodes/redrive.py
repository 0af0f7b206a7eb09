"""Drives episodes of a finished evaluation anew, to keep what it did not: every observation and command.

Episodes follow from the job alone. So the same agent in the same shard drives the same episodes, image by image.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embodiments import registry as robots
from pipeline.agents import registry as agents
from pipeline.agents import server_ids
from pipeline.agents.agent import Agent
from pipeline.evaluation.episodes import plan as plans
from pipeline.evaluation.episodes import runner
from pipeline.evaluation.episodes.plan import Job, Plan
from pipeline.evaluation.episodes.summary import BATCH, EPISODES, SUMMARY, read_episodes
from pipeline.runs import manifest
from pipeline.runs.progress import progress
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.recording import outcome_code
from scenes.registry import FileOptions
from scenes.scene import Scene

_SAME = ("success", "collision", "fall", "timeout", "time_s", "path_m")
"""What has to come out again"""
_TOLERANCE = 1e-4
"""Of a time or a length; both are float32 in the table"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which episodes."""

    embodiment: str
    agent: str
    route: str
    scene: str
    episodes: tuple[int, ...]
    """Numbers within the scene kind or file"""


@dataclass(frozen=True, kw_only=True)
class Driven:
    """One episode, (T, ...) without the batch axis."""

    number: int
    scene: Scene
    rows: dict[str, np.ndarray]
    """``depth_m`` and the other inputs of a policy, ``command``, ``first``, ``outcome``"""
    pose_w: np.ndarray
    """(T, 3)"""
    ending: dict[str, Any]
    """``OUTCOME_COLUMNS`` of this episode"""


def job_of(folder: Path, wanted: Wanted, *, policies: Path | None) -> Job:
    """Return the job that an evaluation ran for one robot, with one agent.

    Args:
        folder: A finished evaluation.
        policies: Folder of the exported files, if they lie elsewhere now.

    Raises:
        ValueError: If there is no such episode, or the policy file is another one by now.
        FileNotFoundError: If the policy file is not there.
    """
    body = manifest.read(folder, stage="evaluate_policy").body
    config = body["config"]
    rows = read_episodes(folder / EPISODES)
    rows = rows[rows["embodiment"] == wanted.embodiment]
    _check_there(rows, wanted, folder)
    if server_ids.is_server(wanted.agent):
        raise ValueError(f"{wanted.agent} was behind a server, which is not asked again; choose another agent")
    place = policies or (Path(config["policy"]).parent if config["policy"] else folder.parent / "export_policy")
    own = Path(config["policy"]) if config["policy"] and policies is None else None
    files = _files(wanted, place, own, folder)
    options = {name: config[name] for name in FileOptions.__dataclass_fields__ if name in config}
    return Job(
        embodiment=wanted.embodiment,
        agents=(wanted.agent,),
        policies=files,
        scenes=tuple(name for name in config["scenes"] if (rows["scene"] == name).any()),
        split=config["split"],
        episodes=config["episodes"],
        routes=tuple(config["route"]),
        protocol=config["protocol"],
        conditions=config.get("conditions", "nominal"),
        seed=config["seed"],
        num_envs=body["metrics"].get(BATCH, config["num_envs"]),
        device="cpu",
        folder=str(folder),
        files=FileOptions(**options),
    )


def redrive(folder: Path, wanted: Wanted, *, policies: Path | None = None) -> list[Driven]:
    """Drive the wanted episodes anew, with all that ran beside them in the batch. One simulation per process.

    Raises:
        ValueError: If there are no such episodes, or one ended otherwise than in the evaluation.
    """
    job = job_of(folder, wanted, policies=policies)
    embodiment = robots.get(job.embodiment)
    environment: NavigationEnvironment | None = None
    found: list[Driven] = []
    for shard, draws in enumerate(plans.shards(job)):
        numbers = {n for d in draws if d.scene == wanted.scene for n in d.numbers} & set(wanted.episodes)
        if not numbers:
            continue
        plan = plans.draw(job, embodiment, shard=shard)
        environment = runner.enter(environment, plan, job, config=runner.config_of(job))
        seed = runner.seed_of(job, shard)
        agent = runner.make_agent(wanted.agent, job, seed=seed)
        environment.sees = agents.get(wanted.agent).uses_depth
        offset = int(runner.begin_rollout(environment, plan, job, route=wanted.route, shard=shard)[0])
        here = np.flatnonzero((plan.scene == wanted.scene) & np.isin(plan.number, sorted(numbers)))
        found += _drive(environment, agent, plan, here, offset=offset, title=f"drive {job.embodiment} anew")
    _check_same(found, read_episodes(folder / EPISODES), wanted)
    return sorted(found, key=lambda driven: driven.number)


def _drive(
    environment: NavigationEnvironment, agent: Agent, plan: Plan, here: np.ndarray, *, offset: int, title: str
) -> list[Driven]:
    """Drive a rollout until the episodes ``here`` (rows of the plan) have ended."""
    kept: dict[int, list[dict[str, np.ndarray]]] = {int(row): [] for row in here}
    left, endings = set(kept), {}
    with progress(len(left), title) as bar:
        step = environment.reset()
        while True:
            ended = step.terminated | step.truncated
            for env, row in enumerate((environment.episode - offset).tolist()):
                if row not in left:
                    continue
                kept[row].append(_row(environment, step, env))
                if bool(ended[env]):
                    columns = runner.ended_rows(step.outcome, ended)
                    place = columns["episode"].tolist().index(row + offset)
                    endings[row] = {name: values[place] for name, values in columns.items()}
                    left.remove(row)
                    bar.advance(1)
            if not left:
                break
            agent.reset(step.first)
            action = agent.act(step.observation, environment.privileged)
            step = environment.step(action) if agent.output == "action" else environment.step_command(action)
    return [_driven(plan, row, rows, endings[row]) for row, rows in kept.items()]


def _row(environment: NavigationEnvironment, step: Step, env: int) -> dict[str, np.ndarray]:
    seen = {name: value[env].cpu().numpy().copy() for name, value in step.observation.inputs().items()}
    return seen | {
        "depth_m": seen["depth_m"][0],
        "pose_w": environment.pose_w[env].cpu().numpy().copy(),
        "first": np.asarray(bool(step.first[env])),
        "outcome": outcome_code(step)[env].cpu().numpy().copy(),
    }


def _driven(plan: Plan, row: int, rows: list[dict[str, np.ndarray]], ending: dict[str, Any]) -> Driven:
    columns = {name: np.stack([one[name] for one in rows]) for name in rows[0]}
    following = columns["previous_command"][1:]
    columns["command"] = np.concatenate([following, np.zeros_like(columns["previous_command"][:1])])
    scene = plan.task.scenes[int(plan.task.episodes.scene_index[row])]
    pose_w = columns.pop("pose_w")
    return Driven(number=int(plan.number[row]), scene=scene, pose_w=pose_w, rows=columns, ending=ending)


def _check_there(rows: pd.DataFrame, wanted: Wanted, folder: Path) -> None:
    if rows.empty:
        raise ValueError(f"{folder} has no episodes of robot '{wanted.embodiment}'; give --embodiments NAME")
    for column, value, option in (
        ("agent", wanted.agent, "agents"),
        ("route", wanted.route, "route"),
        ("scene", wanted.scene, "scenes"),
    ):
        if not (rows[column] == value).any():
            known = ", ".join(map(str, rows[column].unique()))
            raise ValueError(f"{folder} has no {column} '{value}' of {wanted.embodiment}; give --{option} of: {known}")
    numbers = set(rows.loc[rows["scene"] == wanted.scene, "episode"])
    if missing := sorted(set(wanted.episodes) - numbers):
        raise ValueError(f"{folder} has no episode {missing[0]} in {wanted.scene}; they go from 0 to {max(numbers)}")


def _files(wanted: Wanted, place: Path, own: Path | None, folder: Path) -> dict[str, str]:
    """Return agent -> its file, the same as in the evaluation."""
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    hashes = {
        cell["policy_sha256"]
        for cell in summary["cells"]
        if (cell["embodiment"], cell["agent"]) == (wanted.embodiment, wanted.agent)
    }
    path = agents.policy_file(wanted.agent, folder=place, embodiment=wanted.embodiment)
    if path is None:
        return {}
    candidates = [file for file in (path, own) if file is not None and file.is_file()]
    if not candidates:
        raise FileNotFoundError(f"no exported policy {path}; say where it lies: --policies DIR")
    for file in candidates:
        if manifest.hash_file(file) in hashes:
            return {wanted.agent: str(file)}
    raise ValueError(f"{candidates[0]} is not the file that was evaluated; say where that one lies: --policies DIR")


def _check_same(found: list[Driven], rows: pd.DataFrame, wanted: Wanted) -> None:
    keys = ("embodiment", "agent", "route", "scene")
    for name in keys:
        rows = rows[rows[name] == getattr(wanted, name)]
    for driven in found:
        before = rows[rows["episode"] == driven.number].iloc[0]
        for name in _SAME:
            if not np.isclose(float(driven.ending[name]), float(before[name]), rtol=_TOLERANCE, equal_nan=True):
                raise ValueError(
                    f"episode {driven.number} has {name} {driven.ending[name]}, and {before[name]} in the evaluation: "
                    "code or machine have changed since; evaluate again, then export"
                )
