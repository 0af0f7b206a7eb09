"""Film a policy: the map from above, the robot from behind, and the depth image that it sees. Or take one picture.

``python -m pipeline play --policy FILE.onnx --embodiments g1 --scenes office``; without ``--policy`` an agent without
weights drives. ``--picture FILE.png`` shows robots standing in a scene, without any simulation. No display is needed.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from tyro.conf import arg

from embodiments import registry as robots
from embodiments.spaces import CONTROL_HZ
from pipeline.runs import processes
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.progress import progress
from pipeline.runs.stage import Command
from scenes import registry as scene_kinds
from scenes.registry import FileOptions, file_options
from scenes.scene import Scene

if TYPE_CHECKING:
    from pipeline.agents.agent import Agent
    from pipeline.evaluation.video.filming import Filming
    from pipeline.simulation.navigation.environment import NavigationEnvironment

ROW_SPACING_M = 0.9
"""Between the robots of a picture"""
PICTURE_SCENES = 20
"""Scenes that are searched for a free place with a free view"""


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is filmed."""

    policy: Path | None = None
    """Exported policy that drives"""
    agent: Annotated[str, arg(name="agents")] = ""
    """Who drives instead; ``blind`` is the policy with its depth image zeroed"""
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
    picture: Path | None = None
    """Only write this picture of the robots in a scene"""
    chase: bool = True
    """Show the robot from behind, which takes most of the time"""
    seed: int = 0


def main(config: Config) -> None:
    """Write the film or the picture.

    Raises:
        ValueError: If an option does not exist or does not fit.
        FileNotFoundError: If the policy does not exist.
    """
    if config.picture is not None:
        take_picture(config)
        return
    if not (config.embodiments and config.scenes and config.episodes > 0):
        raise ValueError("play needs a robot, a scene and at least one episode.")
    if config.policy is None and config.agent in ("", "blind"):
        raise ValueError("play needs --policy FILE.onnx, or --agents NAME of one without weights, such as teacher.")
    if config.episodes > 1 and len({scene_kinds.is_map(name) for name in config.scenes}) > 1:
        raise ValueError("play several episodes in kinds of scenes or in files, not in both at once.")
    if config.policy is not None and not config.policy.is_file():
        raise FileNotFoundError(f"no exported policy {config.policy}; make it with: python -m pipeline export_policy")
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

    environment, agent, filming = _prepare(config)
    with (
        imageio.get_writer(config.out, fps=CONTROL_HZ, quality=7, macro_block_size=16) as writer,
        progress(len(environment.episodes), f"play {config.embodiments[0]}") as bar,
    ):
        for step in drive(environment, agent):
            filming.observe(step)
            ending = ending_of(step)
            for frame in with_still_end(filming.frame(step), ending=ending):
                writer.append_data(frame)  # type: ignore[attr-defined]
            if ending is not None:
                bar.advance(1)


def take_picture(config: Config) -> None:
    """Write a picture of robots that stand in a row in a scene."""
    from PIL import Image

    from pipeline.evaluation.video.rendering import View, render, scene_surface
    from pipeline.evaluation.video.robot_meshes import load_parts, place

    assert config.picture is not None
    names = config.embodiments if config.embodiments != Config().embodiments else DEFAULT_ROBOTS
    scene, spot, yaw = _open_spot(config, width_m=ROW_SPACING_M * len(names))
    across = np.asarray([math.cos(yaw + math.pi / 2.0), math.sin(yaw + math.pi / 2.0)])
    surfaces = [scene_surface(scene)]
    for index, name in enumerate(names):
        x, y = spot + across * ROW_SPACING_M * ((len(names) - 1) / 2.0 - index)
        surfaces.append(place(load_parts(robots.get(name)), xy_w_m=(float(x), float(y)), yaw_w_rad=yaw))
    eye = _eye(spot, yaw)
    view = View(
        eye_w_m=(float(eye[0]), float(eye[1]), 1.35),
        target_w_m=(float(spot[0]), float(spot[1]), 0.62),
        width_px=1280,
        height_px=640,
        hfov_rad=1.0,
        # from behind the photographer's left shoulder
        sun_w=(math.cos(yaw - 0.6), math.sin(yaw - 0.6), 1.1),
    )
    config.picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(surfaces, view, soft=True)).save(config.picture, optimize=True)
    print(f"wrote {config.picture}: {', '.join(names)} in {scene.name}")


