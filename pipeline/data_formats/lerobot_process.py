"""Write recordings as a LeRobot dataset. Runs in an environment that has ``lerobot`` (see docs/data_formats.md).

LeRobot's own writer makes every file; afterwards LeRobot's own reader opens them.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embodiments.spaces import DEPTH_RANGE_M
from pipeline.data_formats.drive import Drive, pieces, sequence_count, sequences
from pipeline.data_formats.lerobot_features import COLUMNS, FPS, PREVIEW, PREVIEW_SCALE, TASK, features
from pipeline.runs.progress import progress
from world_model import atomic_files

REPO = "crossbody/teacher"
_CARD = """---
license: apache-2.0
task_categories: [robotics]
tags: [LeRobot, navigation]
configs: [{{config_name: default, data_files: data/*/*.parquet}}]
---
# Teacher recordings of crossbody ({embodiment})

{episodes} pieces of episodes, {frames} frames at 10 Hz, simulated. `observation.depth` is lossless depth in mm,
0 = invalid; the video is a preview. `x.vel`, `y.vel` are in m/s and `theta.vel` in rad/s, body frame. Splits: {splits}.
"""


def main(arguments: list[str]) -> int:
    """Write the dataset as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sequences", type=int, default=0)
    parser.add_argument("--own-camera-only", action="store_true")
    parser.add_argument("--no-labels", dest="labels", action="store_false")
    options = parser.parse_args(arguments)
    temporary = options.out.with_name(f".{options.out.name}.tmp")
    try:
        with tempfile.TemporaryDirectory() as caches:
            os.environ |= {"HF_HOME": caches, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
            shutil.rmtree(temporary, ignore_errors=True)
            _write(options, temporary)
        atomic_files.sync(temporary)
        temporary.replace(options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return 0


def _write(options: argparse.Namespace, folder: Path) -> None:
    dataset_class = _dataset_class()
    found = sequences(options.recordings, own_camera_only=options.own_camera_only)
    total = sequence_count(options.recordings, own_camera_only=options.own_camera_only)
    total = min(total, options.sequences or total)
    declared, episodes = features(labels=options.labels), {"train": 0, "val": 0}
    dataset: Any = None
    with progress(total, "write LeRobot") as bar:
        for sequence in itertools.islice(found, total):
            if dataset is None:
                dataset = _created(dataset_class, folder, declared, robot=sequence.embodiment)
            for piece in pieces(sequence):
                _add(dataset, piece, declared)
                episodes[piece.split] += 1
            bar.advance(1, episodes=sum(episodes.values()))
    dataset.finalize()
    _describe(folder, episodes)
    frames = len(dataset_class(REPO, root=folder, video_backend="pyav"))
    print(f"LeRobot reads {sum(episodes.values())} episodes, {frames} frames", flush=True)


def _created(dataset_class: Any, folder: Path, declared: dict[str, Any], *, robot: str) -> Any:
    dataset = dataset_class.create(
        REPO, fps=FPS, features=declared, root=folder, robot_type=robot, video_backend="pyav", vcodec="h264"
    )
    import av  # as LeRobot has it

    av.logging.set_libav_level(av.logging.ERROR)
    return dataset


def _add(dataset: Any, piece: Drive, declared: dict[str, Any]) -> None:
    """Append a piece of an episode as one of LeRobot's."""
    for row in range(len(piece)):
        frame: dict[str, Any] = {"task": TASK, PREVIEW: preview(piece.rows["depth_mm"][row])}
        for key, column in COLUMNS.items():
            if key in declared:
                value = np.asarray(piece.rows[column.field][row])
                frame[key] = value.reshape(declared[key]["shape"])
        dataset.add_frame(frame)
    dataset.save_episode()


def preview(depth_mm: np.ndarray) -> np.ndarray:
    """Return an image to watch (H, W, 3) uint8: near is bright, invalid is black."""
    near = 1.0 - np.clip(depth_mm / (1000.0 * DEPTH_RANGE_M), 0.0, 1.0)
    grey = np.where(depth_mm == 0, 0.0, 30.0 + 225.0 * near).astype(np.uint8)
    large = grey.repeat(PREVIEW_SCALE, axis=0).repeat(PREVIEW_SCALE, axis=1)
    return np.repeat(large[..., None], 3, axis=-1)


def _describe(folder: Path, episodes: dict[str, int]) -> None:
    """Write the splits, which LeRobot's writer knows nothing of, and a card."""
    border, end = episodes["train"], sum(episodes.values())
    path = folder / "meta" / "info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    splits = {"train": f"0:{border}", "val": f"{border}:{end}"}
    info["splits"] = {name: span for name, span in splits.items() if episodes[name]}
    atomic_files.write_text(path, json.dumps(info, indent=4))
    card = _CARD.format(
        embodiment=info["robot_type"], episodes=end, frames=info["total_frames"], splits=json.dumps(info["splits"])
    )
    atomic_files.write_text(folder / "README.md", card)


def _dataset_class() -> Any:
    """Import LeRobot's dataset.

    Raises:
        ValueError: If this environment does not have it.
    """
    _stand_in_for_operators()
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise ValueError(f"lerobot cannot be imported here ({error}); make its environment: make lerobot") from None
    return LeRobotDataset


def _stand_in_for_operators() -> None:
    """Declare the one operator that torchvision's import asks for, where its compiled part fits another torch.

    ``.ci/setup_lerobot`` pairs torch's CPU build with the usual torchvision. LeRobot uses none of its operators.
    """
    import torch

    if not version("torch").endswith("+cpu") or version("torchvision").endswith("+cpu"):
        return
    global _library  # it undoes what it declared when it goes
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_library: Any = None

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
