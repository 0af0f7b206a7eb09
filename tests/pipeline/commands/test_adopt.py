"""A run may begin with exported files: what is adopted computes what the files compute, noise and curve included."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from distill.generalist import Generalist
from export import contract, networks, parity
from export.graph import PolicyGraph
from pipeline.commands import adopt
from pipeline.runs import manifest
from tests.export.test_export import build, export
from world_model.anticipation import Anticipation
from world_model.base_head import BaseHead
from world_model.checkpoint import load_module, read_card, save_module
from world_model.collision_risk import CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig
from world_model.residual_head import ResidualHead
from world_model.rssm import WorldModel


def specialist() -> PolicyGraph:
    """Return a specialist with biases and noise of its own."""
    graph = build("specialist")
    assert isinstance(graph.head, ResidualHead)
    torch.nn.init.normal_(graph.head.layers[-1].bias, std=0.1)  # type: ignore[arg-type]
    graph.head.log_std.data = torch.tensor([-1.5, -2.0, -2.5])
    return graph


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base policy, a specialist of it and its curve, and a generalist."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "base.onnx").write_bytes(export(build("base"), "base", ("tiago",)))
    (folder / "specialist_go2.onnx").write_bytes(export(specialist(), "specialist", ("go2",)))
    (folder / "generalist.onnx").write_bytes(export(build("generalist"), "generalist", ("tiago", "go2")))
    (folder / "curve_go2.json").write_text(json.dumps([{"control_steps": 10, "success": 0.5}]))
    return folder


def test_a_run_goes_on_from_the_files(policies: Path, tmp_path: Path) -> None:
    adopt.main(adopt.Config(run=tmp_path, policies=policies))
    base, corrected = tmp_path / "pretrain_world_model", tmp_path / "train_specialist" / "go2"
    for folder, stage, robot in ((base, "pretrain_world_model", None), (corrected, "train_specialist", "go2")):
        body = manifest.verify(folder, stage=stage).body
        assert body["robot"] == robot and body["adopted"]["sha256"] in {
            manifest.hash_file(path) for path in policies.glob("*.onnx")
        }
    made = specialist()
    made.world_model = load_module(WorldModel, base, "world_model")
    made.base_head = load_module(BaseHead, base, "base_head")
    made.head = load_module(ResidualHead, corrected, "residual_head")
    data = (policies / "specialist_go2.onnx").read_bytes()
    assert parity.compare(made, data, steps=20).command < parity.TOLERANCE
    assert made.head.log_std.tolist() == [-1.5, -2.0, -2.5]
    assert read_card(base, "base_head")["notes"]["embodiment"] == "tiago"
    assert json.loads((corrected / "curve.json").read_text())[0]["success"] == 0.5
    with pytest.raises(ValueError, match="is there already"):
        adopt.main(adopt.Config(run=tmp_path, policies=policies))
    assert not (tmp_path / "distill_generalist").exists()  # it is distilled anew, unless somebody asks for it
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"go2 is there already"):
        adopt.main(adopt.Config(run=tmp_path, policies=policies))
    assert not base.exists()


def test_the_base_policy_may_get_networks_that_see_the_map(policies: Path, tmp_path: Path) -> None:
    network = Anticipation(AnticipationConfig(channels=(4, 4, 8))).eval()
    risk = CollisionRisk(CollisionRiskConfig(channels=(6, 4, 4))).eval()
    folder = tmp_path / "networks"
    save_module(network, folder, "anticipation", notes={})
    save_module(risk, folder, "collision_risk", notes={})
    config = adopt.Config(run=tmp_path / "run", policies=policies, anticipation=folder, collision_risk=folder)
    adopt.main(replace(config, generalist=True))
    made = load_module(WorldModel, tmp_path / "run" / "pretrain_world_model", "world_model")
    assert made.config.anticipation == (4, 4, 8) and made.anticipation is not None
    for name, value in networks.driving(build("base").world_model).items():
        assert name.startswith(("anticipation.", "collision_risk.")) or value.equal(made.state_dict()[name])
    for name, value in network.state_dict().items():
        assert value.equal(made.anticipation.state_dict()[name])
    distilled = tmp_path / "run" / "distill_generalist"
    assert read_card(distilled, "generalist")["notes"]["robots"] == ["tiago", "go2"]
    head = build("generalist").head
    assert head is not None
    for name, value in load_module(Generalist, distilled, "generalist").state_dict().items():
        assert value.equal(head.state_dict()[name])
    assert made.config.collision_risk == (6, 4, 4) and made.collision_risk is not None
    for name, value in risk.state_dict().items():
        assert value.equal(made.collision_risk.state_dict()[name])
    adopted = manifest.read(tmp_path / "run" / "pretrain_world_model").body["adopted"]
    assert adopted["further"] == {name: manifest.hash_file(folder / name) for name in adopt.NETWORKS}


def test_what_cannot_be_adopted_is_named(policies: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no .*base\.onnx"):
        adopt.main(adopt.Config(run=tmp_path / "run", policies=tmp_path))
    (tmp_path / "base.onnx").write_bytes((policies / "specialist_go2.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"base\.onnx is no base policy: it holds a ResidualHead"):
        adopt.main(adopt.Config(run=tmp_path / "run", policies=tmp_path))
    stranger = specialist()
    stranger.base_head.layers[0].weight.data += 0.1  # type: ignore[operator, union-attr]
    (tmp_path / "base.onnx").write_bytes((policies / "base.onnx").read_bytes())
    (tmp_path / "specialist_go2.onnx").write_bytes(export(stranger, "specialist", ("go2",)))
    with pytest.raises(ValueError, match="corrects another base policy"):
        adopt.main(adopt.Config(run=tmp_path / "run", policies=tmp_path))
    assert not (tmp_path / "run").exists(), "nothing of a set that is unfit is adopted"


def test_a_file_without_a_word_about_its_networks_is_refused(policies: Path) -> None:
    model = onnx.load_from_string((policies / "base.onnx").read_bytes())
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != networks.NETWORKS_KEY}
    del model.metadata_props[:]
    with pytest.raises(ValueError, match=networks.NETWORKS_KEY):
        networks.read(contract.sealed(model, kept), where="old.onnx")
