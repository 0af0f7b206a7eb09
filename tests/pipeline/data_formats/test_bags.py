"""MCAP and rosbag2: recordings come back as they were, own drives come in, and what is wrong is one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from distill.config import FitConfig
from distill.fitting import distance, fit, load_rows
from distill.generalist import Generalist, GeneralistConfig
from distill.pretraining import pretraining_loss
from distill.recordings import read_shard, shard_paths
from distill.sequences import SequencePool
from embodiments import registry
from export.runtime.drive_recording import DriveRecording
from export.runtime.driver.messages import Order
from export.runtime.route import Route
from pipeline.commands.export_mcap import Config as ExportConfig
from pipeline.commands.implementation import export_mcap, import_recordings
from pipeline.commands.import_recordings import Config
from pipeline.data_formats.completing import NO_CLASS
from pipeline.runs import manifest
from pipeline.stages.implementation.pretrain_world_model import _split
from tests.export.runtime.mcap_reading import read
from tests.export.runtime.test_drive_recording import report
from tests.pipeline.data_formats import foreign_bag, made_recordings
from tests.pipeline.data_formats.foreign_bag import Made, imported
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.checkpoint import save_module
from world_model.config import LossWeights, WorldModelConfig
from world_model.rssm import WorldModel

EXACT = {"goal_b": 2e-7}
"""Through the sine and cosine of half the angle; everything else comes back to the last bit."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_recordings.write(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def mcaps(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mcap")
    export_mcap.main(ExportConfig(recordings=recordings, out=out, sequences=0))
    return out


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings imported from a rosbag2 folder."""
    folder = tmp_path_factory.mktemp("own")
    return imported(foreign_bag.write(folder / "bag", Made()), folder / "run")


def test_recordings_come_back_from_mcap(recordings: Path, mcaps: Path, tmp_path: Path) -> None:
    config = Config(source=(mcaps,), run=tmp_path, sequence_steps=made_recordings.STEPS, sequences_per_shard=3)
    import_recordings.main(config)
    for name in made_recordings.COLUMNS:
        before = read_shard(recordings / f"{name}.h5", kind="teacher").arrays
        after = read_shard(tmp_path / "collect_teacher" / f"{name}.h5", kind="teacher").arrays
        for field, values in before.items():
            np.testing.assert_allclose(after[field], values, rtol=0.0, atol=EXACT.get(field, 0.0), err_msg=field)


def test_a_recording_is_read_by_another_package(recordings: Path, mcaps: Path) -> None:
    found = read(mcaps / "train_000_0001.mcap").messages
    rows = {n: v[:, 1] for n, v in read_shard(recordings / "train_000.h5", kind="teacher").arrays.items()}
    assert all(len(messages) == made_recordings.STEPS for messages in found.values())
    for row, image in enumerate(found["/depth/image"]):
        depth = np.frombuffer(image.data.tobytes(), "<u2").reshape(image.height, image.width)
        assert np.array_equal(depth, rows["depth_mm"][row])
        assert found["/cmd_vel"][row].twist.angular.z == pytest.approx(rows["command"][row, 2])
    lens = found["/tf"][0].transforms[1].transform.translation
    camera = registry.get(made_recordings.ROBOT).camera
    assert (lens.x, lens.z) == pytest.approx((camera.x_m, camera.z_m))


def test_the_same_recording_gives_the_same_file(recordings: Path, mcaps: Path, tmp_path: Path) -> None:
    export_mcap.main(ExportConfig(recordings=recordings, out=tmp_path, sequences=1))
    assert [path.name for path in tmp_path.iterdir()] == ["train_000_0000.mcap"]
    assert (tmp_path / "train_000_0000.mcap").read_bytes() == (mcaps / "train_000_0000.mcap").read_bytes()


def test_own_drives_become_demonstrations(own: Path) -> None:
    manifest.verify(own, stage="collect_teacher")
    train, val = (read_shard(own / f"{part}_000.h5", kind="teacher").arrays for part in ("train", "val"))
    speeds = np.concatenate([train["velocity_b"].reshape(-1, 3), val["velocity_b"].reshape(-1, 3)])
    assert speeds == pytest.approx(np.broadcast_to([0.4, 0.0, 0.2], speeds.shape))
    drives = train["outcome"] == 0
    assert train["command"][drives] == pytest.approx(np.broadcast_to([0.45, 0.0, 0.22], (drives.sum(), 3)))
    limits = registry.get(foreign_bag.ROBOT).limits
    assert train["teacher_action"][0, 0, 0] == pytest.approx(0.45 / limits.forward_mps)
    assert (train["labelled"] == drives).all()
    assert train["first"][0, 0] and not train["previous_command"][0, 0].any()
    assert train["previous_command"][1, 0] == pytest.approx(train["command"][0, 0])
    assert (train["semantic"] == NO_CLASS).all()
    middle = train["depth_mm"][:, 0, 20, 32].astype(int)
    assert middle[0] == pytest.approx(6000, abs=30) and np.diff(middle).mean() == pytest.approx(-40, abs=8)
    end = foreign_bag.pose_at(3.0)
    x, y, cos, sin = train["goal_b"][0, 0]
    assert (x, y) == pytest.approx(end[:2], abs=0.08) and np.arctan2(sin, cos) == pytest.approx(end[2], abs=0.05)
    assert train["route_xy_b_m"][0, 0, 0] == pytest.approx(foreign_bag.pose_at(2.5)[:2], abs=0.08)
    assert np.abs(train["plan_features"]).max() > 0.0


def test_pre_training_reads_and_learns_from_own_drives(own: Path) -> None:
    train_paths, val_paths = _split(own)
    assert val_paths
    pool = SequencePool(train_paths, max_frames=1000, seed=0)
    torch.manual_seed(0)
    world_model = WorldModel(WorldModelConfig(deterministic=32, stochastic=8, hidden=32))
    head = BaseHead(BaseHeadConfig(latent_size=world_model.latent_size, hidden=(32,)))
    optimiser = torch.optim.Adam([*world_model.parameters(), *head.parameters()], lr=3e-3)
    losses = []
    for step in range(12):
        windows = pool.windows(step, batch=4, length=8)
        loss = pretraining_loss(world_model, head, windows, LossWeights())
        optimiser.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.total.detach()))
        assert float(loss.world_model.semantic.detach()) == 0.0, "nobody classified these images"
    assert np.isfinite(losses).all() and np.mean(losses[-3:]) < np.mean(losses[:3])


def test_distillation_reads_and_learns_from_own_drives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    world_model = WorldModel(WorldModelConfig(deterministic=32, stochastic=8, hidden=32))
    base = tmp_path / "base"
    save_module(world_model, base, "world_model", notes={})
    save_module(
        BaseHead(BaseHeadConfig(latent_size=world_model.latent_size, hidden=(32,))), base, "base_head", notes={}
    )
    bag = foreign_bag.write(tmp_path / "bag", Made())
    imported(bag, tmp_path / "run", base=base)
    folder = tmp_path / "run" / "record_specialist" / foreign_bag.ROBOT
    manifest.verify(folder, stage="record_specialist")
    rows = load_rows(path for path in shard_paths(folder) if path.name.startswith("train_"))
    assert rows.mean[:, 0].numpy() == pytest.approx(0.45 / registry.get(foreign_bag.ROBOT).limits.forward_mps)
    student = Generalist(GeneralistConfig(feature_size=rows.features.shape[1], hidden=(32,)))
    before, losses = distance(student, rows), []
    fit(
        student,
        {foreign_bag.ROBOT: rows},
        FitConfig(batch=32),
        updates=60,
        seed=0,
        report=lambda _, x, __: losses.append(x),
    )
    assert losses[-1] < losses[0] and distance(student, rows) != before
    with pytest.raises(ValueError, match="is there already"):
        imported(bag, tmp_path / "run", base=base)


def test_a_recorded_drive_of_the_runtime_comes_in(tmp_path: Path) -> None:
    """Its route and goal are used as they were, and it says which robot drove."""
    path, route = tmp_path / "drive.mcap", Route(np.asarray([3.0, 0.0, 0.0]))
    recording = DriveRecording(path, registry.get("stretch3"), facts={"embodiment": "stretch3"})
    for number in range(50):
        seen = np.full((40, 64), 3.0 - 0.02 * number, dtype=np.float32)
        moves = {"pose": (0.02 * number, 0.0, 0.0), "velocity_b": (0.2, 0.0, 0.0), "command": (0.2, 0.0, 0.0)}
        order = Order(sequence=number, basis=number, command=(0.2, 0.0, 0.0))
        recording.add(report(number, depth_m=seen, **moves), order, route)
    recording.close()
    import_recordings.main(Config(source=(path,), run=tmp_path / "run", episode_s=2.5, sequence_steps=20))
    shard = read_shard(tmp_path / "run" / "collect_teacher" / "train_000.h5", kind="teacher")
    rows = {name: values[:, 0] for name, values in shard.arrays.items()}
    assert shard.attributes["embodiment"] == "stretch3"
    assert rows["goal_b"][:, 0] == pytest.approx(3.0 - 0.02 * np.arange(20), abs=1e-5)
    assert rows["route_xy_b_m"][0, :, 0] == pytest.approx([1.0, 2.0, *[3.0] * 8], abs=1e-5)
    assert rows["depth_mm"][5, 20, 32] == 2900 and rows["command"][0, 0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "made",
    [
        Made(encoding="32FC1"),
        Made(image_hz=10.0, odometry_hz=10.0),
        Made(image_hz=30.0, stamped=True),
        Made(yaw_scale=180.0 / np.pi),
        Made(encoding="32FC1", depth_scale=1000.0),
    ],
    ids=["metres", "10 Hz", "30 Hz, stamped", "degrees, as said", "millimetres as float, as said"],
)
@pytest.mark.parametrize("mcap", [False, True], ids=["sqlite3", "mcap"])
def test_rates_encodings_and_units_give_the_same(made: Made, mcap: bool, own: Path, tmp_path: Path) -> None:
    options = {"yaw_unit": "deg" if made.yaw_scale != 1.0 else "rad"}
    options["depth_unit"] = "mm" if made.depth_scale != 1.0 else "auto"
    found = imported(foreign_bag.write(tmp_path / "bag", made, mcap=mcap), tmp_path / "run", **options)
    one, other = (read_shard(folder / "train_000.h5", kind="teacher").arrays for folder in (own, found))
    steps = slice(0, 15)
    assert np.abs(one["depth_mm"][steps, 0].astype(int) - other["depth_mm"][steps, 0]).max() <= 30  # 0.07 s of way
    for field in ("velocity_b", "command", "goal_b"):
        np.testing.assert_allclose(one[field][steps, 0], other[field][steps, 0], atol=0.05, err_msg=field)
