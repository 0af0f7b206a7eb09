"""The view of a drive: what it takes from report and state, what it does when the viewer fails, and a real file."""

import builtins
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from embodiments import registry
from export.runtime.__main__ import main
from export.runtime.drive_view import DriveView
from export.runtime.driver.messages import Order
from export.runtime.route import Route
from export.runtime.viewing import local_map, rerun_viewer
from export.runtime.viewing.local_map import CELL_M, CELLS, MAP_EDGE_M, PLAN_POINTS, STATE_SIZE, LocalMap
from export.runtime.viewing.moment import Moment
from export.runtime.viewing.rerun_viewer import CAMERA, COSTMAP, ROBOT, RerunViewer
from export.runtime.viewing.view import Target, View, parse
from pipeline.runs.provenance import ROOT
from tests.export.runtime.test_drive_recording import POLICY, report

ORDER = Order(sequence=1, basis=1, command=(0.3, 0.0, 0.1))


class Kept:
    """A viewer that keeps moments, or fails, or hangs."""

    def __init__(self, *, error: Exception | None = None, hangs: threading.Event | None = None) -> None:
        self.error, self.hangs = error, hangs
        self.moments: list[Moment] = []
        self.closed = False

    def show(self, moment: Moment) -> None:
        """Keep it."""
        if self.hangs is not None:
            self.hangs.wait(10.0)
        if self.error is not None:
            raise self.error
        self.moments.append(moment)

    def close(self) -> None:
        """Take note."""
        self.closed = True


def policy(state: np.ndarray | None) -> Any:
    return SimpleNamespace(state=state)


def remembered(map_at: int = 5) -> np.ndarray:
    """Return a policy's state (1, S) with a body at (1, 0.4), an obstacle, and nothing behind it."""
    state = np.zeros((1, map_at + STATE_SIZE), dtype=np.float32)
    state[0, map_at : map_at + 3] = (1.0, 0.4, 0.0)
    state[0, map_at + 3 + 10 * CELLS + 20] = 0.9
    return state


def test_a_view_is_a_window_or_a_file() -> None:
    assert parse("rerun") == Target()
    assert parse("rerun:a/b.rrd").file == Path("a/b.rrd")
    assert str(parse("rerun:a/b.rrd").named("go2")) == "rerun:a/b_go2.rrd"
    for text in ("foxglove", "rerun:", "rerun:drive.mcap", ""):
        with pytest.raises(ValueError, match="say rerun for a window"):
            parse(text)


def test_a_cycle_becomes_a_moment_and_the_route_is_left_as_it_is() -> None:
    viewer = Kept()
    route = Route(np.asarray([3.0, 0.0, 0.0]), path_xy_m=np.asarray([[0.0, 0.0], [3.0, 0.0]]))
    view = DriveView(View(viewer, announce=print, waits=True), policy(remembered()), map_at=5)
    view.add(report(9), ORDER, route)
    view.add(report(2, gate="disarmed"), ORDER, None)
    view.close()
    first, second = viewer.moments
    assert viewer.closed and route._along_m == 0.0
    assert first.asked is not None and first.asked.tolist() == [0.3, 0.0, 0.1]
    assert first.command.tolist() == [0.15, 0.0, 0.25] and first.depth_m is not None
    assert first.goal_b is not None and first.goal_b == pytest.approx(route.goal_b(np.asarray(report(9).pose)))
    assert first.local_map is not None and first.local_map.evidence[10, 20] == pytest.approx(0.9)
    assert second.status == "disarmed" and second.route_xy_b_m is None and second.depth_m is None


@pytest.mark.parametrize("state", [None, np.zeros((1, 7), dtype=np.float32)])
def test_a_policy_without_a_costmap_is_shown_without(state: np.ndarray | None) -> None:
    viewer = Kept()
    for map_at in (5, None):
        view = DriveView(View(viewer, announce=print, waits=True), policy(state), map_at=map_at)
        view.add(report(1), ORDER, None)
        view.close()
    assert [moment.local_map for moment in viewer.moments] == [None, None]


def test_an_error_of_the_viewer_is_reported_once_and_the_drive_goes_on() -> None:
    viewer, said = Kept(error=RuntimeError("no\nspace")), list[str]()
    view = DriveView(View(viewer, announce=said.append, waits=False), policy(None), map_at=None)
    for number in range(30):
        view.add(report(number), ORDER, None)
        time.sleep(0.002)
    view.close()
    assert said == ["the view ended early, the drive goes on: no space"]


