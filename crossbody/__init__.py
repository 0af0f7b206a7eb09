"""Finds crossbody's packages where ``pip install .`` has put them, or in the clone beside this folder.

``import crossbody`` makes ``pipeline``, ``export`` and the others importable in the same program and in those that it
starts. They have plain names, so they do not lie in ``site-packages`` itself (docs/adr/0019-installed.md).
"""

import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_INSTALLED = _HERE / "application"
ROOT = _INSTALLED if _INSTALLED.is_dir() else _HERE.parent
"""The folder that holds ``pipeline``, ``embodiments`` and the others."""


def _add_to_path() -> None:
    """Put ``ROOT`` first on Python's path, here and in processes that are started from here."""
    root = str(ROOT)
    if root not in sys.path:
        sys.path.insert(0, root)
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *others])


_add_to_path()
