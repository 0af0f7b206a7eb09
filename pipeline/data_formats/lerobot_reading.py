"""A LeRobot dataset (v3.0) as drives: its tables are read, its videos are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distill.recordings import FIELDS, depth_to_mm
from embodiments import registry
from embodiments.embodiment import Embodiment
from embodiments.spaces import CONTROL_HZ, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX
from export.runtime.robots.depth_image import Pinhole, canonical_depth
from pipeline.data_formats import checks
from pipeline.data_formats.drive import Drive
from pipeline.data_formats.import_options import SourceOptions
from pipeline.data_formats.lerobot_features import COLUMNS, VELOCITY_NAMES
from pipeline.runs.progress import progress

INFO = Path("meta/info.json")
_OWN = {key: column for key, column in COLUMNS.items() if column.field not in ("depth_mm", "velocity_b", "command")}


def read(folder: Path, options: SourceOptions) -> list[Drive]:
    """Return every episode of a dataset.

    Raises:
        FileNotFoundError: If a table is missing.
        ValueError: If its version, columns, rate, frames or units are not what is needed; one line with the mend.
    """
    info = _info(folder)
    robot = registry.get(options.embodiment or _robot_of(info, folder))
    stride = _stride(info, folder)
    velocity, command = (_places(info, key, folder) for key in (options.state_key, options.action_key))
    _check_depth_column(info, options.depth_key, folder)
    episodes = pq.read_table(_files(folder, "meta/episodes"), columns=["episode_index", "length"]).to_pydict()
    lengths = dict(zip(episodes["episode_index"], episodes["length"], strict=True))
    wanted = [key for key in _OWN if _is_own(info, key)]
    names = ["episode_index", "frame_index", "timestamp", options.depth_key, options.state_key, options.action_key]
    drives: list[Drive] = []
    with progress(len(lengths), f"read {folder.name}") as bar:
        for number, table in _by_episode(folder, [*names, *wanted]):
            if number in options.without_episodes:
                continue
            where = f"{folder}, episode {number}"
            _check_frames(table, lengths.get(number, 0), fps=float(info["fps"]), where=where, number=number)
            seen = _array(table, options.depth_key, info)
            rows = {
                "depth_mm": _canonical_mm(seen, robot, unit=options.depth_unit, where=where),
                "velocity_b": _velocity(table, options.state_key, velocity, info, options),
                "command": _velocity(table, options.action_key, command, info, options),
                **{_OWN[key].field: _own(table, key, info) for key in wanted},
            }
            checks.check_velocity(rows["velocity_b"], robot, what="measured", where=where)
            checks.check_velocity(rows["command"], robot, what="commanded", where=where)
            chosen = {name: values[::stride] for name, values in rows.items()}
            split = "val" if _in_split(info, "val", number) else "train"
            drives.append(Drive(name=f"episode_{number:06d}", embodiment=robot.name, rows=chosen, split=split))  # type: ignore[arg-type]
            bar.advance(1)
    if lost := sorted(set(lengths) - set(options.without_episodes) - {_number(drive) for drive in drives}):
        raise ValueError(f"{folder} has no frames of episode {lost[0]}; leave it out: --without-episodes {lost[0]}")
    return drives


def has_splits(folder: Path) -> bool:
    """Return whether a dataset says which episodes are held out."""
    return "val" in _info(folder).get("splits", {})


def _info(folder: Path) -> dict[str, Any]:
    path = folder / INFO
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no LeRobot dataset: it has no {INFO}; name the folder that holds meta/")
    info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    version = str(info.get("codebase_version", ""))
    if not version.startswith("v3."):
        raise ValueError(f"{folder} is of LeRobot's format {version or 'unknown'}; convert it to v3.0 with lerobot 0.4")
    return info


def _robot_of(info: dict[str, Any], folder: Path) -> str:
    name = str(info.get("robot_type") or "")
    if name not in registry.names():
        known = ", ".join(registry.names())
        raise ValueError(f"{folder} is of robot '{name}'; say which one drove: --embodiments, one of {known}")
    return name


def _stride(info: dict[str, Any], folder: Path) -> int:
    """Return of how many frames one is taken."""
    fps = float(info["fps"])
    stride = round(fps / CONTROL_HZ)
    if stride < 1 or abs(fps - stride * CONTROL_HZ) > 0.01 * fps:
        raise ValueError(
            f"{folder} has {fps:g} frames per second, and {CONTROL_HZ:g} or a multiple is needed; record at that rate"
        )
    return stride


def _places(info: dict[str, Any], key: str, folder: Path) -> list[int]:
    """Return where in a column x.vel, y.vel (-1 if there is none) and theta.vel are."""
    feature = _feature(info, key, folder)
    names = feature.get("names") or []
    names = list(names) if isinstance(names, list) else [name for group in names.values() for name in group]
    if missing := [name for name in (VELOCITY_NAMES[0], VELOCITY_NAMES[2]) if name not in names]:
        raise ValueError(
            f"{folder}: column '{key}' has no '{missing[0]}', only {', '.join(map(str, names)) or 'nameless ones'}; "
            "name another one with --state-key or --action-key"
        )
    return [names.index(name) if name in names else -1 for name in VELOCITY_NAMES]


def _feature(info: dict[str, Any], key: str, folder: Path) -> dict[str, Any]:
    if key not in info["features"]:
        raise ValueError(f"{folder} has no column '{key}'; there are: {', '.join(info['features'])}")
    found: dict[str, Any] = info["features"][key]
    return found


def _check_depth_column(info: dict[str, Any], key: str, folder: Path) -> None:
    feature = _feature(info, key, folder)
    size = [int(side) for side in feature["shape"] if int(side) != 1]
    if feature["dtype"] in ("video", "image") or len(size) != 2:
        arrays = [name for name, one in info["features"].items() if len(one["shape"]) > 1 and one["dtype"] != "video"]
        raise ValueError(
            f"{folder}: column '{key}' is a {feature['dtype']} {feature['shape']}, and depth must be numbers (H, W), "
            f"which a video loses; name such a column: --depth-key, of {', '.join(arrays) or 'none here'}"
        )


def _is_own(info: dict[str, Any], key: str) -> bool:
    """Return whether a dataset has a column as ``export_lerobot`` writes it."""
    shape = FIELDS["teacher"][_OWN[key].field][1] or (1,)
    return key in info["features"] and tuple(info["features"][key]["shape"]) == shape


def _files(folder: Path, where: str) -> list[Path]:
    paths = sorted((folder / where).glob("chunk-*/file-*.parquet"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no tables in {where}/; copy the whole dataset")
    return paths


def _by_episode(folder: Path, columns: list[str]) -> Any:
    """Yield every episode's number and table, in order; an episode lies in one file."""
    for path in _files(folder, "data"):
        try:
            table = pq.read_table(path, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path} is truncated or damaged ({reason}); copy it again") from None
        numbers = table.column("episode_index").to_numpy()
        for number in dict.fromkeys(numbers.tolist()):
            yield int(number), table.filter(pa.array(numbers == number))


