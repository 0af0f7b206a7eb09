"""Hello Robot Stretch RE1, the first Stretch: a differential base of 23 kg, mast, and a stowed arm with gripper."""

import math

from embodiments.embodiment import ContactShape, DepthCamera, DifferentialDrive, Disc, Embodiment, Limits, RobotModel

_WHEEL_RADIUS_M = 0.0508
_TRACK_M = 0.3153
_MAX_WHEEL_MPS = 0.30
_INWARDS_M = 0.17035 - _TRACK_M / 2.0
"""The driver turns about wheels 0.3153 m apart; the model has them at y = +-0.17035 m."""

EMBODIMENT = Embodiment(
    name="stretch_re1",
    family="wheeled",
    model=RobotModel(
        package="hello-robot-stretch-urdf",
        path="RE1V0/stretch_description_RE1V0_tool_stretch_gripper.urdf",
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
            # Stretch 3 has the same base: a round shell and a straight front.
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
        acceleration_mps2=0.40,
        yaw_acceleration_radps2=0.40 / (_TRACK_M / 2.0),
        wheel_speed_mps=_MAX_WHEEL_MPS,
        half_track_m=_TRACK_M / 2.0,
        source="stretch_body robot_params_RE1V0 base.motion.max: 0.30 m/s per wheel, 0.40 m/s2; wheel_separation_m "
        "0.3153; reverse: spaces.py",
    ),
    # Measured on the URDF's visual meshes in the posture below (`measure_robot`).
    footprint=(
        (
            Disc(x_m=-0.11, y_m=0.0, radius_m=0.181),
            Disc(x_m=0.001, y_m=-0.133, radius_m=0.07),
            Disc(x_m=-0.009, y_m=0.127, radius_m=0.076),
            Disc(x_m=0.011, y_m=0.147, radius_m=0.056),
            Disc(x_m=-0.069, y_m=-0.173, radius_m=0.028),
            Disc(x_m=0.031, y_m=-0.173, radius_m=0.024),
        ),
        (
            Disc(x_m=-0.12, y_m=0.05, radius_m=0.138),
            Disc(x_m=-0.06, y_m=-0.08, radius_m=0.111),
            Disc(x_m=0.011, y_m=-0.132, radius_m=0.043),
            Disc(x_m=-0.199, y_m=0.048, radius_m=0.073),
            Disc(x_m=-0.079, y_m=0.108, radius_m=0.081),
            Disc(x_m=-0.129, y_m=-0.162, radius_m=0.017),
        ),
        (Disc(x_m=-0.066, y_m=0.136, radius_m=0.029),),
        (
            Disc(x_m=-0.006, y_m=0.027, radius_m=0.078),
            Disc(x_m=-0.036, y_m=0.107, radius_m=0.08),
            Disc(x_m=0.034, y_m=-0.023, radius_m=0.026),
            Disc(x_m=-0.056, y_m=0.117, radius_m=0.06),
            Disc(x_m=-0.026, y_m=0.107, radius_m=0.075),
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
    # The vendor's stow (stretch_body robot_params_RE1V0), with the head tilted to see the ground before the base.
    posture_rad={
        "joint_lift": 0.20,
        "joint_wrist_yaw": 3.4,
        "joint_head_tilt": -math.radians(30.0),
    },
)
