"""Policies behind servers as agents: found by their id, shown in tables, and never mistaken for another."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embodiments import registry as robots
from embodiments.observation import Observation, from_inputs
from embodiments.spaces import OBSERVATION_SHAPES
from export.policy_server.exported import sessions_of
from export.policy_server.messages import Contract, Reset
from export.policy_server.server import PolicyServer
from export.runtime import policy as runtime
from pipeline.agents import registry
from pipeline.evaluation.episodes.shards import Rollout
from pipeline.evaluation.report import figures, tables
from pipeline.runs.provenance import ROOT
from tests import specialist_file

ANSWER = np.asarray([[0.5, 0.0, -0.5], [np.inf, 0.0, 0.0], [0.0, np.nan, 1.0]])


class Fixed:
    def __init__(self, masks: list[list[bool]]) -> None:
        self._masks = masks

    def reset(self, mask: np.ndarray) -> None:
        self._masks.append(mask.tolist())

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        return ANSWER


@pytest.fixture
def resets() -> list[list[bool]]:
    return []


@pytest.fixture
def url(resets: list[list[bool]]) -> Iterator[str]:
    contract = Contract(name="fixed", output="action")
    with PolicyServer(contract, lambda message: Fixed(resets), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def privileged() -> None:
    raise AssertionError("nobody behind a server may look at this")


def test_a_served_policy_is_an_agent(url: str, resets: list[list[bool]]) -> None:
    agent = registry.make(f"server:{url}", robots.get("go2"), num_envs=3, device="cpu", seed=0)
    assert agent.output == "action"
    agent.reset(torch.ones(3, dtype=torch.bool))
    agent.reset(torch.zeros(3, dtype=torch.bool))  # an evaluation calls it at every step
    agent.reset(torch.tensor([False, False, True]))
    seen = from_inputs({name: torch.zeros(3, *shape) for name, shape in OBSERVATION_SHAPES.items()})
    answer = agent.act(seen, privileged)
    assert answer.dtype == torch.float32 and answer[0].tolist() == [0.5, 0.0, -0.5]
    assert answer[1:].isnan().all()  # infinity must not become the limit of an action
    assert resets == [[False, False, True]]


def random_observation(generator: torch.Generator, robot: str, *, batch: int) -> Observation[torch.Tensor]:
    shapes = OBSERVATION_SHAPES.items()
    inputs = {name: torch.rand(batch, *shape, generator=generator) for name, shape in shapes}
    inputs["depth_m"] *= 5.0
    inputs["goal_b"] *= 4.0
    inputs["embodiment"] = torch.as_tensor(robots.get(robot).descriptor()).expand(batch, -1)
    return from_inputs(inputs)


def test_the_shipped_policy_answers_the_same_from_behind_a_server_to_the_last_bit() -> None:
    """Over steps and resets of single robots, and with two sessions of different robots at once."""
    file = ROOT / "export" / "pretrained" / "generalist.onnx"
    contract = Contract(name="shipped", output="command")
    with PolicyServer(contract, sessions_of(runtime.load(file), where=str(file)), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        how = {"num_envs": 3, "device": "cpu", "seed": 0}
        pairs = {
            robot: (
                registry.make("generalist", robots.get(robot), policy=file, **how),
                registry.make(f"server:{server.url}", robots.get(robot), **how),
            )
            for robot in ("tiago", "go2")
        }
        generator = torch.Generator().manual_seed(0)
        mask, moved = torch.ones(3, dtype=torch.bool), torch.zeros(3)
        for _ in range(6):
            for robot, (direct, served) in pairs.items():
                seen = random_observation(generator, robot, batch=3)
                direct.reset(mask)
                served.reset(mask)
                command = direct.act(seen, privileged)
                assert torch.equal(command, served.act(seen, privileged))
                moved += command.abs().sum(dim=1)
            mask = torch.rand(3, generator=generator) < 0.2
        server.shutdown()
        thread.join()
    assert (moved > 0.0).all()


def test_a_specialist_behind_a_server_is_for_its_robot_alone(tmp_path: Path) -> None:
    make = sessions_of(runtime.load(specialist_file.write(tmp_path, "go2")), where="go2's")
    message = Reset(mask=np.ones(1, dtype=bool), embodiment="go2", seed=0)
    make(message)
    with pytest.raises(ValueError, match="go2's was not trained for 'g1'"):
        make(replace(message, embodiment="g1"))


def test_served_policies_are_shown_like_other_agents() -> None:
    infos = [registry.get(name) for name in ("server:a", "server:b")]
    assert all(info.kind == "learned" and info.label and not info.by_default for info in infos)
    others = {info.colour for info in registry.infos().values()}
    assert len({info.colour for info in infos} | others) == 2 + len(others)
    assert registry.get("server:a").colour == infos[0].colour
    names = ["teacher", "server:b", "generalist", "server:a", "teacher"]
    assert tables.in_order(names) == ["generalist", "server:a", "server:b", "teacher"]
    assert "server:a dash-dotted" in figures.line_legend(names)


def test_a_served_policy_has_no_file(tmp_path: Path) -> None:
    assert registry.policy_file("server:a", folder=tmp_path, embodiment="g1") is None


def test_its_files_have_names_that_every_system_takes(tmp_path: Path) -> None:
    rollout = Rollout(embodiment="go2", agent="server:my.policy-2", route="planned", shard=0, folder=tmp_path)
    assert rollout.rows.name == "go2.server-my.policy-2.planned.0.parquet"


def test_what_is_no_agent_is_told_of_servers() -> None:
    with pytest.raises(ValueError, match=r"no agent 'serve'.* server:URL"):
        registry.get("serve")
