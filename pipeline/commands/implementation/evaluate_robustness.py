"""Plan the sweeps and the worst-case search, start one process per robot, and write the figures."""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embodiments import registry as robots
from export.runtime import policy as runtime
from pipeline.agents import registry as agents
from pipeline.agents import server_ids
from pipeline.commands.evaluate_robustness import Config
from pipeline.evaluation.episodes.job_processes import drive_jobs
from pipeline.evaluation.episodes.plan import Disturbances, Job
from pipeline.evaluation.robustness import summary as robustness_summary
from pipeline.evaluation.robustness.runner import evaluate, read
from pipeline.robot_models.digest import digest
from pipeline.runs import lock, manifest, stage_inputs
from pipeline.runs.discovery import unknown
from pipeline.runs.provenance import commit_of, describe
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES
from scenes import registry as scenes
from scenes.registry import file_options
from world_model import atomic_files

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


def main(config: Config) -> None:
    """Run everything that is not finished, write the figures and print them.

    Raises:
        ValueError: If something asked for does not exist or does not fit.
        FileNotFoundError: If the policy does not exist.
    """
    agent, provenance = _agent(config), describe()
    sha256 = manifest.hash_file(config.policy) if config.policy else None
    made_of: list[Any] = [sha256, commit_of(provenance)]
    if server_ids.is_server(agent):
        contract = server_ids.served(agent, timeout_s=config.server_timeout_s)
        agent = server_ids.result_id(contract)
        made_of.append(asdict(contract))
    names = [robots.get(name).name for name in dict.fromkeys(config.embodiments)]
    jobs = [_job(config, agent, robot, made_of=made_of) for robot in names]
    with lock.held(config.out / "rollouts" / "lock"):
        for job in jobs:
            _drop_stale(Path(job.folder), job.embodiment)
        failed = drive_jobs(jobs, config.out / "rollouts", workers=config.workers, here=evaluate)
        if failed:
            names = [job.embodiment for job in failed]
            raise ValueError(f"evaluation failed for {', '.join(names)}; see the lines marked so above")
        rows = read(jobs)
        figures = robustness_summary.summarise(rows)
        with atomic_files.replacing(config.out / ROWS) as temporary:
            rows.to_parquet(temporary, index=False)
        head: dict[str, Any] = {"policy": str(config.policy) if config.policy else None, "policy_sha256": sha256}
        head |= {"agent": agent, "embodiments": list(config.embodiments), "scenes": list(config.scenes)}
        head |= {name: getattr(config, name) for name in ("route", "protocol", "split", "seed", "search_reach")}
        body = head | figures | {"factors": [asdict(factor) for factor in FACTORS], "provenance": provenance}
        atomic_files.write_text(config.out / SUMMARY, json.dumps(body, indent=1, allow_nan=False) + "\n")
        _write_events(figures, config.out / "tensorboard")
    robustness_summary.table(figures["sweeps"]).print()
    for entry in figures["worst_case"]:
        again = entry["confirmed"]["success"]
        print(
            f"{entry['embodiment']}: over {entry['population'] * entry['iterations']} points mean {entry['mean']:.1%}, "
            f"10th percentile {entry['p10']:.1%}, worst {entry['worst']:.1%}, run again {again:.1%}"
        )


def _agent(config: Config) -> str:
    """Return the agent's id, having checked what the user asked for."""
    if (config.policy is None) == (config.agent == ""):
        raise ValueError("evaluate_robustness needs either --policy FILE.onnx or --agents NAME.")
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


def _job(config: Config, agent: str, robot: str, *, made_of: list[Any]) -> Job:
    """Return one robot's job; its rollouts lie in a folder that is named by everything that they depend on."""
    sizes = SIZES[config.preset]
    job = Job(
        embodiment=robot,
        agents=(agent,),
        policies={agent: str(config.policy.resolve())} if config.policy else {},
        scenes=tuple(dict.fromkeys(config.scenes)),
        split=config.split,
        episodes=config.episodes or sizes.episodes,
        routes=(config.route,),
        protocol=config.protocol,
        seed=config.seed,
        num_envs=config.num_envs,
        device=config.device,
        folder="",
        servers={agent: config.agent} if server_ids.is_server(agent) else {},
        server_timeout_s=config.server_timeout_s,
        files=file_options(config),
        disturbances=Disturbances(
            factors=tuple(name for name in NAMES if not config.factors or name in config.factors),
            population=(config.population or sizes.population) if config.search else 0,
            iterations=(config.iterations or sizes.iterations) if config.search else 0,
            search_episodes=config.search_episodes or sizes.search_episodes,
            search_reach=config.search_reach,
        ),
    )
    files = [manifest.hash_file(path) for path in stage_inputs.scene_files(config.scenes)]
    key = manifest.hash_of({"job": asdict(job), "made_of": [*made_of, digest(robot), *files]})
    return replace(job, folder=str((config.out / "rollouts" / f"{robot}.{key[:12]}").resolve()))


def _drop_stale(rollouts: Path, robot: str) -> None:
    """Remove rollouts of other settings, files or code."""
    for other in rollouts.parent.glob(f"{robot}.*/"):
        if other.name != rollouts.name:
            print(f"{robot}: settings, files or code changed since the interrupted run; starting afresh", flush=True)
            shutil.rmtree(other)


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
