"""Plan an evaluation, drive it in worker processes, and write summary, episodes and traces."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from embodiments import registry as robots
from export.runtime import policy as runtime
from export.runtime.viewing.view import parse
from pipeline.agents import registry as agents
from pipeline.agents import server_ids
from pipeline.evaluation.episodes import reuse, shards
from pipeline.evaluation.episodes.job_processes import drive_jobs
from pipeline.evaluation.episodes.plan import Job, batch_size, without_room
from pipeline.evaluation.episodes.remarks import broken_lines, room_lines
from pipeline.evaluation.episodes.runner import evaluate
from pipeline.evaluation.episodes.summary import (
    BATCH,
    EPISODE_COLUMNS,
    EPISODES,
    FAILURES,
    SUMMARY,
    TRACES,
    Cell,
    Provenance,
    summarise,
    with_empty,
)
from pipeline.evaluation.episodes.traces import FAILURES_PER_AGENT
from pipeline.evaluation.report.formatting import percent
from pipeline.evaluation.report.table import Table, pivot
from pipeline.runs import manifest
from pipeline.runs.presets import DEFAULT_ROBOTS, EVALUATED_ROBOTS
from pipeline.runs.provenance import commit_of, describe
from pipeline.runs.run_folder import StageRun
from pipeline.stages.evaluate_policy import Config
from pipeline.stages.implementation.evaluation_inputs import served_policies
from scenes import registry as scenes
from scenes.registry import file_options
from world_model import atomic_files


def run(config: Config, run: StageRun) -> None:
    """Write ``summary.json``, ``episodes.parquet``, ``traces.npz`` and, of agents that use depth, ``failures.npz``."""
    folder = _policy_folder(config, run)
    asked = _jobs(config, folder, run)
    jobs, empty = _check(asked, run)
    _forget_stale_rollouts(jobs, run)
    finished = reuse.read(config.reuse, run.body["config"], run.body["inputs"]) if config.reuse else None
    there = {job.embodiment: finished.agents(job) if finished else () for job in jobs}
    driven = _without(jobs, there)
    if finished:
        for note in finished.notes(there):
            run.note(note)
        for job in driven:
            reuse.check_draw(finished.rows, job)
    roomless = _evaluate(driven, config, run.work)
    _check_servers(config, run)
    for robot, why in roomless.items():
        run.note(f"{why}; all cells of {robot} stay empty")
        empty += [(robot, scene) for scene in asked[0].scenes if (robot, scene) not in empty]
    jobs, driven = ([job for job in some if job.embodiment not in roomless] for some in (jobs, driven))
    there = {job.embodiment: there[job.embodiment] for job in jobs}
    episodes = _episodes(jobs, driven, finished, there)
    provenance = _provenance(config, asked, folder)
    summary = with_empty(summarise(episodes, provenance), _empty_cells(asked, empty), provenance)
    (run.directory / SUMMARY).write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    episodes[list(EPISODE_COLUMNS)].to_parquet(run.directory / EPISODES, index=False)
    arrays = {
        TRACES: [shards.traces(job) for job in driven],
        FAILURES: [shards.failures(job, at_most=FAILURES_PER_AGENT) for job in driven],
    }
    for name, columns in arrays.items():
        if finished:
            columns += [finished.arrays_of(name, robot, agents) for robot, agents in there.items() if agents]
        if joined := shards.join(columns):  # agents that ignore depth leave no images
            np.savez_compressed(run.directory / name, **joined)  # type: ignore[arg-type]
    run.metrics.update(_headline(summary), episodes=len(episodes), broken_episodes=int(episodes["broken"].sum()))
    run.metrics[BATCH] = asked[0].num_envs
    for line in (*broken_lines(episodes), *room_lines(episodes)):
        run.note(line)
    _print_table(summary)


def _check_servers(config: Config, run: StageRun) -> None:
    """Refuse rollouts of two policies in one table.

    Raises:
        ValueError: If a server serves another policy by now.
    """
    for agent, digest in served_policies(config).items():
        if run.body["inputs"][agent] != digest:
            raise ValueError(f"{agent} serves another policy than when the evaluation began; start it again")


def _forget_stale_rollouts(jobs: Sequence[Job], run: StageRun) -> None:
    """Drop the rollouts of policy files that have been replaced since; note rollouts of other commits."""
    files = sorted({path for job in jobs for path in job.policies.values()})
    hashes = {path: manifest.hash_file(Path(path)) for path in files}
    commits = [commit_of(describe())]
    noted = run.work / "policies.json"
    if noted.is_file():
        found = json.loads(noted.read_text(encoding="utf-8"))
        if found["policies"] == hashes:
            commits = list(dict.fromkeys([*found["commits"], *commits]))
        else:
            run.note("other policy files than in the interrupted run; starting afresh")
            shutil.rmtree(jobs[0].folder, ignore_errors=True)
    if len(commits) > 1:
        run.note(f"interrupted; its rollouts are of commits {', '.join(commits)}")
    atomic_files.write_bytes(noted, json.dumps({"policies": hashes, "commits": commits}).encode())


def _without(jobs: Sequence[Job], there: Mapping[str, Sequence[str]]) -> list[Job]:
    """Return what is left of the jobs without the agents whose episodes are there already."""
    left = [replace(job, agents=tuple(a for a in job.agents if a not in there[job.embodiment])) for job in jobs]
    return [job for job in left if job.agents]


def _episodes(
    jobs: Sequence[Job], driven: Sequence[Job], finished: reuse.Finished | None, there: Mapping[str, tuple[str, ...]]
) -> pd.DataFrame:
    """Return the rows of all jobs, robot by robot and agent by agent, driven or reused."""
    tables = [shards.rows(job) for job in driven]
    if finished:
        tables += [finished.rows_of(robot, agents) for robot, agents in there.items() if agents]
    rows = pd.concat(tables, ignore_index=True)
    if finished:
        reuse.check_starts(rows)
    place = {(job.embodiment, agent): (n, m) for n, job in enumerate(jobs) for m, agent in enumerate(job.agents)}
    order = [place[key] for key in zip(rows["embodiment"], rows["agent"], strict=True)]
    return rows.iloc[sorted(range(len(rows)), key=order.__getitem__)].reset_index(drop=True)


def _policy_folder(config: Config, run: StageRun) -> Path:
    """Return where the exported files lie; agents that have none can be evaluated outside of a run."""
    if config.policy is not None:
        return config.policy.parent
    if config.agents and all(agents.get(agent).file is None for agent in config.agents):
        return run.directory
    if "export_policy" not in run.inputs:
        raise ValueError(
            "there is no policy to evaluate: give --policy FILE.onnx, or --run runs/NAME instead of --out, or --agents "
            f"that need none ({', '.join(agents.without_weights())}, {server_ids.PREFIX}URL)."
        )
    return run.input("export_policy")


def _jobs(config: Config, folder: Path, run: StageRun) -> list[Job]:
    """Return one job per robot.

    Raises:
        ValueError: If something asked for does not exist.
        FileNotFoundError: If a policy asked for does not exist.
    """
    if config.episodes < 1 or not (config.embodiments and config.scenes and config.route):
        raise ValueError("evaluate_policy needs a robot, a scene, a route and at least one episode.")
    if config.num_envs < 1:
        raise ValueError(f"option --num-envs is {config.num_envs}; at least one environment is needed.")
    own = runtime.load(config.policy) if config.policy else None
    for agent in config.agents:
        agents.get(agent)
    servers = _servers(config, run)
    asked = {url: agent for agent, url in servers.items()}
    chosen = tuple(asked.get(agent, agent) for agent in config.agents) or _default_agents(own)
    scene_names = tuple(dict.fromkeys(config.scenes))
    num_envs = batch_size(config.episodes * len(scene_names), at_most=config.num_envs)
    jobs = []
    for robot in dict.fromkeys(config.embodiments):
        policies = _policies(chosen, config, folder, robot, own)
        left_out = [a for a in chosen if agents.get(a).file is not None and a not in policies]
        if left_out:
            run.note(f"{robot}: no file for {', '.join(left_out)} in {folder}; left out")
        jobs.append(
            Job(
                embodiment=robot,
                agents=tuple(agent for agent in dict.fromkeys(chosen) if agent not in left_out),
                policies=policies,
                scenes=scene_names,
                split=config.split,
                episodes=config.episodes,
                routes=tuple(dict.fromkeys(config.route)),
                protocol=config.protocol,
                conditions=config.conditions,
                seed=config.seed,
                num_envs=num_envs,
                device=config.device,
                folder=str(run.work / "rollouts"),
                servers=servers,
                server_timeout_s=config.server_timeout_s,
                files=file_options(config),
                view=str(parse(config.view).absolute()) if config.view else "",
            )
        )
    return jobs


def _servers(config: Config, run: StageRun) -> dict[str, str]:
    """Return ``server:NAME`` -> ``server:URL`` of the policies behind servers.

    Raises:
        ValueError: If two of them have the same name.
    """
    found: dict[str, str] = {}
    for url in dict.fromkeys(filter(server_ids.is_server, config.agents)):
        contract = server_ids.served(url, timeout_s=config.server_timeout_s)
        agent = server_ids.result_id(contract)
        if agent in found:
            raise ValueError(f"{found[agent]} and {url} both serve a policy called '{contract.name}'; rename one")
        found[agent] = url
        run.note(f"{agent} is at {server_ids.url_of(url)}, revision {contract.revision or 'unknown'}")
    return found


def _default_agents(own: runtime.Policy | None) -> tuple[str, ...]:
    """Return the agent of a single file; without one the agents that run by default."""
    if own is None:
        return tuple(name for name, info in agents.infos().items() if info.by_default)
    return (own.agent,)


def _policies(
    chosen: Sequence[str], config: Config, folder: Path, robot: str, own: runtime.Policy | None
) -> dict[str, str]:
    """Return agent -> file of the learned agents that can run.

    Raises:
        FileNotFoundError: If the user asked for an agent whose file does not exist.
    """
    found = {}
    for agent in chosen:
        path = agents.policy_file(agent, folder=folder, embodiment=robot)
        if own is not None and _drives_as(own, agent, robot=robot, is_alone=chosen == _default_agents(own)):
            path = config.policy  # whatever it is called
        if path is not None and path.is_file():
            found[agent] = str(path)
        elif path is not None and config.agents and not _comes_along(robot, config):
            raise FileNotFoundError(f"agent '{agent}' of robot '{robot}' needs {path}; make it or leave the agent out")
    return found


def _drives_as(own: runtime.Policy, agent: str, *, robot: str, is_alone: bool) -> bool:
    """Return whether ``--policy`` is an agent's file on a robot; other agents' files lie beside it."""
    if {own.agent, agent} <= set(agents.generalists()):
        return True
    # A specialist named beside others is one robot's; alone it is tried on whatever robot was asked for.
    return own.agent == agent and (is_alone or agent != "specialist" or robot in own.contract["embodiments"])


def _comes_along(robot: str, config: Config) -> bool:
    """Return whether a robot is only among the defaults and has no specialist."""
    return config.embodiments == EVALUATED_ROBOTS and robot not in DEFAULT_ROBOTS


def _check(jobs: Sequence[Job], run: StageRun) -> tuple[list[Job], list[tuple[str, str]]]:
    """Refuse before the long work what cannot be evaluated.

    Returns:
        The jobs, each with the scenes that have room for its robot, and (robot, scene) without room.

    Raises:
        ValueError: If a policy does not fit a robot, a scene cannot be read, or no robot has room anywhere.
        FileNotFoundError: If a scene's file does not exist.
    """
    tight: dict[tuple[str, str], str] = {}
    for name in jobs[0].scenes:
        scene = scenes.load(name, split=jobs[0].split, options=jobs[0].files)
        for remark in scene.remarks:
            run.note(remark)
        if scenes.is_map(name):
            tight |= {(robot, name): why for robot, why in without_room(name, scene, jobs).items()}
    left = []
    for job in jobs:
        roomy = tuple(name for name in job.scenes if (job.embodiment, name) not in tight)
        left += [replace(job, scenes=roomy)] if roomy else []
        for agent, path in job.policies.items():
            agents.make(
                agent, robots.get(job.embodiment), num_envs=1, device=job.device, seed=job.seed, policy=Path(path)
            )
    if not left:
        raise ValueError(next(iter(tight.values())))
    for (robot, _), why in tight.items():
        run.note(f"{why}; the cells of {robot} there stay empty")
    return left, list(tight)


def _empty_cells(jobs: Sequence[Job], empty: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return (robot, scene, agent, route) of everything that was asked for and could not be driven."""
    return [
        (job.embodiment, scene, agent, route)
        for job in jobs
        for scene in job.scenes
        if (job.embodiment, scene) in empty
        for agent in job.agents
        for route in job.routes
    ]


