"""The demonstration's page is one file that says of every film how it ended and what it was made from."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.video import demo_page, gif, robot_film
from pipeline.evaluation.video.demo_page import Film

SHA256 = "0123456789abcdef" * 4


def film(folder: Path, robot: str, **different: Any) -> Film:
    video = folder / f"{robot}.mp4"
    video.write_bytes(b"film")
    video.with_suffix(".jpg").write_bytes(b"poster")
    shown = {"embodiment": robot, "ending": "success", "time_s": 9.5, "time_limit_s": 25.6, "path_m": 7.3, "speed": 1}
    shown |= {"scene_name": "office/val/4", "route": "planned", "seed": 4, "episode": 2, "candidates": 8}
    shown |= {"policy": "generalist.onnx", "policy_sha256": SHA256, "wall_s": 60.0}
    return Film(video=video, shown=shown | different)


@pytest.fixture
def page(tmp_path: Path) -> str:
    films = [film(tmp_path, "tiago"), film(tmp_path, "g1", ending="fall", speed=2)]
    return demo_page.write(tmp_path / "index.html", films).read_text(encoding="utf-8")


def test_the_page_says_how_every_episode_ended(page: str) -> None:
    assert "reached the goal after 9.5 s" in page and "fell after 9.5 s" in page
    assert "1 of 2 robots reached the goal" in page
    assert "2 times real speed" in page


def test_the_page_names_policy_scene_and_seed(page: str) -> None:
    assert "generalist.onnx" in page and SHA256[:16] in page
    assert "office/val/4, planned route" in page and "4, episode 2" in page


def test_the_page_needs_no_other_file(page: str) -> None:
    sources = re.findall(r'(?:src|poster|href)="([^"]*)"', page)
    assert len(sources) == 4 and all(source.startswith("data:") for source in sources)


def test_the_longest_path_is_filmed_whatever_its_ending() -> None:
    class Episodes:
        initial_geodesic_m = np.asarray([2.5, 9.1, 4.0])

    assert robot_film.longest(Episodes()) == 1  # type: ignore[arg-type]
    people = SimpleNamespace(speed_mps=np.asarray([[0.5, 0.0], [0.0, 0.0], [0.0, 1.0]]))
    assert robot_film.longest(Episodes(), people) == 2  # type: ignore[arg-type]
    people.speed_mps[:] = 0.0
    assert robot_film.longest(Episodes(), people) == 1  # type: ignore[arg-type]


def test_an_animated_picture_shows_the_films_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio.v2 as imageio
    from PIL import Image

    monkeypatch.setattr(gif, "FRAMES", 3)
    for name, colour in (("a", 40), ("b", 220)):
        with imageio.get_writer(tmp_path / f"{name}.mp4", fps=10) as writer:
            for _ in range(5):
                writer.append_data(np.full((176, 320, 3), colour, dtype=np.uint8))  # type: ignore[attr-defined]
    gif.write([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "both.gif")
    with Image.open(tmp_path / "both.gif") as picture:
        first = np.asarray(picture.convert("L")).astype(int)
    assert first.shape == (gif.TILE_PX[1], 2 * gif.TILE_PX[0] + 4)
    np.testing.assert_allclose([first[50, 50], first[50, -50]], [40, 220], atol=4)
