"""Measure how much of a policy's success is left when something is wrong: one factor at a time, and the worst case.

Writes ``robustness.json``, ``robustness.parquet`` (one row per episode) and ``tensorboard/``. One process per robot;
finished parts are kept, so that the same command at the same commit goes on where it was interrupted.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from embodiments import registry as robots
from export.runtime import policy as runtime
from pipeline.agents import registry as agents
from pipeline.evaluation.robustness import summary as robustness_summary
from pipeline.evaluation.robustness.runner import RobustnessJob, evaluate, read
from pipeline.runs import atomic_files, lock, manifest, processes, stage_inputs
from pipeline.runs.discovery import unknown
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.provenance import commit_of, describe
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES
from pipeline.simulation.navigation.config import Protocol
from scenes import registry as scenes
from scenes.registry import FileOptions, file_options

SUMMARY, ROWS = "robustness.json", "robustness.parquet"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is driven."""

    episodes: int
    population: int
    iterations: int
    search_episodes: int


SIZES = {
    "smoke": Sizes(episodes=2, population=2, iterations=2, search_episodes=2),
    # 64 episodes are ± 12 points at 50 %; a search of 80 points over 16 episodes each costs as much as eight factors.
    "laptop": Sizes(episodes=16, population=16, iterations=5, search_episodes=16),
    "workstation": Sizes(episodes=64, population=64, iterations=10, search_episodes=64),
}


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is disturbed, and in which episodes."""

    policy: Path | None = None
    """Exported file"""
    agent: str = ""
    """Instead of a policy an agent without weights, such as planner"""
    embodiments: tuple[str, ...] = DEFAULT_ROBOTS
    scenes: tuple[str, ...] = ("office", "warehouse_single", "warehouse_multi", "combined")
    """Scene kinds, or paths of Nav2 maps (.yaml) or meshes (.glb, .obj, .ply)"""
    route: Literal["straight", "planned"] = "planned"
    """Planned is what a deployed robot is given"""
    protocol: Protocol = "compass"
    factors: tuple[str, ...] = NAMES
    """Swept one at a time"""
    preset: Literal["smoke", "laptop", "workstation"] = "laptop"
    """Sizes where the fields below are 0"""
    episodes: int = 0
    """Per robot, level and scene kind"""
    population: int = 0
    """Points per iteration of the worst-case search"""
    iterations: int = 0
    search_episodes: int = 0
    """Per point of the search"""
    search: bool = True
    """Whether the worst case is looked for"""
    search_reach: float = 0.5
    """Share of every factor's range in which the search looks: all of them at their ends together nobody survives"""
    split: Literal["val", "test"] = "test"
    num_envs: int = 64
    """What one core steps efficiently"""
    device: str = "cpu"
    workers: int = 0
    """Robots at once; 0: one per core"""
    seed: int = 0
    out: Path = Path("runs/robustness")


def main(config: Config) -> None:
    """Run everything that is not finished, write the figures and print them.

    Raises:
        ValueError: If something asked for does not exist or does not fit.
        FileNotFoundError: If the policy does not exist.
    """
    agent, provenance = _agent(config), describe()
    commit = commit_of(provenance)
    jobs = [_job(config, agent, robot, commit=commit) for robot in dict.fromkeys(config.embodiments)]
    with lock.held(config.out / "parts" / "lock"):
        _evaluate(jobs, config.out / "parts", workers=config.workers or processes.cores())
        rows = read(jobs)
        figures = robustness_summary.summarise(rows)
        with atomic_files.replacing(config.out / ROWS) as temporary:
            rows.to_parquet(temporary, index=False)
        head = {
            "policy": str(config.policy) if config.policy else None,
            "policy_sha256": jobs[0].policy_sha256,
            "agent": agent,
            "embodiments": list(config.embodiments),
            "scenes": list(config.scenes),
            "route": config.route,
            "protocol": config.protocol,
            "split": config.split,
            "seed": config.seed,
            "search_reach": config.search_reach,
        }
        body = head | figures | {"factors": [asdict(factor) for factor in FACTORS], "provenance": provenance}
        atomic_files.write_text(config.out / SUMMARY, json.dumps(body, indent=1, allow_nan=False) + "\n")
        _write_events(figures, config.out / "tensorboard")
    print(robustness_summary.table(figures["sweeps"]))
    for entry in figures["worst_case"]:
        again = entry["confirmed"]["success"]
        print(
            f"{entry['embodiment']}: over {entry['population'] * entry['iterations']} points mean {entry['mean']:.1%}, "
            f"10th percentile {entry['p10']:.1%}, worst {entry['worst']:.1%}, run again {again:.1%}"
        )


