"""Run folders are all or nothing: what a kill, a second start, a changed input or a flipped bit may not do."""

import dataclasses
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embodiments import registry
from pipeline.runs import discovery, manifest, run_folder
from pipeline.runs.run_folder import StageRun
from pipeline.runs.stage import Stage
from scenes import nav2_map
from scenes.grid import Grid

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0
    text: str = "hello"
    embodiment: str = "go2"
    policy: str = ""


@dataclass(frozen=True, kw_only=True)
class Ppo:
    steps: int = 7
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    ppo: Ppo


def make(config: Config, run: StageRun) -> None:
    """Write one file and a figure."""
    (run.directory / "sub").mkdir()
    (run.directory / "sub" / "data.txt").write_text(f"{config.text} {config.embodiment}")
    run.metrics["length"] = len(config.text)


def interrupted(config: Config, run: StageRun) -> None:
    """Leave something to resume from."""
    (run.work / "checkpoint.txt").write_text("step 7")
    raise KeyboardInterrupt


def use(config: Config, run: StageRun) -> None:
    """Read what ``make`` wrote."""
    text = (run.input("make") / "sub" / "data.txt").read_text()
    (run.directory / "copy.txt").write_text(text)


def execute(name: str, config: Any, root: Path | None, **options: Any) -> bool:
    """Run one stage with one configuration and return whether it ran."""
    return bool(run_folder.execute_many(name, [config], root, **options))


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> dict[str, SimpleNamespace]:
    """Three stages that exist only here: make -> use, and one with a folder per robot."""
    modules = {"make": make, "use": use, "each": make, "gather": lambda config, run: None}
    modules = {name: SimpleNamespace(run=function) for name, function in modules.items()}

    def stage(name: str, **settings: Any) -> Stage[Any]:
        return Stage(name=name, config=Config, run=lambda config, run: modules[name].run(config, run), **settings)

    entries = {
        "make": stage("make"),
        "use": stage("use", needs=("make",)),
        "each": stage("each", needs=("make",), per_robot=True),
        "gather": stage("gather", needs=("each",)),
    }
    monkeypatch.setattr(discovery, "stages", lambda: entries)
    monkeypatch.setattr(discovery, "stage", lambda name: entries[name])
    return modules


@pytest.fixture
def root(tmp_path: Path, functions: dict[str, SimpleNamespace]) -> Path:
    return tmp_path / "runs" / "test"


def test_manifest_says_what_made_the_folder(root: Path) -> None:
    assert execute("make", Config(seed=3), root, preset="smoke")
    body = manifest.verify(root / "make", stage="make").body
    digest = hashlib.sha256(b"hello go2").hexdigest()
    assert body["outputs"] == {"sub/data.txt": {"sha256": digest, "bytes": 9}}
    assert body["config"]["seed"] == body["seed"] == 3
    assert body["metrics"] == {"length": 5}
    assert body["preset"] == "smoke"
    assert "numpy" in body["packages"]
    assert sorted(path.name for path in (root / "make").iterdir()) == ["manifest.json", "sub"]
    assert not list(root.glob(".make.*"))
    assert not (root / ".work" / "make").exists()


