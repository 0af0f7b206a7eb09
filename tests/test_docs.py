"""README and docs: links lead somewhere, and every command on these pages exists with its options."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pipeline.runs.provenance import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "NOTICES.md", *(ROOT / "docs").rglob("*.md")])
CURRENT = [page for page in PAGES if page.parent.name not in ("adr", "log") and page.name != "CHANGELOG.md"]
"""Pages that say how things are now; decisions, log and changelog name commands of their time."""
README_LINES = 130


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    found: list[str] = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [link for link in found if "://" not in link]


def commands(page: Path) -> list[str]:
    """Return the commands in a page's code blocks, one line each."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    joined = "".join(code for language, code in blocks if not language).replace("\\\n", " ")
    return [line.partition("#")[0].strip() for line in joined.splitlines()]


@cache
def help_of(name: str) -> str:
    """Return what the command line says about a stage or command; "" is about all of them."""
    command = [sys.executable, "-m", "pipeline", *filter(None, [name]), "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"python -m pipeline {name} --help: {run.stdout}{run.stderr}"
    return run.stdout


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_pipeline_commands_have_their_options(page: Path) -> None:
    for line in commands(page):
        found = re.search(r"-m pipeline (\w+)(.*)", line)
        if found:
            for option in re.findall(r"(?<=\s)--[\w.-]+", found[2]):
                assert option in help_of(found[1]) + help_of("") or option == "--help", f"{page.name}: {line}"


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands(page):
        if line.startswith("make "):
            assert re.search(rf"^[^\n#]*\b{line.split()[1]}\b[^\n]*:", makefile, re.MULTILINE), f"{page.name}: {line}"
