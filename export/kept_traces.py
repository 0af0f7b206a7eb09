"""Traced graphs, kept in the user's cache folder: tracing takes most of a minute, reading a file a moment.

A file's name is a digest of everything that a trace depends on: this repository's own code, the libraries that trace,
and the architecture. What cannot be read or is not whole is traced anew.
"""

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import onnx

from world_model import atomic_files

_CODE = ("distill", "embodiments", "export", "world_model")
_LIBRARIES = ("torch", "onnx", "onnx-ir", "onnxscript", "numpy")
_ROOT = Path(__file__).parents[1]
_MOST = 8
"""Files that are kept, some 7 MB each; the oldest go first"""
_DIGEST_BYTES = hashlib.sha256().digest_size


def kept(architecture: str, trace: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    """Return a graph from the cache folder, or trace it and put it there.

    Args:
        architecture: What ``trace`` depends on besides code and libraries.
    """
    path = _folder() / f"{hashlib.sha256(f'{_made_by()} {architecture}'.encode()).hexdigest()}.onnx"
    found = _read(path)
    if found is None:
        found = trace()
        with contextlib.suppress(OSError):  # a folder that cannot be written costs time, nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            data = found.SerializeToString(deterministic=True)
            atomic_files.write_bytes(path, hashlib.sha256(data).digest() + data)
            _forget(path.parent)
    return found


def _read(path: Path) -> onnx.ModelProto | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return onnx.load_from_string(data) if hashlib.sha256(data).digest() == digest else None


def _forget(folder: Path) -> None:
    by_age = sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime)
    for path in by_age[:-_MOST]:
        path.unlink(missing_ok=True)


def _folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "crossbody" / "traces"


@cache
def _made_by() -> str:
    """Return a digest of the code and the libraries that trace."""
    digest = hashlib.sha256(platform.python_version().encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {metadata.version(library)}".encode())
    for package in _CODE:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