def test_skips_while_configuration_and_inputs_are_the_same(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute("make", Config(), root)
    assert execute("use", Config(), root)
    assert not execute("make", Config(), root)
    assert not execute("use", Config(), root)
    assert "use: up to date, skipped" in capsys.readouterr().out
    assert execute("make", Config(text="other"), root)
    assert execute("use", Config(), root)
    assert (root / "use" / "copy.txt").read_text() == "other go2"


def test_remaking_an_input_bit_for_bit_does_not_remake_what_follows(root: Path) -> None:
    execute("make", Config(), root)
    execute("use", Config(), root)
    (root / "make" / "manifest.json").unlink()
    assert execute("make", Config(), root)
    assert not execute("use", Config(), root)


def test_a_file_named_in_the_configuration_is_an_input(root: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.onnx"
    policy.write_bytes(b"one")
    assert execute("make", Config(policy=str(policy)), root)
    assert not execute("make", Config(policy=str(policy)), root)
    policy.write_bytes(b"two")
    assert execute("make", Config(policy=str(policy)), root)


def test_a_robot_and_its_gait_are_inputs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "GAITS_FOLDER", tmp_path)
    (tmp_path / "go2.safetensors").write_bytes(b"one")
    assert execute("make", Config(), root)
    assert not execute("make", Config(), root)
    (tmp_path / "go2.safetensors").write_bytes(b"two")
    assert execute("make", Config(), root)
    go2 = registry.get("go2")
    monkeypatch.setattr(registry, "get", lambda name: dataclasses.replace(go2, footprint=go2.footprint[:1]))
    assert execute("make", Config(), root)


def test_missing_input_names_the_mend(root: Path) -> None:
    with pytest.raises(ValueError, match=r"make has no manifest.json.*python -m pipeline make --run .*test"):
        execute("use", Config(), root)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 9, "stage": "make"}'])
def test_broken_manifest_is_one_clear_line(root: Path, content: str) -> None:
    execute("make", Config(), root)
    (root / "make" / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match="python -m pipeline make") as error:
        execute("use", Config(), root)
    assert "\n" not in str(error.value)


def test_foreign_manifest_is_refused(root: Path) -> None:
    execute("make", Config(), root)
    manifest.write(root / "make", {**manifest.read(root / "make").body, "stage": "other"})
    with pytest.raises(ValueError, match="was made by stage 'other', not by 'make'"):
        execute("use", Config(), root)


@pytest.mark.parametrize("damage", [b"hellp go2", b"hello", b"", None])
def test_damaged_input_is_refused_before_the_run(root: Path, damage: bytes | None) -> None:
    execute("make", Config(), root)
    file = root / "make" / "sub" / "data.txt"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.raises(ValueError, match=r"data.txt (is damaged|is missing|has \d bytes)"):
        execute("use", Config(), root)
    assert not (root / "use").exists()


def test_damaged_output_is_made_again(root: Path) -> None:
    execute("make", Config(), root)
    (root / "make" / "sub" / "data.txt").write_text("hellp go2")
    assert execute("make", Config(), root)
    assert (root / "make" / "sub" / "data.txt").read_text() == "hello go2"


def test_failure_keeps_old_outputs_and_work(root: Path, functions: dict[str, SimpleNamespace]) -> None:
    execute("make", Config(), root)

    def fail(config: Config, run: StageRun) -> None:
        (run.directory / "half.txt").write_text("half")
        (run.work / "checkpoint.txt").write_text("step 7")
        raise RuntimeError("broken on purpose")

    functions["make"].run = fail
    with pytest.raises(RuntimeError, match="on purpose"):
        execute("make", Config(text="new"), root)
    assert manifest.verify(root / "make").outputs.keys() == {"sub/data.txt"}
    assert not list(root.glob(".make.*"))
    assert (root / ".work" / "make" / "checkpoint.txt").read_text() == "step 7"


@pytest.mark.parametrize(("text", "resumed"), [("same", True), ("changed", False)])
def test_resumes_only_with_the_same_configuration(
    root: Path, functions: dict[str, SimpleNamespace], text: str, resumed: bool
) -> None:
    seen = []

    def interrupted_with_events(config: Config, run: StageRun) -> None:
        (run.work / "tensorboard").mkdir()
        (run.work / "tensorboard" / "events").write_text("1")
        interrupted(config, run)

    def resuming(config: Config, run: StageRun) -> None:
        seen.append((run.work / "checkpoint.txt").exists())

    functions["make"].run = interrupted_with_events
    with pytest.raises(KeyboardInterrupt):
        execute("make", Config(text="same"), root)
    functions["make"].run = resuming
    execute("make", Config(text=text), root)
    assert seen == [resumed]
    assert (root / "make" / "tensorboard" / "events").exists() == resumed


