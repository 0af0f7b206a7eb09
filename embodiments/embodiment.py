"""One robot type as data: model, drive, limits, footprint, camera."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from embodiments.spaces import CAMERA_FIELDS, DESCRIPTOR_SIZE, HEIGHT_LAYERS_M, LIMIT_FIELDS

Family = Literal["wheeled", "legged", "humanoid"]


@dataclass(frozen=True, kw_only=True)
class ContactShape:
    """A simple shape that stands for a link's collision meshes in the simulation; pose in the link's frame."""

    link: str
    kind: Literal["sphere", "cylinder", "box"]
    size_m: tuple[float, ...]
    """Radius | radius, length along z | x, y, z."""
    xyz_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rpy_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class RobotModel:
    """Where the robot's real model comes from: a file inside an installed PyPI package, or a file of the user's."""

    package: str = ""
    """Distribution name on PyPI."""
    path: str = ""
    """Path of the URDF, MJCF or xacro, as the end of a path listed in the package's files."""
    file: str | Path = field(default="", repr=False)
    """Instead of package and path: URDF, MJCF or xacro, relative to the robot file. Its content counts in digests."""
    licence: str = ""
    xacro_arguments: dict[str, str] = field(default_factory=dict, repr=False)
    """Values of the ``xacro:arg`` of a xacro file."""
    keep_links: tuple[str, ...] = ()
    """Links that must survive the merging of fixed joints (feet, camera)."""
    contact_shapes: tuple[ContactShape, ...] = ()
    """Shapes that replace the collision meshes of their links (Stretch's wheel meshes do not grip)."""
    ground_links: tuple[str, ...] = ()
    """Links that may touch the ground. The others cannot collide while the ground is all there is; empty = all can."""
    joint_ranges_rad: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Joint name -> lower and upper limit, for joints whose limits the model's file leaves out."""

    def __post_init__(self) -> None:
        """Refuse a model without a place, or with two."""
        if bool(self.file) == bool(self.package or self.path) or bool(self.package) != bool(self.path):
            raise ValueError('RobotModel needs file="PATH", or package="NAME" and path="PATH IN IT"')

    @property
    def name(self) -> str:
        """The model's file, as messages call it."""
        return str(self.file or self.path)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Velocity and acceleration limits in the body frame; ``source`` says where they come from."""

    forward_mps: float
    reverse_mps: float
    lateral_mps: float
    yaw_rate_radps: float
    acceleration_mps2: float
    yaw_acceleration_radps2: float
    wheel_speed_mps: float
    """Cap on |vx| + half_track |yaw rate|; for a robot without wheels its largest speed."""
    half_track_m: float
    """Half the distance between the wheels; their lever about the centre if they have rollers; 0 without wheels."""
    source: str


@dataclass(frozen=True, kw_only=True)
class DifferentialDrive:
    """Two wheels under velocity control."""

    left_joint: str
    right_joint: str
    wheel_radius_m: float
    track_m: float
    wheel_gain: float = 200.0
    """Velocity gain of the wheel joints [N m s/rad]."""
    wheel_force_nm: float = 40.0
    armature_kgm2: float = 0.01
    wheel_friction: float = 1.0
    """Of the two wheels; other parts that touch the ground (casters) have 0.01."""


@dataclass(frozen=True, kw_only=True)
class OmniDrive:
    """Three or more wheels with rollers on their rims: omnidirectional or mecanum. The base moves any way.

    Where the wheels stand and how they roll follows from the model. The simulation has no rollers: wheels slide freely
    on the ground, and the ground's push along each roller's axis is computed (docs/adr/0018).
    """

    joints: tuple[str, ...]
    roller_rad: tuple[float, ...]
    """Per wheel the angle, counter-clockwise from above, from the direction in which it rolls to the axis of the roller
    on the ground, along which the ground can push: 0 for an omnidirectional wheel, +-45 degrees for a mecanum wheel."""
    wheel_radius_m: float
    wheel_force_nm: float
    """Largest torque of a wheel's motor."""
    grip: float = 0.8
    """Largest push of the ground on a wheel over the wheel's load; rubber rollers on a hard floor."""
    slip_s: float = 0.02
    """Time in which the ground's push takes away most of a slip: wheels of rubber, no measured figure."""
    wheel_gain: float = 10.0
    """Velocity gain of the wheel joints [N m s/rad]. Implicit damping acts like inertia while the motor is at its
    bound: with 200 a motor of 6 N m took 0.7 s to bring the wheel to 0.3 m/s."""
    armature_kgm2: float = 0.01


