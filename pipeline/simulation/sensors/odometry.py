"""Where a robot believes itself to be: the truth, and an error that grows with the way it has travelled."""

import torch


class Odometry:
    """The pose error of every environment, a random walk over the way travelled."""

    def __init__(self, num_envs: int, *, drift_xy_per_m: float, drift_yaw_per_m: float, device: str) -> None:
        """Start without error.

        Args:
            drift_xy_per_m: Standard deviation of either coordinate's error after one metre [m].
            drift_yaw_per_m: Of the heading's [rad].
        """
        self._error: torch.Tensor = torch.zeros(num_envs, 3, device=device)
        self._rates = torch.tensor([drift_xy_per_m, drift_xy_per_m, drift_yaw_per_m], device=device)
        self._drifts = bool((self._rates > 0.0).any())

    def begin(self, mask: torch.Tensor, error: torch.Tensor | float = 0.0) -> None:
        """Let the masked environments (B,) begin with an error, (B, 3) if not the same for all."""
        self._error = torch.where(mask[:, None], error, self._error)

    def travel(self, way_m: torch.Tensor, *, generator: torch.Generator, more: torch.Tensor | None = None) -> None:
        """Let the error grow.

        Args:
            way_m: (B,) travelled since the last call [m]; a jump counts as one metre.
            generator: Draws the error; not used where nothing drifts.
            more: Rates (B, 3) beside the usual ones.
        """
        if more is None and not self._drifts:
            return
        rates = self._rates if more is None else self._rates + more
        noise = torch.randn(self._error.shape, generator=generator, device=self._error.device)
        self._error = self._error + way_m.clamp(max=1.0).sqrt()[:, None] * noise * rates

    def believed_w(self, pose_w: torch.Tensor) -> torch.Tensor:
        """Return where the robots believe themselves to be (B, 3) when they are at ``pose_w`` (B, 3)."""
        return pose_w + self._error
