"""Shows moments in Rerun: world, depth image, costmap, plan, people, and velocities over time."""

import math
import uuid
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import (
    DEPTH_FOCAL_PX,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
    HEIGHT_LAYERS_M,
)
from export.runtime.recording.messages import optical
from export.runtime.viewing.local_map import CELL_M, CELLS, LocalMap
from export.runtime.viewing.moment import Anticipated, Moment
from export.runtime.viewing.view import Target, parse

MISSING = "--view needs a package: pip install rerun-sdk==0.41.0"
ROBOT, CAMERA, COSTMAP = "world/robot", "world/robot/camera", "world/costmap"
COMPONENTS = ("vx_mps", "vy_mps", "yaw_rate_radps")
_TIME = "time"
_PERSON_M = (0.25, 1.7)
"""Radius and height"""
_ROUTE, _PLAN, _GOAL, _BODY, _PERSON = (
    (70, 130, 230),
    (40, 170, 90),
    (230, 160, 30),
    (60, 60, 60),
    (215, 40, 40),
)
_FLUSH_S = 5.0


def target(option: str) -> Target:
    """Return where ``--view`` goes, or refuse it before any work.

    Raises:
        ValueError: If it cannot be read, or the package is missing.
    """
    found = parse(option)
    _rerun()
    return found


