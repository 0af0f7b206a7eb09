"""Bounding boxes around the triangles of many scenes, one tree for each, as flat arrays that any processor can walk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes.mesh import to_mesh
from scenes.scene import OTHER, Mesh, Scene

LEAF_TRIANGLES = 4
NOWHERE_M = 1e9
"""Lower corner of a box around nothing, and minus its upper corner. Finite: compiled code may take it that all is."""


@dataclass(frozen=True, kw_only=True)
class BoxTrees:
    """One complete binary tree per scene; T nodes and R rows of triangles in all.

    Node 1 of a tree is its root, nodes 2 n and 2 n + 1 are the children of n, and the last half are leaves. Node n of
    scene i stands in row ``first_node[i] + n``; row ``first_node[i]`` is not used. Leaf number k of scene i, from 0,
    holds ``LEAF_TRIANGLES`` triangles, from row ``first_triangle[i] + k * LEAF_TRIANGLES`` on; what no triangle fills
    has no extent, and no ray hits it.
    """

    boxes: np.ndarray
    """(T, 6) float32 lower and upper corners [m], in each scene's own world frame; see ``NOWHERE_M``"""
    axis: np.ndarray
    """(T,) int32 along which the triangles of a node were parted: the lower half is the child 2 n"""
    corners: np.ndarray
    """(R, 9) float32 the three corners of every triangle [m]"""
    semantic: np.ndarray
    """(R,) uint8"""
    first_node: np.ndarray
    """(N,) int32"""
    first_triangle: np.ndarray
    """(N,) int32"""
    leaves: np.ndarray
    """(N,) int32 number of leaves, a power of two: also the number of the first leaf's node"""


def build(scenes: Sequence[Scene]) -> BoxTrees:
    """Build the trees.

    Raises:
        ValueError: If there is no scene.
    """
    if not scenes:
        raise ValueError("box_tree.build needs at least one scene; got none.")
    trees = [_tree(to_mesh(scene)) for scene in scenes]
    boxes, axis, corners, semantic = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    nodes, rows = ([len(tree[part]) for tree in trees] for part in (0, 2))
    return BoxTrees(
        boxes=boxes,
        axis=axis,
        corners=corners,
        semantic=semantic,
        first_node=np.cumsum([0, *nodes[:-1]]).astype(np.int32),
        first_triangle=np.cumsum([0, *rows[:-1]]).astype(np.int32),
        leaves=np.asarray(nodes, dtype=np.int32) // 2,
    )


def _tree(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return boxes (2 L, 6), axes (2 L,), corners (4 L, 9) and classes (4 L,) of one scene's tree with L leaves."""
    corners = mesh.vertices_w_m[mesh.triangles]  # (F, 3, 3)
    leaves = 1 << max(0, int(np.ceil(np.log2(len(corners) / LEAF_TRIANGLES))))
    order, axis = _parted(corners.mean(axis=1), leaves)
    filled = order < len(corners)
    sorted_corners = np.zeros((len(order), 3, 3), dtype=np.float32)
    sorted_corners[filled] = corners[order[filled]]
    semantic = np.full(len(order), OTHER, dtype=np.uint8)
    semantic[filled] = mesh.semantic[order[filled]]
    lower = np.where(filled[:, None], sorted_corners.min(axis=1), np.float32(NOWHERE_M))
    upper = np.where(filled[:, None], sorted_corners.max(axis=1), np.float32(-NOWHERE_M))
    return _boxes(lower, upper, leaves), axis, sorted_corners.reshape(-1, 9), semantic


def _parted(centre: np.ndarray, leaves: int) -> tuple[np.ndarray, np.ndarray]:
    """Part triangles with centres (F, 3) into halves, along the longest side each time, down to the leaves.

    Returns:
        (LEAF_TRIANGLES * L,) which triangle stands in which row, F and more where none does; (2 L,) int32 axis of each
        node, 0 in leaves.
    """
    rows = leaves * LEAF_TRIANGLES
    padded = np.full((rows, 3), np.inf)
    padded[: len(centre)] = centre
    order, axis = np.arange(rows), np.zeros(2 * leaves, dtype=np.int32)
    nodes = 1
    while nodes < leaves:
        groups = padded[order].reshape(nodes, -1, 3)
        there = np.isfinite(groups)
        side = np.where(there, groups, -np.inf).max(axis=1) - np.where(there, groups, np.inf).min(axis=1)
        longest = side.argmax(axis=1)  # an empty node has sides of -inf
        axis[nodes : 2 * nodes] = longest
        along = np.take_along_axis(groups, longest[:, None, None], axis=2)[..., 0]
        place = np.argsort(along, axis=1, kind="stable")
        order = np.take_along_axis(order.reshape(nodes, -1), place, axis=1).reshape(-1)
        nodes *= 2
    return order, axis


def _boxes(lower: np.ndarray, upper: np.ndarray, leaves: int) -> np.ndarray:
    """Return the boxes (2 L, 6) around triangles whose own corners are (4 L, 3) each."""
    boxes = np.empty((2 * leaves, 6), dtype=np.float32)
    boxes[0] = (NOWHERE_M,) * 3 + (-NOWHERE_M,) * 3
    nodes, low, high = leaves, lower.reshape(leaves, -1, 3), upper.reshape(leaves, -1, 3)
    while nodes:
        boxes[nodes : 2 * nodes, :3], boxes[nodes : 2 * nodes, 3:] = low.min(axis=1), high.max(axis=1)
        below = boxes[nodes : 2 * nodes].reshape(-1, 2 if nodes > 1 else 1, 6)
        low, high = below[..., :3], below[..., 3:]
        nodes //= 2
    return boxes
