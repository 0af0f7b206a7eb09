"""The short films of the report: made once per policy, one process per robot, and put into the page."""

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.robot_models.digest import digest
from pipeline.runs import manifest, processes

_SUFFIXES = (".mp4", ".jpg", ".json")


@dataclass(frozen=True, kw_only=True)
class Order:
    """The films that a report wants."""

    policy: Path
    robots: tuple[str, ...]
    scene: str
    route: str
    seed: int
    conditions: str = "nominal"

    def key(self, robot: str) -> str:
        """Return the hash of what the film of a robot depends on."""
        settings = {"policy": manifest.hash_file(self.policy), "robot": digest(robot), "scene": self.scene}
        return manifest.hash_of(settings | {"route": self.route, "seed": self.seed, "conditions": self.conditions})


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film inside the page."""

    source: str
    """A ``data:`` URI"""
    poster: str
    """A ``data:`` URI of one frame, for paper"""
    caption: str


def make(order: Order, folder: Path, *, made_before: Sequence[Path]) -> list[str]:
    """Make the films into ``folder``, as far as they are not there, and return the robots that could not be filmed.

    Args:
        order: Which films.
        folder: Where they go; what an interrupted report left there counts.
        made_before: Other folders that may hold the same films.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = {robot: order.key(robot) for robot in order.robots}
    for robot, key in keys.items():
        found = next((place for place in (folder, *made_before) if _shown(place, robot).get("key") == key), None)
        if found not in (None, folder):
            for suffix in _SUFFIXES:
                shutil.copyfile(found / f"{robot}{suffix}", folder / f"{robot}{suffix}")
    missing = [robot for robot, key in keys.items() if _shown(folder, robot).get("key") != key]
    commands = {robot: _command(order, robot, folder, key=keys[robot]) for robot in missing}
    status = processes.run_side_by_side(commands, workers=processes.cores()) if commands else {}
    return [robot for robot, code in status.items() if code]


def read(folder: Path, robots: Sequence[str]) -> list[Film]:
    """Return the films that are there."""
    films = []
    for robot in robots:
        shown = _shown(folder, robot)
        if shown:
            source = _uri(folder / f"{robot}.mp4", "video/mp4")
            films.append(
                Film(source=source, poster=_uri(folder / f"{robot}.jpg", "image/jpeg"), caption=_caption(shown))
            )
    return films


def _shown(folder: Path, robot: str) -> dict[str, Any]:
    """Return what a film's own file says of it; nothing where the film is not complete."""
    if not all((folder / f"{robot}{suffix}").is_file() for suffix in _SUFFIXES):
        return {}
    found: dict[str, Any] = json.loads((folder / f"{robot}.json").read_text(encoding="utf-8"))
    return found


def _command(order: Order, robot: str, folder: Path, *, key: str) -> list[str]:
    words = ["film_robot", "--policy", str(order.policy), "--embodiments", robot, "--out", str(folder / f"{robot}.mp4")]
    words += ["--scene", order.scene, "--route", order.route, "--seed", str(order.seed)]
    return [*words, "--conditions", order.conditions, "--key", key]


def _caption(shown: Mapping[str, Any]) -> str:
    where = f"{Path(shown['scene']).stem} ({shown['split']} split), {shown['route']} route"
    speed = f", shown {shown['speed']} times as fast" if shown["speed"] > 1 else ""
    where += ", among people" if shown.get("conditions") == "field" else ""
    end = f"{shown['ending']} after {shown['time_s']} s"
    return f"{shown['embodiment']}, {shown['agent']}, {where}: {end}{speed}"


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
