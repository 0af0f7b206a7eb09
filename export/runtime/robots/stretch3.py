"""Hello Robot Stretch 3 through the vendor's stretch_body, in this process. NOT yet run on hardware.

Read against stretch_body 0.7.31 and pyrealsense2 2.59. What that source says, and what follows from it:

* ``Base.set_velocity`` clips each wheel by itself and, without ``a``, brakes at 0.12 m/s^2: commands must be
  admissible, and ``a`` is always given. It is one number per wheel, although its docstring also says rad/s^2.
* ``Robot.startup`` installs handlers for SIGINT and SIGTERM that raise: the caller's own are put back.
* Starting pushes ``Stepper.gains`` to the motors, so ``enable_vel_watchdog`` there is what the firmware obeys.
* ``base.status`` gets a new ``timestamp_pc`` even when a wheel is silent; ``pose_time_s`` grows when both answered.
* The transport logs lost messages and goes on: a lost command only shows in the odometry, and a power board that fell
  silent repeats its last run-stop, so its ``timestamp`` is watched.
* stretch_body has NO lidar class, only a serial port in its parameters; rplidar-roboticia, which it requires, has one.
  Without a lidar ``scan`` is always None and there is no stop zone.
* The vendor's stow levels the head; the policy needs its camera 30 degrees down: pose it, see docs/deploy_stretch.md.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from embodiments.embodiment import DepthCamera, Embodiment
from embodiments.stretch3 import EMBODIMENT
from export.runtime.robots.d435i import CAMERA_HEIGHT_PX, CAMERA_HZ, CAMERA_WIDTH_PX, upright
from export.runtime.robots.depth_image import Pinhole, canonical_depth, check_view
from export.runtime.robots.lidar import LIDAR_PORT, Lidar, rplidar_turns, scans
from export.runtime.robots.robot import Depth, Health, Odometry, Scan

SILENT_S = 0.5
"""The vendor polls the power board 25 times a second; after this long it is silent."""
REST_S = 2.0
"""Twice as long as braking from full speed takes."""
RESTING = 0.01
"""Speed [m/s] and yaw rate [rad/s] below which the base stands."""

LEAST_VOLTAGE_V = 11.0
"""Lower limit of the head's and the wrist yaw's servos in robot_params_SE3; the board's alert comes at 10.5 V only."""
LIFT_MARGIN_M = 0.03
LARGEST_ARM_M = 0.03
"""Source: robot_params_SE3, base.sentry_max_velocity; ``set_velocity`` ignores it."""
WRIST_RAD = {"wrist_yaw": (2.54, 4.0), "wrist_pitch": (-0.82, -0.42), "wrist_roll": (-0.2, 0.2)}
"""Around the vendor's stow (3.0, -0.62, 0); the lower limit of yaw is base.sentry_max_velocity's."""
HEAD_TOLERANCE_RAD = 0.07

Reading = TypeVar("Reading")


