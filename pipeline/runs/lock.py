"""One process per folder: a lock of the kernel's, which ends with its owner, and a note that names the owner."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` for the duration of the block. Child processes do not inherit it.

    Raises:
        ValueError: If it is held already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.with_name(f"{path.name}.owner")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        name = owner.read_text(encoding="utf-8") if owner.exists() else "another process"
        raise ValueError(f"{path.parent.parent} is in use by {name}; wait for it or stop it.") from None
    try:
        owner.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        lock.release()
