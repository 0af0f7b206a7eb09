"""Episodes or sequences to MCAP files."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distill.recordings import depth_to_mm
from embodiments.spaces import HEIGHT_LAYERS_M
from export.runtime.recording.mcap_file import check_installed
from pipeline.commands.export_mcap import Config
from pipeline.data_formats import mcap_writing
from pipeline.data_formats.drive import Drive, sequence_count, sequences
from pipeline.evaluation.episodes.redrive import Driven, Wanted, redrive
from pipeline.runs.progress import progress
from scenes.grid import Grid
from scenes.occupancy import layer_occupancy
from scenes.scene import Scene


def main(config: Config) -> None:
    """Write the files.

    Raises:
        ValueError: If something asked for does not exist or does not fit.
        FileNotFoundError: If the recordings or a policy are not there.
    """
    if (config.evaluation is None) == (config.recordings is None):
        raise ValueError("export_mcap needs --evaluation DIR or --recordings DIR, one of them")
    check_installed()
    drives: Iterator[tuple[Drive, Grid | None]]
    if config.recordings is not None:
        total = sequence_count(config.recordings, own_camera_only=config.own_camera_only)
        drives = _sequences(config, config.recordings)
        total = min(total, config.sequences or total)
    else:
        episodes = list(_episodes(config))  # driven before anything is written, with a progress bar of their own
        total, drives = len(episodes), iter(episodes)
    with progress(total, "write MCAP") as bar:
        for drive, known_map in drives:
            mcap_writing.write(config.out / f"{drive.name}.mcap", drive, known_map=known_map)
            bar.advance(1)
    print(f"wrote {total} files to {config.out}")


def _sequences(config: Config, folder: Path) -> Iterator[tuple[Drive, None]]:
    found = sequences(folder, own_camera_only=config.own_camera_only)
    for drive in itertools.islice(found, config.sequences or None):
        yield drive, None


def _episodes(config: Config) -> Iterator[tuple[Drive, Grid | None]]:
    assert config.evaluation is not None
    wanted = Wanted(
        embodiment=config.embodiment,
        agent=config.agent,
        route=config.route,
        scene=config.scene,
        episodes=config.episodes,
    )
    for driven in redrive(config.evaluation, wanted, policies=config.policies):
        yield _drive(driven, wanted), _known_map(driven.scene)


def _drive(driven: Driven, wanted: Wanted) -> Drive:
    rows = dict(driven.rows)
    rows["depth_mm"] = depth_to_mm(rows.pop("depth_m"))
    scene = Path(wanted.scene).stem
    name = f"{wanted.embodiment}_{wanted.agent}_{wanted.route}_{scene}_{driven.number:04d}"
    return Drive(name=name, embodiment=wanted.embodiment, rows=rows, pose=driven.pose_w.astype(np.float64))


def _known_map(scene: Scene) -> Grid:
    """Return what the known map shows in any height layer."""
    layers = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, known_only=True)
    occupied: np.ndarray = np.logical_or.reduce(layers.values)
    return Grid(values=occupied, origin_xy_w_m=layers.origin_xy_w_m, resolution_m=layers.resolution_m)
