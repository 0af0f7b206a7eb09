"""Commands side by side: lines told apart, one failure does not stop the others, an interruption stops all."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.runs import owner, processes
from pipeline.runs.processes import run_side_by_side

ROOT = Path(__file__).parents[3]


def test_every_command_runs_and_keeps_its_status(capfd: pytest.CaptureFixture[str]) -> None:
    results = run_side_by_side({"good": ["list"], "bad": ["lits"]}, workers=2)
    assert results == {"good": 0, "bad": 2}
    lines = capfd.readouterr().out.splitlines()
    assert "[bad] error: no stage or command 'lits'; did you mean 'list'?" in "\n".join(lines)
    assert any(line.startswith("[good]") and "go2" in line for line in lines)


def test_a_command_that_is_not_needed_when_its_turn_comes_does_not_start() -> None:
    asked: list[str] = []

    def is_needed(name: str) -> bool:
        asked.append(name)
        return name == "good"

    assert run_side_by_side({"good": ["list"], "late": ["lits"]}, workers=1, is_needed=is_needed) == {
        "good": 0,
        "late": 0,
    }
    assert asked == ["good", "late"]


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


SIDE_BY_SIDE = """
import sys
from pathlib import Path
from pipeline.runs import processes
processes.ROOT = Path(sys.argv[1]) / "fake"
processes.run_side_by_side({"a": ["a"], "b": ["b"]}, workers=2)
"""
POOL = """
import sys
from pipeline.runs import processes
from tests.pipeline.runs.test_processes import sleep_as
if __name__ == "__main__":
    with processes.spawned(2) as pool:
        for job in [pool.submit(sleep_as, sys.argv[1], name) for name in "ab"]:
            job.result()
"""
SLEEPER = f"""
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("processes", {str(ROOT / "pipeline" / "runs" / "processes.py")!r})
processes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processes)
processes.end_with_starter()
draft = Path(sys.argv[1] + ".draft")
draft.write_text(str(os.getpid()))
draft.rename(draft.with_suffix(".pid"))
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal to the children of a killed process")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("code", [SIDE_BY_SIDE, POOL], ids=["side by side", "pool"])
def test_children_die_with_a_parent_that_is_killed(tmp_path: Path, code: str, number: signal.Signals) -> None:
    _fake_pipeline(tmp_path / "fake", SLEEPER)
    mortal = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # also below nohup
    (tmp_path / "parent.py").write_text(f"{mortal}\n{code}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as parent:
        while len(list(tmp_path.glob("*.pid"))) < 2:
            assert parent.poll() is None
            time.sleep(0.02)
        parent.send_signal(number)
        assert parent.wait(timeout=20) == -number
    for child in [int(path.read_text()) for path in tmp_path.glob("*.pid")]:
        _wait_for_the_end_of(child)


def test_a_child_whose_parent_died_before_it_looked_ends_at_once() -> None:
    code = "import os; from pipeline.runs import processes; processes.end_with(os.getppid() + 1); print('goes on')"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 128 + signal.SIGKILL and finished.stdout == ""


def test_a_killed_command_leaves_a_line_marked_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _fake_pipeline(tmp_path, "import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    assert run_side_by_side({"go2": []}, workers=1) == {"go2": -9}
    assert capfd.readouterr().out == "[go2] error: killed by SIGKILL, as for want of memory\n"


def _fake_pipeline(folder: Path, code: str) -> None:
    """Write what ``python -m pipeline`` runs in this folder."""
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline" / "__init__.py").touch()
    (folder / "pipeline" / "__main__.py").write_text(code)


def _wait_for_the_end_of(process: int) -> None:
    deadline_s = time.monotonic() + 5.0
    while owner.name_of(process):
        assert time.monotonic() < deadline_s, f"process {process} outlived its parent"
        time.sleep(0.02)


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
