"""Compiled ``depth_to_obstacles.obstacle_points``: the same arithmetic in the same order, one robot after the other.

Cached machine code is not renewed when another file changes. So compiled functions here call nothing from other files,
and get the graph's constants as arguments.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from embodiments.spaces import CAMERA_SLICE, DEPTH_RANGE_M
from world_model.local_planner import depth_to_obstacles as graph

_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)


class _Constants(NamedTuple):
    """Those of ``depth_to_obstacles``, by name."""

    low_m: np.float32
    low_per_m: np.float32
    ramp_m: np.float32
    reach_m: np.float32
    epsilon: np.float32
    band_m: np.float32
    band_per_m: np.float32
    sight_m: np.float32
    fade_m: np.float32
    ground_reach_m: np.float32
    ground_noise_m: np.float32
    ground_noise_per_m: np.float32
    pixels: np.float32
    range_m: np.float32


def obstacle_points(depth_m: Tensor, descriptor: Tensor) -> Tensor:
    """Stand in for ``depth_to_obstacles.obstacle_points``."""
    mount_x, mount_z, pitch = descriptor[:, CAMERA_SLICE].unbind(-1)[:3]
    body = torch.stack([mount_x, mount_z, pitch.cos(), pitch.sin(), graph.top_m(descriptor)], dim=1)
    left, up = graph.ray_slopes(depth_m)
    prior = depth_m.new_tensor(graph.TILT).square().reciprocal()
    points = depth_m.new_empty(len(depth_m), depth_m.shape[-1], 6)
    _points(
        depth_m[:, 0].contiguous().numpy(),
        body.numpy(),
        left.flatten().numpy(),
        up.flatten().numpy(),
        prior.numpy(),
        graph.ROUNDS,
        _constants(),
        points.numpy(),
    )
    return points


@functools.cache
def _constants() -> _Constants:
    """Return the graph's constants, as float32 as there."""
    elsewhere = {"range_m": DEPTH_RANGE_M}
    values = {name: elsewhere.get(name, vars(graph).get(name.upper())) for name in _Constants._fields}
    return _Constants(**{name: np.float32(value) for name, value in values.items()})


