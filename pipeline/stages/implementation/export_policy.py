"""Write each policy as an ONNX file and compare it with its network."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from distill.generalist import Generalist
from embodiments import registry
from export import contract, parity
from export.graph import PolicyGraph
from export.runtime import policy as runtime
from export.to_onnx import to_onnx
from pipeline.runs.processes import cores, spawned
from pipeline.runs.progress import progress
from pipeline.runs.provenance import commit_of, describe
from pipeline.runs.run_folder import StageRun
from pipeline.stages.export_policy import Config
from world_model import atomic_files
from world_model.base_head import BaseHead
from world_model.checkpoint import load_module, read_card
from world_model.residual_head import Critic, CriticConfig, ResidualHead
from world_model.rssm import WorldModel


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file to write."""

    name: str
    agent: str
    robots: tuple[str, ...]
    """Those that it was trained on."""
    graph: PolicyGraph


def run(config: Config, run: StageRun) -> None:
    """Write ``base.onnx``, ``specialist_ROBOT.onnx`` and ``generalist.onnx``."""
    if config.parity_steps < 1:
        raise ValueError(f"parity_steps is {config.parity_steps}; a file is never published without the comparison")
    origin = describe()
    commit = str((origin["git"] or {}).get("commit") or commit_of(origin))
    items = list(_items(config, run))
    if not items:
        raise ValueError("export_policy is told to write nothing: name at least one of --agents and a trained robot.")
    workers = min(cores(), len(items))
    with spawned(workers, jobs_each=None) as pool, progress(len(items), "export") as bar:
        # Traced here: files of one process use one trace. The first are checked while the next ones are made.
        made = (_export(item, config, commit=commit) for item in items)
        checked = pool.map(partial(write, folder=run.directory, config=config), items, made)
        for item, figures in zip(items, checked, strict=True):
            run.metrics[item.name] = figures
            bar.advance(1, largest_error=figures["command_error"])


def write(item: Item, data: bytes, *, folder: Path, config: Config) -> dict[str, Any]:
    """Write one file into a folder and check it; return its figures.

    Raises:
        ValueError: If it computes something else than the network.
    """
    torch.set_num_threads(1)  # the roll-outs are small: on a busy machine two threads are ten times slower than one
    path = folder / f"{item.name}.onnx"
    atomic_files.write_bytes(path, data)
    _check_on_the_robots_side(path, item)
    found = parity.compare(item.graph, data, steps=config.parity_steps)
    parity.require(found, name=path.name)
    return {
        "bytes": len(data),
        "command_error": found.command,
        "state_error": found.state,
        "robots": list(item.robots),
    }


def _items(config: Config, run: StageRun) -> Iterator[Item]:
    base = run.input("pretrain_world_model")
    world_model = load_module(WorldModel, base, "world_model")
    base_head = load_module(BaseHead, base, "base_head")
    if "base" in config.agents:
        taught = str(read_card(base, "base_head")["notes"]["embodiment"])
        yield Item(name="base", agent="base", robots=(taught,), graph=PolicyGraph(world_model, base_head))
    if "specialist" in config.agents:
        for robot in config.embodiments or run.robots("train_specialist"):
            folder = run.input("train_specialist", robot)
            head = load_module(ResidualHead, folder, "residual_head")
            below = base_head.silenced() if head.config.from_scratch else base_head
            graph = PolicyGraph(world_model, below, head=head, critic=_critic(folder))
            yield Item(name=f"specialist_{robot}", agent="specialist", robots=(robot,), graph=graph)
    if "generalist" in config.agents:
        folder = run.input("distill_generalist")
        generalist = load_module(Generalist, folder, "generalist")
        robots = tuple(read_card(folder, "generalist")["notes"]["robots"])
        graph = PolicyGraph(world_model, base_head, head=generalist)
        yield Item(name="generalist", agent="generalist", robots=robots, graph=graph)


def _critic(folder: Path) -> Critic | None:
    """Return a specialist's critic if it sees what the policy sees and nothing else."""
    if not (folder / "critic.json").is_file() or CriticConfig(**read_card(folder, "critic")["config"]).privileged_size:
        return None
    return load_module(Critic, folder, "critic")


def _export(item: Item, config: Config, *, commit: str) -> bytes:
    torch.manual_seed(config.seed)
    trained = [registry.get(robot) for robot in item.robots]
    entries = contract.metadata(
        item.graph, agent=item.agent, trained=trained, licence=config.licence, git_commit=commit
    )
    return contract.sealed(to_onnx(item.graph), entries)


def _check_on_the_robots_side(path: Path, item: Item) -> None:
    """Load the file as every robot that it is for will load it."""
    for robot in item.robots:
        runtime.load(path, robot=registry.get(robot))
