"""Whether a depth image is possible by itself, fits the image before it, and changes as the robot's motion says.

Three checks follow each other. Content: form, range, enough valid pixels, some spread, nothing below the ground.
Continuity: a static scene, moved by the odometry, explains most of the next image. Motion: over a few
centimetres or degrees the odometry explains the image better than standing still or turning the other way does.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from export.runtime.driver.depth_prediction import DepthPrediction, motion_b
from export.runtime.driver.odometry_gate import travel
from export.runtime.driver.readings import OPEN
from export.runtime.robots.robot import Depth, Odometry

AGAINST_MOTION = "depth_against_motion"


@dataclass(frozen=True, kw_only=True)
class DepthGateConfig:
    """Limits of a plausible depth image."""

    age_s: float = 0.22
    """Three frames of a camera at 15 Hz"""
    valid_fraction: float = 0.15
    """Of the pixels that the camera sees; with fewer it is covered, blinded or losing data"""
    spread: float = 0.02
    """Least relative range of the depths in an image; no surface is seen at one depth by a camera that looks down"""
    spread_pitch_rad: float = 0.05
    """A camera that looks down by less may face a flat wall"""
    ground_factor: float = 1.25
    """Nothing lies below the ground: looking down, no pixel may be further than the ground times this"""
    ground_fraction: float = 0.3
    """Fraction of the pixels looking down that may be wrong about that"""
    frozen_s: float = 0.2
    """An image that does not change for this long while the robot moves is frozen"""
    changed_m: float = 0.0005
    """Mean change of the valid pixels below which an image shows the same"""
    agreement: float = 0.5
    """Fraction of the pixels that the image before must explain"""
    mirrored: float = 0.08
    """A mirrored image that agrees by this much more is the true one"""
    compared_px: int = 150
    """With fewer pixels in common images are not compared"""
    follows_motion: bool = True
    """False on blocks: the wheels turn, and the images show that the robot stands"""
    moved_m: float = 0.04
    moved_rad: float = 0.05
    """Images this far apart show which motion was true"""
    lag_s: float = 0.12
    """An image may be this much older than its receipt; both its pose then and its pose now must contradict it"""
    window_s: float = 1.0
    """Images further apart in time are not compared"""
    error_m: float = 0.02
    """A pixel votes for the motion that explains it better by this much"""
    votes: int = 60
    """Votes against the odometry's motion that close the gate, if they are four times those for it"""
    blind_travel_m: float = 0.5
    """Somewhere on this much travel the ground must be seen"""


