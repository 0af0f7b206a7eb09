"""Commands side by side: lines told apart, one failure does not stop the others, an interruption stops all."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.runs import processes
from pipeline.runs.processes import run_side_by_side

ROOT = Path(__file__).parents[3]


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


def test_an_interruption_ends_what_was_spawned(tmp_path: Path) -> None:
    """Of a parent that alone gets SIGTERM no child is left."""
    code = f"""
import signal, time
from pathlib import Path
from pipeline.runs import processes
from tests.pipeline.runs.test_processes import sleep_as
if __name__ == "__main__":
    def interrupt(*_): raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
    with processes.spawned(2) as pool:
        for job in [pool.submit(sleep_as, {str(tmp_path)!r}, name) for name in "abc"]:
            job.result()
"""
    (tmp_path / "parent.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], env=environment, stderr=subprocess.DEVNULL
    ) as parent:
        while len(list(tmp_path.glob("*.pid"))) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=20) != 0
    children = [int(path.read_text()) for path in sorted(tmp_path.glob("*.pid"))]
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def sleep_as(directory: str, name: str) -> None:
    """Note which process this is, and sleep for longer than the test waits."""
    draft = Path(directory) / f"{name}.draft"
    draft.write_text(str(os.getpid()))
    draft.rename(draft.with_suffix(".pid"))
    time.sleep(60)


def _interrupt_when(started: list[subprocess.Popen[str]]) -> None:
    while len(started) < 2:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def test_cores_is_what_this_process_may_use() -> None:
    assert 1 <= processes.cores() <= (os.cpu_count() or 1)
