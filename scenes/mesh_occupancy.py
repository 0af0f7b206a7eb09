"""Which cells the triangles of a mesh touch, per height layer."""

from collections.abc import Sequence

import numpy as np

from scenes.scene import FLOOR, Mesh

_PATCH_M = 1.0
"""Triangles are halved until no edge is longer, so that a long thin one needs no more points than its area."""
_FLOOR_GAP_CELLS = 3
"""Gaps in the floor up to twice as wide, at seams and thresholds, are closed."""


def fill(
    values: np.ndarray, mesh: Mesh, *, layers_m: Sequence[tuple[float, float]], x_w: np.ndarray, y_w: np.ndarray
) -> None:
    """Mark the cells that a mesh touches, and those where it has no floor to stand on.

    Only surfaces are marked: cells inside a closed body stay free, but cannot be reached.

    Args:
        values: (S, H, W) bool, changed in place.
        layers_m: (z_min, z_max) per layer.
        x_w: (W,) equally spaced cell centres.
        y_w: (H,)
    """
    import scipy.ndimage  # a fifth of what a listing of scenes takes, which does not need it

    cell_m = float(x_w[1] - x_w[0])
    shape = values.shape[1:]
    height = mesh.vertices_w_m[mesh.triangles][..., 2]
    reaches = (height.max(axis=1) > min(low for low, _ in layers_m)) & (height.min(axis=1) <= layers_m[-1][1])
    points, _ = samples(mesh.vertices_w_m, mesh.triangles[reaches], step_m=0.4 * cell_m)
    row, column, inside = _cells(points, x_w, y_w, cell_m)
    for layer, (low, high) in enumerate(layers_m):
        chosen = inside & (points[:, 2] > low) & (points[:, 2] <= high)
        values[layer, row[chosen], column[chosen]] = True
    points, _ = samples(mesh.vertices_w_m, mesh.triangles[mesh.semantic == FLOOR], step_m=0.4 * cell_m)
    row, column, inside = _cells(points, x_w, y_w, cell_m)
    floor = np.zeros(shape, dtype=bool)
    floor[row[inside], column[inside]] = True
    pad = 2 * _FLOOR_GAP_CELLS  # closing erodes from beyond the array's edge
    floor = scipy.ndimage.binary_closing(
        np.pad(floor, pad), structure=np.ones((3, 3), dtype=bool), iterations=_FLOOR_GAP_CELLS
    )[pad:-pad, pad:-pad]
    values |= ~floor


def samples(vertices: np.ndarray, triangles: np.ndarray, *, step_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 3) on triangles, about ``step_m`` apart, corners included, and their triangles (N,).

    Args:
        vertices: (V, 3)
        triangles: (F, 3)
    """
    corners, owner = _halved(np.asarray(vertices, dtype=float)[triangles], np.arange(len(triangles)))
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1, initial=0.0)
    parts = np.maximum(np.ceil(edges / step_m).astype(int), 1)
    points, whose = [np.zeros((0, 3))], [np.zeros(0, dtype=int)]
    for count in np.unique(parts):
        chosen = parts == count
        first, second = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        inside = first + second <= count
        weights = np.stack([first[inside], second[inside], count - first[inside] - second[inside]], axis=1) / count
        points.append((weights @ corners[chosen]).reshape(-1, 3))  # (P, 3) @ (K, 3, 3)
        whose.append(np.repeat(owner[chosen], len(weights)))
    return np.concatenate(points), np.concatenate(whose)


def _halved(corners: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve triangles (F, 3, 3) across their longest edges until none is longer than a patch."""
    done, whose = [], []
    while len(corners):
        length = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)  # edge k: corner k to k + 1
        small = length.max(axis=1) <= _PATCH_M
        done.append(corners[small])
        whose.append(owner[small])
        corners, owner, longest = corners[~small], owner[~small], length[~small].argmax(axis=1)
        rows = np.arange(len(corners))
        a, b, c = (corners[rows, (longest + shift) % 3] for shift in range(3))
        middle = (a + b) / 2.0
        corners = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
        owner = np.concatenate([owner, owner])
    return (np.concatenate(done), np.concatenate(whose)) if done else (corners, owner)


def _cells(
    points: np.ndarray, x_w: np.ndarray, y_w: np.ndarray, cell_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and whether it is on the grid, (N,) each, of the cells that hold points (N, 3)."""
    column = np.floor((points[:, 0] - x_w[0]) / cell_m + 0.5).astype(int)
    row = np.floor((points[:, 1] - y_w[0]) / cell_m + 0.5).astype(int)
    inside = (column >= 0) & (column < len(x_w)) & (row >= 0) & (row < len(y_w))
    return row, column, inside
