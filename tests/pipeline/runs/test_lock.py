"""One process per folder; who holds it is said, and a dead owner does not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.runs import lock

ROOT = Path(__file__).parents[3]
HOLD = (
    "import subprocess, sys, time; from pathlib import Path; from pipeline.runs import lock\n"
    "with lock.held(Path(sys.argv[1])):\n"
    "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "    print(child.pid, flush=True); time.sleep(60)"
)


def test_second_start_is_refused_and_a_dead_owner_is_not(tmp_path: Path) -> None:
    """The owner's child lives on after the owner was killed, and does not keep the folder."""
    path = tmp_path / ".work" / "make.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        with pytest.raises(ValueError, match=f"in use by process {owner.pid} on .+; wait for it"), lock.held(path):
            pass
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        try:
            with lock.held(path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_one_process_holds_several_folders_and_each_only_once(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "lock", tmp_path / "b" / "lock"
    held = f"in use by process {os.getpid()} "
    with lock.held(first), lock.held(second), pytest.raises(ValueError, match=held), lock.held(first):
        pass
    with lock.held(first):
        pass


def test_what_a_crash_left_behind_does_not_lock(tmp_path: Path) -> None:
    path = tmp_path / ".work" / "make.lock"
    path.parent.mkdir()
    path.write_text("left behind")
    path.with_name("make.lock.owner").write_text("process 1 on elsewhere")
    with lock.held(path):
        pass
