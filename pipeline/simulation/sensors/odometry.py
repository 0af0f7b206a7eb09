"""Odometry: the true pose plus an error that grows with the distance travelled."""

import torch


class Odometry:
    """The pose error of every environment, a random walk over the distance travelled."""

    def __init__(self, num_envs: int, *, drift_xy_per_m: float, drift_yaw_per_m: float, device: str) -> None:
        """Start without error.

        Args:
            drift_xy_per_m: Standard deviation of the error in x and in y after one metre [m].
            drift_yaw_per_m: Standard deviation of the heading error after one metre [rad].
        """
        self._error: torch.Tensor = torch.zeros(num_envs, 3, device=device)
        self._rates = torch.tensor([drift_xy_per_m, drift_xy_per_m, drift_yaw_per_m], device=device)
        self._drifts = bool((self._rates > 0.0).any())

    def begin(self, mask: torch.Tensor, error: torch.Tensor | float = 0.0) -> None:
        """Set the error of the masked environments (B,): one value, or (B, 3) x, y [m], yaw [rad]."""
        self._error = torch.where(mask[:, None], error, self._error)

    def travel(
        self, distance_m: torch.Tensor, *, generator: torch.Generator, extra_rates: torch.Tensor | None = None
    ) -> None:
        """Let the error grow.

        Args:
            distance_m: (B,) travelled since the last call [m]; a jump counts as one metre.
            generator: Source of the noise; not used where nothing drifts.
            extra_rates: (B, 3) drift rates that are added to the usual ones.
        """
        if extra_rates is None and not self._drifts:
            return
        rates = self._rates if extra_rates is None else self._rates + extra_rates
        noise = torch.randn(self._error.shape, generator=generator, device=self._error.device)
        self._error = self._error + distance_m.clamp(max=1.0).sqrt()[:, None] * noise * rates

    def believed_w(self, pose_w: torch.Tensor) -> torch.Tensor:
        """Return the poses (B, 3) that the odometry reports for the true poses (B, 3)."""
        return pose_w + self._error
