"""PAL TIAGo Pro: an omnidirectional base with four mecanum wheels, lifting torso, two folded arms, a camera on top."""

import math

from embodiments.embodiment import DepthCamera, Disc, Embodiment, Limits, OmniDrive, RobotModel

_WHEELS = tuple(f"wheel_{end}_{side}" for end in ("front", "rear") for side in ("left", "right"))
_WHEEL_RADIUS_M = 0.0762
_LEVER_M = 0.244 + 0.223175
"""Half the distance between the axles and half the track: a wheel's speed in a turn on the spot per yaw rate."""
_WHEEL_MPS = 1.0
_LATERAL_MPS = 0.3
_ACCELERATION_MPS2 = 1.0
# Folded before the chest, below the camera, as near to the torso as a search over the joints' ranges brought it.
_LEFT_ARM_RAD = (2.36, 0.75, -1.72, -2.44, -0.95, 0.15, -1.63)
_MIRROR = (-1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0)

EMBODIMENT = Embodiment(
    name="tiago_pro",
    family="wheeled",
    model=RobotModel(
        package="example-robot-data",
        path="tiago_pro_description/robots/tiago_pro.urdf",
        licence="Apache-2.0 (PAL Robotics; the URDF's header and the package's note on it)",
        ground_links=tuple(f"{wheel}_link" for wheel in _WHEELS),
    ),
    drive=OmniDrive(
        joints=tuple(f"{wheel}_joint" for wheel in _WHEELS),
        # Seen from above the rollers on top form an X, those on the ground a diamond.
        roller_rad=(-math.pi / 4.0, math.pi / 4.0, math.pi / 4.0, -math.pi / 4.0),
        wheel_radius_m=_WHEEL_RADIUS_M,
        wheel_force_nm=6.0,
    ),
    limits=Limits(
        forward_mps=_WHEEL_MPS - _LATERAL_MPS,
        reverse_mps=0.2,
        lateral_mps=_LATERAL_MPS,
        yaw_rate_radps=1.2,
        acceleration_mps2=_ACCELERATION_MPS2,
        yaw_acceleration_radps2=_ACCELERATION_MPS2 / _LEVER_M,
        # A wheel turns with |vx| + |vy| + lever |yaw rate|; the descriptor's bound has no vy, so its most is set aside.
        wheel_speed_mps=_WHEEL_MPS - _LATERAL_MPS,
        half_track_m=_LEVER_M,
        source="tiago_pro.urdf: wheels 13.12 rad/s x 0.0762 m = 1.0 m/s, 6 N m, at (+-0.244, +-0.223) m; accelerations "
        "and 1.2 rad/s: no figure was found, chosen near PAL's differential base (tiago.py); others: spaces.py",
    ),
    # Measured on the visual meshes in the posture below (`inspect_robot`).
    footprint=(
        (  # 0.05 to 0.3 m
            Disc(x_m=-0.11, y_m=0.0, radius_m=0.275),
            Disc(x_m=0.11, y_m=0.001, radius_m=0.274),
            Disc(x_m=0.27, y_m=-0.179, radius_m=0.091),
            Disc(x_m=-0.25, y_m=0.151, radius_m=0.119),
            Disc(x_m=-0.27, y_m=-0.169, radius_m=0.095),
            Disc(x_m=0.25, y_m=0.161, radius_m=0.111),
        ),
        (  # 0.3 to 0.68 m
            Disc(x_m=0.15, y_m=0.0, radius_m=0.3),
            Disc(x_m=-0.1, y_m=0.0, radius_m=0.255),
            Disc(x_m=0.251, y_m=-0.006, radius_m=0.241),
            Disc(x_m=-0.179, y_m=0.064, radius_m=0.175),
            Disc(x_m=-0.269, y_m=-0.156, radius_m=0.063),
            Disc(x_m=0.231, y_m=0.004, radius_m=0.253),
        ),
        (  # 0.68 to 1.1 m
            Disc(x_m=0.203, y_m=-0.005, radius_m=0.282),
            Disc(x_m=-0.2, y_m=0.0, radius_m=0.207),
            Disc(x_m=0.223, y_m=-0.005, radius_m=0.272),
            Disc(x_m=0.163, y_m=0.005, radius_m=0.286),
            Disc(x_m=0.253, y_m=0.025, radius_m=0.239),
            Disc(x_m=-0.22, y_m=0.0, radius_m=0.202),
            Disc(x_m=0.413, y_m=-0.175, radius_m=0.036),
            Disc(x_m=-0.287, y_m=0.045, radius_m=0.134),
            Disc(x_m=-0.377, y_m=-0.125, radius_m=0.028),
            Disc(x_m=0.183, y_m=-0.275, radius_m=0.028),
        ),
        (  # 1.1 to 1.8 m
            Disc(x_m=0.057, y_m=0.009, radius_m=0.102),
            Disc(x_m=0.047, y_m=-0.071, radius_m=0.092),
            Disc(x_m=0.047, y_m=0.069, radius_m=0.094),
            Disc(x_m=-0.013, y_m=-0.131, radius_m=0.013),
            Disc(x_m=0.037, y_m=0.079, radius_m=0.084),
            Disc(x_m=0.097, y_m=-0.121, radius_m=0.031),
        ),
    ),
    camera=DepthCamera(
        x_m=0.125,
        z_m=1.131,
        pitch_rad=0.35,
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="pose: head_front_camera_link in the posture below (its 18 mm to the left are left out); field of view "
        "and range: RealSense D435i data sheet, 87 x 58 deg, a guess: the URDF names no make",
    ),
    posture_rad={
        **{f"arm_left_{i + 1}_joint": angle for i, angle in enumerate(_LEFT_ARM_RAD)},
        **{f"arm_right_{i + 1}_joint": _MIRROR[i] * angle for i, angle in enumerate(_LEFT_ARM_RAD)},
        "head_2_joint": -0.35,
    },
)
