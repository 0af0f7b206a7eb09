"""Files that are there whole or not at all, however their writer ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to, in the folder of ``path``, which takes its place when the block ends without an error.

    Until then, and after an error, what ``path`` held is untouched. One writer at a time.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) by ``replacing`` it."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
