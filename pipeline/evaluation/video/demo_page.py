"""The page of the demonstration: one film per robot, in one file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pipeline.evaluation.video.ground_plan import ENDING_COLOURS
from world_model import atomic_files

TEMPLATE = "demo.html.j2"
NUMBERS = {1: "one robot", 2: "two robots", 3: "three robots", 4: "four robots"}
FAMILIES = {"wheeled": "on wheels", "legged": "on four legs", "humanoid": "on two legs"}
ENDINGS = {
    "success": "reached the goal",
    "collision": "hit something",
    "fall": "fell",
    "timeout": "ran out of time",
    "broken": "ended by a failure of the simulation",
}


@dataclass(frozen=True, kw_only=True)
class Film:
    """A film and what it shows, as ``film_robot`` wrote it."""

    video: Path
    shown: Mapping[str, Any]


def write(out: Path, films: Sequence[Film]) -> Path:
    """Write the page and return its path."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(TEMPLATE).render(
        cards=[_card(film) for film in films],
        policies=sorted({(film.shown["policy"], film.shown["policy_sha256"]) for film in films}),
        reached=sum(film.shown["ending"] == "success" for film in films),
        candidates=max((film.shown["candidates"] for film in films), default=0),
        robots=NUMBERS.get(len(films), f"{len(films)} robots"),
    )
    atomic_files.write_text(out, page)
    return out


def sentence(film: Film) -> str:
    """Return how the episode ended, for a terminal."""
    shown = film.shown
    return f"{shown['embodiment']}: {ENDINGS[shown['ending']]} after {shown['time_s']} s, {shown['path_m']} m of path"


def _card(film: Film) -> dict[str, Any]:
    from embodiments import registry

    shown = film.shown
    return {
        "robot": shown["embodiment"],
        "family": FAMILIES[registry.get(shown["embodiment"]).family],
        "ending": ENDINGS[shown["ending"]],
        "colour": ENDING_COLOURS[shown["ending"]],
        "shown": shown,
        "speed": f"{shown['speed']} times real speed" if shown["speed"] > 1 else "",
        "video": _uri(film.video, "video/mp4"),
        "poster": _uri(film.video.with_suffix(".jpg"), "image/jpeg"),
    }


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
