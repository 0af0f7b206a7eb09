"""One robot in full physics behind a real robot's interface: commands arrive any time, sensors have their own rates.

It answers requests in bytes, over a socket or in one process. The client is ``export/runtime/robots/sim.py``.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from embodiments.embodiment import Embodiment
from embodiments.spaces import CONTROL_DT_S, DRIVE_HZ, LIMIT_FIELDS
from export.runtime.robots.fake import (
    CAMERA_HZ,
    COASTING_PER_S,
    FIRMWARE_TIMEOUT_S,
    ODOMETRY_HZ,
)
from export.runtime.robots.lidar import LIDAR_HEIGHT_M, LIDAR_RANGE_M, LIDAR_X_M, ray_ends_b_m, seen_points_b_m
from pipeline.simulation.navigation.episodes import SceneFields
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.drives import make_drive
from pipeline.simulation.physics.fields import FieldBank
from pipeline.simulation.physics.randomisation import nominal
from pipeline.simulation.physics.robot_physics import RobotPhysics
from pipeline.simulation.sensors.depth_camera import DepthCamera
from pipeline.simulation.sensors.ray_caster import HostCaster
from scenes.raycasting import SceneRaycaster
from scenes.scene import Scene
from world_model.local_planner.frames import to_body, wrap_angle

TICK_S = 1.0 / DRIVE_HZ
LIDAR_HZ, LIDAR_RAYS = 8.0, 360


@dataclass(kw_only=True)
class _Motion:
    """The last command of the base and the motion that it executes."""

    target: np.ndarray
    acceleration: np.ndarray
    executed: np.ndarray
    commanded_s: float


class LiveRobot:
    """Physics, sensors and the motion profile of the base; one per process."""

    def __init__(
        self, embodiment: Embodiment, *, scenes: Sequence[Scene], fields: Sequence[SceneFields], seed: int = 0
    ) -> None:
        """Place the robot at the origin of the first scene.

        Args:
            fields: Distance fields of the scenes, for the request ``truth``.
        """
        self.embodiment = embodiment
        self._physics = RobotPhysics(embodiment, num_envs=1, seed=seed)
        self._drive = make_drive(embodiment, self._physics)
        self._raycaster = SceneRaycaster(scenes)
        self._camera = DepthCamera(HostCaster(self._raycaster), self._physics, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        self._body = BodyBatch(embodiment, num_envs=1, block=nominal(), generator=generator, device="cpu")
        self._distance = FieldBank([field.distance for field in fields], device="cpu", dtype=torch.float16)
        descriptor = embodiment.descriptor()
        names = ("acceleration_mps2", "yaw_acceleration_radps2")
        self._limits = np.asarray([descriptor[LIMIT_FIELDS.index(name)] for name in names])
        self.time_s = 0.0
        self.place(0, np.zeros(3))

    def place(self, scene: int, pose_w: np.ndarray) -> None:
        """Place the robot at rest; the odometry starts at zero there.

        Args:
            scene: Index of the scene.
            pose_w: (3,) x [m], y [m], yaw [rad].
        """
        self._scene = torch.tensor([scene])
        self._start_w = torch.as_tensor(pose_w, dtype=torch.float32)[None]
        everyone = torch.ones(1, dtype=torch.bool)
        self._physics.reset(everyone, self._start_w[:, :2], self._start_w[:, 2])
        self._drive.reset(everyone)
        self._motion = _Motion(
            target=np.zeros(3), acceleration=self._limits, executed=np.zeros(3), commanded_s=self.time_s
        )
        self._velocities = deque([np.zeros(3)], maxlen=round(CONTROL_DT_S / TICK_S))
        self._least_clearance_m = np.inf
        self._frames: dict[str, tuple[int, bytes]] = {}

    def advance(self, ticks: int) -> None:
        """Simulate some ticks of 20 ms."""
        for _ in range(ticks):
            command = torch.as_tensor(self._execute(), dtype=torch.float32)[None]
            self._drive.step(command)
            self.time_s += TICK_S
            self._velocities.append(self._physics.velocity_b[0].numpy())
            clearance = self._body.clearance_m(self._distance, self._scene, self._pose_w())
            self._least_clearance_m = min(self._least_clearance_m, float(clearance))

    def surroundings_b_m(self) -> np.ndarray:
        """Return the obstacles around (N, 2) at the lidar's height, body frame, also where the lidar is blind."""
        angle, range_m = self._rays()
        hit = range_m < LIDAR_RANGE_M[1]
        return ray_ends_b_m(angle[hit], range_m[hit])

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a request: a line of JSON, followed by raw arrays.

        Raises:
            ValueError: If the request is unknown.
        """
        content = json.loads(request)
        answers = {"read": self._read, "drive": self._receive, "truth": self._truth}
        if content.get("op") not in answers:
            raise ValueError(f"no request '{content.get('op')}'; known: {', '.join(answers)}")
        header, payload = answers[content["op"]](content)
        return json.dumps(header).encode() + b"\n" + payload

    def _receive(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        motion = self._motion
        motion.target, motion.commanded_s = np.asarray(request["command"], dtype=np.float64), self.time_s
        motion.acceleration = np.asarray(request["acceleration"], dtype=np.float64)
        return {}, b""

    def _truth(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        fell = bool(self._physics.fallen()[0])
        return {"least_clearance_m": self._least_clearance_m, "fell": fell, "pose_w": self._pose_w()[0].tolist()}, b""

    def _read(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return odometry, and the image and scan that the client does not have yet."""
        pose_w = self._pose_w()
        x, y = to_body(pose_w[:, :2], self._start_w)[0].tolist()
        yaw = float(wrap_angle(pose_w[:, 2] - self._start_w[:, 2]))
        header: dict[str, Any] = {
            "time_s": self.time_s,
            "odometry": {
                "sequence": int(self.time_s * ODOMETRY_HZ + 1e-6),
                "pose": [x, y, yaw],
                "velocity_b": np.mean(self._velocities, axis=0).tolist(),
            },
        }
        payload = b""
        for name, rate_hz, measure in (("depth", CAMERA_HZ, self._image), ("scan", LIDAR_HZ, self._scan)):
            sequence = int(self.time_s * rate_hz + 1e-6)
            if self._frames.get(name, (-1, b""))[0] != sequence:
                self._frames[name] = (sequence, measure())
            data = b"" if request.get("known", {}).get(name) == sequence else self._frames[name][1]
            header[name] = {"sequence": sequence, "bytes": len(data)}
            payload += data
        return header, payload

    def _image(self) -> bytes:
        depth_m, _ = self._camera.render(self._body.camera, self._scene)
        return depth_m[0, 0].numpy().astype("<f4").tobytes()

    def _scan(self) -> bytes:
        """Return the points (N, 2) of one lidar scan in the body frame."""
        return seen_points_b_m(*self._rays(), self.embodiment).astype("<f4").tobytes()

    def _rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return bearing [rad] and length [m], both (360,), of the lidar's rays."""
        pose_w = self._pose_w()[0].numpy()
        angle = np.linspace(-np.pi, np.pi, LIDAR_RAYS, endpoint=False)
        angle_w = angle + pose_w[2]
        directions = np.stack([np.cos(angle_w), np.sin(angle_w), np.zeros_like(angle_w)], axis=-1)[None]
        ahead = LIDAR_X_M * np.asarray([np.cos(pose_w[2]), np.sin(pose_w[2])])
        origin = np.asarray([[*(pose_w[:2] + ahead), LIDAR_HEIGHT_M]])
        return angle, self._raycaster.cast(self._scene.numpy(), origin, directions)[0][0]

    def _execute(self) -> np.ndarray:
        """Return the velocity of the next tick: along the motion profile to the target, or coasting after a timeout."""
        motion = self._motion
        if self.time_s - motion.commanded_s > FIRMWARE_TIMEOUT_S:
            motion.target = motion.executed = motion.executed * (1.0 - COASTING_PER_S * TICK_S)
            return motion.executed
        step = motion.acceleration[[0, 0, 1]] * TICK_S
        motion.executed = motion.executed + np.clip(motion.target - motion.executed, -step, step)
        return motion.executed

    def _pose_w(self) -> torch.Tensor:
        return torch.cat([self._physics.position_w[:, :2], self._physics.yaw_w[:, None]], dim=1)