class Stretch3:
    """A Stretch 3; implements ``export.runtime.robots.robot.Robot``."""

    def __init__(self, *, lidar: Lidar | None = None) -> None:
        """Connect to nothing yet.

        Args:
            lidar: How to open the lidar; without one there is no scan.
        """
        self.embodiment: Embodiment = EMBODIMENT
        self._lidar = lidar
        self._robot: Any = None
        self._gamepad: Any = None
        self._depth: _Newest[Depth] | None = None
        self._scan: _Newest[Scan] | None = None
        self._odometry: Odometry | None = None
        self._pose_time_s = 0.0
        self._power_board: tuple[float, float] | None = None
        """Its last time stamp, and when that was new [s]."""

    def start(self) -> None:
        """Connect to body, gamepad, camera and lidar; nothing moves. Call from the process's main thread.

        Raises:
            OSError: If one of them cannot be reached, with one line that says what to do.
        """
        try:
            self._robot = _started_robot()
            self._gamepad = _started_gamepad()
            images = _images(*_started_camera(self.embodiment.camera), self.embodiment.camera)
            self._depth = _Newest("camera", images)
            if self._lidar is not None:
                self._scan = _Newest("lidar", scans(self._lidar, self.embodiment))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Brake until the wheels rest, then disconnect: the vendor's ``stop`` turns the motors off, and they coast."""
        if self._robot is not None:
            self._rest()
        for newest in (self._depth, self._scan):
            if newest is not None:
                newest.stop()
        if self._gamepad is not None:
            self._gamepad.shutdown_flag.set()
            self._gamepad.stop()
        if self._robot is not None:
            self._robot.stop()
        self._depth = self._scan = self._gamepad = self._robot = None

    def health(self) -> Health:
        """Return the run-stop, which is never cleared from here, and the first hindrance.

        A lidar that stopped is none: a drive without lidar goes on, any other lacks its scan and stands.
        """
        blind = f"the camera stopped: {self._depth.failure}; restart" if self._depth and self._depth.failure else ""
        hindrance = hindrance_of(self._robot, self.embodiment) or self._silence() or blind
        return Health(run_stopped=bool(self._robot.pimu.status["runstop_event"]), hindrance=hindrance)

    def depth(self) -> Depth | None:
        """Return the newest image; never waits. A camera that fell silent shows by the image's age."""
        return None if self._depth is None else self._depth.newest

    def scan(self) -> Scan | None:
        """Return the newest turn of the lidar that was passed in, or None once it stopped; never waits."""
        return None if self._scan is None or self._scan.failure else self._scan.newest

    def odometry(self) -> Odometry | None:
        """Return what the wheels say, new only when both have answered again (the vendor polls them at 25 Hz).

        The time of receipt is that of the first call that sees it; ask at least as often as the vendor does.
        """
        status = self._robot.base.status
        pose_time_s = float(status["pose_time_s"])
        if pose_time_s > self._pose_time_s:
            self._pose_time_s = pose_time_s
            yaw_rad = math.remainder(status["theta"], 2.0 * math.pi)
            self._odometry = Odometry(
                pose=np.asarray([status["x"], status["y"], yaw_rad], dtype=np.float64),
                velocity_b=np.asarray([status["x_vel"], 0.0, status["theta_vel"]], dtype=np.float64),
                sequence=1 if self._odometry is None else self._odometry.sequence + 1,
                received_s=time.monotonic(),
            )
        return self._odometry

    def held(self) -> bool:
        """Return whether the left shoulder button of the gamepad is held down.

        The vendor's thread only learns of changes: pulling the dongle counts as letting go, a wireless pad that loses
        its radio while the dongle stays plugged in may not. Use a cable, or try it before every session.
        """
        gamepad = self._gamepad
        plugged_in = gamepad.is_alive() and gamepad.is_gamepad_dongle
        return bool(plugged_in and gamepad.get_state()["left_shoulder_button_pressed"])

    def drive(self, command: np.ndarray, *, acceleration: np.ndarray) -> None:
        """Send one admissible command; takes as long as the vendor's serial bus, a few milliseconds.

        Args:
            command: (3,) vx, vy [m/s], yaw rate [rad/s], body frame.
            acceleration: (2,) limits [m/s^2, rad/s^2]; the stricter one becomes the wheels' acceleration.

        Raises:
            ValueError: If something is not finite, sideways, or faster than the wheels turn.
            OSError: If the vendor's class failed; a command that is lost on the bus goes unnoticed.
        """
        limits = self.embodiment.limits
        values, rates = np.asarray(command, dtype=np.float64), np.asarray(acceleration, dtype=np.float64)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise ValueError(f"command is {values.tolist()}, expected three finite numbers")
        if rates.shape != (2,) or not np.isfinite(rates).all() or rates.min() <= 0.0:
            raise ValueError(f"acceleration is {rates.tolist()}, expected two positive numbers")
        if values[1] != 0.0:
            raise ValueError(f"lateral velocity {values[1]:g} m/s: a differential base has none")
        wheel_mps = abs(values[0]) + limits.half_track_m * abs(values[2])
        if wheel_mps > limits.wheel_speed_mps + 1e-3:
            raise ValueError(
                f"a wheel would turn at {wheel_mps:.3f} m/s, at most {limits.wheel_speed_mps:g} is possible"
            )
        wheel_mps2 = float(min(rates[0], rates[1] * limits.half_track_m))
        try:
            self._robot.base.set_velocity(v_m=float(values[0]), w_r=float(values[2]), a=wheel_mps2)
            self._robot.push_command()
        except Exception as error:  # the vendor's transport has exceptions of its own
            raise OSError(f"Stretch did not take a command ({type(error).__name__}: {error})") from error

    def _silence(self) -> str:
        """Name a power board whose status is old: its run-stop is old, too."""
        now_s, stamp = time.monotonic(), float(self._robot.pimu.status["timestamp"])
        if self._power_board is None or stamp != self._power_board[0]:
            self._power_board = stamp, now_s
        silent = now_s - self._power_board[1] > SILENT_S
        return "the power board is silent: run stretch_system_check.py" if silent else ""

    def _rest(self) -> None:
        """Command zero until the wheels stand, the robot takes no command, or it should have stood long ago."""
        ends_s = time.monotonic() + REST_S
        limits, status = self.embodiment.limits, self._robot.base.status
        rates = np.asarray([limits.acceleration_mps2, limits.yaw_acceleration_radps2])
        while max(abs(status["x_vel"]), abs(status["theta_vel"])) > RESTING and time.monotonic() < ends_s:
            try:
                self.drive(np.zeros(3), acceleration=rates)
            except OSError:
                return
            time.sleep(0.05)


