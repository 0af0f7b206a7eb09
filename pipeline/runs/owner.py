"""Which process owns a file: process number, start time and boot, so that a number used anew is not taken for it."""

import os
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def own_name() -> str:
    """Return the name of this process: "PID START BOOT"."""
    return name_of(os.getpid())


def is_alive(name: str) -> bool:
    """Return whether the process of that name still runs. One of another machine, or a name cut off, does not."""
    pid = name.partition(" ")[0]
    return pid.isdecimal() and name == name_of(int(pid))


def name_of(pid: int) -> str:
    """Return the name of a running process, "" if there is none of that number."""
    try:
        state, start = _state_and_start(pid)
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return _name_without_proc(pid)
    return "" if state in "ZX" else f"{pid} {start} {boot}"


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return the state and the start time [ticks since boot]; the command's name before them may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return fields[0], fields[19]


def _name_without_proc(pid: int) -> str:
    """Return the name of a process on a system without /proc; "" if there is no such process."""
    if _BOOT.exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return f"{pid} - -"
