"""Figures of the teacher's recordings, computed by hand."""

from pathlib import Path

import numpy as np
import pytest

from distill.recordings import FIELDS, write_shard
from embodiments import registry
from pipeline.simulation.navigation import recording_quality
from pipeline.simulation.navigation.recording_quality import CELLS, EpisodeEnd, coverage

LIMITS = registry.get("tiago").limits
ENDS = (
    EpisodeEnd("teacher", "success", 9.0),
    EpisodeEnd("teacher", "timeout", -1.0),
    EpisodeEnd("random", "collision", -7.0),
)


def recorded(path: Path, *, command: np.ndarray, goal_b: np.ndarray) -> None:
    """Write a shard with these commands (T, 3) and goals (T, 4) of one robot."""
    rows = {
        name: np.zeros((len(command), 1, *(size or 1 for size in shape)), dtype=dtype)
        for name, (dtype, shape) in FIELDS["teacher"].items()
    }
    rows |= {"command": command[:, None].astype(np.float32), "goal_b": goal_b[:, None].astype(np.float32)}
    write_shard(path, rows, kind="teacher", attributes={"ends": ENDS})


def test_ends_come_back_and_are_counted_by_who_drove(tmp_path: Path) -> None:
    recorded(tmp_path / "train_000.h5", command=np.zeros((2, 3)), goal_b=np.zeros((2, 4)))
    found = recording_quality.episode_ends(tmp_path)
    assert tuple(found) == ENDS
    figures = recording_quality.outcome_figures(found)
    assert (figures["teacher/episodes"], figures["teacher/success"], figures["teacher/failure"]) == (2, 0.5, 0.5)
    assert (figures["teacher/return"], figures["random/return"]) == (4.0, -7.0)
    assert figures["random/failure"] == 1.0


def test_coverage_is_full_when_every_cell_is_visited_and_small_when_one_is(tmp_path: Path) -> None:
    middle = (np.arange(CELLS) + 0.5) / CELLS
    first, second = (grid.ravel() for grid in np.meshgrid(middle, middle, indexing="ij"))
    forward = -LIMITS.reverse_mps + first * (LIMITS.forward_mps + LIMITS.reverse_mps)
    command = np.stack([forward, 0.0 * first, (2.0 * second - 1.0) * LIMITS.yaw_rate_radps], axis=1)
    bearing = (2.0 * second - 1.0) * np.pi
    distance = first * recording_quality.GOAL_M
    goal_b = np.stack([distance * np.cos(bearing), distance * np.sin(bearing), 0.0 * first, 0.0 * first], axis=1)
    recorded(tmp_path / "full" / "train_000.h5", command=command, goal_b=goal_b)
    full = coverage(tmp_path / "full", LIMITS)
    assert full.visited_fractions() == {"coverage/commands": 1.0, "coverage/goals": 1.0}
    recorded(tmp_path / "one" / "train_000.h5", command=command[:1].repeat(9, axis=0), goal_b=goal_b[:9])
    one = coverage(tmp_path / "one", LIMITS)
    assert one.visited_fractions()["coverage/commands"] == pytest.approx(1.0 / CELLS**2)
    assert one.commands[0, 0] == 1.0 and one.commands.sum() == 1.0


def test_where_the_goals_are(tmp_path: Path) -> None:
    """A goal 1 m away, ahead and to the left: rows are distances, columns bearings from right to left."""
    goal_b = np.array([[0.8, 0.6, 1.0, 0.0]])
    recorded(tmp_path / "train_000.h5", command=np.zeros((1, 3)), goal_b=goal_b)
    row, column = np.argwhere(coverage(tmp_path, LIMITS).goals)[0]
    assert row == 2 and column == CELLS // 2 + 1  # 8 m and a whole turn in 16 cells each: 0.64 rad is in the second


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    recorded(tmp_path / "train_000.h5", command=np.zeros((3, 3)), goal_b=np.zeros((3, 4)))
    recording_quality.plot(tmp_path / "coverage.png", coverage(tmp_path, LIMITS), LIMITS)
    assert (tmp_path / "coverage.png").stat().st_size > 5_000
