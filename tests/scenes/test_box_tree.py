"""The trees of boxes: every triangle is in one leaf, every box holds what is below it."""

import numpy as np
import pytest

from scenes import box_tree, registry
from scenes.mesh import to_mesh
from scenes.scene import Scene

KINDS = ("office", "clutter", "doorways")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Return scenes of different sizes."""
    return [registry.generate(kind, split="val", index=0) for kind in KINDS]


def test_every_triangle_stands_in_one_row_with_its_class(scenes: list[Scene]) -> None:
    trees = box_tree.build(scenes)
    for number, scene in enumerate(scenes):
        mesh = to_mesh(scene)
        first, count = trees.first_triangle[number], trees.leaves[number] * box_tree.LEAF_TRIANGLES
        rows = np.column_stack([trees.corners[first : first + count], trees.semantic[first : first + count]])
        there = rows[rows[:, :9].any(axis=1)]
        expected = np.column_stack([mesh.vertices_w_m[mesh.triangles].reshape(-1, 9), mesh.semantic])
        assert sorted(map(tuple, there)) == sorted(map(tuple, expected))


def test_a_box_is_the_hull_of_its_halves_and_a_leaf_that_of_its_triangles(scenes: list[Scene]) -> None:
    trees = box_tree.build(scenes)
    for number in range(len(scenes)):
        leaves, root = int(trees.leaves[number]), int(trees.first_node[number])
        for node in range(1, leaves):
            halves = trees.boxes[root + 2 * node : root + 2 * node + 2]
            assert (trees.boxes[root + node, :3] == halves[:, :3].min(axis=0)).all()
            assert (trees.boxes[root + node, 3:] == halves[:, 3:].max(axis=0)).all()
        for leaf in range(leaves):
            row = int(trees.first_triangle[number]) + leaf * box_tree.LEAF_TRIANGLES
            corners = trees.corners[row : row + box_tree.LEAF_TRIANGLES]
            points = corners[corners.any(axis=1)].reshape(-1, 3)
            box = trees.boxes[root + leaves + leaf]
            if not len(points):
                assert (box[:3] > box[3:]).all()
                continue
            assert (box[:3] == points.min(axis=0)).all() and (box[3:] == points.max(axis=0)).all()


def test_the_lower_half_is_the_first_child(scenes: list[Scene]) -> None:
    trees = box_tree.build(scenes[:1])
    axis = trees.axis[1]
    leaves = int(trees.leaves[0])
    centres = trees.corners.reshape(-1, 3, 3).mean(axis=1)[:, axis]
    filled = trees.corners.any(axis=1)
    lower, upper = (np.split(values, 2) for values in (centres, filled))
    assert lower[0][upper[0]].max() <= lower[1][upper[1]].min()
    assert len(trees.boxes) == 2 * leaves


def test_no_scene_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        box_tree.build([])
