"""``pip install .`` gives a program that runs in any folder and says which version it is."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "embodiments", "world_model", "distill", "scenes", "export")
LEFT_OUT = re.compile(r"export/pretrained/.*\.(npz|parquet)$")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: str, cwd: Path, path: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    finished = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps")
    run(*pip, "--no-build-isolation", "--wheel-dir", str(folder), ".", cwd=ROOT)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like ``site-packages``, inside of another project's checkout."""
    folder = tmp_path_factory.mktemp("other_project")
    run("git", "init", "-q", cwd=folder)
    run("git", "-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "--allow-empty", "-m", "other", cwd=folder)
    target = folder / "site-packages"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index")
    run(*pip, "--target", str(target), str(wheel), cwd=folder)
    return target


def test_the_wheel_holds_the_packages_whole_and_no_other_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"crossbody", f"crossbody-{PROJECT['version']}.dist-info"}
    tracked = run("git", "ls-files", "--", *PACKAGES, "requirements.txt", cwd=ROOT).splitlines()
    wanted = {f"crossbody/application/{name}" for name in tracked if not LEFT_OUT.match(name)}
    assert wanted, "no checkout"
    assert not wanted - set(names)
    left_out = {f"crossbody/application/{name}" for name in tracked if LEFT_OUT.match(name)}
    assert not left_out & set(names)


def test_its_requirements_are_those_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"crossbody-{PROJECT['version']}.dist-info/METADATA").decode()
    stated = {line.lower() for line in re.findall(r"^Requires-Dist: ([^;\n]+?)(?:;.*)?$", text, re.MULTILINE)}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {line.split(";")[0].strip().lower() for line in lines if line.strip() and not line.startswith("#")}
    assert {re.sub(r"\s", "", line) for line in stated} == wanted


def test_the_version_is_the_changelogs() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)
    assert PROJECT["version"] == released[0]


def test_the_command_runs_in_another_folder(installed: Path, tmp_path: Path) -> None:
    printed = run(sys.executable, "-m", "crossbody", "list", cwd=tmp_path, path=installed)
    assert "evaluate_policy" in printed
    assert "tiago" in printed


def test_processes_that_it_starts_find_the_packages(installed: Path, tmp_path: Path) -> None:
    code = (
        "import crossbody, subprocess, sys; "
        "subprocess.run([sys.executable, '-c', 'import pipeline; print(pipeline.__file__)'], check=True)"
    )
    printed = run(sys.executable, "-c", code, cwd=tmp_path, path=installed)
    assert Path(printed.strip()).is_relative_to(installed / "crossbody" / "application")


def test_results_say_the_version_and_not_the_other_projects_commit(installed: Path, tmp_path: Path) -> None:
    code = (
        "import crossbody, json; from pipeline.runs import provenance; found = provenance.describe(); "
        "print(json.dumps([found['git'], provenance.commit_of(found)]))"
    )
    printed = run(sys.executable, "-c", code, cwd=tmp_path, path=installed)
    assert json.loads(printed) == [None, f"version {PROJECT['version']}"]


def test_a_clone_says_its_commit() -> None:
    code = "from pipeline.runs import provenance; print(provenance.commit_of(provenance.describe()))"
    assert run(sys.executable, "-c", code, cwd=ROOT).startswith(run("git", "rev-parse", "HEAD", cwd=ROOT)[:12])


@pytest.mark.slow
def test_an_evaluation_in_another_folder_writes_there(installed: Path, tmp_path: Path) -> None:
    policy = installed / "crossbody" / "application" / "export" / "pretrained" / "generalist.onnx"
    options = ("--policy", str(policy), "--embodiments", "tiago,stretch3", "--scenes", "office", "--episodes", "2")
    options += ("--route", "planned", "--out", "runs/mine")
    run(sys.executable, "-m", "crossbody", "evaluate_policy", *options, cwd=tmp_path, path=installed)
    summary = json.loads((tmp_path / "runs" / "mine" / "summary.json").read_text(encoding="utf-8"))
    assert {cell["embodiment"] for cell in summary["cells"]} == {"tiago", "stretch3"}
