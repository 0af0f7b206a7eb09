"""Bad input on the command line: one clear line that says what exists, exit status 2, no traceback."""

import os
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from pipeline import __main__ as cli
from pipeline.runs import command_line, config_checks, discovery, run_folder
from pipeline.runs.command_line import parse
from tests import own_robot

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    learning_rate: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0
    route: Literal["straight", "planned"] = "planned"
    agents: tuple[str, ...] = ("zero",)
    sizes: tuple[int, ...] = (1, 2)
    routes: tuple[Literal["straight", "planned"], ...] = ("straight",)
    exact: bool = True
    policy: Path | None = None
    optimiser: Optimiser = field(default_factory=Optimiser)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line and return its one line of error."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


def first_stage(*, per_robot: bool) -> str:
    return next(name for name, stage in discovery.stages().items() if stage.per_robot == per_robot)


def test_unknown_stage_is_one_line_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no stage or command 'lits'; did you mean 'list'?" in refused(capsys, "lits")


def test_unknown_preset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = first_stage(per_robot=False)
    line = refused(capsys, name, "--run", str(tmp_path), "--preset", "labtop")
    assert line == "error: no preset 'labtop'; did you mean 'laptop'? Known: smoke, laptop, workstation."


def test_unknown_robot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = first_stage(per_robot=True)
    line = refused(capsys, name, "--run", str(tmp_path), "--embodiments", "go2,go3")
    assert "no robot 'go3'; did you mean 'go2'?" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["--robot-file={}", "--robot-file {}"])
def test_a_robot_file_is_an_option_of_every_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str
) -> None:
    file = own_robot.write(tmp_path)
    with own_robot.no_robot_files():
        assert cli.main(["list", *word.format(file).split()]) == 0
    assert "  cart  " in capsys.readouterr().out


def test_an_ill_robot_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with own_robot.no_robot_files():
        assert "no robot file" in refused(capsys, "list", "--robot-file", str(tmp_path / "none.py"))
        assert "needs the path of a Python file" in refused(capsys, "list", "--robot-file")
        taken = own_robot.write(tmp_path, robot_file=own_robot.ROBOT_FILE.replace('"cart"', '"go2"'))
        assert "defines 'go2' already" in refused(capsys, "list", "--robot-file", str(taken))


@pytest.mark.parametrize("option", ["--run", "--preset", "--preset --run x"])
def test_option_without_a_value(capsys: pytest.CaptureFixture[str], option: str) -> None:
    name = first_stage(per_robot=False)
    assert "Missing value for argument" in refused(capsys, name, *option.split())


@pytest.mark.parametrize("device", ["gpu", "tpu", "meta"])
def test_unknown_device(capsys: pytest.CaptureFixture[str], tmp_path: Path, device: str) -> None:
    line = refused(capsys, "train_specialist", "--run", str(tmp_path), "--device", device)
    assert line == f"error: there is no device '{device}'; it is cpu, cuda or cuda:NUMBER."