def _evaluate(jobs: Sequence[Job], config: Config, work: Path) -> dict[str, str]:
    """Run the jobs.

    Returns:
        Robot -> why a scene has no room for it, found during the drive.

    Raises:
        ValueError: If an evaluation failed otherwise, or no robot has room; the processes have said why.
    """
    failed = drive_jobs(jobs, work, workers=config.workers, here=evaluate)
    files = {job.embodiment: shards.no_room(job) for job in failed}
    roomless = {robot: file.read_text(encoding="utf-8") for robot, file in files.items() if file.is_file()}
    names = [job.embodiment for job in failed if job.embodiment not in roomless]
    if names or (roomless and len(roomless) == len(jobs)):
        raise ValueError(f"evaluation failed for {', '.join(names or roomless)}; see the lines marked so above")
    return roomless


def _provenance(config: Config, jobs: Sequence[Job], folder: Path) -> Provenance:
    files = {(agent, job.embodiment): Path(path) for job in jobs for agent, path in job.policies.items()}
    hashes = {path: manifest.hash_file(path) for path in set(files.values())}
    try:
        training_seed = manifest.read(folder).body.get("seed")
    except manifest.ManifestError:  # a policy that came without its folder
        training_seed = None
    return Provenance(
        split=config.split,
        seed=config.seed,
        training_seed=training_seed if files else None,
        policy_sha256={key: hashes[path] for key, path in files.items()},
        unseen=_unseen(jobs),
    )


