"""What a view shows of one control step, whoever drives: a robot or a simulation."""

from dataclasses import dataclass, field

import numpy as np

from export.runtime.viewing.local_map import LocalMap


@dataclass(frozen=True, kw_only=True)
class Anticipated:
    """What a policy thinks is around the body, (SIDE, SIDE) on a square in its frame; row is y, column is x."""

    distance: np.ndarray
    """To the nearest still thing, in [0, 1]; 1 is far"""
    now: np.ndarray
    """Probability that somebody is there"""
    later: np.ndarray
    """Probability that somebody will be there in a second"""
    cell_m: float
    corner_b_m: tuple[float, float]
    """Least x and y"""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One control step. World frame: that of the odometry, or the simulation's."""

    time_s: float
    pose_w: np.ndarray
    """(3,) x, y [m], yaw [rad]"""
    velocity_b: np.ndarray
    """(3,) measured [m/s, m/s, rad/s]"""
    command: np.ndarray
    """(3,) in force"""
    asked: np.ndarray | None = None
    """(3,) what the policy asked for, where something limits it"""
    depth_m: np.ndarray | None = None
    """(40, 64); None where there is no image"""
    route_xy_b_m: np.ndarray | None = None
    """(R, 2)"""
    goal_b: np.ndarray | None = None
    """(4,)"""
    local_map: LocalMap | None = None
    """None for agents without a costmap"""
    anticipated: Anticipated | None = None
    people_xy_w: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(K, 2) [m]; simulation only"""
    status: str = ""
    """Why it stands, or what the episode is"""
