"""Commands side by side: lines told apart, one failure does not stop the others, an interruption stops all."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import processes
from pipeline.processes import run_side_by_side

ROOT = Path(__file__).parents[1]


def test_every_command_runs_and_keeps_its_status(capfd: pytest.CaptureFixture[str]) -> None:
    results = run_side_by_side({"good": ["list"], "bad": ["lits"]}, workers=2)
    assert results == {"good": 0, "bad": 2}
    lines = capfd.readouterr().out.splitlines()
    assert "[bad] error: no stage or command 'lits'; did you mean 'list'?" in "\n".join(lines)
    assert any(line.startswith("[good]") and "go2" in line for line in lines)


def test_an_interruption_stops_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT to the parent reaches children that are in a session of their own."""
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def sleeping(command: list[str], **named: object) -> subprocess.Popen[str]:
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"], **named))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(processes.subprocess, "Popen", sleeping)
    threading.Thread(target=_interrupt_when, args=(started,), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side({"one": [], "two": [], "never": []}, workers=2)
    assert len(started) == 2
    assert all(process.wait(timeout=20) != 0 for process in started)


def _interrupt_when(started: list[subprocess.Popen[str]]) -> None:
    while len(started) < 2:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def test_cores_is_what_this_process_may_use() -> None:
    assert 1 <= processes.cores() <= (os.cpu_count() or 1)
