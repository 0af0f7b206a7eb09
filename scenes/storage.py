"""Scenes in one npz file: plain arrays, no pickle."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scenes.scene import Scene, Solid

_ARRAYS = ("name", "kind", "extent_w_m", "solids", "corners", "xy_w_m", "z_m", "semantic", "known")


def save_scenes(path: Path, scenes: Sequence[Scene]) -> None:
    """Write scenes as they were generated; reading them back gives equal ones.

    Raises:
        ValueError: If a scene's map was changed (``scenes.changes``); that is not stored.
    """
    if changed := [scene.name for scene in scenes if scene.map_only]:
        raise ValueError(f"scenes with a changed map cannot be stored: {', '.join(changed)}")
    solids = [solid for scene in scenes for solid in scene.solids]
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            name=np.asarray([scene.name for scene in scenes], dtype=np.str_),
            kind=np.asarray([scene.kind for scene in scenes], dtype=np.str_),
            extent_w_m=np.asarray([scene.extent_w_m for scene in scenes], dtype=np.float64).reshape(-1, 4),
            solids=np.asarray([len(scene.solids) for scene in scenes], dtype=np.int64),
            corners=np.asarray([len(solid.polygon_xy_w_m) for solid in solids], dtype=np.int64),
            xy_w_m=np.asarray([corner for solid in solids for corner in solid.polygon_xy_w_m]).reshape(-1, 2),
            z_m=np.asarray([(solid.z_min_m, solid.z_max_m) for solid in solids], dtype=np.float64).reshape(-1, 2),
            semantic=np.asarray([solid.semantic for solid in solids], dtype=np.uint8),
            known=np.asarray([solid.known for solid in solids], dtype=bool),
        )


def load_scenes(path: Path) -> list[Scene]:
    """Read scenes that ``save_scenes`` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of scenes, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no scenes at '{path}'; run the stage make_scenes first.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except Exception as error:  # zipfile, zlib, numpy and KeyError: the file is damaged
        raise ValueError(
            f"'{path}' is damaged, or not a scene file ({error}); delete it and run make_scenes."
        ) from error
    solids = _solids(arrays)
    last = np.cumsum(arrays["solids"])
    return [
        Scene(
            name=str(name),
            kind=str(kind),
            solids=tuple(solids[end - count : end]),
            extent_w_m=(float(extent[0]), float(extent[1]), float(extent[2]), float(extent[3])),
        )
        for name, kind, extent, count, end in zip(
            arrays["name"], arrays["kind"], arrays["extent_w_m"], arrays["solids"], last, strict=True
        )
    ]


def _solids(arrays: dict[str, np.ndarray]) -> list[Solid]:
    corners = [(x, y) for x, y in arrays["xy_w_m"].tolist()]
    last = np.cumsum(arrays["corners"]).tolist()
    rows = zip(
        arrays["corners"].tolist(),
        last,
        arrays["z_m"].tolist(),
        arrays["semantic"].tolist(),
        arrays["known"].tolist(),
        strict=True,
    )
    return [
        Solid(
            polygon_xy_w_m=tuple(corners[end - count : end]), z_min_m=z[0], z_max_m=z[1], semantic=semantic, known=known
        )
        for count, end, z, semantic, known in rows
    ]