@dataclass(frozen=True, kw_only=True)
class AckermannDrive:
    """A car: two steered front wheels that roll freely, two driven rear wheels. It cannot turn on the spot.

    The base link's origin must lie between the rear wheels: only that point moves straight ahead in a curve.
    """

    steering_joints: tuple[str, str]
    """Left, right; about an axis that points up."""
    rolling_joints: tuple[str, str]
    """Of the front wheels, left, right."""
    driven_joints: tuple[str, str]
    """Of the rear wheels, left, right."""
    wheel_base_m: float
    """From the rear axle to the front one."""
    track_m: float
    """Between the left and the right wheels, and between the steering axes."""
    wheel_radius_m: float
    steering_limit_rad: float
    """Of the inner front wheel."""
    steering_rate_radps: float
    wheel_gain: float = 20.0
    """Velocity gain of the driven joints [N m s/rad]."""
    wheel_force_nm: float = 10.0
    steering_gain: float = 40.0
    """Position gain of the steering joints [N m/rad]."""
    steering_damping: float = 1.0
    """[N m s/rad]"""
    steering_force_nm: float = 10.0
    armature_kgm2: float = 0.005
    wheel_friction: float = 1.0
    """Of the four wheels."""

    @property
    def turning_radius_m(self) -> float:
        """Radius of the tightest curve of the base link's origin."""
        return self.wheel_base_m / math.tan(self.steering_limit_rad) + self.track_m / 2.0


@dataclass(frozen=True, kw_only=True)
class GaitDrive:
    """Legs that a learned velocity-tracking policy moves at 50 Hz over joint PD targets."""

    joints: tuple[str, ...]
    """Driven joints in the order of the gait's action."""
    default_rad: tuple[float, ...]
    """Joint angles of the standing pose, in the order of ``joints``."""
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_nm: tuple[float, ...]
    """Torque limits of the real motors."""
    armature_kgm2: tuple[float, ...]
    """Rotor inertia of the motors as seen at the joints."""
    action_scale_rad: float
    base_height_m: float
    """Height of the base link above the ground when standing."""
    feet: tuple[str, ...]
    """Foot links, left before right, front before rear."""
    foot_phases: tuple[float, ...]
    """Phase offset of each foot in the gait cycle, in [0, 1); left-right mirroring shifts it by one half."""
    foot_clearance_m: float
    """Height that a foot link's origin rises above its standing height in the middle of a swing."""
    mirror_joints: tuple[int, ...]
    """For each joint the index of its left-right mirror image."""
    mirror_signs: tuple[float, ...]
    """Sign of each joint's angle under left-right mirroring."""
    cycle_s: float
    """Duration of one gait cycle."""
    stop_cycles: float = 0.0
    """Gait cycles that it steps on the spot after a command to stand, before both feet rest; 0 = none."""
    steady_rad: float = math.inf
    """A standing robot steps on the spot while its predicted lean exceeds this: lean plus its rate, divided by the rate
    of an inverted pendulum. Only with ``stop_cycles``."""
    swing_rad: tuple[float, ...] = ()
    """Added to the joint targets of a leg in the middle of its swing; empty = the policy lifts the feet alone.

    Without it a humanoid learns late to step. Joints are in equal, consecutive groups, one per foot.
    """
    support_rad: tuple[float, ...] = ()
    """Added to the joint targets of a leg while its mirror image is in mid-swing, when it carries twice the load."""
    stride_rad_per_mps: tuple[float, ...] = ()
    """Joint offsets at touch-down per forward speed: half the distance of a stance, divided by the leg's length."""
    sidestep_rad_per_mps: tuple[float, ...] = ()
    """The same per speed to the left."""
    reverse_mps: float = 0.5
    """Fastest reverse speed that the gait is trained for and measured at; navigation has a lower limit."""
    weights: str
    """File in ``embodiments/gaits/``."""
    source: str