@pytest.mark.parametrize(
    ("budget", "rate", "resumed"), [(7, 1.0, True), (9, 1.0, True), (5, 1.0, False), (9, 2.0, False), (7, 2.0, False)]
)
def test_an_interrupted_run_may_be_given_more_budget_but_not_less_nor_other_settings(
    root: Path, functions: dict[str, SimpleNamespace], budget: int, rate: float, resumed: bool
) -> None:
    entries = discovery.stages()
    entries["make"] = dataclasses.replace(entries["make"], budget="ppo.steps")
    seen = []
    functions["make"].run = interrupted
    with pytest.raises(KeyboardInterrupt):
        execute("make", Budgeted(ppo=Ppo(steps=7)), root)
    functions["make"].run = lambda config, run: seen.append((run.work / "checkpoint.txt").exists())
    execute("make", Budgeted(ppo=Ppo(steps=budget, rate=rate)), root)
    assert seen == [resumed]
    assert manifest.read(root / "make").body["config"]["ppo"] == {"steps": budget, "rate": rate}
    assert execute("make", Budgeted(ppo=Ppo(steps=budget + 1)), root)  # what is finished was of another one


def test_what_does_not_change_the_result_is_not_in_the_key(root: Path, functions: dict[str, SimpleNamespace]) -> None:
    entries = discovery.stages()
    entries["make"] = dataclasses.replace(entries["make"], not_in_key=("ppo.rate",))
    seen = []
    functions["make"].run = interrupted
    with pytest.raises(KeyboardInterrupt):
        execute("make", Budgeted(ppo=Ppo(rate=1.0)), root)
    functions["make"].run = lambda config, run: seen.append((run.work / "checkpoint.txt").exists())
    assert execute("make", Budgeted(ppo=Ppo(rate=2.0)), root) and seen == [True]
    assert manifest.read(root / "make").body["config"]["ppo"]["rate"] == 2.0
    assert not execute("make", Budgeted(ppo=Ppo(rate=3.0)), root)
    assert execute("make", Budgeted(ppo=Ppo(steps=8, rate=2.0)), root)


