"""Unitree G1: a humanoid of 33 kg and 1.3 m that walks; waist and arms are locked, arms down."""

import math

from embodiments.embodiment import ContactShape, DepthCamera, Disc, Embodiment, GaitDrive, Limits, RobotModel

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_JOINTS = tuple(f"{side}_{part}_joint" for side in ("left", "right") for part in _LEG)
_FEET = ("left_ankle_roll_link", "right_ankle_roll_link")

# The sole touches at four balls; the model's own of 5 mm at the same four corners.
_SOLE = tuple((x_m, y_m) for x_m, y_m in ((-0.05, 0.025), (-0.05, -0.025), (0.12, 0.03), (0.12, -0.03)))

EMBODIMENT = Embodiment(
    name="g1",
    family="humanoid",
    model=RobotModel(
        package="example-robot-data",
        path="robots/g1_description/urdf/g1_29dof_rev_1_0.urdf",
        licence="BSD-3-Clause (Unitree g1_description)",
        keep_links=_FEET,
        contact_shapes=tuple(
            ContactShape(link=foot, kind="sphere", size_m=(0.005,), xyz_m=(x_m, y_m, -0.03))
            for foot in _FEET
            for x_m, y_m in _SOLE
        ),
        ground_links=_FEET,
    ),
    drive=GaitDrive(
        joints=_JOINTS,
        default_rad=(-0.1, 0.0, 0.0, 0.3, -0.2, 0.0) * 2,
        kp=(150.0, 200.0, 100.0, 200.0, 60.0, 60.0) * 2,
        kd=(4.0, 5.0, 3.0, 5.0, 2.5, 2.5) * 2,
        torque_nm=(88.0, 139.0, 88.0, 139.0, 35.0, 35.0) * 2,
        armature_kgm2=(0.0102, 0.0251, 0.0102, 0.0251, 0.0072, 0.0072) * 2,
        action_scale_rad=0.25,
        base_height_m=0.785,
        feet=_FEET,
        foot_phases=(0.0, 0.5),
        foot_clearance_m=0.07,
        mirror_joints=(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5),
        mirror_signs=(1.0, -1.0, -1.0, 1.0, 1.0, -1.0) * 2,
        cycle_s=0.54,
        reverse_mps=0.3,
        stop_cycles=0.5,
        steady_rad=0.24,
        # Half a stance of 0.33 s over a leg of 0.7 m; the ankles keep the soles level.
        stride_rad_per_mps=(-0.236, 0.0, 0.0, 0.0, 0.236, 0.0) * 2,
        sidestep_rad_per_mps=(0.0, 0.236, 0.0, 0.0, 0.0, -0.236) * 2,
        swing_rad=(-0.3, 0.0, 0.0, 0.6, -0.3, 0.0) * 2,
        support_rad=(0.0, 0.22, 0.0, 0.0, 0.0, 0.0, 0.0, -0.22, 0.0, 0.0, 0.0, 0.0),
        weights="g1.safetensors",
        source="torque limits: g1_29dof_rev_1_0.urdf <limit effort>; pose: unitree_rl_gym G1; gains: about half as "
        "stiff again as there, so that the hip of one leg holds the body; armature: rotor inertia times gear ratio "
        "squared of Unitree's 7520 and 5020 actuators as in mjlab",
    ),
    limits=Limits(
        forward_mps=0.8,
        reverse_mps=0.2,
        lateral_mps=0.3,
        yaw_rate_radps=1.0,
        acceleration_mps2=1.5,
        yaw_acceleration_radps2=2.0,
        wheel_speed_mps=0.8,
        half_track_m=0.0,
        source="a brisk indoor walk, well inside what the gait was trained for (Unitree states 2 m/s); reverse and "
        "lateral: spaces.py",
    ),
    # A natural stance: upper arms 11 degrees out and a little back, elbows slightly bent, hands beside the thighs.
    posture_rad={
        "left_shoulder_pitch_joint": 0.2,
        "left_shoulder_roll_joint": 0.2,
        "left_elbow_joint": 0.9,
        "right_shoulder_pitch_joint": 0.2,
        "right_shoulder_roll_joint": -0.2,
        "right_elbow_joint": 0.9,
    },
    footprint=(
        (
            Disc(x_m=0.0, y_m=0.0, radius_m=0.30),
            Disc(x_m=-0.10, y_m=0.23, radius_m=0.11),
            Disc(x_m=-0.10, y_m=-0.23, radius_m=0.11),
            Disc(x_m=0.03, y_m=0.22, radius_m=0.11),
            Disc(x_m=0.03, y_m=-0.22, radius_m=0.11),
        ),
        (Disc(x_m=0.0, y_m=0.0, radius_m=0.30),),
        (Disc(x_m=0.0, y_m=0.0, radius_m=0.32),),
        (Disc(x_m=0.0, y_m=0.0, radius_m=0.26),),
    ),
    camera=DepthCamera(
        x_m=0.06,
        z_m=1.26,
        pitch_rad=math.radians(47.6),
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="d435_joint of g1_29dof_rev_1_0.urdf (x 0.058, pitch 0.8308 rad) on the standing body; field of view "
        "and range: RealSense D435i data sheet",
    ),
)
