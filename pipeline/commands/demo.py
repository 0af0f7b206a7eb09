"""The shipped policy drives three robots through one office each; a page with their films opens in the browser.

Without a display the page's path is printed. Which episodes are filmed follows from the seed alone, never from how they
end. ``--gif FILE.gif`` also writes a small animated picture of the films.
"""

import json
import os
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runs import processes
from pipeline.runs.stage import Command

POLICY = Path(__file__).parents[2] / "export" / "pretrained" / "generalist.onnx"
CANDIDATES = 8
"""Episodes drawn per office; the one with the longest path is driven."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is shown."""

    policy: Path = POLICY
    """Exported policy that drives"""
    embodiments: tuple[str, ...] = ("tiago", "go2", "g1")
    """Robots, one film each"""
    out: Path = Path("runs/demo")
    """Folder of the page and its films"""
    seed: int = 0
    """The first robot drives in the office of this number, the next robot in the next office"""
    gif: Path | None = None
    """Also write this animated picture"""
    open: bool = True
    """Open the page in a browser if there is a display"""


def main(config: Config) -> None:
    """Film the robots and write the page.

    Raises:
        FileNotFoundError: If the policy does not exist.
        ValueError: If a robot could not be filmed.
    """
    from pipeline.evaluation.video import demo_page, gif

    if not config.policy.is_file():
        raise FileNotFoundError(f"no exported policy {config.policy}")
    config.out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    print(f"demo: {config.policy.name} drives {', '.join(config.embodiments)}, one office each.")
    print("demo: the first time on a machine the simulator compiles, which takes about a minute more.", flush=True)
    failed = _film(config)
    films = [_read(config.out / f"{robot}.mp4") for robot in config.embodiments if robot not in failed]
    page = demo_page.write(config.out / "index.html", films)
    if config.gif is not None and films:
        gif.write([film.video for film in films], config.gif)
        print(f"wrote {config.gif}")
    for film in films:
        print(f"  {demo_page.sentence(film)}")
    print(f"demo: {time.monotonic() - started_s:.0f} s. The page is {page}", flush=True)
    if failed:
        raise ValueError(f"no film of {', '.join(failed)}; see the lines marked so above")
    if config.open and has_display():
        webbrowser.open(page.resolve().as_uri())


def has_display() -> bool:
    """Return whether a browser could open here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _film(config: Config) -> list[str]:
    """Film all robots at once and return those that could not be filmed."""
    commands = {}
    for index, robot in enumerate(config.embodiments):
        video = config.out / f"{robot}.mp4"
        video.with_suffix(".json").unlink(missing_ok=True)  # written last: says that a film is complete
        words = ["film_robot", "--policy", str(config.policy.resolve()), "--embodiments", robot]
        words += ["--out", str(video.resolve()), "--candidates", str(CANDIDATES)]
        commands[robot] = [*words, "--seed", str(config.seed + index)]
    status = processes.run_side_by_side(commands, workers=len(commands))
    return [robot for robot, code in status.items() if code]


def _read(video: Path) -> Any:
    from pipeline.evaluation.video.demo_page import Film

    return Film(video=video, shown=json.loads(video.with_suffix(".json").read_text(encoding="utf-8")))


COMMAND = Command(config=Config, main=main)