class DepthGate:
    """Judges every new image; remembers the last accepted ones with the odometry of their receipt."""

    def __init__(self, embodiment: Embodiment, config: DepthGateConfig) -> None:
        self._config = config
        self._camera = DepthPrediction(embodiment)
        self._tilts_down = embodiment.camera.pitch_rad > config.spread_pitch_rad
        self._last: Depth | None = None
        self._content = OPEN
        self._poses: deque[tuple[float, np.ndarray]] = deque()
        """(time [s], pose) over the last ``lag_s``, oldest first"""
        self._accepted: deque[tuple[float, np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=16)
        """(time [s], image, pose, pose ``lag_s`` before) of images that agreed, oldest first"""
        self._still: np.ndarray | None = None
        """The image since which nothing has changed"""
        self._changed_s = np.inf
        self._is_frozen = False
        self._ground_pose: np.ndarray | None = None
        self._blind_travel_m = 0.0
        self._sees_ground = False

    @property
    def sees_ground(self) -> bool:
        """Whether the last image shows ground where flat ground must be."""
        return self._sees_ground

    def check(self, depth: Depth, odometry: Odometry, *, is_moving: bool, now_s: float) -> str:
        """Return the gate that an image closes, or ``OPEN``."""
        self._poses.append((now_s, odometry.pose))
        while len(self._poses) > 1 and self._poses[1][0] <= now_s - self._config.lag_s:
            self._poses.popleft()
        last = self._last
        if last is not None and depth.sequence < last.sequence:
            return "depth_reordered"
        self._last = depth
        if last is None or depth.sequence != last.sequence:
            self._content = self._check_content(depth.image_m)
            if self._content == OPEN:
                self._content = self._check_continuity(depth.image_m, odometry.pose, now_s=now_s)
        if not is_moving:  # at rest the same picture may come twice; but a frozen one stays closed until it changes
            self._changed_s = now_s
        self._is_frozen |= now_s - self._changed_s > self._config.frozen_s
        return self._content or ("depth_frozen" if self._is_frozen else OPEN)

    def forget(self) -> None:
        """Judge the next image by itself alone: the operator arms, or the odometry jumped."""
        self._accepted.clear()
        self._poses.clear()
        self._ground_pose, self._blind_travel_m = None, 0.0

    def _check_content(self, image_m: np.ndarray) -> str:
        config, camera = self._config, self._camera
        if image_m.shape != (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX):
            return "depth_shape"
        if not np.isfinite(image_m).all():
            return "depth_not_finite"
        if float(image_m.min()) < 0.0 or float(image_m.max()) > DEPTH_RANGE_M * 1.001:
            return "depth_range"
        valid = image_m > 0.0
        if float(valid[camera.visible].mean()) < config.valid_fraction:
            return "depth_blind"
        low_m, high_m = np.percentile(image_m[valid], (5.0, 95.0))
        if self._tilts_down and high_m < low_m * (1.0 + config.spread):
            return "depth_constant"
        looks_down = valid & np.isfinite(camera.ground_m)
        under = image_m > config.ground_factor * camera.ground_m
        if looks_down.any() and float(under[looks_down].mean()) > config.ground_fraction:
            return "depth_under_the_ground"
        return OPEN

    def _check_continuity(self, image_m: np.ndarray, pose: np.ndarray, *, now_s: float) -> str:
        changes = self._notice_change(image_m, now_s=now_s)
        self._sees_ground = self._camera.sees_ground(image_m)
        gate = self._compare(image_m, pose) or self._check_ground(pose)
        if gate == OPEN:
            gate = self._check_motion(image_m, pose, now_s=now_s) if changes and self._config.follows_motion else OPEN
            self._accepted.append((now_s, image_m, pose, self._poses[0][1]))
        return gate

    def _notice_change(self, image_m: np.ndarray, *, now_s: float) -> bool:
        """Return whether an image shows something new, but for noise far below any camera's."""
        if self._still is not None:
            both = (image_m > 0.0) & (self._still > 0.0)
            flipped = float(((image_m > 0.0) != (self._still > 0.0)).mean())
            change_m = float(np.abs(image_m - self._still)[both].mean()) if both.any() else np.inf
            if flipped < 0.002 and change_m < self._config.changed_m:
                return False
        self._still, self._changed_s, self._is_frozen = image_m, now_s, False
        return True

    def _compare(self, image_m: np.ndarray, pose: np.ndarray) -> str:
        """Compare an image with what the last accepted one predicts."""
        if not self._accepted:
            return OPEN
        _, before_m, before, _ = self._accepted[-1]
        predicted_m = self._camera.predict(before_m, motion_b(before, pose))
        agreement, count = self._camera.agreement(predicted_m, image_m)
        if count < self._config.compared_px:
            return OPEN
        if agreement < self._config.agreement:
            return "depth_jump"
        mirrored, _ = self._camera.agreement(predicted_m, image_m[:, ::-1])
        return "depth_mirrored" if mirrored > agreement + self._config.mirrored else OPEN

    def _check_ground(self, pose: np.ndarray) -> str:
        """Require that the ground is seen now and then: at a wrong scale it is nowhere."""
        if self._ground_pose is None or self._sees_ground:
            self._blind_travel_m = 0.0
        else:
            self._blind_travel_m += travel(self._ground_pose, pose)[0]
        self._ground_pose = pose
        return "depth_no_ground" if self._blind_travel_m > self._config.blind_travel_m else OPEN

    def _check_motion(self, image_m: np.ndarray, pose: np.ndarray, *, now_s: float) -> str:
        """Compare the odometry's motion since an earlier image with no motion, and with turning the other way."""
        lagged = self._poses[0][1]
        for time_s, before_m, before, lagged_before in reversed(self._accepted):
            motions = [motion_b(before, pose), motion_b(lagged_before, lagged)]
            if now_s - time_s > self._config.window_s:
                break
            if all(self._is_far(motion) for motion in motions):
                contradicts = all(self._contradicts(before_m, motion, image_m) for motion in motions)
                return AGAINST_MOTION if contradicts else OPEN
        return OPEN

    def _is_far(self, motion: np.ndarray) -> bool:
        turned_rad = abs(float(motion[2]))
        return float(np.hypot(*motion[:2])) >= self._config.moved_m or turned_rad >= self._config.moved_rad

    def _contradicts(self, before_m: np.ndarray, motion: np.ndarray, image_m: np.ndarray) -> bool:
        """Return whether many pixels, and most that vote, explain an image better by another motion (3,)."""
        config = self._config
        others = [np.zeros(3)]
        if abs(float(motion[2])) >= config.moved_rad:
            others.append(motion * [1.0, 1.0, -1.0])
        error_m = self._camera.error_m(before_m, motion, image_m)
        for other in others:
            better_m = error_m - self._camera.error_m(before_m, other, image_m)  # nan votes for neither
            against, in_favour = int((better_m > config.error_m).sum()), int((better_m < -config.error_m).sum())
            if against >= config.votes and against > 4 * in_favour:
                return True
        return False
