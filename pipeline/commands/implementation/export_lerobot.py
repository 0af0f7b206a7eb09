"""Start LeRobot's writer in its own environment."""

import os
import subprocess

from distill.recordings import shard_paths
from pipeline.commands.export_lerobot import Config
from pipeline.runs.provenance import ROOT


def main(config: Config) -> None:
    """Write the dataset.

    Raises:
        FileNotFoundError: If there is no recording, or no Python with lerobot.
        FileExistsError: If the dataset is there.
        ValueError: If the writer failed; it has said why.
    """
    shard_paths(config.recordings)
    if config.out.exists():
        raise FileExistsError(f"{config.out} exists already; choose another --out or remove it")
    if not config.python.is_file():
        raise FileNotFoundError(f"no {config.python} with lerobot in it; make it with: make lerobot")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    words = ["--recordings", str(config.recordings.resolve()), "--out", str(config.out.resolve())]
    words += ["--sequences", str(config.sequences)]
    words += ["--own-camera-only"] if config.own_camera_only else []
    words += [] if config.labels else ["--no-labels"]
    # Not resolved: the Python of a virtual environment is a link to another one.
    command = [str(config.python.absolute()), "-W", "ignore", "-m", "pipeline.data_formats.lerobot_process", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise ValueError("LeRobot's writer failed; see the lines above")
    print(f"wrote {config.out}")
