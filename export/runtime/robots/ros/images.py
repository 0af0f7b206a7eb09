"""From ``sensor_msgs/Image`` and ``CameraInfo`` to metres and intrinsics, as REP-117 and REP-118 define them.

Messages are read by their fields only, so nothing of ROS is imported here.
"""

from typing import Any

import numpy as np

from export.runtime.robots.depth_image import Pinhole

FAR_M = 1000.0
"""What +inf becomes: nothing there within the sensor's range."""
PLAUSIBLE_M = (0.02, 100.0)
"""The median reading of an indoor depth camera lies between these; otherwise its unit is another one."""
_ENCODINGS = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}
"""Encoding -> numpy type and metres per unit."""


def metres(image: Any, *, unit_m: float | None = None) -> np.ndarray:
    """Return the planar depth that an image holds.

    16UC1 is in millimetres with 0 = invalid. 32FC1 is in metres; NaN (no reading) and -inf (too near) are invalid, +inf
    means that nothing is within the range.

    Args:
        image: A ``sensor_msgs/Image``, of any row length and byte order.
        unit_m: What one of its units is [m], for a recording against the convention; by default what its encoding says.

    Returns:
        (H, W) float32 [m], 0 = invalid, ``FAR_M`` = nothing within the range.

    Raises:
        ValueError: If its encoding or size is wrong, or its unit seems to be; one line with the mend.
    """
    if image.encoding not in _ENCODINGS:
        raise ValueError(
            f"the depth image has the encoding '{image.encoding}', expected 16UC1 [mm] or 32FC1 [m]; "
            "remap depth/image to the camera's raw depth topic"
        )
    kind, usual_m = _ENCODINGS[image.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if image.is_bigendian else "<")
    height, width, step = int(image.height), int(image.width), int(image.step)
    row, found = width * dtype.itemsize, len(image.data)
    if min(height, width) < 1 or step < row or found < step * (height - 1) + row:
        raise ValueError(
            f"the depth image is damaged: {width} x {height} of {image.encoding} in rows of {step} bytes, "
            f"but {found} bytes came; look for the fault in the camera's driver"
        )
    values = np.ndarray((height, width), dtype, buffer=image.data, strides=(step, dtype.itemsize))
    depth_m = values.astype(np.float32) * np.float32(usual_m if unit_m is None else unit_m)
    depth_m[np.isposinf(depth_m)] = FAR_M
    depth_m[~np.isfinite(depth_m) | (depth_m < 0.0)] = 0.0
    _check_unit(depth_m, image.encoding)
    return depth_m


def _check_unit(depth_m: np.ndarray, encoding: str) -> None:
    few = depth_m[::4, ::4]
    measured = few[(few > 0.0) & (few != FAR_M)]
    if not measured.size:
        return
    middle_m = float(np.median(measured))
    if not PLAUSIBLE_M[0] <= middle_m <= PLAUSIBLE_M[1]:
        raise ValueError(
            f"the depth image reads {middle_m:g} m in the median, which is no room: {encoding} means "
            f"{'metres' if encoding == '32FC1' else 'millimetres'}; publish 16UC1 in mm or 32FC1 in m"
        )


def pinhole(info: Any, image: Any) -> Pinhole:
    """Return the intrinsics of a rectified depth image.

    Args:
        info: Its ``sensor_msgs/CameraInfo``.
        image: The ``sensor_msgs/Image``.

    Raises:
        ValueError: If they do not belong together, or there is no calibration; one line with the mend.
    """
    mend = "remap depth/camera_info to the topic beside the depth image"
    if info.header.frame_id != image.header.frame_id:
        raise ValueError(
            f"the camera info is that of '{info.header.frame_id}', the depth image that of "
            f"'{image.header.frame_id}'; {mend}"
        )
    if (info.width, info.height) != (image.width, image.height):
        raise ValueError(
            f"the camera info is for {info.width} x {info.height} pixels, the depth image has "
            f"{image.width} x {image.height}; {mend}"
        )
    projection, intrinsics = np.asarray(info.p, dtype=np.float64), np.asarray(info.k, dtype=np.float64)
    if projection.shape == (12,) and projection[0] != 0.0:
        fx_px, fy_px, cx_px, cy_px = projection[[0, 5, 2, 6]]
    elif np.any(info.d):
        raise ValueError("the camera info has lens distortion and no projection; give the rectified depth image")
    else:
        fx_px, fy_px, cx_px, cy_px = intrinsics[[0, 4, 2, 5]]
    if not (np.isfinite([fx_px, fy_px, cx_px, cy_px]).all() and min(fx_px, fy_px) > 0.0):
        raise ValueError(
            f"the camera info has focal lengths {fx_px:g} and {fy_px:g} px, so the camera is not calibrated; {mend}"
        )
    return Pinhole(fx_px=float(fx_px), fy_px=float(fy_px), cx_px=float(cx_px), cy_px=float(cy_px))