def test_what_cannot_be_shown_ends_the_view_and_not_the_drive() -> None:
    said = list[str]()
    view = DriveView(View(Kept(), announce=said.append, waits=False), policy("no array"), map_at=3)
    for number in range(3):
        view.add(report(number), ORDER, None)
    view.close()
    assert len(said) == 1


@pytest.mark.parametrize("waits", [False, True], ids=["robot", "simulation"])
def test_a_viewer_that_hangs_does_not_hold_up_the_drive(waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from export.runtime.viewing import view as module

    monkeypatch.setattr(module, "_CLOSE_S", 0.05)
    monkeypatch.setattr(module, "_HANGS_S", 0.05)
    hangs, said = threading.Event(), list[str]()
    viewer = Kept(hangs=hangs)
    view = DriveView(View(viewer, announce=said.append, waits=waits), policy(None), map_at=None)
    began_s = time.monotonic()
    for number in range(200):
        view.add(report(number), ORDER, None)
    view.close()
    assert time.monotonic() - began_s < 5.0 and "hangs" in said[0]
    hangs.set()


def converged(pose: list[float], goal_b: list[float], wall: tuple[slice, slice]) -> LocalMap:
    """Return a costmap with a wall, after so many sweeps that its cost to go is right."""
    import torch

    from embodiments.observation import Observation
    from world_model.local_planner import cost_to_go, costmap

    evidence = torch.zeros(1, CELLS, CELLS)
    evidence[0, wall[0], wall[1]] = 1.0
    observation = Observation(
        depth_m=torch.zeros(1, 1, 40, 64),
        velocity_b=torch.zeros(1, 3),
        previous_command=torch.zeros(1, 3),
        route_xy_b_m=torch.linspace(0.1, 1.0, 10)[None, :, None] * torch.tensor([[goal_b[:2]]]),
        goal_b=torch.tensor([goal_b]),
        descriptor=torch.from_numpy(registry.get("go2").descriptor())[None],
    )
    extra, seen, at = torch.zeros(1, CELLS, CELLS), torch.ones(1, CELLS, CELLS), torch.tensor([pose])
    distance_m = cost_to_go.distance_to_evidence_m(evidence)
    for _ in range(40):
        extra = cost_to_go.corrected(extra, at, observation, distance_m=distance_m, seen=seen, cost=None)
    flat = costmap.pack(costmap.Costmap(pose=at, evidence=evidence, seen=seen, cost_to_go=extra))
    return local_map.read(flat[0].numpy())


def test_the_plan_leads_around_an_obstacle_to_the_goal() -> None:
    goal_b = [3.0, 0.0, 1.0, 0.0]
    points = converged([0.0, 0.0, 0.0], goal_b, (slice(34, 46), slice(46, 48))).plan_xy(np.asarray(goal_b))
    assert points[0].tolist() == [0.0, 0.0] and np.hypot(*(points[-1] - [3.0, 0.0])) < 0.3
    assert np.abs(points[:, 1]).max() > 1.2  # the wall reaches to 1.2 m on both sides
    assert np.hypot(*np.diff(points[1:], axis=0).T).max() <= 1.5 * CELL_M


def test_the_plan_to_a_goal_beyond_the_map_leads_to_its_edge() -> None:
    nothing = (slice(0, 0), slice(0, 0))
    held_b = [MAP_EDGE_M, 0.0, 1.0, 0.0]
    points = converged([0.0, 0.0, np.pi / 2], held_b, nothing).plan_xy(np.asarray([50.0, 0.0, 1.0, 0.0]))
    assert len(points) == PLAN_POINTS and points[-1] == pytest.approx([0.0, 5.8], abs=0.4)


def test_the_state_is_laid_out_as_the_local_planner_lays_it_out() -> None:
    import torch

    from world_model.local_planner import costmap, costmap_cells, map_edge

    assert (CELLS, CELL_M, STATE_SIZE) == (costmap_cells.CELLS, costmap_cells.CELL_M, costmap.STATE_SIZE)
    assert map_edge.MAP_EDGE_M == MAP_EDGE_M
    state = torch.rand(1, STATE_SIZE)
    theirs, ours = costmap.unpack(state), local_map.read(state[0].numpy())
    for name in ("pose", "evidence", "seen", "cost_to_go"):
        assert np.allclose(getattr(theirs, name)[0].numpy(), getattr(ours, name))


def test_a_file_says_where_its_costmap_is() -> None:
    from export.networks import NETWORKS_KEY
    from export.runtime import policy as policies

    start = local_map.begins_at(policies.load(POLICY).metadata)
    assert start is not None and start > 0
    for entry in ("", "[]", "{}", '{"world_model": 3}', '{"world_model": {"config": {"deterministic": "a"}}}'):
        assert local_map.begins_at({NETWORKS_KEY: entry}) is None
    assert local_map.begins_at({}) is None


def test_the_frame_of_the_costmap_is_where_the_body_is() -> None:
    pose_w, pose = np.asarray([3.0, 1.0, 2.0]), np.asarray([0.5, -0.2, 0.3])
    x, y, yaw = rerun_viewer._frame_of(pose_w, pose)
    cos, sin = np.cos(yaw), np.sin(yaw)
    there = [x + cos * pose[0] - sin * pose[1], y + sin * pose[0] + cos * pose[1], yaw + pose[2]]
    assert there == pytest.approx(pose_w)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--policy", str(POLICY), "--robot", "fake", "--goal", "1", "0", "0", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_a_view_that_cannot_be_is_refused_before_the_drive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "rerun:FILE.rrd" in refused(["--view", "foxglove"], capsys)
    imported: Callable[..., Any] = builtins.__import__

    def without(name: str, *others: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "rerun":
            raise ImportError(name)
        return imported(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    said = refused(["--view", "rerun"], capsys)
    assert "pip install rerun-sdk==" in said
    pinned = (ROOT / "requirements-watching.txt").read_text(encoding="utf-8").splitlines()
    assert rerun_viewer.MISSING.rpartition(" ")[2] in pinned


def entities(path: Path) -> dict[str, int]:
    """Return entity path -> number of logged rows."""
    from rerun.chunk import RrdReader

    found: dict[str, int] = {}
    for chunk in RrdReader(path).stream():
        found[chunk.entity_path] = found.get(chunk.entity_path, 0) + chunk.num_rows
    return found


needs_rerun = pytest.mark.usefixtures("rerun")


@pytest.fixture
def rerun() -> Any:
    return pytest.importorskip("rerun", reason="rerun-sdk is not installed: pip install -r requirements-watching.txt")


@needs_rerun
def test_a_file_holds_every_part(tmp_path: Path) -> None:
    path = tmp_path / "drive.rrd"
    viewer = RerunViewer(Target(file=path), registry.get("g1"), name="test")
    grid = np.zeros((CELLS, CELLS), dtype=np.float32)
    for step in range(5):
        viewer.show(
            Moment(
                time_s=7.0 + 0.1 * step,
                pose_w=np.asarray([0.1 * step, 0.0, 0.0]),
                velocity_b=np.zeros(3),
                command=np.ones(3),
                asked=np.ones(3),
                depth_m=np.full((40, 64), 2.0, dtype=np.float32),
                route_xy_b_m=np.zeros((10, 2)),
                goal_b=np.asarray([2.0, 0.0, 1.0, 0.0]),
                local_map=LocalMap(pose=np.zeros(3), evidence=grid, seen=grid, cost_to_go=grid),
                people_xy_w=np.asarray([[1.0, 1.0], [2.0, 1.0]]),
            )
        )
    viewer.close()
    found = {name.lstrip("/"): rows for name, rows in entities(path).items()}
    shown = (ROBOT, f"{CAMERA}/depth", f"{COSTMAP}/measured", f"{COSTMAP}/plan", f"{ROBOT}/route", "world/people")
    for name in (*shown, "velocity/vx_mps/command", "velocity/yaw_rate_radps/measured"):
        assert found[name] >= 5, found
    assert f"{ROBOT}/footprint" in found


@needs_rerun
@pytest.mark.slow
def test_the_runtime_shows_a_drive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drive.rrd"
    arguments = ["--policy", str(POLICY), "--robot", "fake", "--goal", "0.9", "0", "0", "--max-speed", "0.3"]
    arguments += ["--log", str(tmp_path / "log.jsonl"), "--view", f"rerun:{path}"]
    assert main(arguments) == 0
    assert "the view ended early" not in capsys.readouterr().out
    found = {name.lstrip("/"): rows for name, rows in entities(path).items()}
    assert {ROBOT, f"{CAMERA}/depth", f"{COSTMAP}/measured", f"{COSTMAP}/plan", f"{ROBOT}/goal"} <= found.keys()
    assert found[ROBOT] > 10
    assert "exists already" in refused(["--view", f"rerun:{path}"], capsys)