class RerunViewer:
    """One recording: in a window, which is opened or found open, or in a file, which is written anew."""

    def __init__(self, goes_to: Target, embodiment: Embodiment, *, name: str) -> None:
        """Begin.

        Args:
            embodiment: Whose footprint and camera are shown.
            name: Of the recording.

        Raises:
            ValueError: If the package is missing.
            OSError: If the file cannot be written or no window can be opened.
        """
        self._rr = rr = _rerun()
        self._stream = rr.RecordingStream("crossbody", recording_id=uuid.uuid4())
        self._began_s: float | None = None
        self._status = ""
        try:
            if goes_to.file is None:
                self._stream.spawn(default_blueprint=self._blueprint())
            else:
                goes_to.file.parent.mkdir(parents=True, exist_ok=True)
                self._stream.save(goes_to.file, default_blueprint=self._blueprint())
        except RuntimeError as error:
            raise OSError(f"no view: {' '.join(str(error).split())}; --view rerun:FILE.rrd needs no screen") from None
        self._stream.send_recording_name(name)
        self._log_body(embodiment)

    def show(self, moment: Moment) -> None:
        """Log a moment."""
        rr = self._rr
        self._began_s = moment.time_s if self._began_s is None else self._began_s
        self._stream.set_time(_TIME, duration=moment.time_s - self._began_s)
        self._log(ROBOT, self._transform(moment.pose_w))
        if moment.depth_m is not None:
            image = np.ascontiguousarray(moment.depth_m, dtype=np.float32)
            self._log(f"{CAMERA}/depth", rr.DepthImage(image, meter=1.0, depth_range=(0.0, DEPTH_RANGE_M)))
        self._log_goal(moment)
        if moment.local_map is not None:
            self._log_costmap(moment.local_map, moment)
        if moment.anticipated is not None:
            self._log(f"{ROBOT}/anticipated", self._anticipated(moment.anticipated))
        self._log("world/people", self._people(moment.people_xy_w))
        series = {"measured": moment.velocity_b, "command": moment.command, "asked": moment.asked}
        for kind, values in series.items():
            for component, value in zip(COMPONENTS, () if values is None else values, strict=False):
                self._log(f"velocity/{component}/{kind}", rr.Scalars(float(value)))
        if moment.status != self._status:
            self._status = moment.status
            self._log("status", rr.TextLog(moment.status or "driving"))

    def close(self) -> None:
        """Write what is waiting."""
        self._stream.flush(timeout_sec=_FLUSH_S)
        self._stream.disconnect()

    def _log(self, path: str, *what: Any, static: bool = False) -> None:
        self._stream.log(path, *what, static=static)

    def _log_body(self, embodiment: Embodiment) -> None:
        """Log what stays: footprint by height layer, and the camera on the body."""
        rr, camera = self._rr, embodiment.camera
        angle = np.linspace(0.0, 2.0 * np.pi, 33)
        circles = [
            np.stack(
                [
                    disc.x_m + disc.radius_m * np.cos(angle),
                    disc.y_m + disc.radius_m * np.sin(angle),
                    0.0 * angle + low_m,
                ],
                axis=1,
            )
            for (low_m, _), discs in zip(HEIGHT_LAYERS_M, embodiment.footprint, strict=True)
            for disc in discs
        ]
        self._log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._log(f"{ROBOT}/footprint", rr.LineStrips3D(circles, colors=_BODY), static=True)
        turn = optical(float(camera.pitch_rad))
        rotation = rr.Quaternion(xyzw=[turn[axis] for axis in "xyzw"])
        place = [camera.x_m, 0.0, camera.z_m]
        self._log(CAMERA, rr.Transform3D(translation=place, quaternion=rotation), static=True)
        lens = rr.Pinhole(
            focal_length=DEPTH_FOCAL_PX,
            width=DEPTH_WIDTH_PX,
            height=DEPTH_HEIGHT_PX,
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=0.3,
        )
        self._log(f"{CAMERA}/depth", lens, static=True)

    def _log_goal(self, moment: Moment) -> None:
        rr = self._rr
        route, goal = moment.route_xy_b_m, moment.goal_b
        if route is None or goal is None:
            self._log(f"{ROBOT}/route", rr.Clear(recursive=False))
            self._log(f"{ROBOT}/goal", rr.Clear(recursive=False))
            return
        self._log(f"{ROBOT}/route", rr.LineStrips3D([_raised(np.vstack([np.zeros(2), route]))], colors=_ROUTE))
        arrow = rr.Arrows3D(origins=[[*goal[:2], 0.05]], vectors=[[0.5 * goal[2], 0.5 * goal[3], 0.0]], colors=_GOAL)
        self._log(f"{ROBOT}/goal", arrow)

    def _log_costmap(self, found: LocalMap, moment: Moment) -> None:
        """Log the costmap where the body is, and the path on it."""
        rr = self._rr
        self._log(COSTMAP, self._transform(_frame_of(moment.pose_w, found.pose)))
        image = 0.75 + 0.25 * found.seen
        image = image * (1.0 - found.evidence) + 0.15 * found.evidence
        corner_m = -0.5 * CELLS * CELL_M
        self._log(f"{COSTMAP}/measured", self._grid(image, cell_m=CELL_M, corner=(corner_m, corner_m), height_m=-0.02))
        if moment.goal_b is not None:
            strip = rr.LineStrips3D([_raised(found.plan_xy(moment.goal_b))], colors=_PLAN, radii=0.03)
            self._log(f"{COSTMAP}/plan", strip)

    def _anticipated(self, around: Anticipated) -> Any:
        """Return still things in black, people now in red and in a second in orange."""
        image = np.repeat(around.distance[..., None], 3, axis=-1)
        for probability, colour in ((around.later, (0.95, 0.65, 0.2)), (around.now, (0.85, 0.15, 0.15))):
            image = image * (1.0 - probability[..., None]) + probability[..., None] * np.asarray(colour)
        return self._grid(image, cell_m=around.cell_m, corner=around.corner_b_m, height_m=-0.01)

    def _grid(self, image: np.ndarray, *, cell_m: float, corner: tuple[float, float], height_m: float) -> Any:
        """Return an image (H, W) or (H, W, 3) in [0, 1] on the ground, row 0 at the least y."""
        rr = self._rr
        colours = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
        pixels = np.ascontiguousarray(255.0 * np.clip(colours[::-1], 0.0, 1.0), dtype=np.uint8)  # row 0 is the top one
        height, width, _ = pixels.shape
        form = rr.components.ImageFormat(width=width, height=height, color_model="RGB", channel_datatype="U8")
        return rr.GridMap(
            data=pixels.tobytes(), format=form, cell_size=cell_m, translation=[*corner, height_m], opacity=0.8
        )

    def _people(self, xy_w: np.ndarray) -> Any:
        rr = self._rr
        if not len(xy_w):
            return rr.Clear(recursive=False)
        radius_m, height_m = _PERSON_M
        centres = np.column_stack([xy_w, np.full(len(xy_w), height_m / 2.0)])
        sizes = {"radii": [radius_m] * len(xy_w), "lengths": [height_m] * len(xy_w)}
        return rr.Cylinders3D(centers=centres, colors=_PERSON, **sizes)

    def _transform(self, pose: np.ndarray) -> Any:
        rr = self._rr
        x, y, yaw = (float(value) for value in pose)
        turn = rr.RotationAxisAngle(axis=[0.0, 0.0, 1.0], radians=yaw)
        return rr.Transform3D(translation=[x, y, 0.0], rotation=turn)

    def _blueprint(self) -> Any:
        """Return how the window is divided: the world, the image, and the three velocities."""
        from rerun import blueprint

        series = [blueprint.TimeSeriesView(origin=f"velocity/{name}", name=name) for name in COMPONENTS]
        side = [blueprint.Spatial2DView(origin=f"{CAMERA}/depth", name="depth"), *series]
        status = blueprint.TextLogView(origin="status", name="status")
        world = blueprint.Vertical(blueprint.Spatial3DView(origin="world"), status, row_shares=[6, 1])
        return blueprint.Blueprint(
            blueprint.Horizontal(world, blueprint.Vertical(*side), column_shares=[2, 1]), collapse_panels=True
        )


def _frame_of(pose_w: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Return the world pose (3,) of the frame in which the body's world pose is ``pose``."""
    yaw = float(pose_w[2] - pose[2])
    cos, sin = math.cos(yaw), math.sin(yaw)
    x, y = float(pose[0]), float(pose[1])
    return np.asarray([pose_w[0] - cos * x + sin * y, pose_w[1] - sin * x - cos * y, yaw])


def _raised(xy: np.ndarray) -> np.ndarray:
    """Return ground points (P, 2) as points (P, 3) that a grid does not hide."""
    return np.column_stack([xy, np.full(len(xy), 0.03)])


def _rerun() -> Any:
    try:
        import rerun
    except ImportError:
        raise ValueError(MISSING) from None
    return rerun
