"""Export: one sealed file that computes what torch computes and says what it is."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from distill.generalist import Generalist, GeneralistConfig
from embodiments import limits, registry
from embodiments.observation import from_inputs
from embodiments.spaces import CONTROL_HZ, DESCRIPTOR_FIELDS, OBSERVATION_SHAPES
from export import contract, networks, parity, template
from export.graph import INPUT_NAMES, STATE_INPUT, PolicyGraph, example_inputs
from export.runtime.contract import CONTRACT_KEY, HASH_KEY, verify_hash
from export.template import IR_VERSION, OPSET
from export.to_onnx import MAX_BYTES, to_onnx
from pipeline.stages.export_policy import STAGE, Config
from pipeline.stages.implementation import export_policy
from world_model.base_head import BaseHead, BaseHeadConfig, policy_feature_size
from world_model.config import WorldModelConfig
from world_model.residual_head import Critic, CriticConfig, ResidualHead, ResidualHeadConfig
from world_model.rssm import WorldModel

SMALL = WorldModelConfig(
    deterministic=32,
    stochastic=8,
    hidden=32,
    encoder_channels=(4, 8, 8),
    decoder_channels=(8, 8, 8),
    anticipation=(4, 6, 8),
    collision_risk=(4, 4, 6),
)
FEATURES = policy_feature_size(WorldModel(SMALL).latent_size)


def lively(head: torch.nn.Module) -> torch.nn.Module:
    """Give an untrained head large answers, so that limits are reached."""
    torch.nn.init.normal_(head.layers[-1].weight, std=2.0)  # type: ignore[union-attr, index, arg-type]
    return head


def build(kind: str = "generalist", *, value: bool = False) -> PolicyGraph:
    """Return a small policy."""
    torch.manual_seed(0)
    world_model = WorldModel(SMALL)
    base_head = lively(BaseHead(BaseHeadConfig(latent_size=world_model.latent_size, hidden=(32,))))
    heads = {
        "base": lambda: None,
        "specialist": lambda: lively(ResidualHead(ResidualHeadConfig(feature_size=FEATURES, hidden=(32,)))),
        "generalist": lambda: lively(Generalist(GeneralistConfig(feature_size=FEATURES, hidden=(32,)))),
    }
    critic = Critic(CriticConfig(feature_size=FEATURES, hidden=(16,))) if value else None
    return PolicyGraph(world_model, base_head, head=heads[kind](), critic=critic).eval()  # type: ignore[arg-type]


def export(graph: PolicyGraph, agent: str = "generalist", robots: tuple[str, ...] = ("tiago", "stretch3")) -> bytes:
    """Return a sealed file."""
    trained = [registry.get(name) for name in robots]
    entries = contract.metadata(graph, agent=agent, trained=trained, licence="Apache-2.0", git_commit="unknown")
    return contract.sealed(to_onnx(graph), entries)


@cache
def exported() -> tuple[PolicyGraph, bytes]:
    """Return a generalist with a value and its file; made once, exporting takes seconds."""
    graph = build(value=True)
    return graph, export(graph)


@pytest.fixture
def generalist() -> tuple[PolicyGraph, bytes]:
    return exported()


def properties(data: bytes) -> dict[str, str]:
    """Return the metadata of a serialised model."""
    return {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}


def test_inputs_are_what_a_robot_sees_and_nothing_else(generalist: tuple[PolicyGraph, bytes]) -> None:
    model = onnx.load_from_string(generalist[1])
    names = [value.name for value in model.graph.input]
    assert names == [*OBSERVATION_SHAPES, "state_input"]
    privileged = ("position", "goal_w", "_w", "descent", "clearance", "geodesic", "patch", "semantic")
    assert not [name for name in names for word in privileged if word in name]
    assert [value.name for value in model.graph.output] == ["command", "state_output", "value"]
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    assert not [t for t in model.graph.initializer if t.external_data]


def test_opset_and_ir_version_are_the_lowest_that_the_operators_need(generalist: tuple[PolicyGraph, bytes]) -> None:
    model = onnx.load_from_string(generalist[1])
    assert [entry.version for entry in model.opset_import] == [OPSET] == [18]
    assert model.ir_version == IR_VERSION == onnx.helper.find_min_ir_version_for(model.opset_import)
    scattered = [node for node in model.graph.node if node.op_type == "ScatterElements"]
    reductions = {onnx.helper.get_node_attr_value(node, "reduction") for node in scattered}
    assert reductions & {b"max", b"min"}, "no operator needs opset 18 any more: lower it"


def test_the_file_says_nothing_about_the_machine_that_made_it(generalist: tuple[PolicyGraph, bytes]) -> None:
    model = onnx.load_from_string(generalist[1])
    assert all(not node.metadata_props and not node.doc_string for node in model.graph.node)
    assert b".py" not in generalist[1]


def test_the_contract_describes_inputs_units_and_robots(generalist: tuple[PolicyGraph, bytes]) -> None:
    found = properties(generalist[1])
    promised = json.loads(found[CONTRACT_KEY])
    assert [entry["name"] for entry in promised["inputs"]] == list(INPUT_NAMES)
    assert all({"dtype", "shape", "unit", "frame", "range"} <= entry.keys() for entry in promised["inputs"])
    assert promised["control_hz"] == CONTROL_HZ
    assert promised["state_pairs"] == [["state_input", "state_output"]]
    assert promised["depth"]["convention"] == "planar" and promised["depth"]["invalid"] == 0.0
    assert promised["descriptor"]["fields"] == list(DESCRIPTOR_FIELDS)
    np.testing.assert_allclose(promised["embodiments"]["tiago"], registry.get("tiago").descriptor(), atol=1e-6)
    assert found["nav.agent"] == "generalist" and found["nav.license"] == "Apache-2.0"
    assert found["nav.embodiments"] == "tiago,stretch3"
    assert found[HASH_KEY] == verify_hash(generalist[1], where="file")


@pytest.mark.slow
def test_the_same_policy_exports_to_the_same_bytes_when_it_is_traced_anew_and_from_the_kept_trace(
    generalist: tuple[PolicyGraph, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        for traced in (template._step, template._answer, template._template):
            traced.cache_clear()
        assert export(generalist[0]) == generalist[1]
        monkeypatch.setattr(torch.onnx, "export", _only_the_answer(torch.onnx.export))
    assert len(list(tmp_path.rglob("*.onnx"))) == 1


def _only_the_answer(exporting: Callable[..., Any]) -> Callable[..., Any]:
    """Let a base policy's step be traced no more."""

    def traced(part: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        assert not isinstance(part, template._Step)
        return exporting(part, *args, **kwargs)

    return traced


def test_policies_of_one_architecture_share_what_is_traced(
    generalist: tuple[PolicyGraph, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "_traced", lambda *_: pytest.fail("traced again"))
    other = build(value=True)
    with torch.no_grad():
        for value in other.parameters():
            value += 0.01
    data = export(other)
    parity.require(parity.compare(other, data, steps=5, batches=(3,)), name="generalist")
    with pytest.raises(ValueError, match="differ by"):
        parity.require(parity.compare(other, generalist[1], steps=5, batches=(3,)), name="generalist")


def test_equal_weights_and_small_ones_are_kept_apart() -> None:
    graph = build("specialist")
    with torch.no_grad():
        for value in graph.parameters():
            value.fill_(0.01)
    kept = {initializer.name for initializer in to_onnx(graph).graph.initializer}
    for name, part in graph.named_children():
        assert {f"{name}.{weight}" for weight in networks.driving(part)} <= kept


@pytest.mark.parametrize("kind", ["base", "specialist"])
def test_parity_of_base_and_specialist(kind: str) -> None:
    graph = build(kind)
    found = parity.compare(graph, export(graph, kind), steps=40)
    parity.require(found, name=kind)


def test_parity_of_the_generalist_over_200_steps(generalist: tuple[PolicyGraph, bytes]) -> None:
    found = parity.compare(*generalist)
    parity.require(found, name="generalist")
    assert found.learned_state < 1e-4
    assert found.state < 1e-2  # evidence and sight of cells that a ray grazes; what counts is the command


def test_parity_fails_for_other_weights(generalist: tuple[PolicyGraph, bytes]) -> None:
    other = build(value=True)
    other.base_head.layers[-1].bias.data += 0.3
    with pytest.raises(ValueError, match="differ by"):
        parity.require(parity.compare(other, generalist[1], steps=5, batches=(3,)), name="generalist")


@pytest.mark.parametrize("ill", parity.BATCHES)
def test_parity_fails_if_one_batch_alone_answers_nan(monkeypatch: pytest.MonkeyPatch, ill: int) -> None:
    def compared(*_: object, batch: int, **__: object) -> parity.Parity:
        error = float("nan") if batch == ill else 0.0
        return parity.Parity(command=error, state=error, learned_state=error)

    monkeypatch.setattr(parity, "_compare_batch", compared)
    monkeypatch.setattr(parity.onnxruntime, "InferenceSession", lambda *_, **__: None)
    found = parity.compare(build("base"), b"")
    assert np.isnan([found.command, found.state, found.learned_state]).all()
    with pytest.raises(ValueError, match="differ by nan"):
        parity.require(found, name="base")


def test_parity_fails_if_the_original_answers_nan(generalist: tuple[PolicyGraph, bytes]) -> None:
    ill = build(value=True)
    ill.head.layers[-1].bias.data[:] = torch.nan  # type: ignore[union-attr, index, operator]
    with pytest.raises(ValueError, match="differ by nan"):
        parity.require(parity.compare(ill, generalist[1], steps=1, batches=(3,)), name="generalist")


def test_the_graph_projects_as_the_simulation_does() -> None:
    graph = build("specialist")
    inputs = example_inputs(graph.state_size, batch=64, seed=7)
    for name in ("tiago", "stretch3"):
        body = torch.from_numpy(registry.get(name).descriptor()).expand(64, -1)
        previous = torch.zeros(64, 3)
        for _ in range(4):
            seen = inputs | {"embodiment": body, "previous_command": previous}
            with torch.no_grad():
                command, *_ = graph(**seen)
                action, *_ = graph.step(from_inputs(seen), seen[STATE_INPUT])
            expected = limits.project(
                limits.action_to_command(action.numpy(), body.numpy()), previous.numpy(), body.numpy()
            )
            np.testing.assert_allclose(command.numpy(), expected, atol=1e-6)
            previous = command
        assert command.abs().max() > 0.05
        again = limits.project(command.numpy(), command.numpy(), body.numpy())
        moving = (np.hypot(again[:, 0], again[:, 1]) > 0.05) | (np.abs(again[:, 2]) > 0.05)
        np.testing.assert_allclose(again[moving], command.numpy()[moving], atol=1e-6)  # it was admissible


def test_a_zero_residual_is_the_base_policy() -> None:
    base, specialist = build("base"), build("specialist")
    torch.nn.init.zeros_(specialist.head.layers[-1].weight)  # type: ignore[union-attr, index, arg-type]
    torch.nn.init.zeros_(specialist.head.layers[-1].bias)  # type: ignore[union-attr, index, arg-type]
    specialist.world_model, specialist.base_head = base.world_model, base.base_head
    inputs = example_inputs(base.state_size, batch=8)
    with torch.no_grad():
        torch.testing.assert_close(base(**inputs), specialist(**inputs), rtol=0, atol=0)


def test_a_privileged_critic_is_not_exported() -> None:
    graph = build("base")
    with pytest.raises(ValueError, match="privileged"):
        PolicyGraph(
            graph.world_model, graph.base_head, critic=Critic(CriticConfig(feature_size=FEATURES, privileged_size=3))
        )


def test_only_the_agents_asked_for_are_exported_and_only_their_stages_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    read: set[str] = set()

    def write(item: export_policy.Item, data: bytes, **_: object) -> dict[str, float]:
        assert data == item.name.encode()
        asked.append(item.name)
        return {"command_error": 0.0}

    def stage_input(name: str, robot: str | None = None) -> Path:
        read.add(name)
        return tmp_path

    def run() -> SimpleNamespace:
        return SimpleNamespace(directory=tmp_path, metrics={}, input=stage_input, robots=lambda name: ("go2",))

    notes = {"embodiment": "tiago", "robots": ["tiago", "go2"]}
    head = ResidualHeadConfig(feature_size=1)
    monkeypatch.setattr(export_policy, "load_module", lambda *_: SimpleNamespace(config=head))
    monkeypatch.setattr(export_policy, "read_card", lambda *_: {"notes": notes, "config": {"feature_size": 1}})
    monkeypatch.setattr(export_policy, "PolicyGraph", lambda *_, **__: None)
    monkeypatch.setattr(export_policy, "write", write)
    monkeypatch.setattr(export_policy, "_export", lambda item, *_, **__: item.name.encode())
    monkeypatch.setattr(export_policy, "spawned", lambda workers, **_: ThreadPoolExecutor(workers))
    one = run()
    export_policy.run(Config(agents=("generalist",)), one)
    assert asked == ["generalist"] and list(one.metrics) == ["generalist"]
    assert read == {"pretrain_world_model", "distill_generalist"}
    every = run()
    export_policy.run(Config(), every)
    assert len(every.metrics) == 3
    with pytest.raises(ValueError, match="told to write nothing"):
        export_policy.run(Config(agents=()), run())


@pytest.mark.parametrize(
    ("agents", "needed"),
    [
        (("base",), {"pretrain_world_model"}),
        (("specialist",), {"pretrain_world_model", "train_specialist"}),
        (("base", "specialist", "generalist"), set(STAGE.needs)),
    ],
)
def test_export_waits_for_what_it_writes(agents: tuple, needed: set[str]) -> None:
    assert set(STAGE.needs) - set(Config(agents=agents).does_without) == needed


def test_an_unknown_agent_is_refused() -> None:
    with pytest.raises(ValueError, match="no exported agent 'teacher'"):
        contract.metadata(build("base"), agent="teacher", trained=[], licence="Apache-2.0", git_commit="unknown")


def test_full_size_stays_small() -> None:
    world_model = WorldModel(WorldModelConfig())
    features = policy_feature_size(world_model.latent_size)
    base_head = BaseHead(BaseHeadConfig(latent_size=world_model.latent_size))
    graph = PolicyGraph(world_model, base_head, head=Generalist(GeneralistConfig(feature_size=features)))
    encoder_only = sum(
        p.numel() for name, p in graph.named_parameters() if "decoder" not in name and "prior" not in name
    )
    assert encoder_only * 4 < MAX_BYTES
