"""Hello Robot Stretch RE1, the first Stretch: a differential base of 23 kg, mast, and a stowed arm with gripper."""

import math
from dataclasses import replace

from embodiments import stretch3
from embodiments.embodiment import Disc

_ACCELERATION_MPS2 = 0.40

# Base, wheels, contact shapes and head camera are Stretch 3's.
EMBODIMENT = replace(
    stretch3.EMBODIMENT,
    name="stretch_re1",
    model=replace(stretch3.EMBODIMENT.model, path="RE1V0/stretch_description_RE1V0_tool_stretch_gripper.urdf"),
    limits=replace(
        stretch3.EMBODIMENT.limits,
        acceleration_mps2=_ACCELERATION_MPS2,
        yaw_acceleration_radps2=_ACCELERATION_MPS2 / stretch3.EMBODIMENT.limits.half_track_m,
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
    # The vendor's stow (stretch_body robot_params_RE1V0), with the head tilted to see the ground before the base.
    posture_rad={
        "joint_lift": 0.20,
        "joint_wrist_yaw": 3.4,
        "joint_head_tilt": -math.radians(30.0),
    },
)
