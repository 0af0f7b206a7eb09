"""Copy the files of a run and write their model card."""

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.commands.adopt import CURVE, SPECIALIST
from pipeline.commands.ship_policy import Config
from pipeline.evaluation.episodes.summary import ALL
from pipeline.evaluation.report import tables
from pipeline.runs import discovery, manifest
from pipeline.runs.run_folder import ADOPTED
from world_model import atomic_files

CARD, TRAINING, BENCHMARK, LEARNING = "README.md", "training.json", "benchmark_{}.md", "learning_{}.svg"
REEXPORTED = "reexported"
"""Key of ``training.json``: SHA-256 -> name of the files before ``reexport``."""
SHIPPED_BYTES = 20_000_000
"""Largest file that a repository should carry."""


def main(config: Config) -> None:
    """Copy the files and write the card, or the card alone; then remove what an earlier run had shipped beside them.

    Raises:
        ValueError: If a stage is missing, a file does not exist or is too large, or other files were evaluated.
    """
    evaluated = config.evaluation or config.run / "evaluate_policy"
    try:
        manifest.verify(evaluated, stage="evaluate_policy")
        exported = None if config.evaluation else manifest.verify(config.run / "export_policy", stage="export_policy")
    except manifest.ManifestError as error:
        raise ValueError(f"{error}. Ship from a run that is exported and evaluated: make evaluate.") from None
    summary = json.loads((evaluated / "summary.json").read_text(encoding="utf-8"))
    shipped = () if exported is None else _ship(config, exported, summary)
    training = read_training(config.out)
    if exported is None:
        try:
            evaluated_files([config.out / name for name in training["files"]], summary)
        except ValueError as error:
            raise ValueError(f"{evaluated}: {error}; run evaluate_policy --policy on the shipped ones.") from None
    _draw_learning(config.out, training)
    atomic_files.write_text(config.out / CARD, card(config.out, training, summary))
    if shipped:
        _remove_others(config.out, keep=shipped)
    print(f"{config.out} holds {', '.join(training['files'])} and a card")


def _ship(config: Config, exported: manifest.Manifest, summary: tables.Summary) -> tuple[str, ...]:
    """Copy the files, and note how they were trained; return the names of all that was copied."""
    for name in config.files:
        _check(config.run / "export_policy" / name, exported, summary)
    config.out.mkdir(parents=True, exist_ok=True)
    curves: list[str] = []
    for name in config.files:
        with atomic_files.replacing(config.out / name) as temporary:
            shutil.copyfile(config.run / "export_policy" / name, temporary)
        curves += _ship_curve(config, name)
    training = {"files": config.files} | how_trained(config.run, exported)
    atomic_files.write_text(config.out / TRAINING, json.dumps(training, indent=1) + "\n")
    return (*config.files, *curves)


def _remove_others(folder: Path, *, keep: Iterable[str]) -> None:
    """Remove policies and curves that are not of the run just shipped; pages and subfolders stay."""
    names = set(keep)
    for path in sorted({*folder.glob("*.onnx"), *folder.glob(CURVE.format("*"))}):
        if path.name not in names:
            path.unlink()
            print(f"removed {path}: it is of an earlier run")


def _ship_curve(config: Config, name: str) -> list[str]:
    """Copy how a specialist learned, if the run knows it; return the name that it has then, or nothing."""
    from pipeline.residual_rl.config import CURVE as PUBLISHED_CURVE  # torch, which the help does not need

    robot = _robot_of(name)
    curve = config.run / "train_specialist" / robot / PUBLISHED_CURVE
    if not robot or not curve.is_file():
        return []
    with atomic_files.replacing(config.out / CURVE.format(robot)) as temporary:
        shutil.copyfile(curve, temporary)
    return [CURVE.format(robot)]


def _robot_of(name: str) -> str:
    """Return whose specialist a file is; nothing if it is another agent's."""
    before, after = SPECIALIST.split("{}")
    robot = name.removeprefix(before).removesuffix(after)
    return robot if name == SPECIALIST.format(robot) else ""


