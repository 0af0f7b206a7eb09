"""Atomic file writes: after a kill, an error or a loss of power the old file is there or the new one, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to, in the folder of ``path``; it replaces ``path`` when the block ends without an error.

    Until then, and after an error, what ``path`` held is untouched. One writer at a time.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by ``replacing`` it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) by ``replacing`` it."""
    write_bytes(path, text.encode("utf-8"))


def sync(path: Path) -> None:
    """Make a file's content or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
