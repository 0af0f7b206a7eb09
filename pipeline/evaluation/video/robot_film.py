"""A short film of one robot through one episode, small enough for a page."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from embodiments.embodiment import Embodiment
from embodiments.spaces import CONTROL_HZ
from pipeline.agents.exported import ExportedAgent
from pipeline.evaluation.video.filming import PAGE, Filming, drive, ending_of, with_still_end
from pipeline.runs.progress import progress
from pipeline.simulation.conditions.crowd import CrowdPlan
from pipeline.simulation.conditions.field import changed_scene
from pipeline.simulation.navigation.config import Conditions, NavigationConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.episodes import EpisodeSet, RouteKind
from pipeline.simulation.navigation.field_episodes import put_in_field
from pipeline.simulation.navigation.task import build_task
from scenes.registry import load

FILM_S = 24.0
"""A film of a longer episode leaves steps out: slow robots are shown faster than they are."""
POSTER_STEP = 30
"""The frame that stands for the film on paper"""
ENCODING = ("-crf", "25", "-preset", "slow", "-movflags", "+faststart")
"""Of H.264, which browsers play"""


def film(
    embodiment: Embodiment,
    out: Path,
    *,
    policy: Path,
    scene: str,
    route: RouteKind,
    split: str,
    seed: int,
    candidates: int,
    conditions: Conditions = "nominal",
) -> dict[str, Any]:
    """Write the film and one frame of it beside it (.jpg).

    Args:
        scene: Kind, or the path of a map.
        candidates: Episodes that are drawn; the one with the longest path to its goal is filmed, before anybody drove.
            In ``field`` the longest of those in which somebody walks.
        conditions: In ``field`` people walk there, and sensors err.

    Returns:
        What it shows: ``ending``, ``time_s``, ``time_limit_s``, ``path_m`` (the shortest one), ``scene_name``,
        ``episode``, and ``speed``, how many times faster than it was.
    """
    place, in_field = load(scene, split=split, index=seed), conditions == "field"
    if in_field:
        place = changed_scene(place, seed=seed)
    task = build_task(embodiment, [place], protocol="compass", per_scene=candidates, route=route, seed=seed)
    print(f"{embodiment.name}: building the simulation", flush=True)
    config = NavigationConfig(disturbable=in_field, people=in_field)
    environment = NavigationEnvironment(task, config=config, num_envs=1, seed=seed)
    numbers = np.arange(len(task.episodes))
    people = put_in_field(environment, task, seed=seed, numbers=numbers) if in_field else None
    episode = longest(task.episodes, people)
    environment.assign(torch.tensor([[episode]]))
    agent = ExportedAgent(policy, embodiment, device="cpu", allow_unseen=True)
    filming = Filming(environment, task.scenes, label=policy.stem, layout=PAGE)
    limit_s = float(task.episodes.time_limit_s[episode])
    stride = math.ceil(limit_s / FILM_S)
    return {
        "speed": stride,
        "scene_name": place.name,
        "episode": episode,
        "time_limit_s": round(limit_s, 1),
        "path_m": round(float(task.episodes.initial_geodesic_m[episode]), 1),
        **_write(out, filming, drive(environment, agent), stride=stride, most_steps=round(limit_s * CONTROL_HZ)),
    }


def _write(out: Path, filming: Filming, steps: Iterator[Step], *, stride: int, most_steps: int) -> dict[str, Any]:
    """Write every ``stride``-th step as a frame, and one frame as a picture; return how and when the episode ended."""
    import imageio.v2 as imageio

    shown: dict[str, Any] = {}
    options: dict[str, Any] = {"fps": CONTROL_HZ, "codec": "libx264", "output_params": list(ENCODING)}
    with (
        imageio.get_writer(out, **options) as writer,
        progress(most_steps, f"{filming.robot} drives; control steps of the time limit") as bar,
    ):
        for count, step in enumerate(steps):
            bar.advance(1)
            filming.observe(step)
            ending = ending_of(step)
            if ending is None and count % stride:
                continue
            frame = filming.frame(step)
            for copy in with_still_end(frame, ending=ending):
                writer.append_data(copy)  # type: ignore[attr-defined]
            if count <= POSTER_STEP * stride:
                poster = frame
            shown |= {"ending": ending, "time_s": round(count / CONTROL_HZ, 1)}
    Image.fromarray(poster).save(out.with_suffix(".jpg"), quality=80)
    return shown


def longest(episodes: EpisodeSet, people: CrowdPlan | None = None) -> int:
    """Return the episode with the longest path to its goal, of those in which somebody walks if there are any."""
    lengths_m = np.asarray(episodes.initial_geodesic_m)
    somebody = None if people is None else (people.speed_mps > 0.0).any(axis=1)
    if somebody is not None and somebody.any():
        lengths_m = np.where(somebody, lengths_m, 0.0)
    return int(np.argmax(lengths_m))
