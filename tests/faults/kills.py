"""Kill every step at a random one of its file operations, run the same command again, and look at what is there."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runs import manifest
from tests.faults import child, line, shim
from tests.faults.line import Step
from tests.faults.shim import Mode
from tests.faults.table import Row

_MODES = (Mode.KILL_BEFORE, Mode.KILL_AFTER, Mode.KILL_TORN)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What an uninterrupted run of a step does."""

    operations: int
    files: dict[str, str]
    """Of the files that are always the same: name -> SHA-256"""


def make_line(root: Path, steps: Sequence[Step]) -> dict[str, Reference]:
    """Run the whole line without faults."""
    return {step.name: reference(root, step, step.run) for step in steps}


def reference(root: Path, step: Step, action: Callable[[Path], Any]) -> Reference:
    """Run a step without faults."""
    with tempfile.TemporaryDirectory() as outside:
        note = Path(outside) / "count"

        def counted() -> int:
            action(root)
            note.write_text(str(shim.count()))
            return 0

        ended = child.run(counted, prepare=partial(shim.arm, Mode.COUNT, folder=root))
        if ended.status != 0:
            raise RuntimeError(f"{step.name} fails without a fault: {ended.output[-2000:]}")
        return Reference(operations=int(note.read_text()), files=hashes(root, step))


def hashes(root: Path, step: Step) -> dict[str, str]:
    """Return the SHA-256 of the files that a step makes the same every time."""
    folder = root / step.folder
    found = sorted(path for pattern in step.same for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def is_whole(root: Path, step: Step) -> bool:
    """Return whether a step's folder is absent or what its manifest says."""
    folder = root / step.folder
    if not folder.exists() or step.name == "train_gait":  # a gait's folder has no manifest; its files have
        return True
    try:
        manifest.verify(folder)
    except manifest.ManifestError:
        return False
    return True


def run(
    root: Path, steps: Sequence[Step], references: dict[str, Reference], *, kills: int, seed: int = 0
) -> Iterator[Row]:
    """Kill so many times, all steps in turn; a row per step."""
    rng = np.random.default_rng([seed, 1])
    for number, step in enumerate(steps):
        count = kills * (number + 1) // len(steps) - kills * number // len(steps)
        with tempfile.TemporaryDirectory() as outside:
            shutil.copytree(root / step.folder, Path(outside) / "saved")
            row = Row(test="kill -9", what=step.name)
            for trial in range(count):
                _trial(root, step, references[step.name], row, rng, over_result=trial % 5 == 4)
            line.clear(root, step)
            shutil.copytree(Path(outside) / "saved", root / step.folder)
        yield row


def _trial(
    root: Path, step: Step, expected: Reference, row: Row, rng: np.random.Generator, *, over_result: bool
) -> None:
    """Kill once or twice, run to the end and compare. ``over_result``: while another result is there already."""
    action, wanted = step.run, expected.files
    if over_result and step.again is not None:
        action, wanted = step.again, {}
    else:
        line.clear(root, step)
    for _ in range(1 + int(rng.integers(4) == 0)):
        at, mode = int(rng.integers(1, expected.operations + 1)), _MODES[int(rng.integers(len(_MODES)))]
        ended = child.run(partial(_zero, action, root), prepare=partial(shim.arm, mode, at=at, folder=root))
        row.trials += 1
        row.note(
            f"{mode.name} at {at}", traceback=ended.has_traceback, lost=not is_whole(root, step), output=ended.output
        )
    again = child.run(partial(_zero, action, root))
    finished = again.status == 0 and is_whole(root, step) and (root / step.folder).exists()
    differs = bool(wanted) and finished and hashes(root, step) != wanted
    row.note(
        f"after {mode.name} at {at}",
        traceback=again.has_traceback,
        lost=not finished,
        silent=differs,
        output=again.output,
    )
    if action is not step.run:
        line.clear(root, step)
        child.run(partial(_zero, step.run, root))


def _zero(action: Callable[[Path], Any], root: Path) -> int:
    action(root)
    return 0