def _check_frames(table: pa.Table, length: int, *, fps: float, where: str, number: int) -> None:
    mend = f"leave it out: --without-episodes {number}"
    index = table.column("frame_index").to_numpy()
    lost = sorted(set(range(max(length, int(index.max()) + 1))) - set(index.tolist()))
    if lost:
        some = f"{lost[0]}" if len(lost) == 1 else f"{lost[0]} and {len(lost) - 1} more"
        raise ValueError(f"{where} lacks frame {some} of {length}; {mend}")
    step_s = np.diff(table.column("timestamp").to_numpy())
    if len(step_s) and np.abs(step_s - 1.0 / fps).max() > 0.2 / fps:
        row = int(np.abs(step_s - 1.0 / fps).argmax())
        raise ValueError(
            f"{where}: {step_s[row]:.3f} s lie between frames {row} and {row + 1}, which is not {fps:g} Hz; {mend}"
        )


def _array(table: pa.Table, key: str, info: dict[str, Any]) -> np.ndarray:
    """Return a column as (T, *shape)."""
    values = table.column(key).combine_chunks()
    while pa.types.is_nested(values.type):
        values = values.flatten()
    shape = [int(side) for side in info["features"][key]["shape"]]
    return values.to_numpy(zero_copy_only=False).reshape(len(table), *([] if shape == [1] else shape))


def _velocity(table: pa.Table, key: str, places: list[int], info: dict[str, Any], options: SourceOptions) -> np.ndarray:
    values = _array(table, key, info)
    found = np.stack([values[:, place] if place >= 0 else np.zeros(len(values)) for place in places], axis=-1)
    return checks.in_radians(found, unit=options.yaw_unit).astype(np.float32)


def _own(table: pa.Table, key: str, info: dict[str, Any]) -> np.ndarray:
    return _array(table, key, info).astype(FIELDS["teacher"][_OWN[key].field][0])


def _canonical_mm(values: np.ndarray, robot: Embodiment, *, unit: str, where: str) -> np.ndarray:
    """Return canonical images (T, 40, 64) uint16 [mm]; one of another size is taken for the robot's own camera's."""
    depth_m = checks.depth_in_metres(
        values.reshape(len(values), *(s for s in values.shape[1:] if s != 1)), unit=unit, where=where
    )
    height, width = depth_m.shape[1:]
    if (height, width) != (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX):
        focal_px = 0.5 * width / np.tan(0.5 * robot.camera.hfov_rad)
        lens = Pinhole(focal_px, focal_px, 0.5 * width - 0.5, 0.5 * height - 0.5)
        depth_m = np.stack([canonical_depth(image, lens, camera=robot.camera) for image in depth_m])
    return depth_to_mm(depth_m)


def _in_split(info: dict[str, Any], split: str, number: int) -> bool:
    start, _, end = str(info.get("splits", {}).get(split, "0:0")).partition(":")
    return int(start) <= number < int(end)


def _number(drive: Drive) -> int:
    return int(drive.name.rpartition("_")[2])
