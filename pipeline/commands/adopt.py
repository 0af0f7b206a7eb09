"""Begin a run with the policies of another one, as files, instead of training base policy and specialists anew."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runs import manifest, provenance
from pipeline.runs.provenance import ROOT
from pipeline.runs.run_folder import ADOPTED
from pipeline.runs.stage import Command

if TYPE_CHECKING:
    from torch import nn

    from export.graph import PolicyGraph
    from export.networks import Exported
    from world_model.rssm import WorldModel

BASE, SPECIALIST, GENERALIST = "base.onnx", "specialist_{}.onnx", "generalist.onnx"
NETWORKS = "anticipation.safetensors", "collision_risk.safetensors"
"""Weights of trained networks that see the map, in the folders of their stages."""
CURVE = "curve_{}.json"
"""How a specialist learned, beside its file."""
PARITY_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which policies, and the run that they begin."""

    run: Path = Path("runs/adopted")
    """A run without base policy and specialists of its own"""
    policies: Path = ROOT / "export" / "pretrained"
    """Folder with ``base.onnx`` and, where they are wanted, ``specialist_ROBOT.onnx`` and ``curve_ROBOT.json``"""
    embodiments: tuple[str, ...] = ()
    """Specialists to adopt; by default all that are there"""
    generalist: bool = False
    """Adopt ``generalist.onnx``, too, instead of distilling a new one"""
    anticipation: Path | None = None
    """Folder of a trained anticipation network that the base policy gets, such as RUN/train_anticipation"""
    collision_risk: Path | None = None
    """The same of a trained collision risk network, such as RUN/train_collision_risk"""


def main(config: Config) -> None:
    """Write the folders of ``pretrain_world_model`` and ``train_specialist``, for the later stages to go on from.

    Nothing is written before every file has been read and checked.

    Raises:
        ValueError: If a file is missing or unfit, a specialist was trained on another base, or the run has its own.
    """
    base = _read(config.policies / BASE)
    if base.graph.head is not None:
        raise ValueError(f"{config.policies / BASE} is no base policy: it holds a {type(base.graph.head).__name__}")
    robots = config.embodiments or _robots(config.policies)
    specialists = {robot: _corrects(config.policies / SPECIALIST.format(robot), base) for robot in robots}
    generalist = _corrects(config.policies / GENERALIST, base) if config.generalist else None
    base_folder, last_folder = config.run / "pretrain_world_model", config.run / "distill_generalist"
    folders = {robot: config.run / "train_specialist" / robot for robot in robots}
    if taken := [folder for folder in (base_folder, *folders.values(), last_folder) if folder.exists()]:
        raise ValueError(f"{taken[0]} is there already; adopt into a new run: --run runs/NAME")
    given = config.anticipation, config.collision_risk
    world_model = _with_networks(base.graph.world_model, *given)
    parts: dict[str, nn.Module] = {"world_model": world_model, "base_head": base.graph.base_head}
    files = [folder / name for folder, name in zip(given, NETWORKS, strict=True) if folder is not None]
    _publish(base_folder, parts, config.policies / BASE, about={"embodiment": base.robots[0]}, parts_of=files)
    for robot, specialist in specialists.items():
        path, head = config.policies / SPECIALIST.format(robot), specialist.graph.head
        assert head is not None
        _publish(folders[robot], {"residual_head": head}, path, about={"embodiment": robot}, robot=robot)
    if generalist is not None:
        assert generalist.graph.head is not None
        about = {"robots": list(generalist.robots)}
        _publish(last_folder, {"generalist": generalist.graph.head}, config.policies / GENERALIST, about=about)


def _with_networks(world_model: "WorldModel", anticipation: Path | None, collision_risk: Path | None) -> "WorldModel":
    """Return a world model with the same weights but for those trained networks that are given as folders."""
    from world_model.anticipation import Anticipation
    from world_model.checkpoint import load_module
    from world_model.collision_risk import CollisionRisk
    from world_model.rssm import WorldModel

    config = world_model.config
    given: dict[str, nn.Module] = {}
    if anticipation is not None:
        network = load_module(Anticipation, anticipation, "anticipation")
        config, given["anticipation"] = replace(config, anticipation=network.config.channels), network
    if collision_risk is not None:
        risk = load_module(CollisionRisk, collision_risk, "collision_risk")
        config, given["collision_risk"] = replace(config, collision_risk=risk.config.channels), risk
    made = WorldModel(config)
    weights = {name: value for name, value in world_model.state_dict().items() if name.split(".")[0] not in given}
    for name, part in given.items():
        weights |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    made.load_state_dict(weights)
    return made.eval()


def _robots(policies: Path) -> list[str]:
    before, after = SPECIALIST.split("{}")
    return [path.name.removeprefix(before).removesuffix(after) for path in sorted(policies.glob(f"{before}*{after}"))]


def _read(path: Path) -> "Exported":
    """Return a file's networks, after a look that they compute what the file computes."""
    from export import networks, parity  # torch and ONNX, which the command line's help does not need

    if not path.is_file():
        raise ValueError(f"no {path}; name a folder of exported policies: --policies runs/NAME/export_policy")
    data = path.read_bytes()
    exported = networks.read(data, where=str(path))
    try:
        parity.require(parity.compare(exported.graph, data, steps=PARITY_STEPS), name=str(path))
    except ValueError as error:
        raise ValueError(f"{error}. Is it of an older graph? `reexport --policies FOLDER` writes it anew.") from None
    return exported


def _corrects(path: Path, base: "Exported") -> "Exported":
    """Return the networks of a file, if it corrects this base policy."""
    found = _read(path)
    if found.graph.head is None or not _same_base(base.graph, found.graph):
        raise ValueError(f"{path} corrects another base policy than {BASE} beside it; adopt files of one run")
    return found


def _same_base(first: "PolicyGraph", second: "PolicyGraph") -> bool:
    from export.networks import driving

    pairs = ((first.world_model, second.world_model), (first.base_head, second.base_head))
    return all(
        one.config == other.config and all(value.equal(driving(other)[name]) for name, value in driving(one).items())
        for one, other in pairs
    )


def _publish(
    target: Path,
    parts: Mapping[str, "nn.Module"],
    source: Path,
    *,
    about: Mapping[str, Any],
    robot: str | None = None,
    parts_of: Sequence[Path] = (),
) -> None:
    """Write the folder of a stage as if the stage had made it; its manifest says that it did not.

    Args:
        about: What the networks were trained on, for their notes.
        parts_of: Further files that networks come from.
    """
    from pipeline.residual_rl.config import CURVE as PUBLISHED_CURVE
    from world_model.checkpoint import save_module

    adopted: dict[str, Any] = {"file": source.name, "sha256": manifest.hash_file(source)}
    if parts_of:
        adopted["further"] = {path.name: manifest.hash_file(path) for path in parts_of}
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, part in parts.items():
        save_module(part, new, name, notes={**about, ADOPTED: adopted})
    if robot and (curve := source.with_name(CURVE.format(robot))).is_file():
        shutil.copyfile(curve, new / PUBLISHED_CURVE)
    body: dict[str, Any] = {"stage": target.parent.name if robot else target.name, "robot": robot}
    manifest.write(new, {**body, ADOPTED: adopted, "key": "", "config": {}, "metrics": {}, **provenance.describe()})
    new.rename(target)
    print(f"{target} holds the networks of {source}")


COMMAND = Command(config=Config, main=main)
