"""Domain randomisation as one named block per purpose; importing it costs no torch."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Randomisation:
    """What varies from episode to episode; the defaults are nominal, as evaluation uses them."""

    friction: Range = (1.0, 1.0)
    """Factor on the friction of feet or wheels."""
    mass: Range = (1.0, 1.0)
    motor_strength: Range = (1.0, 1.0)
    latency_s: Range = (0.0, 0.0)
    """Delay between a command and the drive, below one control step."""
    camera_shift_m: float = 0.0
    """Standard deviation of the error of the mount's x and z against the descriptor."""
    camera_pitch_rad: float = 0.0
    depth_noise: float = 1.0
    """Factor on the nominal sensor noise."""
    drift_xy_per_m: float = 0.0
    """Standard deviation of the odometry's drift [m] after one metre of travel."""
    drift_yaw_per_m: float = 0.0
    jitter_limits: Range = (1.0, 1.0)
    """Factor on speed and acceleration limits, contained in the descriptor: four fixed bodies would be a one-hot."""
    jitter_footprint: Range = (1.0, 1.0)
    jitter_camera_m: float = 0.0
    """Half width of the uniform change of the mount's x and z, contained in the descriptor."""
    jitter_camera_pitch_rad: float = 0.0

    @property
    def physical(self) -> bool:
        """Whether physics itself is randomised."""
        return any(limits != (1.0, 1.0) for limits in (self.friction, self.mass, self.motor_strength))


def nominal() -> Randomisation:
    """Return the block of evaluation: nominal dynamics, nominal sensor noise."""
    return Randomisation()


def training() -> Randomisation:
    """Return the block of training: moderate, so that gaits stay in the conditions that they were trained for."""
    return Randomisation(
        friction=(0.7, 1.2),
        mass=(0.95, 1.1),
        motor_strength=(0.9, 1.1),
        latency_s=(0.0, 0.06),
        camera_shift_m=0.01,
        camera_pitch_rad=0.02,
        depth_noise=1.5,
        drift_xy_per_m=0.01,
        drift_yaw_per_m=0.005,
        jitter_limits=(0.7, 1.0),
        jitter_footprint=(0.95, 1.2),
        jitter_camera_m=0.05,
        jitter_camera_pitch_rad=0.05,
    )
