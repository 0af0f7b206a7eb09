"""Unitree Go2: a quadruped of 16 kg that trots."""

import math

from embodiments.embodiment import ContactShape, DepthCamera, Disc, Embodiment, GaitDrive, Limits, RobotModel

_LEGS = ("FL", "FR", "RL", "RR")
_JOINTS = tuple(f"{leg}_{part}_joint" for leg in _LEGS for part in ("hip", "thigh", "calf"))
_DEFAULT_RAD = (0.1, 0.85, -1.6, -0.1, 0.85, -1.6) * 2

EMBODIMENT = Embodiment(
    name="go2",
    family="legged",
    model=RobotModel(
        package="example-robot-data",
        path="robots/go2_description/urdf/go2.urdf",
        licence="BSD-3-Clause (Unitree go2_description)",
        keep_links=tuple(f"{leg}_foot" for leg in _LEGS),
        # The rubber feet are balls of 22 mm; a ball touches the ground in one point, which is cheaper than its mesh.
        contact_shapes=tuple(
            ContactShape(link=f"{leg}_foot", kind="sphere", size_m=(0.022,), xyz_m=(-0.002, 0.0, 0.0)) for leg in _LEGS
        ),
        ground_links=("base", *(f"{leg}_foot" for leg in _LEGS)),
    ),
    drive=GaitDrive(
        joints=_JOINTS,
        default_rad=_DEFAULT_RAD,
        kp=(40.0,) * 12,
        kd=(1.0,) * 12,
        torque_nm=(23.7, 23.7, 45.43) * 4,
        armature_kgm2=(0.01,) * 12,
        action_scale_rad=0.25,
        base_height_m=0.31,
        feet=tuple(f"{leg}_foot" for leg in _LEGS),
        foot_phases=(0.0, 0.5, 0.5, 0.0),
        foot_clearance_m=0.07,
        mirror_joints=(3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8),
        mirror_signs=(-1.0, 1.0, 1.0) * 4,
        cycle_s=0.5,
        # Half a stance of 0.275 s over a leg of 0.3 m.
        stride_rad_per_mps=(0.0, -0.46, 0.0) * 4,
        sidestep_rad_per_mps=(0.46, 0.0, 0.0) * 4,
        weights="go2.safetensors",
        source="torque limits: go2.urdf <limit effort>; pose: close to unitree_rl_gym; gains: twice its "
        "kp 20, kd 0.5, so that the legs hold the body without a policy; armature: MuJoCo Menagerie unitree_go2 (0.01)",
    ),
    limits=Limits(
        forward_mps=1.0,
        reverse_mps=0.2,
        lateral_mps=0.3,
        yaw_rate_radps=1.0,
        acceleration_mps2=1.5,
        yaw_acceleration_radps2=3.0,
        wheel_speed_mps=1.0,
        half_track_m=0.0,
        source="a brisk indoor walk, well inside what the gait was trained for (Unitree states up to 3.7 m/s); reverse "
        "and lateral: spaces.py",
    ),
    # Covers the collision meshes at every instant of walking, turning, sidestepping and stopping in the simulation
    # (tests/test_gaits.py), also the hind knees, which rise above 0.30 m. Nothing reaches above 0.45 m.
    footprint=(
        (
            Disc(x_m=0.17, y_m=0.075, radius_m=0.195),
            Disc(x_m=0.17, y_m=-0.075, radius_m=0.195),
            Disc(x_m=0.0, y_m=0.0, radius_m=0.235),
            Disc(x_m=-0.24, y_m=0.08, radius_m=0.19),
            Disc(x_m=-0.24, y_m=-0.08, radius_m=0.19),
        ),
        (
            Disc(x_m=0.18, y_m=0.0, radius_m=0.19),
            Disc(x_m=0.0, y_m=0.0, radius_m=0.195),
            Disc(x_m=-0.18, y_m=0.035, radius_m=0.18),
            Disc(x_m=-0.18, y_m=-0.035, radius_m=0.18),
            Disc(x_m=-0.281, y_m=0.095, radius_m=0.14),
            Disc(x_m=-0.281, y_m=-0.095, radius_m=0.14),
        ),
        (),
        (),
    ),
    camera=DepthCamera(
        x_m=0.33,
        z_m=0.36,
        pitch_rad=math.radians(8.0),
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="our choice: a RealSense D435i on the head plate, before everything of the body (the URDF has no "
        "camera); 8 deg down shows the ground from 0.5 m on; field of view and range: D435i data sheet",
    ),
)
