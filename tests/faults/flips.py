"""Flip one bit of a file at a time, of every kind of file, and use it as the line does."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from embodiments import registry
from embodiments.embodiment import GaitDrive
from export.runtime import policy
from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from pipeline.simulation.physics.gait_weights import load_gait
from tests.faults import child, line, shim
from tests.faults.kills import Reference, _zero, hashes, is_whole
from tests.faults.line import Step
from tests.faults.shim import Mode
from tests.faults.table import Row

INTERRUPTED_AT = (0.5, 0.7, 0.9)
"""Parts of a step's operations after which it is killed, so that its work folder has something to flip"""


def run(root: Path, steps: Sequence[Step], references: dict[str, Reference], *, flips: int, seed: int = 0) -> list[Row]:
    """Flip so many bits: half in finished folders, one in fifty in work folders, the rest in shipped files."""
    rng = np.random.default_rng([seed, 3])
    finished = _finished(root, steps, rng, flips // 2)
    return [
        *finished,
        *_work(root, steps, references, rng, flips // 50),
        *_shipped(rng, flips - flips // 2 - flips // 50),
    ]


def _finished(root: Path, steps: Sequence[Step], rng: np.random.Generator, flips: int) -> list[Row]:
    """Flip bits of all kinds of files in finished folders; whoever reads such a folder verifies it first."""
    files: dict[str, list[tuple[Path, Path]]] = {}
    for step in steps:
        folder = root / step.folder
        for path in folder.rglob("*") if step.name != "train_gait" else ():
            if path.is_file():
                files.setdefault(_kind(path), []).append((folder, path))
    rows = []
    for kind, found in sorted(files.items()):
        row = Row(test="bit flip, finished folder", what=kind)
        for _ in range(-(-flips // len(files))):
            folder, path = found[int(rng.integers(len(found)))]
            where = _try(path, rng, partial(manifest.verify, folder), row)
            row.trials += 1
            del where
        rows.append(row)
    return rows


def _kind(path: Path) -> str:
    if path.name == manifest.NAME:
        return path.name
    return "TensorBoard events" if path.name.startswith("events.") else f"*{path.suffix}"


def _try(path: Path, rng: np.random.Generator, use: Callable[[], object], row: Row) -> int:
    """Flip a bit of a file, use it, and put it right again; silent if that is not refused."""
    whole = path.read_bytes()
    bit = int(rng.integers(8 * len(whole)))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        use()
        row.note(f"bit {bit} of {path.name}", silent=True)
    except (ValueError, OSError) as error:
        row.note(f"bit {bit} of {path.name}", traceback="\n" in str(error), output=str(error))
    except Exception as error:
        row.note(f"bit {bit} of {path.name}", traceback=True, output=repr(error))
    finally:
        path.write_bytes(whole)
    return bit


def _work(
    root: Path, steps: Sequence[Step], references: dict[str, Reference], rng: np.random.Generator, flips: int
) -> list[Row]:
    """Flip bits in the work folders of interrupted steps, and run the same command again."""
    rows = []
    for number, step in enumerate(steps):
        count = flips * (number + 1) // len(steps) - flips * number // len(steps)
        row, expected = Row(test="bit flip, interrupted step", what=step.name), references[step.name]
        with tempfile.TemporaryDirectory() as outside:
            saved = Path(outside)
            shutil.copytree(root / step.folder, saved / "result")
            for trial in range(count):
                line.clear(root, step)
                at = round(INTERRUPTED_AT[trial % len(INTERRUPTED_AT)] * expected.operations)
                child.run(
                    partial(_zero, step.run, root), prepare=partial(shim.arm, Mode.KILL_AFTER, at=at, folder=root)
                )
                _flip_and_resume(root, step, expected, rng, row)
            line.clear(root, step)
            shutil.copytree(saved / "result", root / step.folder)
        rows.append(row)
    return rows


def _flip_and_resume(root: Path, step: Step, expected: Reference, rng: np.random.Generator, row: Row) -> None:
    work = root / ".work" if step.name != "train_gait" else root / step.folder
    files = sorted(path for path in work.rglob("*") if path.is_file() and path.stat().st_size)
    if not files:
        return
    path = files[int(rng.integers(len(files)))]
    whole = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(whole)))
    whole[bit // 8] ^= 1 << bit % 8
    path.unlink()  # a published hard link of it stays as it is
    path.write_bytes(whole)
    again = child.run(partial(_zero, step.run, root))
    row.trials += 1
    finished = again.status == 0 and is_whole(root, step)
    refused = again.status == 2 and "damaged" in again.error
    row.note(
        f"bit {bit} of {path.relative_to(root)}",
        lost=not (finished or refused),
        silent=finished and hashes(root, step) != expected.files,
        traceback=again.has_traceback,
        output=again.output,
    )


def _shipped(rng: np.random.Generator, flips: int) -> list[Row]:
    """Flip bits of copies of what ships: gaits, their cards, and policies."""
    rows = []
    with tempfile.TemporaryDirectory() as outside:
        folder = Path(outside)
        robots = [robot for robot in map(registry.get, registry.names()) if isinstance(robot.drive, GaitDrive)]
        for suffix, name in ((".safetensors", "gait weights"), (".json", "gait cards")):
            row = Row(test="bit flip, shipped file", what=name)
            for trial in range(flips // 3):
                robot = robots[trial % len(robots)]
                assert isinstance(robot.drive, GaitDrive)
                weights = folder / robot.drive.weights
                for end in (".safetensors", ".json"):
                    source = (registry.GAITS_FOLDER / robot.drive.weights).with_suffix(end)
                    shutil.copyfile(source, weights.with_suffix(end))
                _try(weights.with_suffix(suffix), rng, partial(load_gait, robot.drive, weights), row)
                row.trials += 1
            rows.append(row)
        row = Row(test="bit flip, shipped file", what="ONNX policies")
        copy = folder / "policy.onnx"
        shutil.copyfile(ROOT / "export" / "pretrained" / "generalist.onnx", copy)
        for _ in range(flips - 2 * (flips // 3)):
            _try(copy, rng, partial(policy.load, copy), row)
            row.trials += 1
        rows.append(row)
    return rows
