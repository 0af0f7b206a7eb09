"""Copy exported policies of an evaluated run into ``export/pretrained``, with a model card of the run's figures."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline.evaluation import results
from pipeline.evaluation.summary import ALL
from pipeline.provenance import ROOT

CARD = "README.md"
SHIPPED_BYTES = 20_000_000
"""Largest file that a repository should carry."""
_TRAINING = ("collect_teacher", "pretrain_world_model", "train_specialist", "record_specialist", "distill_generalist")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which policies of which run, and where to."""

    run: Path = Path("runs/laptop")
    """Its ``export_policy`` and ``evaluate_policy`` must be finished, and the second one must be of the first"""
    files: tuple[str, ...] = ("generalist.onnx",)
    """Files of ``export_policy`` to ship"""
    out: Path = ROOT / "export" / "pretrained"


def main(config: Config) -> None:
    """Copy the files and write the card.

    Raises:
        ValueError: If a stage is missing, a file does not exist or is too large, or other files were evaluated.
    """
    exported, evaluated = (config.run / stage for stage in ("export_policy", "evaluate_policy"))
    try:
        manifests = {folder.name: manifest.verify(folder, stage=folder.name) for folder in (exported, evaluated)}
    except manifest.ManifestError as error:
        raise ValueError(f"{error}. Ship from a run that is exported and evaluated: make evaluate.") from None
    summary = json.loads((evaluated / "summary.json").read_text(encoding="utf-8"))
    for name in config.files:
        _check(exported / name, manifests["export_policy"], summary)
    config.out.mkdir(parents=True, exist_ok=True)
    for name in config.files:
        temporary = config.out / f".{name}.tmp"
        shutil.copyfile(exported / name, temporary)
        temporary.replace(config.out / name)
    (config.out / CARD).write_text(card(config, summary), encoding="utf-8")
    print(f"{config.out} holds {', '.join(config.files)} and a card")


def _check(path: Path, exported: manifest.Manifest, summary: Mapping[str, Any]) -> None:
    if path.name not in exported.outputs:
        known = ", ".join(sorted(name for name in exported.outputs if name.endswith(".onnx")))
        raise ValueError(f"{path.parent} has no file '{path.name}'. It has: {known}.")
    if path.stat().st_size > SHIPPED_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {SHIPPED_BYTES} are shipped.")
    if exported.outputs[path.name]["sha256"] not in {cell["policy_sha256"] for cell in summary["cells"]}:
        raise ValueError(f"{path} is not what was evaluated; run evaluate_policy again.")


def card(config: Config, summary: results.Summary) -> str:
    """Return the model card: what the files are, how they were trained, what was measured, what they are not for."""
    exported = manifest.read(config.run / "export_policy")
    commit = str((exported.body.get("git") or {}).get("commit", "unknown"))[:12]
    preset, seed = exported.body.get("preset") or "laptop", exported.body.get("seed")
    robots = [c["embodiment"] for c in summary["pooled"] if c["embodiment"] != ALL and not c.get("unseen")]
    tables = [
        table.markdown()
        for route in results.routes(summary)
        for table in (
            results.success_table(summary, route=route),
            results.difference_table(summary, route=route),
            results.quality_table(summary, route=route, agents=("specialist", "generalist")),
        )
        if table.rows
    ]
    sizes = "\n".join(
        f"| `{name}` | {exported.outputs[name]['bytes'] / 1e6:.1f} MB | `{exported.outputs[name]['sha256']}` |"
        for name in config.files
    )
    return f"""# Pretrained policies

Written by `python -m pipeline ship_policy`; every figure comes from the run's own evaluation. Licence: Apache-2.0.

| file | size | SHA-256 |
|---|--:|---|
{sizes}

* **Bodies**: {", ".join(dict.fromkeys(robots))}, simulated in Genesis as full articulated models.
* **Trained by** the stages of `make all PRESET={preset}`, exported at commit `{commit}`, training seed {seed}, on
  data of this repository alone. {_minutes(config.run)} {_specialists(config.run)}
* **Inputs, outputs, units, limits**: in the file's own metadata (`nav.*`); `export/runtime/` checks them.
* **Not tested on hardware.** In simulation, too, it collides in the share of episodes that the last table gives: it
  needs a stop button, a speed limit and an independent collision check.

{chr(10).join(tables)}"""


def _minutes(run: Path) -> str:
    """Return a sentence with the wall time of the training stages."""
    minutes = {
        stage: sum(float(b.get("wall_time_s") or 0.0) for b in _bodies(run, stage)) / 60.0 for stage in _TRAINING
    }
    told = ", ".join(f"{stage} {value:.0f}" for stage, value in minutes.items() if value)
    return f"Minutes per stage, robots added up: {told}." if told else ""


def _specialists(run: Path) -> str:
    """Return a sentence with what the specialists were trained for and how much of it helped."""
    from pipeline.simulation.trial import KEPT  # the simulator, which the command line's help does not need

    told = [
        f"{body['robot']} {body['config']['ppo']['control_steps']:,} ({body['metrics'][KEPT]:g})"
        for body in _bodies(run, "train_specialist")
        if KEPT in body["metrics"]
    ]
    kept = "in brackets the share of the learned correction that helped and was kept (ADR 0007)"
    return f"Control steps per specialist, {kept}: {', '.join(told)}." if told else ""


def _bodies(run: Path, stage: str) -> list[Mapping[str, Any]]:
    """Return the manifests of a stage, one per robot if it has several."""
    folders = [run / stage] if (run / stage / manifest.NAME).is_file() else sorted((run / stage).glob("*"))
    return [manifest.read(folder).body for folder in folders if (folder / manifest.NAME).is_file()]
