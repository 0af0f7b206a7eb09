"""One process per folder: a lock that names its owner, and that a dead owner does not keep."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` for the duration of the block.

    The owner is named by host, boot, process id and start of that process. A lock of a process that no longer runs, or
    of an earlier boot of this host, is taken over.

    Raises:
        ValueError: If a living process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _take(path)
    try:
        yield
    finally:
        # Emptied, not deleted: a deleted file could be locked by one starter while another makes a new one.
        path.write_text("")


def _take(path: Path) -> None:
    # The kernel's lock lasts only while the record is read and written: held any longer, children would inherit it.
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        owner = _parse(file.read())
        if owner is not None and _alive(owner):
            raise ValueError(
                f"{path.parent.parent} is in use by process {owner['pid']} on {owner['host']}; wait for it or stop it"
                f" (if it is gone for certain, delete {path})."
            )
        file.seek(0)
        file.truncate()
        json.dump(_myself(), file)
        file.flush()


def _myself() -> dict[str, str | int | float]:
    pid = os.getpid()
    return {"pid": pid, "host": platform.node(), "boot": _boot(), "started": psutil.Process(pid).create_time()}


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(int(psutil.boot_time()))


def _parse(text: str) -> dict[str, str | int | float] | None:
    """Read an owner's record; None for an empty or half-written one, whose writer died while writing."""
    try:
        owner = json.loads(text)
        return owner if {"pid", "host", "boot", "started"} <= set(owner) else None
    except (ValueError, TypeError):
        return None


def _alive(owner: dict[str, str | int | float]) -> bool:
    if owner["host"] != platform.node():
        return True  # it may be at work on a shared disk, or be another container of this machine
    if owner["boot"] != _boot():
        return False
    try:
        process = psutil.Process(int(owner["pid"]))
        same = abs(process.create_time() - float(owner["started"])) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
