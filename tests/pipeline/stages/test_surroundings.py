"""What is recorded around the body, and a training on it that goes on where it was stopped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.recordings import read_shard, write_shard
from pipeline.runs import manifest
from pipeline.runs.run_folder import execute_many
from pipeline.stages import record_surroundings, train_anticipation
from pipeline.stages.implementation.record_surroundings import _fields, _Frame, _Past
from scenes import registry
from scenes.storage import save_scenes
from tests.pipeline.stages.interrupted import stop_once
from tests.separate_process import call
from world_model.anticipation import HORIZONS_S, INPUTS, SIDE, Anticipation
from world_model.checkpoint import load_module, save_module
from world_model.config import AnticipationConfig


def cell(ahead_m: float, left_m: float) -> int:
    """Return the index of a cell of the square."""
    return round((left_m + 4.0) / 0.2 - 0.5) * SIDE + round((ahead_m + 3.0) / 0.2 - 0.5)


def test_people_are_where_they_will_be_and_frames_before_an_end_do_not_count() -> None:
    past = _Past()
    for step in range(40):
        past.people_xy_w.append(torch.tensor([[[1.1, 0.1 + 0.1 * step]], [[1.1, 0.1]]]))
        past.people_present.append(torch.tensor([[True], [False]]))
        past.first.append(torch.tensor([step == 30, False]))
    frames = [
        _Frame(
            step=step,
            pose_w=torch.tensor([[0.0, 0.1 * step, 0.0]] * 2),
            square=torch.zeros(2, INPUTS, SIDE, SIDE),
            distance_m=torch.full((2, SIDE**2), 0.4),
        )
        for step in (0, 18, 30)
    ]
    rows = _fields(frames, past)
    assert rows["counted"].tolist() == [[True, True], [False, True]]  # the last frame has no 1.5 s after it
    moving = np.unpackbits(rows["moving"], axis=-1).astype(bool)
    for horizon, later_s in enumerate(HORIZONS_S):
        assert moving[0, 0, horizon, cell(1.1, 0.1 + later_s)]
        assert not moving[0, 0, horizon, cell(1.1, -0.7)]
    assert not moving[:, 1].any()
    assert (rows["distance"] == 128).all()  # 0.4 m of 0.8


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    folder = run / "make_scenes"
    folder.mkdir(parents=True)
    for part in ("train", "val"):
        save_scenes(folder / f"scenes_{part}.npz", [registry.generate("office", split=part, index=0)])
    manifest.write(folder, {"stage": "make_scenes", "key": "x"})
    return run


@pytest.mark.slow
def test_a_recording_holds_both_conditions(run_folder: Path) -> None:
    config = record_surroundings.Config(
        embodiment="tiago", num_envs=8, shards=1, shard_steps=36, goals_per_scene=4, field_fraction=1.0
    )
    call(execute_many, "record_surroundings", [config], run_folder)
    shard = read_shard(run_folder / "record_surroundings" / "tiago" / "train_000.h5", kind="surroundings").arrays
    square, counted, distance = shard["square"], shard["counted"], shard["distance"]
    assert square.shape[1:] == (7, INPUTS, SIDE, SIDE) and counted.any()
    moving = np.unpackbits(shard["moving"], axis=-1).reshape(*counted.shape, len(HORIZONS_S), SIDE, SIDE)
    assert 0.02 < (distance < 32).mean() < 0.9  # walls and furniture within 0.1 m
    assert square[1:, :, 1].max() == 255  # ground that was seen
    # What the camera measured as an obstacle is mostly there.
    measured = square[:, :, 0] > 200
    assert ((distance < 64) | (moving[:, :, 0] > 0) | ~measured)[counted].mean() > 0.95


def recorded(run: Path, *, frames: int) -> None:
    """Publish recordings of one robot: a bar at random places, as seen and as true."""
    folder = run / "record_surroundings" / "tiago"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        square = np.zeros((frames, 2, INPUTS, SIDE, SIDE), dtype=np.uint8)
        square[:, :, 0] = 255 * (rng.random((frames, 2, SIDE, 1)) < 0.2)
        fields = {
            "square": square,
            "distance": 255 - square[:, :, 0],
            "moving": np.zeros((frames, 2, len(HORIZONS_S), SIDE**2 // 8), dtype=np.uint8),
            "counted": np.ones((frames, 2), dtype=bool),
        }
        write_shard(folder / f"{part}_000.h5", fields, kind="surroundings")
    manifest.write(folder, {"stage": "record_surroundings", "robot": "tiago", "key": "x"})


def test_a_stopped_training_is_the_same_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_anticipation.Config(
        steps=12, batch_frames=8, warmup_steps=2, val_frames=8, judge_every_steps=6, save_every_s=0.0
    )
    weights, calls = [], []
    for name in ("whole", "stopped"):
        run = tmp_path / name
        recorded(run, frames=12)
        if name == "stopped":
            calls = stop_once(monkeypatch, at=6)
            with pytest.raises(KeyboardInterrupt):
                execute_many("train_anticipation", [config], run)
        execute_many("train_anticipation", [config], run)
        folder = run / "train_anticipation"
        weights.append((folder / "anticipation.safetensors").read_bytes())
        figures = json.loads((folder / "figures.json").read_text())
        assert {"still_2m_precision", "moving_1.5s_4m_recall", "measured_2m_recall"} <= figures.keys()
        load_module(Anticipation, folder, "anticipation")
        with Image.open(folder / "anticipation.png") as picture:
            assert picture.width > 500
    assert weights[0] == weights[1]
    assert len(calls) == 13  # five before the stop, the stopped one, and the seven that were left


def test_a_training_goes_on_from_a_network_with_more_recordings(tmp_path: Path) -> None:
    config = train_anticipation.Config(steps=2, batch_frames=4, val_frames=4, learning_rate=1e-9)
    first, second = tmp_path / "first", tmp_path / "second"
    recorded(first, frames=4)
    recorded(second, frames=6)
    execute_many("train_anticipation", [config], first)
    start = first / "train_anticipation"
    more = first / "record_surroundings"
    execute_many("train_anticipation", [replace(config, start_from=start, more=(more,))], second)
    old, after = (load_module(Anticipation, folder, "anticipation") for folder in (start, second / start.name))
    for name, value in old.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, atol=1e-6, rtol=0.0)
    before = (second / "train_anticipation" / "manifest.json").read_bytes()
    save_module(after, start, "anticipation", notes={"another": True})  # same path, other content: it is made again
    execute_many("train_anticipation", [replace(config, start_from=start, more=(more,))], second)
    assert before != (second / "train_anticipation" / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="no recordings in"):
        execute_many("train_anticipation", [replace(config, more=(tmp_path,))], second)
    (more / "tiago" / "train_000.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train_000\.h5"):
        execute_many("train_anticipation", [replace(config, more=(more,))], second)


def test_a_network_learns_from_another_ones_answers(tmp_path: Path) -> None:
    run = tmp_path / "run"
    recorded(run, frames=6)
    small = AnticipationConfig(channels=(8, 8))
    torch.manual_seed(1)
    teacher = Anticipation(AnticipationConfig(channels=(4, 4, 8)))
    with torch.no_grad():
        teacher.answer.bias.fill_(2.0)  # somebody moves everywhere; the recordings say nowhere
    save_module(teacher, tmp_path / "teacher", "anticipation", notes={})
    config = train_anticipation.Config(
        steps=60, batch_frames=8, warmup_steps=2, val_frames=4, learning_rate=1e-2, anticipation=small
    )
    moving = []
    for taught in (None, tmp_path / "teacher"):
        execute_many("train_anticipation", [replace(config, teacher=taught)], run)
        network = load_module(Anticipation, run / "train_anticipation", "anticipation")
        with torch.no_grad():
            moving.append(float(network(torch.zeros(1, INPUTS, SIDE, SIDE))[:, 2:].sigmoid().mean()))
    assert moving[0] < 0.2 and moving[1] > moving[0] + 0.1
