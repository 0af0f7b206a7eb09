"""Where a result comes from: commit, interpreter, package versions, machine."""

import importlib.metadata
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_COMMIT_DIGITS = 12


def describe() -> dict[str, Any]:
    """Return version, git commit, Python, versions of the direct dependencies, and the machine, ready for JSON."""
    return {
        "version": version(),
        "git": _git(),
        "python": platform.python_version(),
        "packages": _packages(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
    }


def version() -> str | None:
    """Return the version that was installed, or, in a clone, that its ``pyproject.toml`` names."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return importlib.metadata.version("crossbody")
    except importlib.metadata.PackageNotFoundError:
        return None


def commit_of(body: Mapping[str, Any]) -> str:
    """Return the commit that a manifest or ``describe`` names, and whether files differed from it; else its version."""
    git = body.get("git") or {}
    if not git and body.get("version"):
        return f"version {body['version']}"
    return str(git.get("commit", "unknown"))[:_COMMIT_DIGITS] + (" + changes" if git.get("dirty") else "")


def _git() -> dict[str, Any] | None:
    """Return the commit and whether tracked files differ from it; None outside of a checkout, as when installed."""
    try:
        # An installed copy may lie in the checkout of another project.
        if Path(_output("git", "rev-parse", "--show-toplevel")).resolve() != ROOT.resolve():
            return None
        commit = _output("git", "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_output("git", "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _output(*command: str) -> str:
    finished = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=30)
    return finished.stdout.strip()


def _packages() -> dict[str, str]:
    versions = {}
    for name in requirements():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def requirements() -> tuple[str, ...]:
    """Return the names in ``requirements.txt``, without extras and versions."""
    file = ROOT / "requirements.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    matches = (re.match(r"[A-Za-z0-9._-]+", line.strip()) for line in lines)
    return tuple(match.group() for match in matches if match)
