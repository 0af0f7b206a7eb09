"""The demonstration orders one film per robot by seed alone, writes the page, and names what could not be filmed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.commands import demo

SHOWN = {"ending": "timeout", "time_s": 25.6, "time_limit_s": 25.6, "path_m": 7.3, "speed": 1, "scene_name": "office"}
SHOWN |= {"route": "planned", "episode": 2, "candidates": 8, "policy": "generalist.onnx", "policy_sha256": "0" * 64}


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """Make every film but g1's out of nothing, and return the commands."""
    commands_seen: dict[str, Sequence[str]] = {}

    def film(commands: Mapping[str, Sequence[str]], *, workers: int) -> dict[str, int]:
        commands_seen.update(commands)
        for robot, words in commands.items():
            out = Path(words[words.index("--out") + 1])
            for suffix in (".mp4", ".jpg"):
                out.with_suffix(suffix).write_bytes(b"film")
            shown = {**SHOWN, "embodiment": robot, "seed": int(words[words.index("--seed") + 1]), "wall_s": 1.0}
            out.with_suffix(".json").write_text(json.dumps(shown))
        return {robot: 2 * (robot == "g1") for robot in commands}

    monkeypatch.setattr("pipeline.runs.processes.run_side_by_side", film)
    return commands_seen


def test_each_robot_has_an_office_of_its_own(ordered: dict[str, Sequence[str]], tmp_path: Path) -> None:
    demo.main(demo.Config(embodiments=("tiago", "go2"), out=tmp_path, seed=5, open=False))
    seeds = [words[words.index("--seed") + 1] for words in ordered.values()]
    assert list(ordered) == ["tiago", "go2"] and seeds == ["5", "6"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8").count("ran out of time after") == 2


def test_a_film_that_failed_is_named_and_the_others_are_shown(
    ordered: dict[str, Sequence[str]], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no film of g1;"):
        demo.main(demo.Config(embodiments=("tiago", "g1"), out=tmp_path, open=False))
    assert ordered and (tmp_path / "index.html").read_text(encoding="utf-8").count("<video") == 1


def test_a_browser_opens_only_where_there_is_a_display(
    ordered: dict[str, Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    demo.main(demo.Config(embodiments=("tiago",), out=tmp_path))
    assert ordered and opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    demo.main(demo.Config(embodiments=("tiago",), out=tmp_path))
    assert opened == [(tmp_path / "index.html").resolve().as_uri()]


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no exported policy .*none\.onnx"):
        demo.main(demo.Config(policy=tmp_path / "none.onnx", out=tmp_path))
