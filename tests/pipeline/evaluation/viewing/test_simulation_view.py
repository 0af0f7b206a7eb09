"""Views of simulations: each step with the command that answered it, the agent's costmap, and what it anticipates."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embodiments import registry as robots
from export.runtime.viewing.local_map import STATE_SIZE
from export.runtime.viewing.moment import Moment
from pipeline.agents.agent import Agent, KeepsCostmap
from pipeline.agents.anticipating import AnticipatingAgent
from pipeline.agents.exported import ExportedAgent
from pipeline.agents.planner import PlannerAgent
from pipeline.evaluation.video.filming import drive
from pipeline.evaluation.viewing import simulation_view
from pipeline.evaluation.viewing.simulation_view import SimulationView, anticipated
from pipeline.runs.provenance import ROOT
from pipeline.stages.evaluate_policy import STAGE, Config
from pipeline.stages.implementation import evaluation_inputs
from tests.pipeline.simulation.navigation.navigation_dummy import PlaneNavigation
from world_model import anticipation

POLICY = ROOT / "export" / "pretrained" / "generalist.onnx"
STEPS = 8


class SeenPlane(PlaneNavigation):
    """The plane with what a view asks of the real environment; one stands at (1, 2), another is not there."""

    def __init__(self) -> None:
        super().__init__(num_envs=3)
        self.steps = 0

    @property
    def pose_w(self) -> torch.Tensor:
        """Return the poses (B, 3)."""
        return self._pose_w

    @property
    def idle(self) -> torch.Tensor:
        """Return that it ends after some steps."""
        return torch.full((3,), self.steps >= STEPS)

    def step(self, action: torch.Tensor) -> Any:
        """Count."""
        self.steps += 1
        return super().step(action)

    def people(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return one who is there and one who is not."""
        xy_w = torch.tensor([[1.0, 2.0], [5.0, 5.0]]).expand(3, -1, -1)
        return xy_w, torch.zeros_like(xy_w), torch.tensor([True, False]).expand(3, -1)


class Kept:
    """A viewer that keeps moments."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def show(self, moment: Moment) -> None:
        """Keep it."""
        self.moments.append(moment)

    def close(self) -> None:
        """Do nothing."""


def shown(agent: Agent) -> tuple[list[Moment], SeenPlane]:
    environment, viewer = SeenPlane(), Kept()
    view = SimulationView(environment, agent, viewer)  # type: ignore[arg-type]
    for step in drive(environment, agent):  # type: ignore[arg-type]
        view.observe(step)
    view.close()
    return viewer.moments, environment


def test_a_step_is_shown_with_the_command_that_answered_it() -> None:
    moments, environment = shown(PlannerAgent(num_envs=3, device="cpu", seed=0))
    assert len(moments) == STEPS - 1 and moments[-1].local_map is None  # the last one has no answer
    assert np.diff([moment.time_s for moment in moments]) == pytest.approx(0.1)
    before, after = moments[2], moments[3]
    turned = before.pose_w[2] + 0.1 * before.command[2]
    assert after.pose_w[2] == pytest.approx(turned, abs=1e-5) and not np.allclose(before.command, 0.0)
    assert before.people_xy_w.tolist() == [[1.0, 2.0]]
    assert before.depth_m is not None and before.depth_m.shape == (40, 64)
    assert environment.episode[0] == 0 and before.status == "episode 0"


def test_the_costmap_is_that_after_the_step() -> None:
    moments, _ = shown(PlannerAgent(num_envs=3, device="cpu", seed=0))
    for moment in moments[1:5]:  # the first episode; the body's pose counts from its start
        assert moment.local_map is not None and moment.anticipated is None
        moved = np.hypot(*(moment.pose_w[:2] - moments[0].pose_w[:2]))
        assert np.hypot(*moment.local_map.pose[:2]) == pytest.approx(moved, abs=0.02)
    assert moments[4].local_map is not None and moments[4].local_map.seen.max() > 0.5


def test_an_agent_that_anticipates_shows_what_it_planned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    surroundings = anticipation.surroundings
    monkeypatch.setattr(anticipation, "surroundings", lambda logits: said.append(surroundings(logits)) or said[-1])
    agent = AnticipatingAgent(num_envs=3, device="cpu", seed=0)
    environment = SeenPlane()
    for _ in range(3):
        agent.act(environment.reset().observation, lambda: None)  # type: ignore[arg-type, return-value]
    planned = said[-1]
    found = anticipated(agent.anticipation(), agent.costmap_state(0))
    assert found.distance == pytest.approx(planned.distance_m[0].numpy() / anticipation.FAR_M, abs=1e-4)
    assert found.now == pytest.approx(planned.moving[0, 0].numpy(), abs=1e-4)
    assert found.later == pytest.approx(planned.moving[0, anticipation.HORIZONS_S.index(1.0)].numpy(), abs=1e-4)
    moments, _ = shown(agent)
    assert all(moment.anticipated is not None for moment in moments[:-1])


def test_an_exported_policy_shows_its_costmap() -> None:
    agent = ExportedAgent(POLICY, robots.get("tiago"), device="cpu")
    assert isinstance(agent, KeepsCostmap) and agent.costmap_state(0) is None
    agent.act(SeenPlane().reset().observation, lambda: None)  # type: ignore[arg-type, return-value]
    state = agent.costmap_state(2)
    assert state is not None and len(state) >= STATE_SIZE and np.abs(state[3:]).max() <= 60.0
    assert agent.anticipation() is None or len(state) == anticipation.STATE_SIZE


def test_an_error_ends_the_view_and_not_the_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no people")

    monkeypatch.setattr(SeenPlane, "people", fail)
    said = list[str]()
    environment = SeenPlane()
    agent = PlannerAgent(num_envs=3, device="cpu", seed=0)
    view = SimulationView(environment, agent, Kept(), announce=said.append)  # type: ignore[arg-type]
    steps = 0
    for step in drive(environment, agent):  # type: ignore[arg-type]
        view.observe(step)
        steps += 1
    view.close()
    assert steps == STEPS - 1 and said == ["the view ended early, the drive goes on: no people"]


def test_a_view_does_not_count_in_what_an_evaluation_makes_and_is_refused_before_it() -> None:
    assert "view" in STAGE.not_in_key
    with pytest.raises(ValueError, match="say rerun for a window"):
        evaluation_inputs.check(Config(view="window"))


def test_a_real_file_is_written(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed: pip install -r requirements-watching.txt")
    from tests.export.runtime.viewing.test_view import entities

    environment, agent = SeenPlane(), AnticipatingAgent(num_envs=3, device="cpu", seed=0)
    path = tmp_path / "plane.rrd"
    view = simulation_view.open_view(f"rerun:{path}", environment, agent, name="plane")  # type: ignore[arg-type]
    for step in drive(environment, agent):  # type: ignore[arg-type]
        view.observe(step)
    view.close()
    found = {name.lstrip("/"): rows for name, rows in entities(path).items()}
    assert {"world/people", "world/robot/anticipated", "world/costmap/measured", "world/costmap/plan"} <= found.keys()