def _agent(config: Config) -> str:
    """Return the agent's id, having checked what the user asked for."""
    if (config.policy is None) == (config.agent == ""):
        raise ValueError("evaluate_robustness needs either --policy FILE.onnx or --agent NAME.")
    if not (config.embodiments and config.scenes):
        raise ValueError("evaluate_robustness needs a robot and a scene.")
    for name in config.factors:
        if name not in NAMES:
            raise ValueError(unknown("factor", name, NAMES))
    for option in ("episodes", "population", "iterations", "search_episodes"):
        if getattr(config, option) < 0:
            raise ValueError(f"option --{option.replace('_', '-')} must not be negative.")
    if config.num_envs < 1 or config.population == 1:
        raise ValueError("options --num-envs must be at least 1 and --population at least 2 (or 0, the preset's).")
    for name in config.scenes:  # what cannot be read is refused before the long work
        for remark in scenes.load(name, split=config.split, options=file_options(config)).remarks:
            print(remark, flush=True)
    if not 0.0 < config.search_reach <= 1.0:
        raise ValueError(f"option --search-reach is {config.search_reach:g}, it must lie in (0, 1].")
    if config.policy is not None:
        return runtime.load(config.policy).agent
    if agents.get(config.agent).file is not None:
        raise ValueError(f"agent '{config.agent}' has weights: give its file with --policy.")
    return config.agent


def _job(config: Config, agent: str, robot: str, *, commit: str) -> RobustnessJob:
    sizes = SIZES[config.preset]
    return RobustnessJob(
        embodiment=robots.get(robot).name,
        agent=agent,
        policy=None if config.policy is None else str(config.policy.resolve()),
        policy_sha256=None if config.policy is None else manifest.hash_file(config.policy),
        robot_sha256=robots.digest(robot),
        scenes_sha256=tuple(manifest.hash_file(path) for path in stage_inputs.scene_files(config.scenes)),
        commit=commit,
        scenes=tuple(dict.fromkeys(config.scenes)),
        split=config.split,
        episodes=config.episodes or sizes.episodes,
        route=config.route,
        protocol=config.protocol,
        seed=config.seed,
        num_envs=config.num_envs,
        device=config.device,
        factors=tuple(name for name in NAMES if name in config.factors),
        population=(config.population or sizes.population) if config.search else 0,
        iterations=(config.iterations or sizes.iterations) if config.search else 0,
        search_episodes=config.search_episodes or sizes.search_episodes,
        search_reach=config.search_reach,
        parts=str((config.out / "parts").resolve()),
        files=file_options(config),
    )


def _evaluate(jobs: Sequence[RobustnessJob], folder: Path, *, workers: int) -> None:
    """Run the jobs; a process holds one simulation, so several robots need as many processes.

    Raises:
        ValueError: If a robot's evaluation failed; it has said why.
    """
    commands = {}
    for job in jobs:
        path = folder / f"{job.embodiment}.json"
        now = json.loads(json.dumps(asdict(job)))
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
        if before != now:
            if now | before | {"commit": job.commit} == now:
                what = f"parts of commit {before.get('commit', 'unknown')} are driven anew at {job.commit}"
            else:
                what = "asked for something else than the interrupted run; starting afresh"
            print(f"{job.embodiment}: {what}", flush=True)
            for part in folder.glob(f"{job.embodiment}.*.parquet"):
                part.unlink()
        job.save(path)
        commands[job.embodiment] = ["evaluate_robustness_robot", "--job", str(path)]
    if len(jobs) == 1:
        evaluate(jobs[0])
        return
    failed = [robot for robot, status in processes.run_side_by_side(commands, workers=workers).items() if status]
    if failed:
        raise ValueError(f"evaluation failed for {', '.join(failed)}; see the lines marked so above")


def _write_events(figures: dict[str, Any], folder: Path) -> None:
    """Write the curves for TensorBoard; the step is the level's place in its sweep."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and needed at the end alone

    steps: dict[str, int] = {}
    with SummaryWriter(str(folder)) as board:
        for entry in figures["sweeps"]:
            tag = f"{entry['embodiment']}/{entry['factor']}"
            steps[tag] = steps.get(tag, -1) + 1
            board.add_scalar(f"{tag}/success", entry["success"], steps[tag])
        for entry in figures["worst_case"]:
            for name in ("mean", "p10", "worst"):
                board.add_scalar(f"{entry['embodiment']}/worst_case/{name}", entry[name], 0)
