"""ROS 2 messages from readings, as dictionaries: REP-103 units and axes, REP-105 frames, REP-118 depth."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embodiments.embodiment import DepthCamera
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX
from scenes.grid import Grid

ODOM, BASE, CAMERA = "odom", "base_link", "depth_optical_frame"
"""Frames: of the odometry, of the body, of the depth image (z along the optical axis, x right, y down)."""
Message = dict[str, Any]


def header(time_ns: int, frame: str) -> Message:
    """Return a header of a time [ns since 1970]."""
    seconds, rest = divmod(time_ns, 10**9)
    return {"stamp": {"sec": seconds, "nanosec": rest}, "frame_id": frame}


def depth_image(time_ns: int, depth_mm: np.ndarray) -> Message:
    """Return a depth image (H, W) uint16 [mm], 0 = invalid, as ``16UC1``."""
    return _image(time_ns, depth_mm.astype("<u2", copy=False), "16UC1")


def class_image(time_ns: int, semantic: np.ndarray) -> Message:
    """Return an image (H, W) uint8 of semantic classes as ``8UC1``."""
    return _image(time_ns, semantic.astype("u1", copy=False), "8UC1")


def _image(time_ns: int, values: np.ndarray, encoding: str) -> Message:
    height, width = values.shape
    return {
        "header": header(time_ns, CAMERA),
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": width * values.itemsize,
        "data": values.tobytes(),
    }


def camera_info(time_ns: int) -> Message:
    """Return the intrinsics of the canonical depth image; ROS counts pixel centres at integers."""
    cx_px, cy_px = DEPTH_WIDTH_PX / 2.0 - 0.5, DEPTH_HEIGHT_PX / 2.0 - 0.5
    intrinsics = [DEPTH_FOCAL_PX, 0.0, cx_px, 0.0, DEPTH_FOCAL_PX, cy_px, 0.0, 0.0, 1.0]
    return {
        "header": header(time_ns, CAMERA),
        "height": DEPTH_HEIGHT_PX,
        "width": DEPTH_WIDTH_PX,
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": intrinsics,
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [*intrinsics[:3], 0.0, *intrinsics[3:6], 0.0, *intrinsics[6:], 0.0],
        "binning_x": 0,
        "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
    }


def odometry(time_ns: int, pose: Sequence[float], velocity_b: Sequence[float]) -> Message:
    """Return x, y [m], yaw [rad] of the body in the odometry frame, and its velocity in the body frame."""
    return {
        "header": header(time_ns, ODOM),
        "child_frame_id": BASE,
        "pose": {"pose": _pose(*pose), "covariance": [0.0] * 36},
        "twist": {"twist": _twist(velocity_b), "covariance": [0.0] * 36},
    }


def twist(time_ns: int, command: Sequence[float]) -> Message:
    """Return a command vx, vy [m/s], yaw rate [rad/s] in the body frame."""
    return {"header": header(time_ns, BASE), "twist": _twist(command)}


def goal(time_ns: int, goal_b: Sequence[float]) -> Message:
    """Return a goal x, y [m], cos and sin of the relative heading, in the body frame."""
    x, y, cos, sin = (float(value) for value in goal_b)
    return {"header": header(time_ns, BASE), "pose": _pose(x, y, math.atan2(sin, cos))}


def route(time_ns: int, route_xy_b_m: np.ndarray) -> Message:
    """Return route points (R, 2) [m] in the body frame."""
    same = header(time_ns, BASE)
    points = np.asarray(route_xy_b_m, dtype=np.float64).tolist()
    return {"header": same, "poses": [{"header": same, "pose": _pose(x, y, 0.0)} for x, y in points]}


def transforms(time_ns: int, pose: Sequence[float], camera: DepthCamera) -> Message:
    """Return where the body is in the odometry frame, and where the camera is on the body.

    The camera is part of every message, so that a player that begins in the middle of a file knows it, too.
    """
    x, y, yaw = pose
    lens = (float(camera.x_m), 0.0, float(camera.z_m))
    links = [
        (ODOM, BASE, (float(x), float(y), 0.0), _about_z(float(yaw))),
        (BASE, CAMERA, lens, optical(float(camera.pitch_rad))),
    ]
    return {
        "transforms": [
            {
                "header": header(time_ns, parent),
                "child_frame_id": child,
                "transform": {"translation": _xyz(*place), "rotation": rotation},
            }
            for parent, child, place, rotation in links
        ]
    }


def optical(pitch_rad: float) -> Message:
    """Return the quaternion from an optical frame to the body frame, of a camera pitched down by ``pitch_rad``.

    Level, the optical axis z is the body's x, and x right is the body's -y.
    """
    angle = 0.5 * pitch_rad
    cos, sin = 0.5 * math.cos(angle), 0.5 * math.sin(angle)  # (pitch about y) * (-0.5, 0.5, -0.5, 0.5)
    return {"x": -cos - sin, "y": cos + sin, "z": sin - cos, "w": cos - sin}


def occupancy_grid(time_ns: int, occupied: Grid) -> Message:
    """Return a map (H, W) bool, row 0 the lowest y, in the odometry frame: 100 = occupied, 0 = free."""
    height, width = occupied.values.shape
    return {
        "header": header(time_ns, ODOM),
        "info": {
            "map_load_time": header(time_ns, ODOM)["stamp"],
            "resolution": float(occupied.resolution_m),
            "width": width,
            "height": height,
            "origin": _pose(*occupied.origin_xy_w_m, 0.0),
        },
        "data": (100 * occupied.values.astype(np.int8)).ravel().tolist(),
    }


def floats(parts: Mapping[str, np.ndarray]) -> Message:
    """Return named vectors one after the other; the layout says their names and lengths, each dimension one part."""
    dimensions = [{"label": name, "size": int(np.size(value)), "stride": 1} for name, value in parts.items()]
    values = [np.ravel(np.asarray(value, dtype=np.float32)) for value in parts.values()]
    return {"layout": {"dim": dimensions, "data_offset": 0}, "data": np.concatenate(values).tolist()}


def _pose(x_m: float, y_m: float, yaw_rad: float) -> Message:
    return {"position": _xyz(float(x_m), float(y_m), 0.0), "orientation": _about_z(float(yaw_rad))}


def _twist(velocity: Sequence[float]) -> Message:
    x, y, turn = (float(value) for value in velocity)
    return {"linear": _xyz(x, y, 0.0), "angular": _xyz(0.0, 0.0, turn)}


def _xyz(x: float, y: float, z: float) -> Message:
    return {"x": x, "y": y, "z": z}


def _about_z(angle_rad: float) -> Message:
    return {"x": 0.0, "y": 0.0, "z": math.sin(0.5 * angle_rad), "w": math.cos(0.5 * angle_rad)}
