"""Let every file operation of every step fail once: for want of space, then or from then on, or by an I/O error."""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tests.faults import child, line, shim
from tests.faults.kills import Reference, _zero, hashes, is_whole
from tests.faults.line import Step
from tests.faults.shim import Mode
from tests.faults.table import Row

KINDS = {
    "no space, once": (Mode.FAIL_ONCE, errno.ENOSPC),
    "no space from then on": (Mode.FAIL_FROM, errno.ENOSPC),
    "I/O error, once": (Mode.FAIL_ONCE, errno.EIO),
}


def run(
    root: Path, steps: Sequence[Step], references: dict[str, Reference], *, share: float = 1.0, seed: int = 0
) -> Iterator[Row]:
    """Fail in a share of all operations, each in one way, the ways in turn; a row per step."""
    rng = np.random.default_rng([seed, 2])
    for step in steps:
        expected = references[step.name]
        count = max(1, round(share * expected.operations))
        chosen = sorted(rng.permutation(expected.operations)[:count] + 1)
        row = Row(test="I/O error", what=step.name)
        with tempfile.TemporaryDirectory() as outside:
            shutil.copytree(root / step.folder, Path(outside) / "saved")
            for at in map(int, chosen):
                _trial(root, step, expected, row, kind=list(KINDS)[at % len(KINDS)], at=at)
            line.clear(root, step)
            shutil.copytree(Path(outside) / "saved", root / step.folder)
        row.remark = f"{count} of {expected.operations} operations"
        yield row


def _trial(root: Path, step: Step, expected: Reference, row: Row, *, kind: str, at: int) -> None:
    mode, number = KINDS[kind]
    line.clear(root, step)
    failing = child.run(
        partial(_zero, step.run, root), prepare=partial(shim.arm, mode, at=at, error=number, folder=root)
    )
    row.trials += 1
    goes_on = failing.status == 0
    silent = goes_on and not (is_whole(root, step) and hashes(root, step) == expected.files)
    says_where = goes_on or (failing.status == 2 and str(root) in failing.error)
    row.note(
        f"{kind} at {at}",
        lost=not is_whole(root, step),
        silent=silent or not says_where,
        traceback=failing.has_traceback or failing.status not in (0, 2),
        output=f"status {failing.status}\n{failing.output}",
    )
    if goes_on:
        return
    again = child.run(partial(_zero, step.run, root))
    finished = again.status == 0 and is_whole(root, step)
    row.note(
        f"after {kind} at {at}",
        lost=not finished,
        silent=finished and hashes(root, step) != expected.files,
        traceback=again.has_traceback,
        output=again.output,
    )
