# mypy: ignore-errors
"""The kernel of ``device_caster``: one thread per ray walks a tree of boxes.

Written in Quadrants, the language of the simulator's own kernels; annotations are its types. It is compiled for the
device on which Quadrants was started, in the simulation by Genesis.
"""

import numpy as np
import quadrants as qd

from scenes import box_tree
from scenes.scene import OTHER

_TRIANGLES = box_tree.LEAF_TRIANGLES
_MISS = OTHER
FAR = 1e30
"""Where a ray ends that hits nothing: compiled code may take it that no number is infinite."""
_EPSILON = float(np.finfo(np.float32).eps)
_LEAST_DIRECTION = 1e-20
"""Smallest component of a direction that is divided by"""


@qd.kernel
def cast(
    boxes: qd.types.ndarray(),
    axis: qd.types.ndarray(),
    corners: qd.types.ndarray(),
    semantic: qd.types.ndarray(),
    first_node: qd.types.ndarray(),
    first_triangle: qd.types.ndarray(),
    leaves: qd.types.ndarray(),
    scene_index: qd.types.ndarray(),
    origin: qd.types.ndarray(),
    direction: qd.types.ndarray(),
    distance: qd.types.ndarray(),
    found: qd.types.ndarray(),
):
    """Write where rays hit first: all but the last five arguments are ``box_tree.BoxTrees``.

    Args:
        scene_index: (B,) int32.
        origin: (B, 3) float32.
        direction: (B, R, 3) float32.
        distance: (B, R) float32, filled here; ``FAR`` on a miss.
        found: (B, R) uint8, filled here with semantic classes.
    """
    for batch, ray in qd.ndrange(direction.shape[0], direction.shape[1]):
        scene = scene_index[batch]
        root, base, leaf_from = first_node[scene], first_triangle[scene], leaves[scene]
        start = qd.math.vec3(origin[batch, 0], origin[batch, 1], origin[batch, 2])
        along = qd.math.vec3(direction[batch, ray, 0], direction[batch, ray, 1], direction[batch, ray, 2])
        sign = qd.select(along >= 0.0, 1.0, -1.0)
        inverse = sign / qd.max(qd.abs(along), _LEAST_DIRECTION)
        nearest, row = FAR, -1
        node = 1
        while node > 0:
            enters = _enters(boxes, root + node, start, inverse, nearest)
            if enters and node < leaf_from:
                node = 2 * node + qd.i32(along[axis[root + node]] < 0.0)  # the nearer half first
            else:
                if enters:
                    begin = base + (node - leaf_from) * _TRIANGLES
                    for offset in range(_TRIANGLES):
                        hit = _hit(corners, begin + offset, start, along)
                        if hit < nearest:
                            nearest = hit
                            row = begin + offset
                node = _next(axis, root, node, along)
        distance[batch, ray] = nearest
        found[batch, ray] = qd.select(row < 0, qd.u8(_MISS), semantic[qd.max(row, 0)])


@qd.func
def _next(axis: qd.template(), root: qd.i32, node: qd.i32, along: qd.math.vec3):
    """Return the node to visit after all below ``node``, 0 after the last."""
    at = node
    done = False
    while at > 1 and not done:
        above = at // 2
        farther = 2 * above + qd.i32(along[axis[root + above]] >= 0.0)
        if at != farther:
            at = farther
            done = True
        else:
            at = above
    return qd.select(done, at, 0)


@qd.func
def _enters(boxes: qd.template(), row: qd.i32, start: qd.math.vec3, inverse: qd.math.vec3, nearest: qd.f32):
    """Return whether a ray passes a box before ``nearest``; never false where it touches it."""
    lower = qd.math.vec3(boxes[row, 0], boxes[row, 1], boxes[row, 2])
    upper = qd.math.vec3(boxes[row, 3], boxes[row, 4], boxes[row, 5])
    first, second = (lower - start) * inverse, (upper - start) * inverse
    near, far = qd.min(first, second), qd.max(first, second)
    enter = qd.max(near.x, near.y, near.z, 0.0)
    leave = qd.min(far.x, far.y, far.z)
    slack = 4.0 * _EPSILON
    return lower.x <= upper.x and enter * (1.0 - slack) <= leave * (1.0 + slack) and enter * (1.0 - slack) < nearest


@qd.func
def _hit(corners: qd.template(), row: qd.i32, start: qd.math.vec3, along: qd.math.vec3):
    """Return where a ray meets a triangle, in lengths of the direction; ``FAR`` if it does not.

    Pluecker's test as in Embree's robust mode, which the caster on the CPU uses: two triangles compute the same number
    for the edge that they share, and one that is lost in rounding counts for both, so no ray passes between them.
    """
    a = qd.math.vec3(corners[row, 0], corners[row, 1], corners[row, 2]) - start
    b = qd.math.vec3(corners[row, 3], corners[row, 4], corners[row, 5]) - start
    c = qd.math.vec3(corners[row, 6], corners[row, 7], corners[row, 8]) - start
    ca, ab, bc = c - a, a - b, b - c
    u, v, w = ca.cross(c + a).dot(along), ab.cross(a + b).dot(along), bc.cross(b + c).dot(along)
    slack = _EPSILON * qd.abs(u + v + w)
    normal = ca.cross(ab)
    facing = normal.dot(along)
    result = FAR
    if facing != 0.0 and (qd.min(u, v, w) >= -slack or qd.max(u, v, w) <= slack):
        reached = normal.dot(a) / facing
        if reached > 0.0:
            result = reached
    return result
