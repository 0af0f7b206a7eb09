"""Open a dataset with LeRobot's own reader and keep what it gives. Runs in .venv-lerobot.

python -m tests.pipeline.data_formats.read_by_lerobot FOLDER OUT.npz
"""

import json
import sys
from pathlib import Path

import numpy as np

from pipeline.data_formats.lerobot_process import REPO, _dataset_class


def main(folder: Path, out: Path) -> None:
    """Read every frame."""
    dataset = _dataset_class()(REPO, root=folder, video_backend="pyav", delta_timestamps={"action": [-0.1, 0.0, 0.1]})
    items = [dataset[index] for index in range(len(dataset))]
    arrays = {}
    for name in items[0]:
        if name != "task":
            arrays[name] = np.stack([np.asarray(item[name]) for item in items])
    meta = dataset.meta
    stats = {key: {name: np.shape(value) for name, value in one.items()} for key, one in meta.stats.items()}
    facts = {"fps": meta.fps, "robot": meta.robot_type, "episodes": meta.total_episodes, "stats": stats}
    facts |= {"features": meta.features, "splits": meta.info["splits"], "tasks": sorted({i["task"] for i in items})}
    np.savez(out, facts=json.dumps(facts), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