def test_an_interruption_after_publishing_leaves_nothing_to_resume(
    root: Path, functions: dict[str, SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(config: Config, run: StageRun) -> None:
        (run.work / "checkpoint.txt").write_text("step 7")

    functions["make"].run = work
    remove = shutil.rmtree

    def interrupted_while_removing(path: Path, **options: Any) -> None:
        if (Path(path) / "checkpoint.txt").exists():
            raise KeyboardInterrupt
        remove(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(run_folder.shutil, "rmtree", interrupted_while_removing)
        with pytest.raises(KeyboardInterrupt):
            execute("make", Config(), root)
    assert not execute("make", Config(), root)  # it is there
    shutil.rmtree(root / "make")
    seen = []
    functions["make"].run = lambda config, run: seen.append((run.work / "checkpoint.txt").exists())
    execute("make", Config(), root)
    assert seen == [False]


def test_an_interruption_before_it_began_does_not_claim_what_another_configuration_left(
    root: Path, functions: dict[str, SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("make", Config(), root)
    seen = []
    functions["each"].run = interrupted
    with pytest.raises(KeyboardInterrupt):
        execute("each", Config(text="first"), root)
    answers = iter([None, KeyboardInterrupt])

    def verify(folders: object) -> None:
        if (answer := next(answers)) is not None:
            raise answer

    others = [Config(text="second"), Config(text="second", embodiment="g1")]
    with monkeypatch.context() as patch:
        patch.setattr(run_folder.stage_inputs, "verify", verify)
        with pytest.raises(KeyboardInterrupt):
            run_folder.execute_many("each", others, root)
    functions["each"].run = lambda config, run: seen.append((run.work / "checkpoint.txt").exists())
    execute("each", Config(text="second"), root)
    assert seen == [False]


def test_what_was_handed_over_is_not_lost_before_it_is_published(
    root: Path, functions: dict[str, SimpleNamespace]
) -> None:
    def run(config: Config, run: StageRun, *, fails: bool) -> None:
        shard = run.work / "shard.txt"
        if fails:
            shard.write_text("an hour's work")
        run.hand_over(shard)
        if fails:
            raise RuntimeError("no space for the picture")

    functions["make"].run = functools.partial(run, fails=True)
    with pytest.raises(RuntimeError, match="no space"):
        execute("make", Config(), root)
    functions["make"].run = functools.partial(run, fails=False)
    assert execute("make", Config(), root)
    assert (root / "make" / "shard.txt").read_text() == "an hour's work"
    assert not (root / ".work" / "make").exists()


def test_what_was_adopted_is_kept_until_it_is_deleted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "make").mkdir(parents=True)
    (root / "make" / "weights.txt").write_text("of a file")
    manifest.write(root / "make", {"stage": "make", "robot": None, "key": "", "adopted": {"file": "base.onnx"}})
    assert not execute("make", Config(), root)
    assert "make: adopted from base.onnx, kept; delete it to train anew" in capsys.readouterr().out
    (root / "make" / "weights.txt").write_text("damaged")
    assert execute("make", Config(), root)


def test_a_repainted_map_and_a_file_of_the_run_are_inputs(
    root: Path, tmp_path: Path, functions: dict[str, SimpleNamespace]
) -> None:
    nav2_map.save(Grid(values=np.eye(8, dtype=bool), origin_xy_w_m=(0.0, 0.0), resolution_m=0.05), tmp_path / "m.yaml")
    config = Config(policy=str(tmp_path / "m.yaml"))
    assert execute("make", config, root)
    assert not execute("make", config, root)
    Image.fromarray(np.full((8, 8), 254, dtype=np.uint8)).save(nav2_map.image_file(tmp_path / "m.yaml"))
    assert execute("make", config, root)
    discovery.stages()["make"] = dataclasses.replace(
        discovery.stages()["make"], reads_files_if_there=("sweeps/sweeps.json",)
    )
    assert not execute("make", config, root)
    (root / "sweeps").mkdir()
    (root / "sweeps" / "sweeps.json").write_text("{}")
    assert execute("make", config, root)
    assert not execute("make", config, root)


def test_one_folder_per_robot_reads_its_own_inputs(root: Path) -> None:
    execute("make", Config(), root)
    ran = run_folder.execute_many("each", [Config(embodiment="go2"), Config(embodiment="g1")], root)
    assert ran == ["go2", "g1"]
    assert (root / "each" / "g1" / "sub" / "data.txt").read_text() == "hello g1"
    assert run_folder.execute_many("each", [Config(embodiment="go2"), Config(embodiment="tiago")], root) == ["tiago"]


def test_waiting_for_a_turn_takes_no_time_and_an_earlier_try_does(
    root: Path, functions: dict[str, SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now_s=50.0)
    monkeypatch.setattr(run_folder, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    tries: list[int] = []

    def train(configs: list[Config], runs: list[StageRun], *, workers: int) -> None:
        """One after the other, 10 s each; the first time it is interrupted in the middle of the first."""
        tries.append(len(runs))
        for config, run in zip(configs, runs, strict=True):
            run.begin()
            clock.now_s += 4.0
            if len(tries) == 1:
                raise KeyboardInterrupt
            clock.now_s += 6.0
            make(config, run)
            run.publish()

    discovery.stages()["each"] = dataclasses.replace(discovery.stages()["each"], run_many=train)
    execute("make", Config(), root)
    configs = [Config(embodiment="go2"), Config(embodiment="g1")]
    with pytest.raises(KeyboardInterrupt):
        run_folder.execute_many("each", configs, root)
    assert run_folder.execute_many("each", configs, root) == ["go2", "g1"]
    times = [manifest.read(root / "each" / robot).body["wall_time_s"] for robot in ("go2", "g1")]
    assert times == [14.0, 10.0]


def test_a_stage_of_all_robots_reads_every_finished_robot(root: Path, functions: dict[str, SimpleNamespace]) -> None:
    seen: list[tuple[str, ...]] = []
    functions["gather"].run = lambda config, run: seen.append(run.robots("each"))
    with pytest.raises(ValueError, match="has no finished robot"):
        execute("gather", Config(), root)
    execute("make", Config(), root)
    run_folder.execute_many("each", [Config(embodiment="go2"), Config(embodiment="g1")], root)
    execute("gather", Config(), root)
    execute("each", Config(embodiment="tiago"), root)
    execute("gather", Config(), root)
    assert seen == [("g1", "go2"), ("g1", "go2", "tiago")]


def test_full_disk_is_said_before_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5e8))
    with pytest.raises(ValueError, match=r"0\.5 GB free, this stage asks for 1\.0 GB"):
        execute("make", Config(), root)


def test_out_folder_of_somebody_else_is_not_replaced(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not the output of a stage"):
        execute("make", Config(), None, out=out)
    assert execute("make", Config(), None, out=tmp_path / "new")
    assert manifest.verify(tmp_path / "new").stage == "make"
    assert execute("make", Config(text="again"), None, out=tmp_path / "new")
    with pytest.raises(ValueError, match="is the output of stage 'make'"):
        execute("each", Config(), None, out=tmp_path / "new")


KILLED_AT = """
import os, sys
from dataclasses import dataclass
from pathlib import Path
from pipeline.runs import discovery, provenance, run_folder
from pipeline.runs.stage import Stage

limit, count = int(sys.argv[2]), 0

def killing(module, name):
    original = getattr(module, name)
    def wrapped(*arguments, **named):
        global count
        count += 1
        if count == limit:
            os.kill(os.getpid(), 9)
        return original(*arguments, **named)
    setattr(module, name, wrapped)

for name in ("rename", "replace", "fsync", "unlink", "mkdir", "rmdir", "open"):
    killing(os, name)

@dataclass(frozen=True, kw_only=True)
class Config:
    text: str

def run(config, run):
    (run.directory / "data.txt").write_text(config.text)

provenance.describe = dict
discovery.stage = lambda name: Stage(name=name, config=Config, run=run)
run_folder.execute_many("make", [Config(text=sys.argv[3])], sys.argv[1])
"""


def test_kill_at_every_file_operation_leaves_old_or_new(tmp_path: Path) -> None:
    """Kill a second run over finished outputs at its first, second, ... file operation until one run is through."""
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED_AT))
    root = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(limit: int, text: str) -> int:
        command = [sys.executable, str(script), str(root), str(limit), text]
        return subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode

    assert start(0, "old") == 0
    for limit in range(1, 200):
        text = f"new {limit}"
        before = (root / "make" / "data.txt").read_text()
        status = start(limit, text)
        if (root / "make").exists():  # between two renames it stands beside its place; the next start puts it back
            assert manifest.verify(root / "make").outputs.keys() == {"data.txt"}
            assert (root / "make" / "data.txt").read_text() in (before, text)
        assert start(0, text) == 0
        assert (root / "make" / "data.txt").read_text() == text
        assert sorted(path.name for path in root.iterdir()) == [".work", "make"]
        if status == 0:
            assert limit > 20
            return
    pytest.fail("no run got through")


def test_interrupting_the_command_line_exits_130(tmp_path: Path) -> None:
    """SIGINT prints one line and exits 130."""
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import sys, time\nfrom pipeline import __main__ as cli\n"
        "def hang(arguments):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "cli.dispatch = hang\nsys.exit(cli.main([]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "interrupted; same command resumes\n"