def _unseen(jobs: Sequence[Job]) -> frozenset[str]:
    """Return the robots that the generalist was not trained on; without one, those that no run trains on by default."""
    generalists = {job.policies[agent] for job in jobs for agent in agents.generalists() if agent in job.policies}
    files = generalists or {path for job in jobs for path in job.policies.values()}
    trained = {robot for path in files for robot in runtime.load(Path(path)).contract["embodiments"]}
    known = trained if generalists else trained | set(DEFAULT_ROBOTS)
    return frozenset(job.embodiment for job in jobs) - known


def _headline(summary: Mapping[str, list[Cell]]) -> dict[str, float]:
    """Return ROBOT/AGENT/ROUTE -> success rate, for the manifest."""
    return {f"{c['embodiment']}/{c['agent']}/{c['route']}": c["success"] for c in summary["pooled"] if c["episodes"]}


def _print_table(summary: Mapping[str, list[Cell]]) -> None:
    """Print success per robot and agent."""
    cells = summary["pooled"]
    robots, columns = (list(dict.fromkeys(cell[key] for cell in cells)) for key in ("embodiment", "agent"))
    for route in dict.fromkeys(cell["route"] for cell in cells):
        frame = pivot(
            [cell for cell in cells if cell["route"] == route],
            row=lambda cell: str(cell["embodiment"]),
            column=lambda cell: str(cell["agent"]),
            text=lambda cell: percent(cell["success"]),
            rows=robots,
            columns=columns,
        )
        Table(title=f"success in % ({route} route)", frame=frame).print()
