"""Varied dynamics per environment: friction, mass, motors, gains, centre of mass."""

from collections.abc import Sequence
from typing import Any

import torch

Interval = tuple[float, float]


class Variation:
    """Factors (B, 8) on one robot's dynamics.

    Columns: friction, base mass, motor strength, gain, centre of mass shift x, y, z [m], mass of every link.
    """

    def __init__(
        self, robot: Any, *, dofs: Sequence[int], kp: torch.Tensor, kd: torch.Tensor, torque_nm: torch.Tensor
    ) -> None:
        """Start with the model's own dynamics.

        Args:
            robot: The Genesis entity, built with per-environment masses and gains.
            dofs: Its driven degrees of freedom.
            kp, kd, torque_nm: Their nominal gains and torque limits (J,).
        """
        self._robot, self._dofs = robot, list(dofs)
        self._kp, self._kd, self._torque_nm = kp, kd, torque_nm
        self._links, self._base = list(range(robot.n_links)), robot.base_link.idx_local
        self._mass = robot.get_links_mass(self._links).clone()
        self._inertia = robot.get_links_inertia(self._links).clone()
        self._base_com = robot.get_links_COM([self._base]).clone()
        self._factors = torch.ones(len(self._mass), 8, device=kp.device)
        self._factors[:, 4:7] = 0.0

    @property
    def friction(self) -> torch.Tensor:
        """Factor (B,) on the nominal friction."""
        return self._factors[:, 0]

    def randomise(
        self,
        mask: torch.Tensor,
        *,
        generator: torch.Generator,
        friction: Interval = (1.0, 1.0),
        mass_scale: Interval = (1.0, 1.0),
        body_mass_scale: Interval = (1.0, 1.0),
        com_shift_m: float = 0.0,
        motor_strength: Interval = (1.0, 1.0),
        kp_scale: Interval = (1.0, 1.0),
    ) -> torch.Tensor:
        """Sample new dynamics for the masked robots.

        Args:
            friction: Interval of the factor on the robot's nominal friction.
            mass_scale: Interval of the factor on the mass and inertia of the base link.
            body_mass_scale: Interval of a further factor on the mass and inertia of every link, the base included.
            com_shift_m: Largest shift of the base link's centre of mass along each axis.
            motor_strength: Interval of the factor on torque limits and gains.
            kp_scale: Interval of a further factor on the gains.

        Returns:
            (B, 7) the current factors: friction, base mass, motor strength, gain, centre of mass shift x and y [m],
            mass of every link.
        """
        unit = torch.rand(len(mask), 8, generator=generator, device=mask.device)
        shift = (-com_shift_m, com_shift_m)
        intervals = (friction, mass_scale, motor_strength, kp_scale, shift, shift, shift, body_mass_scale)
        low, high = unit.new_tensor(intervals).T
        self._factors = torch.where(mask[:, None], low + (high - low) * unit, self._factors)
        self._apply()
        return self._factors[:, [0, 1, 2, 3, 4, 5, 7]]

    def set(self, *, friction: torch.Tensor, mass_scale: torch.Tensor, motor_strength: torch.Tensor) -> None:
        """Set factors (B,) of ``randomise`` to given values; a change takes a fifth of a control step."""
        factors = self._factors.clone()
        for column, value in enumerate((friction, mass_scale, motor_strength)):
            factors[:, column] = value
        if not torch.equal(factors, self._factors):
            self._factors = factors
            self._apply()

    def _apply(self) -> None:
        friction, base_mass, strength, gain = (self._factors[:, i : i + 1] for i in range(4))
        self._robot.set_friction_ratio(friction.expand(-1, len(self._links)), self._links)
        mass = self._factors[:, 7:8].expand(-1, len(self._links)).clone()  # (B, L)
        mass[:, self._base : self._base + 1] *= base_mass
        self._robot.set_links_mass(self._mass * mass, self._links)
        self._robot.set_links_inertia(self._inertia * mass[..., None, None], self._links)
        self._robot.set_links_COM(self._base_com + self._factors[:, None, 4:7], [self._base])
        kp, kd, torque_nm = self._kp * strength * gain, self._kd * strength * gain, self._torque_nm * strength
        set_gains(self._robot, self._dofs, kp=kp, kd=kd, torque_nm=torque_nm)


def set_gains(robot: Any, dofs: Sequence[int], *, kp: torch.Tensor, kd: torch.Tensor, torque_nm: torch.Tensor) -> None:
    """Set the PD gains and torque limits of a robot's motors, each (J,) or (B, J)."""
    robot.set_dofs_kp(kp, dofs)
    robot.set_dofs_kv(kd, dofs)
    robot.set_dofs_force_range(-torque_nm, torque_nm, dofs)


def scale_masses(robot: Any, factor: float) -> None:
    """Scale the mass and inertia of every link of every copy."""
    links = list(range(robot.n_links))
    robot.set_links_mass(robot.get_links_mass(links) * factor, links)
    robot.set_links_inertia(robot.get_links_inertia(links) * factor, links)
