"""Hello Robot Stretch 3: a slender differential base of 25 kg, mast, stowed arm, and a portrait depth camera on top."""

import math

from embodiments.embodiment import ContactShape, DepthCamera, DifferentialDrive, Disc, Embodiment, Limits, RobotModel

_WHEEL_RADIUS_M = 0.0508
_TRACK_M = 0.3153
_URDF_HALF_TRACK_M = 0.17035
_MAX_WHEEL_MPS = 0.30
_INWARDS_M = _URDF_HALF_TRACK_M - _TRACK_M / 2.0
"""The driver and the real robot turn about wheels 0.3153 m apart; the URDF's 0.3407 m would turn 8 % too slowly."""

EMBODIMENT = Embodiment(
    name="stretch3",
    family="wheeled",
    model=RobotModel(
        package="hello-robot-stretch-urdf",
        path="SE3/stretch_description_SE3_eoa_wrist_dw3_tool_sg3.urdf",
        licence="BSD-3-Clause-Clear (Hello Robot)",
        contact_shapes=(
            # The z axis of both wheel links points to the left. The wheels' own collision meshes do not grip.
            ContactShape(
                link="link_left_wheel", kind="cylinder", size_m=(_WHEEL_RADIUS_M, 0.02), xyz_m=(0.0, 0.0, -_INWARDS_M)
            ),
            ContactShape(
                link="link_right_wheel", kind="cylinder", size_m=(_WHEEL_RADIUS_M, 0.02), xyz_m=(0.0, 0.0, _INWARDS_M)
            ),
            ContactShape(link="caster_link", kind="sphere", size_m=(0.032,)),
            # The URDF's box is 1 cm too large all round, and square where the shell is round.
            ContactShape(link="base_link", kind="cylinder", size_m=(0.172, 0.13), xyz_m=(-0.104, 0.0, 0.096)),
            ContactShape(link="base_link", kind="box", size_m=(0.115, 0.34, 0.13), xyz_m=(-0.0095, 0.0, 0.096)),
        ),
        ground_links=("link_left_wheel", "link_right_wheel", "caster_link"),
    ),
    drive=DifferentialDrive(
        left_joint="joint_left_wheel",
        right_joint="joint_right_wheel",
        wheel_radius_m=_WHEEL_RADIUS_M,
        track_m=_TRACK_M,
    ),
    limits=Limits(
        forward_mps=_MAX_WHEEL_MPS,
        reverse_mps=0.2,
        lateral_mps=0.0,
        yaw_rate_radps=_MAX_WHEEL_MPS / (_TRACK_M / 2.0),
        acceleration_mps2=0.30,
        yaw_acceleration_radps2=0.30 / (_TRACK_M / 2.0),
        wheel_speed_mps=_MAX_WHEEL_MPS,
        half_track_m=_TRACK_M / 2.0,
        source="stretch_body robot_params_SE3 base.motion.max: 0.30 m/s per wheel, 0.30 m/s2 (the driver's own "
        "default is 0.12); wheel_diameter_m 0.1016, wheel_separation_m 0.3153; reverse: spaces.py",
    ),
    # Fitted to the URDF's visual meshes in the posture below: covers them, at most 25 mm outside their convex hull.
    footprint=(
        (
            Disc(x_m=-0.108, y_m=-0.002, radius_m=0.180),
            Disc(x_m=0.004, y_m=-0.122, radius_m=0.068),
            Disc(x_m=0.004, y_m=0.126, radius_m=0.066),
            Disc(x_m=-0.044, y_m=0.152, radius_m=0.036),
        ),
        (
            Disc(x_m=0.020, y_m=-0.168, radius_m=0.052),
            Disc(x_m=-0.058, y_m=-0.072, radius_m=0.124),
            Disc(x_m=-0.130, y_m=0.056, radius_m=0.136),
            Disc(x_m=-0.040, y_m=0.152, radius_m=0.030),
        ),
        (Disc(x_m=-0.067, y_m=0.135, radius_m=0.027),),
        (
            Disc(x_m=0.0, y_m=0.013, radius_m=0.069),
            Disc(x_m=-0.033, y_m=0.109, radius_m=0.082),
        ),
    ),
    camera=DepthCamera(
        x_m=0.043,
        z_m=1.286,
        pitch_rad=math.radians(30.0),
        hfov_rad=math.radians(58.0),
        vfov_rad=math.radians(87.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="pose: forward kinematics of camera_depth_optical_frame in the posture below; field of view and range: "
        "RealSense D435i data sheet, 87 x 58 deg; mounted in portrait, so upright it is 58 deg wide and 87 deg high",
    ),
    # The vendor's stow (stretch_body, eoa_wrist_dw3_tool_sg3), with the head tilted to see the ground before the base.
    posture_rad={
        "joint_lift": 0.30,
        "joint_wrist_yaw": 3.0,
        "joint_wrist_pitch": -0.62,
        "joint_head_tilt": -math.radians(30.0),
    },
)
