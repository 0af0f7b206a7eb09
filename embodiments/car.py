"""A car of 1:10 with a depth camera: steered front wheels, driven rear wheels. It cannot turn on the spot."""

import math
from pathlib import Path

from embodiments.embodiment import AckermannDrive, DepthCamera, Disc, Embodiment, Limits, RobotModel

_WHEELS = tuple(f"{end}_{side}_wheel" for end in ("front", "rear") for side in ("left", "right"))
_DRIVE = AckermannDrive(
    steering_joints=("left_steering_joint", "right_steering_joint"),
    rolling_joints=("front_left_wheel_joint", "front_right_wheel_joint"),
    driven_joints=("rear_left_wheel_joint", "rear_right_wheel_joint"),
    wheel_base_m=0.325,
    track_m=0.2,
    wheel_radius_m=0.05,
    steering_limit_rad=0.5,
    steering_rate_radps=4.0,
)
_FORWARD_MPS = 1.0
_ACCELERATION_MPS2 = 1.0

EMBODIMENT = Embodiment(
    name="car",
    family="wheeled",
    model=RobotModel(
        file=Path(__file__).parent / "models" / "car.urdf",
        licence="Apache-2.0 (this project)",
        ground_links=_WHEELS,
    ),
    drive=_DRIVE,
    limits=Limits(
        forward_mps=_FORWARD_MPS,
        reverse_mps=0.2,
        lateral_mps=0.0,
        yaw_rate_radps=_FORWARD_MPS / _DRIVE.turning_radius_m,
        acceleration_mps2=_ACCELERATION_MPS2,
        # A turn from rest raises the speed with it, see limits.steer: both accelerations are one.
        yaw_acceleration_radps2=_ACCELERATION_MPS2 / _DRIVE.turning_radius_m,
        wheel_speed_mps=_FORWARD_MPS * (1.0 + _DRIVE.track_m / 2.0 / _DRIVE.turning_radius_m),
        half_track_m=_DRIVE.track_m / 2.0,
        source="chosen for indoors, race cars of this size are faster, as is the steering of 0.5 rad at 4 rad/s; wheel "
        "base, track and wheels: those of 1:10 cars such as MIT's RACECAR; reverse: spaces.py",
    ),
    # Measured (`inspect_robot`), the front ones enlarged for steered wheels.
    footprint=(
        (
            Disc(x_m=0.28, y_m=0.0, radius_m=0.142),
            Disc(x_m=0.043, y_m=-0.003, radius_m=0.142),
            Disc(x_m=-0.007, y_m=0.047, radius_m=0.091),
            Disc(x_m=-0.007, y_m=-0.047, radius_m=0.091),
            Disc(x_m=0.323, y_m=0.047, radius_m=0.102),
            Disc(x_m=0.323, y_m=-0.047, radius_m=0.102),
        ),
        (),
        (),
        (),
    ),
    camera=DepthCamera(
        x_m=0.315,
        z_m=0.22,
        pitch_rad=0.0,
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="pose: camera_link of the model; field of view and range: RealSense D435i data sheet, 87 x 58 deg",
    ),
)