def test_a_stage_whose_output_nobody_reads_is_not_called_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_reads(_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(cli, "dispatch", nobody_reads)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert cli.main(["make_scenes"]) == 141


@pytest.mark.parametrize(
    "console", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_a_console_that_lacks_a_character_shows_another_one(console: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pipeline", "make_scénes→☃"]
    finished = subprocess.run(command, cwd=ROOT, env=os.environ | console, capture_output=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.startswith(b"error: no stage or command 'make_sc") and b"Traceback" not in finished.stderr


@pytest.mark.parametrize(("workers", "message"), [("-1", "it must be at least 0"), ("two", "Error parsing --workers")])
def test_workers_must_be_a_number(capsys: pytest.CaptureFixture[str], workers: str, message: str) -> None:
    assert message in refused(capsys, first_stage(per_robot=True), f"--workers={workers}")


def test_unknown_scene_and_missing_map() -> None:
    with pytest.raises(ValueError, match=r"no scene 'ofice'; did you mean 'office'\?"):
        config_checks.check_scenes(("ofice",))
    with pytest.raises(ValueError, match=r"no map 'missing/map.yaml'"):
        config_checks.check_scenes(("missing/map.yaml",))


def test_missing_inputs_say_what_to_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refused(capsys, "collect_teacher", "--run", str(tmp_path / "runs" / "x"), "--preset", "smoke")
    assert "Make it with: python -m pipeline" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--sed 3", "Unrecognized options: --sed, 3 Perhaps you meant: --seed INT"),
        ("--seed abc", "Error parsing --seed: invalid literal for int() with base 10: 'abc'"),
        ("--seed", "Missing value for argument '--seed'"),
        ("--route curved", "invalid choice 'curved' for argument '--route'. Expected one of ('straight', 'planned')."),
        ("--sizes 1,x", "Error parsing --sizes"),
        ("--routes straight,curved", "invalid choice 'curved'. Expected one of ('straight', 'planned')"),
        ("stray", "Unrecognized options: stray"),
        (
            "--optimiser.rate 1",
            "options: --optimiser.rate, 1 Perhaps you meant: --optimiser.learning-rate",
        ),
    ],
)
def test_bad_options_are_one_line(words: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as error:
        parse(Config, words.split(), prog="test")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_good_options() -> None:
    words = "--agents=zero,go_straight --sizes 3 4 --no-exact --optimiser.learning_rate 0.1 --policy x.onnx --seed -1"
    config = parse(Config, words.split(), prog="test")
    assert config == Config(
        seed=-1,
        agents=("zero", "go_straight"),
        sizes=(3, 4),
        exact=False,
        policy=Path("x.onnx"),
        optimiser=Optimiser(learning_rate=0.1),
    )


def test_errors_of_several_lines_become_one() -> None:
    assert cli._one_line(ValueError("one\n  two")) == "one two"
    worker = ValueError("traceback of a worker")
    worker.cause = FileNotFoundError("the file")  # type: ignore[attr-defined]
    assert cli._one_line(worker) == "the file"


def test_a_preset_gives_defaults_and_options_overrule_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, Any] = {}

    def execute(name: str, configs: list[Any], root: Path, **options: Any) -> None:
        given.update(name=name, configs=configs, root=root, **options)

    monkeypatch.setattr(run_folder, "execute_many", execute)
    words = ["train_specialist", "--embodiments", "go2,g1", "--preset=smoke", "--ppo.epochs", "3", "--workers", "1"]
    assert cli.main(words) == 0
    assert [config.embodiment for config in given["configs"]] == ["go2", "g1"]
    assert all((config.ppo.num_envs, config.ppo.epochs) == (8, 3) for config in given["configs"])
    assert (given["root"], given["preset"], given["workers"]) == (Path("runs/smoke"), "smoke", 1)
    assert cli.main(["collect_teacher", "--embodiments", "go2", "--run", str(tmp_path)]) == 0
    assert (given["configs"][0].embodiment, given["configs"][0].num_envs, given["root"]) == ("go2", 64, tmp_path)


def test_robots_side_by_side_get_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def side_by_side(commands: dict[str, list[str]], *, workers: int) -> dict[str, int]:
        given.update(commands)
        return {"go2": 0, "g1": 2}

    monkeypatch.setattr(command_line.processes, "run_side_by_side", side_by_side)
    words = ["record_specialist", "--embodiments", "go2,g1", "--shards", "2"]
    assert cli.main(words) == 2
    assert given == {robot: [*words, "--embodiments", robot] for robot in ("go2", "g1")}


def _children_s() -> float:
    """Return the processor time of finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spent_s(code: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run Python code twice; return the processor time of the faster run, and the last one."""
    spent = []
    for _ in range(2):
        started_s = _children_s()
        command = [sys.executable, "-c", code]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert finished.returncode == 0, finished.stderr
        spent.append(_children_s() - started_s)
    return min(spent), finished


def test_listing_is_fast_and_imports_no_simulator() -> None:
    code = (
        "import sys; from pipeline import __main__ as cli; assert cli.main(['list']) == 0;"
        "heavy = {'torch', 'genesis', 'ray', 'open3d', 'onnxruntime', 'h5py'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    spent_s, finished = _spent_s(code)
    needed_s, _ = _spent_s("import numpy, tyro, rich.table")
    assert spent_s < 4.0 * needed_s
    for word in ("go2", "office", "smoke"):
        assert word in finished.stdout


def test_help_imports_nothing_heavy() -> None:
    """The help of everything, in one process, without torch, simulator, Ray or pandas; each within a second."""
    code = (
        "import sys, time\nfrom pipeline import __main__ as cli\nfrom pipeline.runs import discovery\n"
        "heavy = {'torch', 'genesis', 'ray', 'open3d', 'onnxruntime', 'h5py', 'pandas', 'rsl_rl'}\n"
        "for name in ('', *discovery.stage_names(), *discovery.command_names()):\n"
        "    started_s = time.process_time()\n"
        "    try:\n        cli.main([name, '--help'] if name else [])\n    except SystemExit:\n        pass\n"
        "    assert not heavy & set(sys.modules), (name, heavy & set(sys.modules))\n"
        "    assert time.process_time() - started_s < 1.0, name\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    stages = len(discovery.stage_names())
    for option in ("--run ", "--preset ", "--out "):
        assert finished.stdout.count(option) >= stages + 1
    assert "--embodiment " not in finished.stdout and "--agent " not in finished.stdout


@pytest.mark.parametrize("name", discovery.stage_names())
def test_every_stage_shows_the_options_of_all(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    shown = capsys.readouterr().out
    assert all(f"{option} " in shown for option in ("--run", "--preset", "--out"))
    assert ("--workers" in shown and "--embodiments" in shown) >= discovery.stage(name).per_robot


def test_output_into_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m pipeline list | head -1"
    finished = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert finished.stderr == ""


@pytest.mark.parametrize("bad", ["policy", "mesh"])
def test_bad_files_are_refused_before_torch_is_loaded(bad: str, tmp_path: Path) -> None:
    file = tmp_path / {"policy": "bad.onnx", "mesh": "bad.glb"}[bad]
    file.write_bytes(bytes(range(200)))
    chosen = {"policy": ["--policy", str(file)], "mesh": ["--agents", "planner", "--scenes", str(file)]}[bad]
    code = (
        "import sys; from pipeline.__main__ import main; "
        f"status = main(['evaluate_policy', *{chosen!r}, '--out', {str(tmp_path / 'out')!r}]); "
        "print(status, 'torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.stdout == "2 False\n", finished.stderr
    assert finished.stderr.count("\n") == 1 and str(file) in finished.stderr