WheeledDrive = DifferentialDrive | OmniDrive | AckermannDrive


@dataclass(frozen=True, kw_only=True)
class Disc:
    """One disc of a body footprint, in the body frame."""

    x_m: float
    y_m: float
    radius_m: float


@dataclass(frozen=True, kw_only=True)
class DepthCamera:
    """Depth camera on the robot; an upright one looks along x, pitched down by ``pitch_rad``."""

    x_m: float
    z_m: float
    """Height of the optical centre above the ground with the robot standing still."""
    pitch_rad: float
    """Positive looks down."""
    hfov_rad: float
    vfov_rad: float
    """Real field of view of the upright image; outside of it the canonical image is 0."""
    min_range_m: float
    max_range_m: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Embodiment:
    """One robot type. Frozen; everything SI, angles in rad, body frame."""

    name: str
    family: Family
    model: RobotModel
    drive: WheeledDrive | GaitDrive
    limits: Limits
    footprint: tuple[tuple[Disc, ...], ...]
    """Discs per height layer of ``spaces.HEIGHT_LAYERS_M``; an empty tuple where the body does not reach."""
    camera: DepthCamera
    posture_rad: dict[str, float] = field(default_factory=dict)
    """Angles (or metres) of the locked joints in the stowed posture; joints not named are locked at 0."""

    @property
    def turning_radius_m(self) -> float:
        """Radius of the tightest curve; 0 for a body that turns on the spot. The descriptor does not hold it."""
        return self.drive.turning_radius_m if isinstance(self.drive, AckermannDrive) else 0.0

    @property
    def moves_sideways(self) -> bool:
        """Whether it can have a lateral velocity."""
        return isinstance(self.drive, OmniDrive | GaitDrive)

    def inscribed_radius_m(self, layer: int) -> float:
        """Return the radius around the base origin that the body fills at least in every direction.

        0 where the layer is empty or the body stands beside the origin (Stretch's mast).
        """
        return max(0.0, _support_m(self.footprint[layer], reduce=np.min))

    def circumscribed_radius_m(self, layer: int) -> float:
        """Return the radius around the base origin that covers the body in this layer; 0 where empty."""
        return max((float(np.hypot(d.x_m, d.y_m)) + d.radius_m for d in self.footprint[layer]), default=0.0)

    def half_width_m(self, layer: int) -> float:
        """Return the half width of the body in this layer; 0 where empty."""
        return max((abs(disc.y_m) + disc.radius_m for disc in self.footprint[layer]), default=0.0)

    def descriptor(self) -> np.ndarray:
        """Return the (E,) float32 vector of physical quantities, laid out as ``spaces.DESCRIPTOR_FIELDS``."""
        limits = [getattr(self.limits, name) for name in LIMIT_FIELDS]
        footprint = [extent for layer in range(len(HEIGHT_LAYERS_M)) for extent in self._extents_m(layer)]
        camera = [getattr(self.camera, name.removeprefix("camera_")) for name in CAMERA_FIELDS]
        vector = np.asarray(limits + footprint + camera, dtype=np.float32)
        assert vector.shape == (DESCRIPTOR_SIZE,)
        return vector

    def _extents_m(self, layer: int) -> tuple[float, float, float]:
        discs = self.footprint[layer]
        front = max((d.x_m + d.radius_m for d in discs), default=0.0)
        rear = max((d.radius_m - d.x_m for d in discs), default=0.0)
        return front, rear, self.half_width_m(layer)


def _support_m(discs: tuple[Disc, ...], *, reduce) -> float:  # type: ignore[no-untyped-def]
    """Reduce the footprint's extent from the origin over 64 directions."""
    if not discs:
        return 0.0
    angles = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (64, 2)
    centres = np.asarray([(d.x_m, d.y_m) for d in discs])  # (D, 2)
    extents = directions @ centres.T + np.asarray([d.radius_m for d in discs])  # (64, D)
    return float(reduce(extents.max(axis=1)))