def make(embodiment: Embodiment) -> Stretch3:
    """Return the robot, not yet started, with its lidar if one is plugged in.

    Raises:
        ValueError: If it shall be another robot.
    """
    if embodiment != EMBODIMENT:
        raise ValueError(f"--robot stretch3 drives a stretch3, not a {embodiment.name}; leave --embodiment out")
    return Stretch3(lidar=rplidar_turns if Path(LIDAR_PORT).exists() else None)


def hindrance_of(robot: Any, embodiment: Embodiment) -> str:
    """Return the first reason why a started ``stretch_body`` robot may not be driven, with the mend; or empty."""
    if not robot.is_homed():
        return "not homed: run stretch_robot_home.py"
    return _posture(robot, embodiment) or _power(robot) or _watchdog(robot)


def _posture(robot: Any, embodiment: Embodiment) -> str:
    """Name what sticks out of the footprint or points the camera elsewhere than in training."""
    lift_m, arm_m = robot.lift.status["pos"], robot.arm.status["pos"]
    stowed_m = embodiment.posture_rad["joint_lift"]
    if not abs(lift_m - stowed_m) <= LIFT_MARGIN_M:
        return f"not stowed: the lift is at {lift_m:.2f} m, expected {stowed_m:.2f}; run stretch_robot_stow.py"
    if not arm_m <= LARGEST_ARM_M:
        return f"not stowed: the arm is out by {arm_m:.2f} m; run stretch_robot_stow.py"
    for name, (least_rad, largest_rad) in WRIST_RAD.items():
        joint = robot.end_of_arm.get_joint(name)
        if joint is None:
            return f"there is no {name}: the footprint is that of the dex wrist 3 with gripper 3"
        if not least_rad <= joint.status["pos"] <= largest_rad:
            return f"not stowed: {name} is at {joint.status['pos']:.2f} rad; run stretch_robot_stow.py"
    for name in ("head_pan", "head_tilt"):
        expected_rad = embodiment.posture_rad.get(f"joint_{name}", 0.0)
        angle_rad = robot.head.get_joint(name).status["pos"]
        if not abs(angle_rad - expected_rad) <= HEAD_TOLERANCE_RAD:
            return f"{name} is at {angle_rad:.2f} rad, expected {expected_rad:.2f}: see docs/deploy_stretch.md"
    return ""


def _power(robot: Any) -> str:
    volts = robot.pimu.status["voltage"]
    if robot.pimu.status["low_voltage_alert"] or not volts >= LEAST_VOLTAGE_V:
        return f"battery low: {volts:.1f} V, expected at least {LEAST_VOLTAGE_V:g}; charge it"
    if robot.pimu.status["charger_connected"]:
        return "the charger is plugged in: unplug it"
    return ""


def _watchdog(robot: Any) -> str:
    for wheel in (robot.base.left_wheel, robot.base.right_wheel):
        if wheel.gains["enable_vel_watchdog"] != 1:
            return (
                f"{wheel.name} has no velocity watchdog: set gains.enable_vel_watchdog to 1 in the robot's parameters"
            )
    return ""