def _each_robot(config: Config) -> None:
    commands = {}
    for name in config.embodiments:
        out = config.out.with_name(f"{config.out.stem}_{name}{config.out.suffix}")
        words = ["--scenes", ",".join(config.scenes), "--episodes", str(config.episodes), "--seed", str(config.seed)]
        words += ["--route", config.route, "--split", config.split, "--chase" if config.chase else "--no-chase"]
        for option, value in asdict(file_options(config)).items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        words += ["--policy", str(config.policy)] if config.policy else []
        words += ["--agents", config.agent] if config.agent else []
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
    from pipeline.simulation.navigation.environment import NavigationConfig
    from pipeline.simulation.navigation.task import build_task, make_environment

    embodiment = robots.get(config.embodiments[0])
    if config.policy is not None and config.agent in ("", "blind"):
        agent: Agent = ExportedAgent(
            config.policy, embodiment, device="cpu", blind=config.agent == "blind", allow_unseen=True
        )
    else:
        agent = agents.make(config.agent, embodiment, num_envs=1, device="cpu", seed=config.seed)
    scenes = []
    for name in config.scenes:
        count = 1 if scene_kinds.is_map(name) else config.episodes
        scenes += [_scene(config, name, index=config.seed * count + k) for k in range(count)]
    per_scene = config.episodes if len(scenes) == len(config.scenes) else 1
    task = build_task(embodiment, scenes, protocol="compass", per_scene=per_scene, route=config.route, seed=config.seed)
    environment = make_environment(task, config=NavigationConfig(settle_s=1.0), num_envs=1, seed=config.seed)
    environment.assign(torch.arange(len(task.episodes))[None])
    label = config.agent or (config.policy.stem if config.policy else "")
    layout = LARGE if config.chase else LARGE_WITHOUT_CHASE
    return environment, agent, Filming(environment, task.scenes, label=label, layout=layout)


def _scene(config: Config, name: str, *, index: int) -> Scene:
    scene = scene_kinds.load(name, split=config.split, index=index, options=file_options(config))
    for remark in scene.remarks:
        print(remark, flush=True)
    return scene


def _open_spot(config: Config, *, width_m: float) -> tuple[Scene, np.ndarray, float]:
    """Return a scene, a free place in it where a row of robots is seen from the front, and the row's heading.

    Raises:
        ValueError: If there is no such place.
    """
    name = config.scenes[0]
    count = 1 if scene_kinds.is_map(name) else PICTURE_SCENES
    for index in range(config.seed, config.seed + count):
        scene = _scene(config, name, index=index)
        found = _best_spot(scene, width_m=width_m)
        if found is not None:
            return scene, *found
    raise ValueError(
        f"no free place for {width_m:.1f} m of robots in '{name}'; try another --scenes or fewer --embodiments"
    )


def _best_spot(scene: Scene, *, width_m: float) -> tuple[np.ndarray, float] | None:
    from scenes.fields import distance_field
    from scenes.occupancy import layer_occupancy

    distance = distance_field(layer_occupancy(scene, layers_m=((0.05, 1.8),), resolution_m=0.1))
    rng = np.random.default_rng(0)
    x_min, y_min, x_max, y_max = scene.extent_w_m
    best, best_clearance_m = None, 0.0
    for _ in range(3000):
        spot = rng.uniform((x_min, y_min), (x_max, y_max))
        yaw = float(rng.uniform(-math.pi, math.pi))
        across = np.asarray([-math.sin(yaw), math.cos(yaw)])
        row = spot + width_m * np.linspace(-0.5, 0.5, 9)[:, None] * across
        eye = _eye(spot, yaw)
        sight = np.concatenate([row + fraction * (eye - row) for fraction in np.linspace(0.0, 1.0, 33)])
        clearance_m = min(float(distance.at(row)[0].min()) - 0.4, float(distance.at(sight)[0].min()) - 0.15)
        if clearance_m > best_clearance_m:
            best, best_clearance_m = (spot, yaw), clearance_m
    return best


def _eye(spot: np.ndarray, yaw: float) -> np.ndarray:
    """Return the camera's position for a picture of a row of robots that face ``yaw``: a little to the side."""
    position: np.ndarray = spot + 4.0 * np.asarray([math.cos(yaw + 0.2), math.sin(yaw + 0.2)])
    return position


COMMAND = Command(config=Config, main=main)
