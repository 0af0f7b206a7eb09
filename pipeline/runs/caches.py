"""Where libraries keep the kernels that they compile: the user's cache folder, or a temporary one."""

import os
import stat
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

_VARIABLE = "XDG_CACHE_HOME"
_OF_LIBRARIES = ("genesis", "quadrants")
_MEND = f"set {_VARIABLE} to a folder that you may write to"


def prepare(environment: MutableMapping[str, str] = os.environ) -> str | None:
    """Point the libraries to a temporary folder if the user's cache folder cannot be written.

    It must be called before a library is imported. Processes that start later inherit it.

    Returns:
        One line for the user, or None if nothing had to be changed.

    Raises:
        ValueError: If there is no folder for temporary files either, or somebody else holds its name.
    """
    home = Path(environment.get(_VARIABLE) or Path(environment.get("HOME") or "~").expanduser() / ".cache")
    if all(_writable(folder) for folder in (home, *(home / name for name in _OF_LIBRARIES))):
        return None
    folder = _temporary()
    environment[_VARIABLE] = str(folder)
    environment.setdefault("NUMBA_CACHE_DIR", str(folder / "numba"))
    environment.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    return f"{home} cannot be written; compiled kernels go to {folder}. To keep them, {_MEND}"


def _writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, which may have to be made first."""
    existing = next((path for path in (folder, *folder.parents) if _exists(path)), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that this user may not enter
        return False


def _temporary() -> Path:
    """Return this user's own folder: what lies there is executed, so nobody else may write into it."""
    try:
        folder = Path(tempfile.gettempdir()) / f"crossbody-cache-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ValueError(f"no folder for compiled kernels ({error}); {_MEND}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ValueError(f"{folder} is not this user's own folder; {_MEND}")
    return folder