class _Newest(Generic[Reading]):
    """Reads in a thread of its own and holds the newest reading; a None from the source is a wait without one."""

    def __init__(self, name: str, readings: Generator[Reading | None, None, None]) -> None:
        self.newest: Reading | None = None
        self._name = name
        self.failure = ""
        """Why nothing more will come, or empty."""
        self._readings = readings
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and close the source; a source that never returns is left behind."""
        self._stopped.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        try:
            for reading in self._readings:
                self.newest = self.newest if reading is None else reading
                if self._stopped.is_set():
                    break
            else:
                self._fail("it ended")
            self._readings.close()
        except Exception as error:  # whatever a vendor's driver raises must not end unseen
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        self.failure = reason
        print(f"the {self._name} stopped: {reason}", file=sys.stderr)


def _started_robot() -> Any:
    """Return a started ``stretch_body.robot.Robot``, with this process's signal handlers as they were."""
    if threading.current_thread() is not threading.main_thread():
        raise OSError("Stretch must be started from the process's main thread: stretch_body sets signal handlers")
    try:
        from stretch_body.robot import Robot

        robot = Robot()
    except (ImportError, KeyError, SystemExit) as error:  # without HELLO_FLEET_PATH it leaves by KeyError or exit
        raise OSError(f"stretch_body does not load ({error!r}); run this on the Stretch, as its own user") from error
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        started = robot.startup()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if not started:
        robot.stop()
        raise OSError("Stretch did not start: run stretch_free_robot_process.py, then stretch_system_check.py")
    return robot


def _started_gamepad() -> Any:
    """Return the vendor's gamepad thread, running; without a gamepad it would spin, so there must be one."""
    try:
        from stretch_body.gamepad_controller import GamePadController
    except ImportError as error:
        raise OSError(f"the vendor's gamepad class does not load ({error}); use the robot's own Python") from error
    gamepad = GamePadController(print_dongle_status=False)
    if not gamepad.devices.gamepads:
        raise OSError("no gamepad: plug it in; its left shoulder button is the dead-man's switch")
    gamepad.start()
    return gamepad


def _started_camera(camera: DepthCamera) -> tuple[Any, Pinhole, float]:
    """Return the running pipeline of the head camera, its intrinsics as delivered, and metres per unit."""
    try:
        import pyrealsense2 as realsense
    except ImportError as error:
        raise OSError("pyrealsense2 is missing: install it, or use the robot's own Python") from error
    kind, serial = realsense.camera_info.name, realsense.camera_info.serial_number
    heads = [device for device in realsense.context().query_devices() if "D435" in device.get_info(kind)]
    if len(heads) != 1:  # the gripper's D405 is a RealSense, too
        raise OSError(f"found {len(heads)} D435i, expected the head's one; check its cable with rs-enumerate-devices")
    config = realsense.config()
    config.enable_device(heads[0].get_info(serial))
    size = CAMERA_WIDTH_PX, CAMERA_HEIGHT_PX
    config.enable_stream(realsense.stream.depth, *size, realsense.format.z16, CAMERA_HZ)
    pipeline = realsense.pipeline()
    try:
        profile = pipeline.start(config)
    except RuntimeError as error:
        raise OSError(f"the D435i does not start ({error}); close other programs that use it") from error
    found = profile.get_stream(realsense.stream.depth).as_video_stream_profile().get_intrinsics()
    pinhole = Pinhole(fx_px=found.fx, fy_px=found.fy, cx_px=found.ppx, cy_px=found.ppy)
    try:
        blank, turned = upright(np.zeros((found.height, found.width)), pinhole)
        check_view(blank.shape, turned, camera=camera)
    except ValueError as error:
        pipeline.stop()
        mend = f"start the D435i at {CAMERA_WIDTH_PX} x {CAMERA_HEIGHT_PX}, mounted upright on its side"
        raise OSError(f"{error}; {mend}") from error
    return pipeline, pinhole, float(profile.get_device().first_depth_sensor().get_depth_scale())


def _images(
    pipeline: Any, pinhole: Pinhole, scale_m: float, camera: DepthCamera
) -> Generator[Depth | None, None, None]:
    """Yield every new image, None after 100 ms without one; stop the camera when closed."""
    sequence, last_frame = 0, -1
    try:
        while True:
            arrived, frames = pipeline.try_wait_for_frames(100)
            received_s = time.monotonic()
            frame = frames.get_depth_frame() if arrived else None
            if not frame or frame.get_frame_number() == last_frame:
                yield None
                continue
            sequence, last_frame = sequence + 1, frame.get_frame_number()
            image, turned = upright(np.asanyarray(frame.get_data()), pinhole)
            image_m = canonical_depth(image.astype(np.float32) * scale_m, turned, camera=camera)
            yield Depth(image_m=image_m, sequence=sequence, received_s=received_s)
    finally:
        pipeline.stop()
