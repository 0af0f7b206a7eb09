"""A small LeRobot dataset (v3.0) as somebody else's recorder may have written it, its tables made by hand.

Two of the episodes' columns suffice for an import; nothing of LeRobot is needed to make them.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROBOT, WALL_M, SPEED_MPS, TURN_RADPS = "go2", 5.0, 0.4, 0.2


@dataclass(kw_only=True)
class Made:
    """What the dataset is like; every field can be made wrong."""

    fps: float = 10.0
    lengths: tuple[int, ...] = (30, 24, 26)
    depth_type: str = "uint16"
    depth_scale: float = 1000.0
    """Units per metre"""
    yaw_scale: float = 1.0
    names: tuple[str, ...] = ("arm.pos", "x.vel", "y.vel", "theta.vel")
    version: str = "v3.0"
    robot: str = ROBOT
    splits: dict[str, str] = field(default_factory=lambda: {"train": "0:2", "val": "2:3"})
    lost: tuple[int, ...] = ()
    """Frames of episode 1 that are missing"""
    late_s: float = 0.0
    """How much later the frames of episode 1 are from the tenth on"""


def write(folder: Path, made: Made) -> Path:
    """Write the dataset and return its folder."""
    shape = (40, 64)
    vector = {"dtype": "float32", "shape": [len(made.names)], "names": list(made.names)}
    features: dict[str, Any] = {
        "observation.state": vector,
        "action": vector,
        "observation.depth": {"dtype": made.depth_type, "shape": list(shape), "names": ["height", "width"]},
        "observation.images.front": {"dtype": "video", "shape": [48, 64, 3], "names": ["h", "w", "c"]},
    }
    info = {"codebase_version": made.version, "robot_type": made.robot, "fps": made.fps, "features": features}
    (folder / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (folder / "data" / "chunk-000").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info | {"splits": made.splits}))
    episodes = {"episode_index": list(range(len(made.lengths))), "length": list(made.lengths)}
    pq.write_table(pa.table(episodes), folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    rows = [row for number, length in enumerate(made.lengths) for row in _rows(number, length, made)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    pq.write_table(pa.table(columns), folder / "data" / "chunk-000" / "file-000.parquet")
    return folder


def _rows(number: int, length: int, made: Made) -> list[dict[str, Any]]:
    found = []
    for frame in range(length):
        if number == 1 and frame in made.lost:
            continue
        depth = np.full((40, 64), (WALL_M - SPEED_MPS * frame / made.fps) * made.depth_scale).astype(made.depth_type)
        state = {"x.vel": SPEED_MPS, "theta.vel": TURN_RADPS * made.yaw_scale}
        late_s = made.late_s if number == 1 and frame >= 10 else 0.0
        values = np.asarray([state.get(name, 0.0) for name in made.names], dtype=np.float32)
        found.append(
            {
                "observation.depth": depth.tolist(),
                "observation.state": values,
                "action": 1.1 * values,
                "episode_index": number,
                "frame_index": frame,
                "timestamp": np.float32(frame / made.fps + late_s),
            }
        )
    return found
