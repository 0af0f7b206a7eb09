"""The robot's side: refuses what is damaged, foreign or made for another body; carries state; checks what it is fed."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from embodiments import registry
from embodiments.observation import Observation, from_inputs
from export.graph import example_inputs
from export.runtime import policy
from export.runtime.__main__ import REFUSED, main
from export.runtime.contract import CONTRACT_KEY, HASH_KEY, check_robot, parse, seal, verify_hash
from tests.export.test_export import build, exported


@pytest.fixture
def data() -> bytes:
    return exported()[1]


@pytest.fixture
def file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "generalist.onnx"
    path.write_bytes(data)
    return path


def observation(batch: int, *, robot: str = "tiago", seed: int = 0) -> Observation[np.ndarray]:
    """Return what a robot sees."""
    seen = from_inputs(example_inputs(1, batch=batch, seed=seed)).map(torch.Tensor.numpy)
    return dataclasses.replace(seen, descriptor=np.tile(registry.get(robot).descriptor(), (batch, 1)))


def test_it_answers_as_torch_does_and_carries_the_state(file: Path) -> None:
    loaded, graph = policy.load(file, robot=registry.get("tiago")), build(value=True)
    state, previous = torch.zeros(3, graph.state_size), np.zeros((3, 3), np.float32)
    for step in range(5):
        seen = dataclasses.replace(observation(3, seed=step), previous_command=previous)
        with torch.no_grad():
            expected, state, value = graph(**seen.map(torch.from_numpy).inputs(), state_input=state)
        command = loaded.step(seen)
        np.testing.assert_allclose(command, expected.numpy(), atol=1e-5)
        assert loaded.value is not None
        np.testing.assert_allclose(loaded.value, value[:, 0].numpy(), atol=1e-4)
        previous = command


def test_a_goal_beyond_the_map_needs_nothing_but_the_file(file: Path) -> None:
    """Past 6 m the graph begins a new map, with everything else that it remembers."""
    loaded, graph = policy.load(file), build(value=True)
    state = torch.zeros(2, graph.state_size)
    restarts = 0
    for step in range(12):
        goal_b = np.asarray([[20.0 - step, 3.0, 1.0, 0.0], [3.0, 0.0, 1.0, 0.0]], dtype=np.float32)
        speed = np.asarray([[8.0, 0.0, 0.0], [0.0, 0.0, 0.1]], dtype=np.float32)
        seen = dataclasses.replace(observation(2, seed=step), goal_b=goal_b, velocity_b=speed)
        before = graph.world_model.map_pose(state)[:, 0].clone()
        with torch.no_grad():
            expected, state, _ = graph(**seen.map(torch.from_numpy).inputs(), state_input=state)
        np.testing.assert_allclose(loaded.step(seen), expected.numpy(), atol=1e-4)
        restarts += int((graph.world_model.map_pose(state)[:, 0] < before).sum())
    assert restarts == 1


def test_a_masked_reset_forgets_only_there(file: Path) -> None:
    loaded = policy.load(file)
    seen = observation(3)
    fresh = loaded.step(seen)
    second = loaded.step(seen)
    assert loaded.value is not None
    values_second = loaded.value.copy()
    loaded.reset()
    loaded.step(seen)
    values_fresh = loaded.value.copy()
    loaded.reset(np.asarray([True, False, False]))
    after = loaded.step(seen)
    np.testing.assert_allclose(after[0], fresh[0], atol=1e-6)
    np.testing.assert_allclose(after[1:], second[1:], atol=1e-6)
    assert loaded.value[0] == pytest.approx(values_fresh[0], abs=1e-6)
    assert loaded.value[1] == pytest.approx(values_second[1], abs=1e-6)
    assert abs(values_fresh[1] - values_second[1]) > 1e-5


def test_every_flipped_bit_is_noticed_before_parsing(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a parser saw a damaged file")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data), size=200):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "x.onnx"
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|truncated|not exported") as caught:
            policy.load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 0.99999])
def test_truncated_files_are_refused(tmp_path: Path, data: bytes, share: float) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        policy.load(path)


def test_foreign_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_text("hello")
    with pytest.raises(ValueError, match="not exported by this project"):
        policy.load(path)
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="not exported by this project"):
        policy.load(path)
    onnx.helper.set_model_props(model, {HASH_KEY: "0" * 64})
    path.write_bytes(seal(model.SerializeToString()))
    with pytest.raises(ValueError, match=r"no nav\.contract"):
        policy.load(path)
    with pytest.raises(FileNotFoundError, match="export_policy"):
        policy.load(tmp_path / "none.onnx")


def test_a_resealed_change_of_the_contract_is_refused(tmp_path: Path, data: bytes) -> None:
    model = onnx.load_from_string(data)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    entries["nav.contract"] = entries["nav.contract"].replace('"control_hz": 10.0', '"control_hz": 20.0')
    onnx.helper.set_model_props(model, entries | {HASH_KEY: "0" * 64})
    changed = seal(model.SerializeToString())
    verify_hash(changed, where="x")
    path = tmp_path / "x.onnx"
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="disagrees with this version about 'control_hz'"):
        policy.load(path)
    with pytest.raises(ValueError, match="not JSON"):
        parse({"nav.contract": "{"}, where="x")


def resealed(data: bytes, change: Callable[[onnx.ModelProto, dict[str, str]], None]) -> bytes:
    """Return a file after a change of its model and its metadata, with a hash that fits again."""
    model = onnx.load_from_string(data)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    change(model, entries)
    onnx.helper.set_model_props(model, entries | {HASH_KEY: "0" * 64})
    return seal(model.SerializeToString())


@pytest.mark.parametrize(
    "change",
    [
        lambda contract: [],
        lambda contract: {"schema_version": 2},
        lambda contract: contract | {"outputs": [], "inputs": []},
        lambda contract: contract | {"outputs": ["command"]},
        lambda contract: contract | {"inputs": [{"name": "state_input", "shape": ["batch", "many"]}]},
        lambda contract: contract | {"agent": None},
        lambda contract: contract | {"embodiments": ["tiago"]},
        lambda contract: contract | {"embodiments": {"stretch3": None}},
        lambda contract: contract | {"embodiments": {"stretch3": ["0.3"]}},
        lambda contract: {name: value for name, value in contract.items() if name != "embodiments"},
    ],
)
def test_an_incomplete_contract_is_refused_in_one_line(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object]
) -> None:
    def rewrite(_: onnx.ModelProto, entries: dict[str, str]) -> None:
        entries[CONTRACT_KEY] = json.dumps(change(json.loads(entries[CONTRACT_KEY])))

    path = tmp_path / "x.onnx"
    path.write_bytes(resealed(data, rewrite))
    assert main(["--policy", str(path), "--robot", "fake", "--goal", "1", "0", "0"]) == REFUSED
    printed = capsys.readouterr().err
    assert (
        printed.startswith(f"error: {path} has ") and printed.endswith("export it again\n") and printed.count("\n") == 1
    )


def test_a_contract_whose_descriptor_is_no_number_fits_nobody(data: bytes) -> None:
    robot = registry.get("tiago")
    found = {"embodiments": {"tiago": [float("nan")] * len(robot.descriptor())}}
    with pytest.raises(ValueError, match="forward_mps = nan"):
        check_robot(found, robot, where="x", allow_unseen=True)


def test_what_this_onnxruntime_cannot_load_is_one_line(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(resealed(data, lambda model, _: setattr(model, "ir_version", 99)))
    assert main(["--policy", str(path), "--robot", "fake", "--goal", "1", "0", "0"]) == REFUSED
    printed = capsys.readouterr().err
    assert (
        f"{path}: this onnxruntime ({onnxruntime.__version__}) cannot load it: " in printed and printed.count("\n") == 1
    )


def test_a_policy_knows_the_hash_of_its_file_and_the_one_that_the_file_carries(file: Path, data: bytes) -> None:
    loaded = policy.load(file)
    assert loaded.sha256 == hashlib.sha256(data).hexdigest()
    assert loaded.nav_sha256 == verify_hash(data, where="file") != loaded.sha256


def test_a_robot_that_it_was_not_made_for_is_refused(file: Path) -> None:
    other = dataclasses.replace(registry.get("tiago"), name="g7")
    with pytest.raises(ValueError, match="not trained for 'g7', only for: stretch3, tiago"):
        policy.load(file, robot=other)
    policy.load(file, robot=other, allow_unseen=True)


def test_a_robot_that_has_changed_is_refused(file: Path) -> None:
    robot = registry.get("tiago")
    faster = dataclasses.replace(robot, limits=dataclasses.replace(robot.limits, forward_mps=1.9))
    with pytest.raises(ValueError, match=r"forward_mps = .*, this one has 1\.9"):
        policy.load(file, robot=faster, allow_unseen=True)


def test_one_answer_that_is_no_number_leaves_the_others_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one robot it is an error; in a batch of an evaluation that robot alone is ill, and starts anew."""
    loaded, healthy = policy.load(file), policy.load(file)
    run = loaded._run

    def ill_once(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = run(feed)
        results["state_output"] = results["state_output"].copy()
        results["state_output"][1, 0] = np.nan
        return results

    seen = observation(3)
    monkeypatch.setattr(loaded, "_run", ill_once)
    command, ill = loaded.attempt(seen)
    assert ill.tolist() == [False, True, False]
    monkeypatch.setattr(loaded, "_run", run)
    fresh = healthy.step(seen)
    np.testing.assert_array_equal(command[[0, 2]], fresh[[0, 2]])
    after, ill = loaded.attempt(seen)
    assert not ill.any()
    second = healthy.step(seen)
    np.testing.assert_allclose(after[[0, 2]], second[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(after[1], fresh[1], atol=1e-6)
    monkeypatch.setattr(loaded, "_run", ill_once)
    with pytest.raises(ValueError, match="answered NaN"):
        loaded.step(seen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth_m": np.full((2, 1, 40, 64), 1500.0)}, "expected metres"),
        ({"depth_m": np.full((2, 1, 40, 64), -0.1)}, "expected metres"),
        ({"depth_m": np.zeros((2, 1, 64, 40))}, "depth_m has shape"),
        ({"goal_b": np.asarray([[0, 0, 1, 0], [np.nan, 0, 1, 0]])}, "goal_b holds NaN"),
        ({"velocity_b": np.full((2, 3), np.inf)}, "velocity_b holds NaN or Inf"),
        ({"descriptor": np.zeros((1, 27))}, "embodiment has shape"),
    ],
)
def test_bad_observations_are_refused(file: Path, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy.load(file).step(dataclasses.replace(observation(2), **change))


def test_a_changed_batch_is_refused(file: Path) -> None:
    loaded = policy.load(file)
    loaded.step(observation(2))
    with pytest.raises(ValueError, match="batch changed from 2 to 3"):
        loaded.step(observation(3))


def test_the_robot_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; import export.runtime.policy;"
        "bad = {'torch', 'onnx', 'genesis', 'ray', 'h5py'} & {name.partition('.')[0] for name in sys.modules};"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[3] / "export" / "pretrained").glob("*.onnx")), ids=lambda file: file.stem
)
def test_shipped_policies_load(file: Path) -> None:
    robot = file.stem.removeprefix("specialist_") if file.stem.startswith("specialist_") else "go2"
    assert policy.load(file, robot=registry.get(robot), allow_unseen=True).contract["schema_version"]