@njit(cache=True, error_model="numpy")
def _points(
    depth: np.ndarray,
    body: np.ndarray,
    left: np.ndarray,
    up: np.ndarray,
    prior: np.ndarray,
    rounds: int,
    c: _Constants,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (B, W, 6) for depth (B, H, W) and bodies (B, 5): camera's x, z, cos and sin of its pitch, top."""
    batch, height, width = depth.shape
    xyz, trust, noise = np.empty((3, height, width), np.float32), np.empty_like(depth[0]), np.empty_like(depth[0])
    plane = np.empty(3, np.float32)
    for b in range(batch):
        _place(depth[b], body[b], left, up, xyz)
        _trust(depth[b], xyz, c, trust, noise)
        plane[:] = _ZERO
        for _ in range(rounds):
            _solve(_weighted_sums(xyz, trust, noise, plane[0], plane[1], plane[2], c.pixels), prior, plane)
        _choose(depth[b], xyz, plane, body[b, 1], body[b, 4], c, out[b])


@njit(cache=True, error_model="numpy")
def _place(depth: np.ndarray, body: np.ndarray, left: np.ndarray, up: np.ndarray, xyz: np.ndarray) -> None:
    """Fill ``xyz`` (3, H, W): the pixels' places in the body frame."""
    mount_x, mount_z, cos, sin = body[0], body[1], body[2], body[3]
    for h in range(depth.shape[0]):
        ahead, high = cos + sin * up[h], cos * up[h] - sin
        row, x, y, z = depth[h], xyz[0, h], xyz[1, h], xyz[2, h]
        for w in range(row.size):
            x[w] = mount_x + row[w] * ahead
        for w in range(row.size):
            y[w] = row[w] * left[w]
        for w in range(row.size):
            z[w] = mount_z + row[w] * high


@njit(cache=True, error_model="numpy")
def _trust(depth: np.ndarray, xyz: np.ndarray, c: _Constants, trust: np.ndarray, noise: np.ndarray) -> None:
    """Fill in how far pixels (H, W) may be ground, and twice their noise [m]."""
    for h in range(depth.shape[0]):
        row, x, y, z, trusted, noisy = depth[h], xyz[0, h], xyz[1, h], xyz[2, h], trust[h], noise[h]
        for w in range(row.size):
            distance = np.sqrt(x[w] * x[w] + y[w] * y[w] + c.epsilon)
            band = c.band_m + c.band_per_m * distance
            within = min(max((c.ground_reach_m - distance) / _ONE, _ZERO), _ONE)
            near = within * min(max(_TWO - abs(z[w]) / (_HALF * band), _ZERO), _ONE)
            deviation = c.ground_noise_m + c.ground_noise_per_m * distance
            noisy[w] = _TWO * deviation
            trusted[w] = (near if row[w] > _ZERO else _ZERO) / (deviation * deviation)


@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _weighted_sums(
    xyz: np.ndarray,
    trust: np.ndarray,
    noise: np.ndarray,
    offset: np.float32,
    ahead: np.float32,
    aside: np.float32,
    pixels: np.float32,
) -> tuple[np.float32, ...]:
    """Return the weighted sums of 1, x, y, xx, xy, yy, z, xz and yz, added up in as many lanes as the machine has."""
    s = sx = sy = sxx = sxy = syy = sz = sxz = syz = _ZERO
    px, py, pz, trusted, noisy = xyz[0].ravel(), xyz[1].ravel(), xyz[2].ravel(), trust.ravel(), noise.ravel()
    for i in range(trusted.size):
        x, y, z = px[i], py[i], pz[i]
        above = max(z - (offset + ahead * x + aside * y), _ZERO) / noisy[i]
        root = _ONE + above * above
        weight = trusted[i] / (root * root) / pixels
        wx, wy = x * weight, y * weight
        s += weight
        sx += wx
        sy += wy
        sxx += wx * x
        sxy += wx * y
        syy += wy * y
        sz += weight * z
        sxz += wx * z
        syz += wy * z
    return s, sx, sy, sxx, sxy, syy, sz, sxz, syz


@njit(cache=True, error_model="numpy")
def _solve(sums: tuple[np.float32, ...], prior: np.ndarray, plane: np.ndarray) -> None:
    """Fill ``plane`` (3,) with the weighted fit, by Cramer's rule."""
    s, sx, sy, sxx, sxy, syy, sz, sxz, syz = sums
    a, e, i = s + prior[0], sxx + prior[1], syy + prior[2]
    # Columns (a, sx, sy), (sx, e, sxy) and (sy, sxy, i); the products of two of them
    ux, uy, uz = e * i - sxy * sxy, sxy * sy - sx * i, sx * sxy - e * sy
    vx, vy, vz = sxy * sy - i * sx, i * a - sy * sy, sy * sx - sxy * a
    wx, wy, wz = sx * sxy - sy * e, sy * sx - a * sxy, a * e - sx * sx
    determinant = a * ux + sx * uy + sy * uz
    plane[0] = (sz * ux + sxz * uy + syz * uz) / determinant
    plane[1] = (sz * vx + sxz * vy + syz * vz) / determinant
    plane[2] = (sz * wx + sxz * wy + syz * wz) / determinant


@njit(cache=True, error_model="numpy")
def _choose(
    depth: np.ndarray,
    xyz: np.ndarray,
    plane: np.ndarray,
    mount_z: np.float32,
    top: np.float32,
    c: _Constants,
    out: np.ndarray,
) -> None:
    """Level the pixels by the fit, and fill ``out`` (W, 6): every column's most urgent obstacle and farthest ground."""
    height, width = depth.shape
    far, above = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    urgency, until, farthest = np.zeros(width, np.float32), np.empty(width, np.float32), np.zeros(width, np.float32)
    for h in range(height):
        _level(xyz[0, h], xyz[1, h], xyz[2, h], plane, mount_z, c, far[h], above[h])
    out[:, 3] = c.range_m
    for h in range(height):
        for w in range(width):
            if not depth[h, w] > _ZERO:
                weight = _ZERO
            else:
                out[w, 3] = min(out[w, 3], far[h, w])
                below = (top - xyz[2, h, w]) / c.ramp_m
                weight = min(max(min(above[h, w], below), _ZERO), _ONE)
                weight = weight if depth[h, w] < c.range_m else _ZERO
            urgent = weight * np.exp(-far[h, w] / c.reach_m) if weight > _ZERO else _ZERO
            if h == 0 or urgent > urgency[w]:
                urgency[w] = urgent
                out[w, 0], out[w, 1], out[w, 2] = xyz[0, h, w], xyz[1, h, w], weight
                until[w] = c.sight_m + weight * (min(far[h, w], c.sight_m) - c.sight_m)
    for h in range(height):
        for w in range(width):
            level = min(max(_ONE - above[h, w], _ZERO), _ONE) * min(max((until[w] - far[h, w]) / c.fade_m, _ZERO), _ONE)
            level = level if depth[h, w] > _ZERO else _ZERO
            if h == 0 or far[h, w] * level > farthest[w]:
                farthest[w] = far[h, w] * level
                out[w, 4], out[w, 5] = xyz[0, h, w] * level, xyz[1, h, w] * level


@njit(cache=True, error_model="numpy")
def _level(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    plane: np.ndarray,
    mount_z: np.float32,
    c: _Constants,
    far: np.ndarray,
    above: np.ndarray,
) -> None:
    """Turn a row of pixels (W,) back by the ground's apparent slope; fill in distance and height above the ground."""
    offset, ahead, aside = plane[0], plane[1], plane[2]
    for w in range(x.size):
        rise, lowered = z[w] - mount_z, z[w] - offset - ahead * x[w] - aside * y[w]
        x[w] += ahead * rise
        y[w] += aside * rise
        z[w] = lowered
        far[w] = np.sqrt(x[w] * x[w] + y[w] * y[w] + c.epsilon)
        above[w] = (lowered - c.low_m - c.low_per_m * far[w]) / c.ramp_m
