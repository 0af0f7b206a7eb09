"""What robots see while they drive is recorded beside how episodes end, and a stopped training on it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.recordings import OUTCOMES, read_shard, write_shard
from pipeline.runs import manifest
from pipeline.runs.run_folder import execute_many
from pipeline.stages import record_drives, train_collision_risk
from scenes import registry
from scenes.storage import save_scenes
from tests.pipeline.stages.interrupted import stop_once
from tests.separate_process import call
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module, save_module
from world_model.collision_risk import CHANGE_SIZE, CHANNELS, NO_CHANGE, SIDE, VECTOR_SIZE, CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig

COLLISION = OUTCOMES.index("collision")


@pytest.mark.slow
def test_a_recording_holds_what_is_seen_and_how_episodes_end(tmp_path: Path) -> None:
    scenes = tmp_path / "run" / "make_scenes"
    scenes.mkdir(parents=True)
    for part in ("train", "val"):
        save_scenes(scenes / f"scenes_{part}.npz", [registry.generate("office", split=part, index=0)])
    manifest.write(scenes, {"stage": "make_scenes", "key": "x"})
    save_module(Anticipation(AnticipationConfig(channels=(4, 4, 4))), tmp_path / "network", "anticipation", notes={})
    save_module(CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4))), tmp_path / "risk", "collision_risk", notes={})
    config = record_drives.Config(
        embodiment="tiago",
        num_envs=8,
        shards=1,
        shard_steps=120,
        goals_per_scene=4,
        anticipation=tmp_path / "network",
        risk=tmp_path / "risk",
    )
    call(execute_many, "record_drives", [config], tmp_path / "run")
    folder = tmp_path / "run" / "record_drives" / "tiago"
    rows = read_shard(folder / "train_000.h5", kind="drives").arrays
    assert rows["crop"].shape == (120, 7, CHANNELS, SIDE, SIDE) and rows["vector"].shape[-1] == VECTOR_SIZE
    unchanged = (rows["change"] == NO_CHANGE).all(axis=(0, 2))
    assert 0 < unchanged.sum() < 7  # some robots drive as planned all the time
    ends = rows["outcome"] != 0
    assert ends.any() and (rows["first"][2:] == ends[:-2]).all()
    # The body begins in the free, and comes near to things.
    clearance = rows["crop"][:, :, 5, SIDE // 2, 5].astype(float)
    assert clearance[rows["first"]].mean() > clearance[ends].mean()
    assert json.loads((folder / "manifest.json").read_text())["metrics"]["episodes"] > 0


def recorded(run: Path, *, seed: int) -> None:
    """Publish recordings of one robot that collides where the first channel is bright."""
    folder = run / "record_drives" / "tiago"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for part in ("train", "val"):
        bright = rng.random((60, 2)) < 0.2
        crop = np.zeros((60, 2, CHANNELS, SIDE, SIDE), np.uint8)
        crop[bright, 0] = 255
        fields = {
            "crop": crop,
            "vector": rng.normal(size=(60, 2, VECTOR_SIZE)).astype(np.float32),
            "change": np.broadcast_to(np.float32(NO_CHANGE), (60, 2, CHANGE_SIZE)),
            "first": np.zeros((60, 2), bool),
            "outcome": (bright * COLLISION).astype(np.uint8),
        }
        write_shard(folder / f"{part}_000.h5", fields, kind="drives", attributes={"embodiment": "tiago"})
    manifest.write(folder, {"stage": "record_drives", "robot": "tiago", "key": "x"})


def test_a_stopped_training_is_the_same_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_collision_risk.Config(steps=12, batch=8, warmup_steps=2, judge_every_steps=6, save_every_s=0.0)
    weights, calls = [], []
    for name in ("whole", "stopped"):
        run = tmp_path / name
        recorded(run, seed=0)
        if name == "stopped":
            calls = stop_once(monkeypatch, at=6)
            with pytest.raises(KeyboardInterrupt):
                execute_many("train_collision_risk", [config], run)
        execute_many("train_collision_risk", [config], run)
        folder = run / "train_collision_risk"
        weights.append((folder / "collision_risk.safetensors").read_bytes())
        assert {"auc_1.2s", "auc_0.5s_tiago", "caught_0.05"} <= json.loads((folder / "figures.json").read_text()).keys()
        least, most = load_module(CollisionRisk, folder, "collision_risk").slows_between
        assert least < most
    assert weights[0] == weights[1]
    assert len(calls) == 13  # five before the stop, the stopped one, and the seven that were left


def test_recordings_of_another_run_may_be_added(tmp_path: Path) -> None:
    config = train_collision_risk.Config(steps=2, batch=4, warmup_steps=1)
    for seed, name in enumerate(("first", "second")):
        recorded(tmp_path / name, seed=seed)
    more = tmp_path / "first" / "record_drives"
    execute_many("train_collision_risk", [config], tmp_path / "second")
    weights = tmp_path / "second" / "train_collision_risk" / "collision_risk.safetensors"
    alone = weights.read_bytes()
    execute_many("train_collision_risk", [replace(config, more=(more,))], tmp_path / "second")
    assert weights.read_bytes() != alone
    with pytest.raises(ValueError, match="no recordings in"):
        execute_many("train_collision_risk", [replace(config, more=(tmp_path,))], tmp_path / "second")
    (more / "tiago" / "train_000.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train_000\.h5"):
        execute_many("train_collision_risk", [replace(config, steps=3, more=(more,))], tmp_path / "second")
