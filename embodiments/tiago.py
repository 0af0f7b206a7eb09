"""PAL TIAGo: a differential base of 65 kg with lifting torso, tucked arm and a depth camera in the head."""

import math

from embodiments.embodiment import ContactShape, DepthCamera, DifferentialDrive, Disc, Embodiment, Limits, RobotModel

_WHEELS = ("wheel_left_link", "wheel_right_link")
_CASTERS = tuple(f"caster_{end}_{side}_2_link" for end in ("front", "back") for side in ("left", "right"))
_WHEEL_RADIUS_M = 0.0985
_TRACK_M = 0.4044

EMBODIMENT = Embodiment(
    name="tiago",
    family="wheeled",
    model=RobotModel(
        package="example-robot-data",
        path="tiago_description/robots/tiago_no_hand.urdf",
        licence="example-robot-data lists Apache-2.0 (PAL tiago_robot); the URDF's own header says CC BY-NC-ND 3.0",
        contact_shapes=(
            *(ContactShape(link=link, kind="cylinder", size_m=(_WHEEL_RADIUS_M, 0.04)) for link in _WHEELS),
            # Half a millimetre less than the URDF's 25 mm: the real wheels are sprung and always carry load.
            *(ContactShape(link=link, kind="sphere", size_m=(0.0245,)) for link in _CASTERS),
            # The URDF's collision geometry leaves out the cover, which is what touches a wall first.
            ContactShape(link="base_cover_link", kind="cylinder", size_m=(0.266, 0.085), xyz_m=(0.0, 0.0, -0.056)),
        ),
        ground_links=(*_WHEELS, *_CASTERS),
    ),
    drive=DifferentialDrive(
        left_joint="wheel_left_joint",
        right_joint="wheel_right_joint",
        wheel_radius_m=_WHEEL_RADIUS_M,
        track_m=_TRACK_M,
    ),
    limits=Limits(
        forward_mps=1.0,
        reverse_mps=0.2,
        lateral_mps=0.0,
        yaw_rate_radps=math.radians(120.0),
        acceleration_mps2=1.0,
        yaw_acceleration_radps2=math.radians(120.0),
        wheel_speed_mps=1.0,
        half_track_m=_TRACK_M / 2.0,
        source="PAL pmb2_controller_configuration, mobile_base_controller.yaml: 1.0 / -0.2 m/s, 1 m/s2, 120 deg/s, "
        "120 deg/s2; wheels: tiago.urdf, 10.152 rad/s x 0.0985 m = 1.0 m/s at y = +-0.2022 m",
    ),
    # Fitted to the URDF's visual meshes in the posture below: covers them, at most 25 mm outside their convex hull.
    footprint=(
        (Disc(x_m=0.0, y_m=0.0, radius_m=0.270),),
        (
            Disc(x_m=0.145, y_m=-0.132, radius_m=0.092),
            Disc(x_m=0.152, y_m=0.131, radius_m=0.078),
            Disc(x_m=0.048, y_m=0.003, radius_m=0.191),
            Disc(x_m=-0.144, y_m=-0.069, radius_m=0.081),
            Disc(x_m=-0.152, y_m=0.075, radius_m=0.076),
        ),
        (
            Disc(x_m=0.110, y_m=-0.085, radius_m=0.122),
            Disc(x_m=0.156, y_m=0.053, radius_m=0.077),
            Disc(x_m=-0.046, y_m=-0.003, radius_m=0.192),
            Disc(x_m=-0.186, y_m=-0.117, radius_m=0.064),
            Disc(x_m=-0.170, y_m=0.107, radius_m=0.081),
        ),
        (
            Disc(x_m=0.162, y_m=-0.002, radius_m=0.138),
            Disc(x_m=0.250, y_m=-0.114, radius_m=0.038),
            Disc(x_m=0.242, y_m=0.110, radius_m=0.046),
        ),
    ),
    camera=DepthCamera(
        x_m=0.241,
        z_m=1.171,
        pitch_rad=math.radians(25.0),
        hfov_rad=math.radians(58.0),
        vfov_rad=math.radians(45.0),
        min_range_m=0.4,
        max_range_m=8.0,
        source="pose: forward kinematics of xtion_depth_optical_frame in the posture below (its 47 mm to the left are "
        "left out); field of view and range: ASUS Xtion Pro Live, 58 x 45 deg, 0.4 to 8 m (0.8 to 3.5 m rated)",
    ),
    # PAL's motion "home": arm tucked before the torso. Straight out it would reach 1.03 m. The head looks down.
    posture_rad={
        "torso_lift_joint": 0.15,
        "arm_1_joint": 0.20,
        "arm_2_joint": -1.34,
        "arm_3_joint": -0.20,
        "arm_4_joint": 1.94,
        "arm_5_joint": -1.57,
        "arm_6_joint": 1.37,
        "arm_7_joint": 0.0,
        "head_2_joint": -math.radians(25.0),
    },
)
