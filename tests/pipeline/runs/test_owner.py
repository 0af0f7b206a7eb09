"""A process's name: its own while it runs, nobody's afterwards, and not that of another with the same number."""

import os
import subprocess
import sys

from pipeline.runs import owner


def test_a_name_is_alive_as_long_as_its_process() -> None:
    assert owner.is_alive(owner.own_name())
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        name = owner.name_of(process.pid)
        assert name != owner.own_name() and owner.is_alive(name)
        process.kill()
    assert not owner.is_alive(name)


def test_a_number_used_anew_or_a_name_cut_off_is_nobodys() -> None:
    pid, start, boot = owner.own_name().split()
    assert int(pid) == os.getpid()
    for name in (f"{pid} {int(start) - 1} {boot}", f"{pid} {start} {boot[:-1]}", pid, f"{pid} ", "", "x", "-1 0 0"):
        assert not owner.is_alive(name)