def _curves(folder: Path, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return robot -> how the specialist shipped here learned."""
    from pipeline.evaluation.report import curves  # torch, which the help does not need

    robots = filter(None, map(_robot_of, training["files"]))
    return curves.read({robot: folder / CURVE.format(robot) for robot in robots})


def _draw_learning(folder: Path, training: Mapping[str, Any]) -> None:
    """Draw success while the specialists learned, over control steps and over time; remove what others had drawn."""
    from pipeline.evaluation.report import curves
    from pipeline.evaluation.report.figures import svg

    found = _curves(folder, training)
    for axis in curves.AXES:
        path = folder / LEARNING.format(axis)
        if any(axis in row for curve in found.values() for row in curve):
            with atomic_files.replacing(path) as temporary:
                temporary.write_bytes(svg(curves.draw(found, names=("success",), axis=axis)))
        else:
            path.unlink(missing_ok=True)


def read_training(folder: Path) -> dict[str, Any]:
    """Return what is shipped in a folder and how it was trained: ``files``, ``seed``, ``trained``.

    Raises:
        ValueError: If nothing is.
    """
    path = folder / TRAINING
    if not path.is_file():
        raise ValueError(f"no {path}: ship a run's files first, python -m pipeline ship_policy --run runs/NAME")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def earlier_files(folder: Path) -> dict[str, str]:
    """Return SHA-256 -> name of files that ``reexport`` has replaced in a folder: other bytes, the same policy."""
    return dict(read_training(folder).get(REEXPORTED, {})) if (folder / TRAINING).is_file() else {}


def evaluated_files(paths: Iterable[Path], summary: tables.Summary) -> dict[str, str]:
    """Return name and SHA-256 of the files that an evaluation drove, in its order.

    Raises:
        ValueError: If it drove none, or one that is not among ``paths``.
    """
    known: dict[str, str] = {}
    for path in paths:
        known |= earlier_files(path.parent) | {manifest.hash_file(path): path.name}
    driven = dict.fromkeys(cell["policy_sha256"] for cell in summary["cells"] if cell["policy_sha256"])
    if not driven or not driven.keys() <= known.keys():
        raise ValueError("other files were evaluated there, or none")
    return {known[sha256]: sha256 for sha256 in driven}


def _check(path: Path, exported: manifest.Manifest, summary: Mapping[str, Any]) -> None:
    if path.name not in exported.outputs:
        known = ", ".join(sorted(name for name in exported.outputs if name.endswith(".onnx")))
        raise ValueError(f"{path.parent} has no file '{path.name}'. It has: {known}.")
    if path.stat().st_size > SHIPPED_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {SHIPPED_BYTES} are shipped.")
    if exported.outputs[path.name]["sha256"] not in {cell["policy_sha256"] for cell in summary["cells"]}:
        raise ValueError(f"{path} is not what was evaluated; run evaluate_policy again.")


def card(folder: Path, training: Mapping[str, Any], summary: tables.Summary) -> str:
    """Return the model card: what the files are, how they were trained, what was measured, what they are not for."""
    robots = [c["embodiment"] for c in summary["pooled"] if c["embodiment"] != ALL and not c.get("unseen")]
    learned = ("specialist", "generalist")
    shown = [table.markdown() for table in tables.of_all_routes(summary, agents=learned)]
    paths = [folder / name for name in training["files"]]
    sizes = "\n".join(
        f"| `{path.name}` | {path.stat().st_size / 1e6:.1f} MB | `{manifest.hash_file(path)}` |" for path in paths
    )
    return f"""# Pretrained policies

Written by `python -m pipeline ship_policy`; every figure comes from an evaluation of these files. Licence: Apache-2.0.

| file | size | SHA-256 |
|---|--:|---|
{sizes}

* **Bodies**: {", ".join(dict.fromkeys(robots))}, simulated in Genesis as full articulated models.
* **Trained by** {training["trained"]}
* **Inputs, outputs, units, limits**: in the file's own metadata (`nav.*`); `export/runtime/` checks them.
* **To repeat the tables**: {_command(training, summary)}
{_further(folder)}\
* **Runs on** onnxruntime's `CPUExecutionProvider` (opset 18, IR version 8): commands of 1.16.3, 1.23.2 and 1.32.0
  differ by less than 1e-6 m/s or rad/s in 50 random steps. No other provider was compared. TensorRT 8 ignores the
  reduction of ScatterElements, which builds the costmap: do not use it.
* **Repeatable** on one machine, episode by episode. On another one, which may round otherwise, single episodes can end
  differently.
* **Not tested on hardware.** In simulation, too, it collides in the fraction of episodes that the tables give: it
  needs a stop button, a speed limit and an independent collision check.

{chr(10).join(shown)}{_learning(folder, training)}"""


def _learning(folder: Path, training: Mapping[str, Any]) -> str:
    """Return how the specialists learned, with the pictures of it; nothing without curves."""
    from pipeline.evaluation.report import curves

    found = _curves(folder, training)
    if not found:
        return ""
    names = [LEARNING.format(axis) for axis in curves.AXES]
    pictures = " ".join(f"![{Path(name).stem}]({name})" for name in names if (folder / name).is_file())
    return f"\n{curves.table(found).markdown()}\n{pictures}\n"


def _command(training: Mapping[str, Any], summary: tables.Summary) -> str:
    """Return the command that evaluates the files as the tables did."""
    first, cells = summary["cells"][0], summary["cells"]
    policy = "generalist.onnx" if "generalist.onnx" in training["files"] else training["files"][0]
    several = {key: ",".join(dict.fromkeys(str(cell[key]) for cell in cells)) for key in ("agent", "embodiment")}
    words = [f"--policy FOLDER/{policy}", f"--agents {several['agent']}", f"--embodiments {several['embodiment']}"]
    words += [] if first.get("conditions", "nominal") == "nominal" else [f"--conditions {first['conditions']}"]
    words += [f"--episodes {max(cell['episodes'] for cell in cells)}", f"--seed {first['seed']}", "--out runs/again"]
    return f"`python -m pipeline evaluate_policy {' '.join(words)}`."


def _further(folder: Path) -> str:
    """Return a line that names the pages of ``ship_benchmark`` and the cards of other training seeds, if any."""
    pages = sorted({*folder.rglob(BENCHMARK.format("*")), *folder.glob(f"*/{CARD}")})
    links = ", ".join(f"[`{page}`]({page})" for page in (page.relative_to(folder).as_posix() for page in pages))
    return f"* **More goals, other training seeds, scene by scene**: {links}.\n" if links else ""


def how_trained(run: Path, exported: manifest.Manifest) -> dict[str, Any]:
    """Return a run's training ``seed`` and how it was ``trained``, in sentences, from its manifests."""
    commit = str((exported.body.get("git") or {}).get("commit", "unknown"))[:12]
    preset, seed = exported.body.get("preset") or "laptop", exported.body.get("seed")
    line = f"the stages of `make all PRESET={preset}`, exported at commit `{commit}`, training seed {seed}, on data of"
    parts = (f"{line} this repository alone.", _adopted(run), _minutes(run), _specialists(run, preset))
    return {"seed": seed, "trained": " ".join(part for part in parts if part)}


def _adopted(run: Path) -> str:
    """Return a sentence with what the run did not train itself."""
    found = [body[ADOPTED] for stage in _before_export() for body in _bodies(run, stage) if ADOPTED in body]
    files = [
        pair for source in found for pair in ((source["file"], source["sha256"]), *source.get("further", {}).items())
    ]
    names = ", ".join(f"`{name}` (SHA-256 `{sha256[:12]}`)" for name, sha256 in files)
    return f"Not trained anew but adopted: {names}." if names else ""


def _minutes(run: Path) -> str:
    """Return a sentence with the wall time of the stages before export."""
    minutes = {
        stage: sum(float(body.get("wall_time_s") or 0.0) for body in _bodies(run, stage)) / 60.0
        for stage in _before_export()
    }
    spent = ", ".join(f"{stage} {value:.0f}" for stage, value in minutes.items() if value)
    return f"Minutes per stage, robots added up: {spent}." if spent else ""


def _before_export() -> list[str]:
    """Return the stages that come before the export, in their order."""
    return list(itertools.takewhile(lambda name: name != "export_policy", discovery.stages()))


def _specialists(run: Path, preset: str) -> str:
    """Return a sentence with what the specialists were trained for and how much of it helped."""
    from pipeline.simulation.navigation.closed_loop_validation import (
        BEST_SCALE,  # the simulator, which the command line's help does not need
    )
    from pipeline.stages.train_specialist import STAGE

    usual = f"{STAGE.sized(preset).ppo.control_steps:,}"
    steps = [
        f"{body['robot']} {body['config']['ppo']['control_steps']:,} ({body['metrics'][BEST_SCALE]:g})"
        for body in _bodies(run, "train_specialist")
        if BEST_SCALE in body["metrics"]
    ]
    scale = "in brackets the scale of the learned correction that validation chose (ADR 0007)"
    return f"Control steps per specialist (the preset's: {usual}), {scale}: {', '.join(steps)}." if steps else ""


def _bodies(run: Path, stage: str) -> list[Mapping[str, Any]]:
    """Return the manifests of a stage, one per robot if it has several."""
    folders = [run / stage] if (run / stage / manifest.NAME).is_file() else sorted((run / stage).glob("*"))
    return [manifest.read(folder).body for folder in folders if (folder / manifest.NAME).is_file()]
