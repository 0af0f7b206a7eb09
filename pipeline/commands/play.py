"""Film a policy: the map from above, the robot from behind, and the depth image that it sees.

``python -m pipeline play --policy FILE.onnx --embodiments g1 --scenes office``; without ``--policy`` an agent without
weights drives. No display is needed.
"""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from embodiments import registry as robots
from embodiments.spaces import CONTROL_HZ
from export.policy_server.client import TIMEOUT_S
from export.runtime.viewing import rerun_viewer
from export.runtime.viewing.view import parse
from pipeline.runs import processes
from pipeline.runs.progress import progress
from pipeline.runs.stage import Command
from scenes import registry as scene_kinds
from scenes.registry import FileOptions, file_options
from scenes.scene import Scene

if TYPE_CHECKING:
    from pipeline.agents.agent import Agent
    from pipeline.evaluation.video.filming import Filming
    from pipeline.simulation.navigation.environment import NavigationEnvironment


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is filmed."""

    policy: Path | None = None
    """Exported policy that drives"""
    agent: Annotated[str, arg(name="agents")] = ""
    """Who drives instead, or server:URL for a policy behind a server; ``blind`` is the policy with its depth zeroed"""
    server_timeout_s: float = TIMEOUT_S
    """How long a policy server may take for an answer"""
    embodiments: tuple[str, ...] = ("tiago",)
    scenes: tuple[str, ...] = ("office",)
    """Scene kinds, or paths of Nav2 maps (.yaml) or meshes (.glb, .obj, .ply)"""
    episodes: int = 3
    """Per scene"""
    route: Literal["straight", "planned"] = "straight"
    split: Literal["train", "val", "test"] = "val"
    """The test split is for the table"""
    out: Path = Path("runs/play.mp4")
    """The film; with several robots one each, named FILE_ROBOT.mp4"""
    chase: bool = True
    """Show the robot from behind, which takes most of the time"""
    view: str = ""
    """Besides the film, rerun: a live view in a window; rerun:FILE.rrd: the same in a file"""
    seed: int = 0


def main(config: Config) -> None:
    """Write the film.

    Raises:
        ValueError: If an option does not exist or does not fit.
        FileNotFoundError: If the policy does not exist.
    """
    if not (config.embodiments and config.scenes and config.episodes > 0):
        raise ValueError("play needs a robot, a scene and at least one episode.")
    if config.policy is None and config.agent in ("", "blind"):
        raise ValueError("play needs --policy FILE.onnx, or --agents NAME of one without weights, such as teacher.")
    if config.episodes > 1 and len({scene_kinds.is_map(name) for name in config.scenes}) > 1:
        raise ValueError("play several episodes in kinds of scenes or in files, not in both at once.")
    if config.policy is not None and not config.policy.is_file():
        raise FileNotFoundError(f"no exported policy {config.policy}; make it with: python -m pipeline export_policy")
    if config.view:
        rerun_viewer.target(config.view)
    if len(config.embodiments) > 1:
        _each_robot(config)
        return
    config.out.parent.mkdir(parents=True, exist_ok=True)
    film(config)
    print(f"wrote {config.out}")


def film(config: Config) -> None:
    """Film one robot; a process holds one simulation."""
    import imageio.v2 as imageio

    from pipeline.evaluation.video.filming import drive, ending_of, with_still_end
    from pipeline.evaluation.viewing.simulation_view import open_view

    environment, agent, filming = _prepare(config)
    name = f"{config.embodiments[0]}, {filming.label}"
    shown = open_view(config.view, environment, agent, name=name) if config.view else None
    with (
        contextlib.closing(shown) if shown else contextlib.nullcontext(),
        imageio.get_writer(config.out, fps=CONTROL_HZ, quality=7, macro_block_size=16) as writer,
        progress(len(environment.episodes), f"play {config.embodiments[0]}") as bar,
    ):
        for step in drive(environment, agent):
            filming.observe(step)
            if shown is not None:
                shown.observe(step)
            ending = ending_of(step)
            for frame in with_still_end(filming.frame(step), ending=ending):
                writer.append_data(frame)  # type: ignore[attr-defined]
            if ending is not None:
                bar.advance(1)


def _each_robot(config: Config) -> None:
    commands = {}
    for name in config.embodiments:
        out = config.out.with_name(f"{config.out.stem}_{name}{config.out.suffix}")
        words = ["--scenes", ",".join(config.scenes), "--episodes", str(config.episodes), "--seed", str(config.seed)]
        words += ["--route", config.route, "--split", config.split, "--chase" if config.chase else "--no-chase"]
        for option, value in asdict(file_options(config)).items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        words += ["--policy", str(config.policy)] if config.policy else []
        words += ["--agents", config.agent, "--server-timeout-s", str(config.server_timeout_s)] if config.agent else []
        words += ["--view", str(parse(config.view).absolute().named(name))] if config.view else []
        commands[name] = ["play", "--embodiments", name, "--out", str(out), *words]
    failed = [name for name, s in processes.run_side_by_side(commands, workers=processes.cores()).items() if s]
    if failed:
        raise ValueError(f"no film of {', '.join(failed)}; see the lines marked so above")


def _prepare(config: Config) -> "tuple[NavigationEnvironment, Agent, Filming]":
    """Build one environment that runs through all episodes, the agent, and what films it."""
    import torch

    from pipeline.agents import registry as agents
    from pipeline.agents.exported import ExportedAgent
    from pipeline.evaluation.video.filming import LARGE, LARGE_WITHOUT_CHASE, Filming
    from pipeline.simulation.navigation.config import NavigationConfig
    from pipeline.simulation.navigation.environment import NavigationEnvironment
    from pipeline.simulation.navigation.task import build_task

    embodiment = robots.get(config.embodiments[0])
    if config.policy is not None and config.agent in ("", "blind"):
        agent: Agent = ExportedAgent(
            config.policy, embodiment, device="cpu", blind=config.agent == "blind", allow_unseen=True
        )
    else:
        agent = agents.make(
            config.agent,
            embodiment,
            num_envs=1,
            device="cpu",
            seed=config.seed,
            server_timeout_s=config.server_timeout_s,
        )
    scenes = []
    for name in config.scenes:
        count = 1 if scene_kinds.is_map(name) else config.episodes
        scenes += [_scene(config, name, index=config.seed * count + k) for k in range(count)]
    per_scene = config.episodes if len(scenes) == len(config.scenes) else 1
    task = build_task(embodiment, scenes, protocol="compass", per_scene=per_scene, route=config.route, seed=config.seed)
    environment = NavigationEnvironment(task, config=NavigationConfig(settle_s=1.0), num_envs=1, seed=config.seed)
    environment.assign(torch.arange(len(task.episodes))[None])
    label = config.agent or (config.policy.stem if config.policy else "")
    layout = LARGE if config.chase else LARGE_WITHOUT_CHASE
    return environment, agent, Filming(environment, task.scenes, label=label, layout=layout)


def _scene(config: Config, name: str, *, index: int) -> Scene:
    scene = scene_kinds.load(name, split=config.split, index=index, options=file_options(config))
    for remark in scene.remarks:
        print(remark, flush=True)
    return scene


COMMAND = Command(config=Config, main=main)
