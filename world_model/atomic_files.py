"""Atomic file writes: after a kill, an error or a loss of power the old file is there or the new one, never a part."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to, in the folder of ``path``; it replaces ``path`` when the block ends without an error.

    Until then, and after an error, what ``path`` held is untouched. One writer at a time.

    Raises:
        OSError: Whatever the file system says, with the name of the file.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with naming(path):
            yield temporary
            sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give the block's errors of the file system the name ``path`` if they have none: that of a full disk has none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:  # without a number it is a message of our own
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


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
