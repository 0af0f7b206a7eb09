"""Recordings: what is written is what is read; what is damaged or foreign is refused in one line."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from distill.recordings import FIELDS, depth_from_mm, depth_to_mm, read_shard, shard_paths, write_shard
from distill.sequences import SequencePool

STEPS, COLUMNS = 12, 3


def teacher_arrays(steps: int = STEPS, columns: int = COLUMNS, *, value: int = 0) -> dict[str, np.ndarray]:
    """Return every field of a teacher recording; ``goal_b`` tells shard, column and time."""
    arrays = {}
    for name, (dtype, shape) in FIELDS["teacher"].items():
        arrays[name] = np.zeros((steps, columns, *shape), dtype=dtype)  # type: ignore[arg-type]
    arrays["goal_b"][..., 0] = value
    arrays["goal_b"][..., 1] = np.arange(columns)[None, :]
    arrays["goal_b"][..., 2] = np.arange(steps)[:, None]
    arrays["depth_mm"] += np.random.default_rng(0).integers(0, 10_000, arrays["depth_mm"].shape, dtype=np.uint16)
    return arrays


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train_000.h5"
    write_shard(path, teacher_arrays(), kind="teacher", attributes={"embodiment": "tiago"})
    return path


def test_depth_in_millimetres_keeps_invalid_and_range() -> None:
    depth = np.asarray([0.0, 0.0004, 1.2345, 10.0], dtype=np.float32)
    assert depth_to_mm(depth).tolist() == [0, 0, 1234, 10_000]
    np.testing.assert_allclose(depth_from_mm(depth_to_mm(depth)), depth, atol=6e-4)


def test_round_trip(shard: Path) -> None:
    read = read_shard(shard, kind="teacher")
    assert read.attributes == {"embodiment": "tiago"}
    for name, array in teacher_arrays().items():
        np.testing.assert_array_equal(read.arrays[name], array)
        assert read.arrays[name].dtype == array.dtype
    assert [path.name for path in shard.parent.iterdir()] == ["train_000.h5"]  # nothing temporary stays


def test_some_fields_only(shard: Path) -> None:
    assert set(read_shard(shard, kind="teacher", fields=("first",)).arrays) == {"first"}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_truncated_shards_are_refused(shard: Path, share: float) -> None:
    data = shard.read_bytes()
    shard.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"truncated or damaged|not a crossbody") as caught:
        read_shard(shard, kind="teacher")
    assert "\n" not in str(caught.value)


def test_flipped_bits_in_the_data_are_refused(shard: Path) -> None:
    with h5py.File(shard) as file:
        offset = file["depth_mm"].id.get_chunk_info(1).byte_offset
    data = bytearray(shard.read_bytes())
    data[offset + 1000] ^= 4
    shard.write_bytes(data)
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_shard(shard, kind="teacher")


def test_a_flipped_bit_anywhere_is_refused(shard: Path) -> None:
    """Also in HDF5's own metadata, which its checksums do not cover."""
    whole = shard.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=300).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match="truncated or damaged"):
            read_shard(shard, kind="teacher", fields=("first",))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not a crossbody-recording"):
        read_shard(path, kind="teacher")
    path.write_text("hello")
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_shard(path, kind="teacher")
    with pytest.raises(FileNotFoundError):
        read_shard(tmp_path / "none.h5", kind="teacher")
    with pytest.raises(FileNotFoundError, match="no recordings"):
        shard_paths(tmp_path / "empty")


def test_another_kind_is_refused(shard: Path) -> None:
    with pytest.raises(ValueError, match="'teacher' recording, expected 'specialist'"):
        read_shard(shard, kind="specialist")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"goal_b": np.zeros((STEPS, COLUMNS, 3), np.float32)}, "goal_b"),
        ({"goal_b": np.zeros((STEPS, COLUMNS, 4), np.float64)}, "goal_b"),
        ({"first": np.zeros((STEPS + 1, COLUMNS), bool)}, "first"),
        ({"velocity_b": np.full((STEPS, COLUMNS, 3), np.nan, np.float32)}, "NaN"),
        ({"position_w": np.zeros((STEPS, COLUMNS, 3), np.float32)}, "unknown: \\['position_w'\\]"),
    ],
)
def test_wrong_fields_are_not_written(tmp_path: Path, change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_shard(tmp_path / "x.h5", teacher_arrays() | change, kind="teacher")
    assert not list(tmp_path.iterdir())


def test_windows_are_contiguous_reproducible_and_use_every_shard(tmp_path: Path) -> None:
    for number in range(3):
        write_shard(tmp_path / f"train_{number}.h5", teacher_arrays(value=number), kind="teacher")
    pool = SequencePool(shard_paths(tmp_path), max_frames=40, seed=1)  # one shard of 36 frames at a time
    seen = set()
    for step in range(12):
        windows = pool.windows(step, batch=4, length=5)
        assert windows.depth_m.shape == (5, 4, 1, 40, 64)
        assert ((windows.goal_b[1:, :, 2] - windows.goal_b[:-1, :, 2]) == 1.0).all()
        assert (windows.goal_b[1:, :, :2] == windows.goal_b[:-1, :, :2]).all()
        seen |= set(windows.goal_b[0, :, 0].int().tolist())
    assert seen == {0, 1, 2}
    again = SequencePool(shard_paths(tmp_path), max_frames=40, seed=1).windows(11, batch=4, length=5)
    np.testing.assert_array_equal(again.goal_b.numpy(), windows.goal_b.numpy())


def test_a_window_longer_than_the_recordings_is_refused(shard: Path) -> None:
    with pytest.raises(ValueError, match="shorten the window"):
        SequencePool([shard], max_frames=1000, seed=0).windows(0, batch=1, length=STEPS + 1)
