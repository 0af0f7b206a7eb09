"""Observations and commands of every robot: shapes, units, frames and ranges. The only place that defines them.

Frames: ``_w`` world (z up), ``_b`` body (x forward, y left, z up, yaw only: the body frame does not roll or pitch),
``_c`` camera. Arrays are float32 with the environment as first axis, ``B``.
"""

import math

# Control
CONTROL_HZ = 10.0
"""Rate at which a policy commands a robot [Hz]."""
CONTROL_DT_S = 1.0 / CONTROL_HZ
DRIVE_HZ = 50.0
"""Rate at which a drive turns the command into joint targets, and at which collision is checked [Hz]."""
PHYSICS_HZ = 200.0
COMMAND_SIZE = 3
"""Command (vx [m/s], vy [m/s], yaw rate [rad/s]) in the body frame; also an action's size (fractions of the limits)."""
STAND_SPEED_MPS = 0.05
STAND_YAW_RATE_RADPS = 0.05
"""A target below both thresholds means: stand still."""
REVERSE_LIMIT_MPS = 0.2
LATERAL_LIMIT_MPS = 0.3
"""A forward camera sees nothing behind or beside the robot: no robot commands more than this there [m/s]."""

# Depth image: one upright pinhole for every body, fx = fy, pixel centres at half-integers
DEPTH_HEIGHT_PX = 40
DEPTH_WIDTH_PX = 64
DEPTH_HFOV_RAD = math.radians(87.0)
DEPTH_FOCAL_PX = DEPTH_WIDTH_PX / 2.0 / math.tan(DEPTH_HFOV_RAD / 2.0)
DEPTH_RANGE_M = 10.0
"""Planar depth along the optical axis [m]; 0 = invalid, beyond range = range."""

# Route and goal
ROUTE_POINTS = 10
ROUTE_SPACING_M = 1.0
GOAL_SIZE = 4
"""Goal (x [m], y [m], cos, sin of the relative heading) in the body frame."""

# Height layers of a body's footprint and of the scene's occupancy [m]. A table top lies in the third layer: a body
# that reaches only into the first two passes under it.
HEIGHT_LAYERS_M = ((0.05, 0.30), (0.30, 0.68), (0.68, 1.10), (1.10, 1.80))

# Descriptor of an embodiment, SI units
LIMIT_FIELDS = (
    "forward_mps",
    "lateral_mps",
    "yaw_rate_radps",
    "reverse_mps",
    "acceleration_mps2",
    "yaw_acceleration_radps2",
    "wheel_speed_mps",
    "half_track_m",
)
FOOTPRINT_FIELDS = tuple(
    f"slab{index}_{extent}_m" for index in range(len(HEIGHT_LAYERS_M)) for extent in ("front", "rear", "half_width")
)
CAMERA_FIELDS = (
    "camera_x_m",
    "camera_z_m",
    "camera_pitch_rad",
    "camera_hfov_rad",
    "camera_vfov_rad",
    "camera_min_range_m",
    "camera_max_range_m",
)
DESCRIPTOR_FIELDS = LIMIT_FIELDS + FOOTPRINT_FIELDS + CAMERA_FIELDS
DESCRIPTOR_SIZE = len(DESCRIPTOR_FIELDS)
LIMIT_SLICE = slice(0, len(LIMIT_FIELDS))
FOOTPRINT_SLICE = slice(len(LIMIT_FIELDS), len(LIMIT_FIELDS) + len(FOOTPRINT_FIELDS))
CAMERA_SLICE = slice(len(LIMIT_FIELDS) + len(FOOTPRINT_FIELDS), DESCRIPTOR_SIZE)

OBSERVATION_SHAPES: dict[str, tuple[int, ...]] = {
    "depth_m": (1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX),
    "velocity_b": (COMMAND_SIZE,),
    "previous_command": (COMMAND_SIZE,),
    "route_xy_b_m": (ROUTE_POINTS, 2),
    "goal_b": (GOAL_SIZE,),
    "embodiment": (DESCRIPTOR_SIZE,),
}
"""Everything that a policy may see, name -> shape without the batch axis; nothing privileged."""
OBSERVATION_BOUNDS: dict[str, tuple[float, float]] = dict.fromkeys(OBSERVATION_SHAPES, (-math.inf, math.inf)) | {
    "depth_m": (0.0, DEPTH_RANGE_M)
}
"""Lowest and highest value of everything that a policy may see; all but depth are open: a goal may lie anywhere."""
