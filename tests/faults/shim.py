"""Faults in file operations: a small C library, loaded first, counts them and fails at the one asked for."""

import ctypes
import os
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
_LOADED = "CROSSBODY_FAULTS"


class Mode(IntEnum):
    """What happens at an operation; the numbers are the library's."""

    COUNT = 1
    KILL_BEFORE = 2
    KILL_AFTER = 3
    KILL_TORN = 4
    """In the middle of a write"""
    FAIL_ONCE = 5
    FAIL_FROM = 6
    """This operation and all that follow"""


def restart_with_it(module: str) -> None:
    """Start this command again with the library in front, unless it is there already."""
    if _LOADED in os.environ:
        return
    library = Path(tempfile.mkdtemp(prefix="faults-")) / "shim.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    os.environ |= {"LD_PRELOAD": str(library), _LOADED: str(library), "OMP_NUM_THREADS": "1"}
    os.execv(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]])


def arm(mode: Mode, *, at: int = 0, error: int = 0, folder: Path) -> None:
    """Count the operations below a folder from now on; at number ``at``, from 1, comes the fault."""
    _library().faults_arm(int(mode), ctypes.c_long(at), error, str(folder).encode())


def count() -> int:
    """Return how many operations there were since ``arm``."""
    return int(_library().faults_count())


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ[_LOADED])
    library.faults_count.restype = ctypes.c_long
    return library
