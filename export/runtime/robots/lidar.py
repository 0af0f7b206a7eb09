"""The RPLidar that a Stretch 3 carries, through rplidar-roboticia. NOT yet run on hardware."""

import sys
import time
from collections.abc import Callable, Generator, Sequence

import numpy as np

from embodiments.embodiment import Disc, Embodiment
from export.runtime.robots.robot import Scan

LIDAR_X_M = 0.004
"""Joint ``joint_laser`` of the SE3 URDF: 4 mm ahead of the base's origin, 0.166 m up, turned by half a turn."""
LIDAR_PORT = "/dev/hello-lrf"
LIDAR_HEIGHT_M = 0.17
LIDAR_RANGE_M = (0.15, 12.0)
LIDAR_BLIND = Disc(x_m=LIDAR_X_M, y_m=0.0, radius_m=LIDAR_RANGE_M[0])
"""Nearer than its least range it sees nothing; ahead that reaches 8 cm beyond the body's front edge."""
REOPEN_S = 0.5
"""Between closing a lidar that did not start and opening it again."""
OWN_BODY_MARGIN_M = 0.03
"""The lidar sees the robot's own mast; points this close to the footprint count as the body."""

Turn = Sequence[tuple[float, float, float]]
"""One turn of an RPLidar: (quality, angle [degrees, clockwise from straight ahead], distance [mm, 0 = miss])."""
Lidar = Callable[[], Generator[Turn, None, None]]
"""Opens a lidar and yields its turns; closing the generator stops the motor."""


def scan_points_b_m(turn: Turn, embodiment: Embodiment) -> np.ndarray:
    """Return what a turn of the lidar hit, without the robot's own body.

    Slamtec's ROS node calls the device's angle a "pi - a" in the frame ``laser``, which the URDF turns by half a turn:
    in the body frame it is -a.

    Args:
        turn: As the device reports it, see ``Turn``.

    Returns:
        (N, 2) x, y [m], body frame.
    """
    readings = np.asarray(turn, dtype=np.float64).reshape(-1, 3)
    return seen_points_b_m(-np.radians(readings[:, 1]), readings[:, 2] / 1000.0, embodiment)


def seen_points_b_m(bearing_rad: np.ndarray, range_m: np.ndarray, embodiment: Embodiment) -> np.ndarray:
    """Return of what the lidar's rays meet the points (N, 2) that count; simulated lidars use it, too.

    Args:
        bearing_rad: (N,) counter-clockwise from straight ahead.
        range_m: (N,) from the lidar; what lies outside ``LIDAR_RANGE_M`` or on the robot's own body is left out.
        embodiment: The robot.
    """
    hit = (range_m >= LIDAR_RANGE_M[0]) & (range_m <= LIDAR_RANGE_M[1])
    return without_body(ray_ends_b_m(bearing_rad[hit], range_m[hit]), embodiment.footprint[0])


def without_body(points_b_m: np.ndarray, footprint: Sequence[Disc]) -> np.ndarray:
    """Return of points (N, 2) [m], body frame, those that are not on the robot itself."""
    discs = np.asarray([(disc.x_m, disc.y_m, disc.radius_m) for disc in footprint])
    gap_m = np.linalg.norm(points_b_m[:, None] - discs[:, :2], axis=2) - discs[:, 2]  # (N, D)
    return points_b_m[gap_m.min(axis=1) > OWN_BODY_MARGIN_M]


def ray_ends_b_m(bearing_rad: np.ndarray, range_m: np.ndarray) -> np.ndarray:
    """Return (N, 2) x, y [m], body frame, where the lidar's rays of these bearings and finite lengths (N,) end."""
    return np.stack([LIDAR_X_M + range_m * np.cos(bearing_rad), range_m * np.sin(bearing_rad)], axis=1)


def rplidar_turns() -> Generator[Turn, None, None]:
    """Open the RPLidar and yield its turns, until closed."""
    from rplidar import RPLidar  # rplidar-roboticia, which stretch_body requires

    lidar = RPLidar(LIDAR_PORT)
    try:
        lidar.stop()  # a program that was killed leaves it sending, and then it cannot be started
        yield from lidar.iter_scans()
    finally:
        lidar.stop()
        lidar.stop_motor()
        lidar.disconnect()


def turns_with_one_retry(lidar: Lidar) -> Generator[Turn, None, None]:
    """Yield a lidar's turns; open it once more if it breaks off before the first turn.

    An RPLidar whose buffer holds old bytes often answers its first command with nonsense.
    """
    turns, has_turned = lidar(), False
    try:
        for turn in turns:
            has_turned = True
            yield turn
        reason = "it ended"
    except Exception as error:  # a serial port's, or the lidar package's own
        if has_turned:
            raise
        reason = f"{type(error).__name__}: {error}"
    finally:
        turns.close()
    if not has_turned:
        print(f"the lidar did not start ({reason}); it is opened once more", file=sys.stderr)
        time.sleep(REOPEN_S)
        yield from lidar()


def scans(lidar: Lidar, embodiment: Embodiment) -> Generator[Scan, None, None]:
    """Yield every turn of a lidar as a scan; close it when closed."""
    turns = turns_with_one_retry(lidar)
    try:
        for sequence, turn in enumerate(turns, start=1):
            received_s = time.monotonic()
            points_b_m = scan_points_b_m(turn, embodiment)
            yield Scan(points_b_m=points_b_m, sequence=sequence, received_s=received_s, blind=(LIDAR_BLIND,))
    finally:
        turns.close()
