"""An agent is one file: nothing else has to name it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embodiments import registry as robots
from pipeline import agents
from pipeline.agents import registry
from pipeline.evaluation.report import figures

AGENT_FILE = """
from pipeline.agents import zero
from pipeline.agents.agent import AgentInfo

AGENT = AgentInfo(
    label="waits", kind="scripted", order=5, colour="#000000", line_style="--", on_maps=True, make=zero.ZeroAgent
)
"""


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put one more agent into the folder of agents."""
    (tmp_path / "waiting.py").write_text(AGENT_FILE)
    monkeypatch.setattr(agents, "__path__", [*agents.__path__, str(tmp_path)])
    registry.infos.cache_clear()
    yield "waiting"
    registry.infos.cache_clear()


def test_a_new_file_is_a_new_agent_everywhere(waiting: str) -> None:
    assert registry.names("scripted") == ("zero", waiting, "random", "go_straight")
    assert waiting in registry.without_weights()
    made = registry.make(waiting, robots.get("go2"), num_envs=1, device="cpu", seed=0)
    assert type(made).__name__ == "ZeroAgent"
    assert figures.line_legend() == f"{waiting} and base dashed, go_straight dotted, specialist and generalist solid"


def test_the_agents_that_exist() -> None:
    assert registry.names() == (
        *("zero", "random", "go_straight", "planner", "mppi", "anticipating", "cautious"),
        *("blind", "base", "specialist", "generalist", "oracle_map", "teacher"),
    )
    assert registry.without_weights() == (
        *("zero", "random", "go_straight", "planner", "mppi"),
        *("anticipating", "cautious", "oracle_map", "teacher"),
    )
    assert registry.generalists() == ("blind", "generalist")


def test_every_agent_is_a_file_or_can_be_made_and_looks_different() -> None:
    for name, info in registry.infos().items():
        assert (info.make is None) != (info.file is None), name
    looks = {(info.colour, info.line_style) for info in registry.infos().values()}
    orders = {info.order for info in registry.infos().values()}
    assert len(looks) == len(orders) == len(registry.infos())


def test_exported_files_of_agents(tmp_path: Path) -> None:
    file = registry.policy_file("specialist", folder=tmp_path, embodiment="g1")
    assert file == tmp_path / "specialist_g1.onnx"
    assert registry.policy_file("teacher", folder=tmp_path, embodiment="g1") is None


def test_an_unknown_agent_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no agent 'techer'; did you mean 'teacher'\?"):
        registry.get("techer")
