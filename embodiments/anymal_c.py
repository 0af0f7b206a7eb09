"""ANYbotics ANYmal C: a quadruped of 52 kg, knees inwards. No policy is trained on it: it is the unseen body."""

import math

from embodiments.embodiment import DepthCamera, Disc, Embodiment, GaitDrive, Limits, RobotModel

_LEGS = ("LF", "RF", "LH", "RH")
_FEET = tuple(f"{leg}_FOOT" for leg in _LEGS)
_JOINTS = tuple(f"{leg}_{part}" for leg in _LEGS for part in ("HAA", "HFE", "KFE"))
_DEFAULT_RAD = (-0.1, 0.4, -0.8, 0.1, 0.4, -0.8, -0.1, -0.4, 0.8, 0.1, -0.4, 0.8)
# The URDF names no limits. The real thighs and knees turn without end; a gait that may turn a knee over does so, and
# then walks badly forwards and falls. These keep the knees inwards.
_RANGES_RAD = {
    "LF": {"HAA": (-0.72, 0.49), "HFE": (-0.5, 1.3), "KFE": (-1.8, -0.2)},
    "RF": {"HAA": (-0.49, 0.72), "HFE": (-0.5, 1.3), "KFE": (-1.8, -0.2)},
    "LH": {"HAA": (-0.72, 0.49), "HFE": (-1.3, 0.5), "KFE": (0.2, 1.8)},
    "RH": {"HAA": (-0.49, 0.72), "HFE": (-1.3, 0.5), "KFE": (0.2, 1.8)},
}

EMBODIMENT = Embodiment(
    name="anymal_c",
    family="legged",
    model=RobotModel(
        package="genesis-world",
        path="urdf/anymal_c/urdf/anymal_c.urdf",
        licence="BSD-3-Clause (ANYbotics anymal_c_simple_description)",
        keep_links=_FEET,
        ground_links=("base", *_FEET),
        joint_ranges_rad={f"{leg}_{part}": limits for leg in _LEGS for part, limits in _RANGES_RAD[leg].items()},
    ),
    drive=GaitDrive(
        joints=_JOINTS,
        default_rad=_DEFAULT_RAD,
        kp=(100.0,) * 12,
        kd=(5.0,) * 12,
        torque_nm=(80.0,) * 12,
        armature_kgm2=(0.1,) * 12,
        action_scale_rad=0.25,
        base_height_m=0.56,
        feet=_FEET,
        foot_phases=(0.0, 0.5, 0.5, 0.0),
        foot_clearance_m=0.09,
        mirror_joints=(3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8),
        mirror_signs=(-1.0, 1.0, 1.0) * 4,
        cycle_s=0.6,
        # Half a stance of 0.33 s over a leg of 0.55 m. Without strides it learned to go backwards, but not forwards.
        stride_rad_per_mps=(0.0, -0.3, 0.0) * 4,
        sidestep_rad_per_mps=(0.3, 0.0, 0.0) * 4,
        weights="anymal_c.safetensors",
        source="torque limits: anymal_c.urdf <limit effort>; pose: legged_gym's ANYmal C, the feet 5 cm further in; "
        "range of HAA and kp: MuJoCo Menagerie anybotics_anymal_c; kd: Isaac Lab's simple ANYdrive; armature: "
        "ANYbotics publishes none, and the geared drives of an ANYmal were identified at about 0.1 kg m2 (PACE, arXiv "
        "2509.06342)",
    ),
    limits=Limits(
        forward_mps=1.0,
        reverse_mps=0.2,
        lateral_mps=0.3,
        yaw_rate_radps=1.0,
        acceleration_mps2=1.0,
        yaw_acceleration_radps2=2.0,
        wheel_speed_mps=1.0,
        half_track_m=0.0,
        source="a brisk indoor walk, what the gait is trained for (ANYbotics states 1.3 m/s); reverse and lateral: "
        "spaces.py",
    ),
    footprint=(
        (
            Disc(x_m=0.36, y_m=0.19, radius_m=0.23),
            Disc(x_m=0.36, y_m=-0.19, radius_m=0.23),
            Disc(x_m=0.0, y_m=0.10, radius_m=0.31),
            Disc(x_m=0.0, y_m=-0.10, radius_m=0.31),
            Disc(x_m=-0.40, y_m=0.19, radius_m=0.23),
            Disc(x_m=-0.40, y_m=-0.19, radius_m=0.23),
            Disc(x_m=-0.55, y_m=0.23, radius_m=0.18),
            Disc(x_m=-0.55, y_m=-0.23, radius_m=0.18),
            Disc(x_m=-0.60, y_m=0.35, radius_m=0.09),
            Disc(x_m=-0.60, y_m=-0.35, radius_m=0.09),
            Disc(x_m=-0.62, y_m=0.32, radius_m=0.085),
            Disc(x_m=-0.62, y_m=-0.32, radius_m=0.085),
            Disc(x_m=-0.56, y_m=0.37, radius_m=0.075),
            Disc(x_m=-0.56, y_m=-0.37, radius_m=0.075),
        ),
        (
            Disc(x_m=0.30, y_m=0.12, radius_m=0.26),
            Disc(x_m=0.30, y_m=-0.12, radius_m=0.26),
            Disc(x_m=0.0, y_m=0.10, radius_m=0.27),
            Disc(x_m=0.0, y_m=-0.10, radius_m=0.27),
            Disc(x_m=-0.31, y_m=0.12, radius_m=0.26),
            Disc(x_m=-0.31, y_m=-0.12, radius_m=0.26),
        ),
        (
            Disc(x_m=0.33, y_m=0.0, radius_m=0.2),
            Disc(x_m=0.08, y_m=0.0, radius_m=0.1),
            Disc(x_m=-0.15, y_m=0.0, radius_m=0.12),
            Disc(x_m=-0.34, y_m=0.0, radius_m=0.14),
        ),
        (),
    ),
    camera=DepthCamera(
        x_m=0.484,
        z_m=0.524,
        pitch_rad=math.radians(30.0),
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="depth_camera_front_depth_optical_frame of anymal_c.urdf on the standing body, the foremost of its four "
        "RealSense D435 (1.8 cm to the left, left out here); field of view and range: D435 data sheet",
    ),
)
