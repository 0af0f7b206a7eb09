"""The D435i on Stretch's head, which is mounted on its side. No vendor package is needed."""

import numpy as np

from export.runtime.robots.depth_image import Pinhole

CAMERA_WIDTH_PX, CAMERA_HEIGHT_PX, CAMERA_HZ = 848, 480, 15
"""As the sensor delivers it, lying on its side."""


def upright(image: np.ndarray, pinhole: Pinhole) -> tuple[np.ndarray, Pinhole]:
    """Turn an image of the head camera, which is mounted on its side, by a quarter clockwise.

    Args:
        image: (H, W).
        pinhole: Of that image.

    Returns:
        (W, H), top of the world in row 0, and its intrinsics.
    """
    fx_px, fy_px, cx_px, cy_px = pinhole
    turned = Pinhole(fx_px=fy_px, fy_px=fx_px, cx_px=image.shape[0] - 1 - cy_px, cy_px=cx_px)
    return np.rot90(image, -1), turned
