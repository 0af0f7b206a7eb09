"""Hello Robot Stretch 4: an omnidirectional base on three wheels with rollers, mast, stowed arm, two lidars on top.

It has no depth camera on its head. Its driver projects the lidars' points into a camera's image; so must whoever drives
it with a policy.
"""

import math

from embodiments.embodiment import ContactShape, DepthCamera, Disc, Embodiment, Limits, OmniDrive, RobotModel

_WHEELS = ("wheel_0", "wheel_1", "wheel_2")
_WHEEL_RADIUS_M = 0.1
_BASE_RADIUS_M = 0.174
"""From the middle of the base to a wheel: a wheel's speed in a turn on the spot per yaw rate."""
_LATERAL_MPS = 0.3
_WHEEL_MPS = 4.0 * _BASE_RADIUS_M - math.sqrt(0.75) * _LATERAL_MPS
"""A wheel's speed in the driver's fastest turn, 4 rad/s, less what vy may need: the descriptor has no vy."""

EMBODIMENT = Embodiment(
    name="stretch4",
    family="wheeled",
    model=RobotModel(
        package="hello-robot-stretch4-urdf",
        path="stretch4_urdf/SE4.xacro",
        licence="BSD-3-Clause-Clear (Hello Robot)",
        xacro_arguments={"batch": "francis", "tool": "eoa_wrist_dw4_tool_sg4", "pkg_path": "$(find stretch4_urdf)"},
        contact_shapes=tuple(
            ContactShape(link=f"{wheel}_link", kind="cylinder", size_m=(_WHEEL_RADIUS_M, 0.03)) for wheel in _WHEELS
        ),
        ground_links=tuple(f"{wheel}_link" for wheel in _WHEELS),
    ),
    drive=OmniDrive(
        joints=tuple(f"{wheel}_joint" for wheel in _WHEELS),
        roller_rad=(0.0, 0.0, 0.0),
        wheel_radius_m=_WHEEL_RADIUS_M,
        wheel_force_nm=6.0,
    ),
    limits=Limits(
        forward_mps=_WHEEL_MPS,
        reverse_mps=0.2,
        lateral_mps=_LATERAL_MPS,
        yaw_rate_radps=2.0,
        acceleration_mps2=0.5,
        yaw_acceleration_radps2=4.0,
        wheel_speed_mps=_WHEEL_MPS,
        half_track_m=_BASE_RADIUS_M,
        source="stretch4_body 2026.10.21.2, robot_params_SE4 omnibase: motion.max 0.6 m/s, 4 rad/s, 0.5 m/s2, "
        "4 rad/s2; the yaw rate is that of motion.default; wheel_diameter_m 0.200, base_radius_m 0.174; the motors' "
        "torque: no figure was found; reverse and aside: spaces.py",
    ),
    # Measured on the visual meshes in the posture below (`inspect_robot`).
    footprint=(
        (Disc(x_m=0.0, y_m=0.0, radius_m=0.218),),
        (
            Disc(x_m=-0.01, y_m=0.01, radius_m=0.139),
            Disc(x_m=0.12, y_m=0.04, radius_m=0.099),
            Disc(x_m=-0.07, y_m=-0.02, radius_m=0.14),
            Disc(x_m=-0.14, y_m=-0.096, radius_m=0.054),
            Disc(x_m=0.14, y_m=0.064, radius_m=0.073),
        ),
        (
            Disc(x_m=-0.091, y_m=-0.1, radius_m=0.04),
            Disc(x_m=-0.121, y_m=-0.1, radius_m=0.018),
        ),
        (
            Disc(x_m=-0.04, y_m=0.0, radius_m=0.165),
            Disc(x_m=0.021, y_m=-0.084, radius_m=0.087),
            Disc(x_m=-0.009, y_m=0.036, radius_m=0.133),
            Disc(x_m=-0.079, y_m=0.036, radius_m=0.129),
            Disc(x_m=-0.139, y_m=-0.094, radius_m=0.057),
        ),
    ),
    camera=DepthCamera(
        x_m=0.086,
        z_m=1.562,
        pitch_rad=0.35,
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="place: camera_center_optical_link, which points 35 deg down; direction and field of view: a choice, as "
        "on TIAGo Pro. The lidars (two Hesai JT128) see all around, so their points give such an image",
    ),
    # The vendor's stow (stretch4_body, eoa_wrist_dw4_tool_sg4).
    posture_rad={"lift_joint": 0.15, "wrist_yaw_joint": 3.14},
)
