"""A body per environment: descriptor, clearance of its footprint in the distance field, real camera mount."""

import torch

from embodiments.embodiment import Embodiment
from embodiments.spaces import CAMERA_SLICE, DESCRIPTOR_SIZE, LIMIT_FIELDS
from pipeline.simulation.physics.descriptor_jitter import sample_camera_error, sample_descriptor
from pipeline.simulation.physics.fields import FieldBank
from pipeline.simulation.physics.randomisation import Randomisation

PATCH_SIDE = 8
GRADIENT_STEP_M = 0.05
PATCH_REACH_M = 1.6
"""Half width of the square around the body whose clearances the privileged critic gets."""


class BodyBatch:
    """Descriptors and footprints of ``num_envs`` bodies of one type, sampled anew at every reset."""

    def __init__(
        self, embodiment: Embodiment, *, num_envs: int, block: Randomisation, generator: torch.Generator, device: str
    ) -> None:
        """Start every body at its nominal quantities."""
        self._block = block
        self._generator = generator
        self._nominal = torch.as_tensor(embodiment.descriptor(), device=device)
        self.descriptor = self._nominal.repeat(num_envs, 1)  # (B, E)
        assert self.descriptor.shape[1] == DESCRIPTOR_SIZE
        self.camera = self.descriptor[:, CAMERA_SLICE].clone()
        """(B, 7) the real mount; the mount in the descriptor differs by an unknown error"""
        self._footprint_factor = torch.ones(num_envs, device=device)
        table = torch.tensor(_discs(embodiment), device=device)  # (D, 4)
        self._centre_b, self._radius_m, self._layer = table[:, :2], table[:, 2], table[:, 3].long()
        self.layers = int(self._layer.max()) + 1
        """Number of layers, from the ground up, that the body reaches into"""
        axis = torch.linspace(-PATCH_REACH_M, PATCH_REACH_M, PATCH_SIDE, device=device)
        self._patch_b = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)

    @property
    def forward_mps(self) -> torch.Tensor:
        """(B,) top speed."""
        return self.descriptor[:, LIMIT_FIELDS.index("forward_mps")]

    def resample(self, mask: torch.Tensor) -> None:
        """Sample new bodies for the masked environments."""
        count = len(mask)
        descriptor, factor = sample_descriptor(self._nominal, self._block, count=count, generator=self._generator)
        error = sample_camera_error(self._block, count=count, generator=self._generator, device=mask.device)
        self.descriptor = torch.where(mask[:, None], descriptor, self.descriptor)
        self._footprint_factor = torch.where(mask, factor, self._footprint_factor)
        self.camera = torch.where(mask[:, None], descriptor[:, CAMERA_SLICE] + error, self.camera)

    def clearance_m(self, distance: FieldBank, scene_index: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
        """Return the clearance (..., B) of the footprint to the nearest obstacle of its layer [m]; negative: contact.

        Args:
            scene_index: (B,) int64
            pose_w: (..., B, 3) x [m], y [m], yaw [rad]
        """
        factor = self._footprint_factor[:, None]
        centre_w = _to_world(self._centre_b * factor[..., None], pose_w)  # (..., B, D, 2)
        wide = scene_index[:, None].expand(centre_w.shape[:-1])
        layer = self._layer.expand(centre_w.shape[:-1])
        return (distance.sample(wide, layer, centre_w) - self._radius_m * factor).amin(dim=-1)

    def gap_m(self, xy_w: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
        """Return the clearance (..., B) between the footprint, over all layers, and a point (..., B, 2) [m].

        Args:
            xy_w: (..., B, 2) x, y [m]; points and poses are broadcast.
            pose_w: (..., B, 3) x [m], y [m], yaw [rad]
        """
        factor = self._footprint_factor[:, None]
        (x_w, y_w), yaw = (xy_w - pose_w[..., :2]).unbind(-1), pose_w[..., 2]
        cos, sin = yaw.cos(), yaw.sin()
        x_b, y_b = cos * x_w + sin * y_w, cos * y_w - sin * x_w
        ahead = x_b[..., None] - self._centre_b[:, 0] * factor  # (..., B, D)
        aside = y_b[..., None] - self._centre_b[:, 1] * factor
        return ((ahead.square() + aside.square()).sqrt() - self._radius_m * factor).amin(dim=-1)

    def away_xy_w(
        self, distance: FieldBank, scene_index: torch.Tensor, pose_w: torch.Tensor, clearance_m: torch.Tensor
    ) -> torch.Tensor:
        """Return (B, 2) unit vectors along which the clearance (B,) at the poses grows; 0 where it does not."""
        moved_w = pose_w + GRADIENT_STEP_M * torch.eye(2, 3, device=pose_w.device)[:, None]  # (2, B, 3)
        slope = self.clearance_m(distance, scene_index, moved_w) - clearance_m
        return torch.nn.functional.normalize(slope.T, eps=1e-4)

    def clearance_patch_m(self, nearest: FieldBank, scene_index: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
        """Return (B, 64) distances to the nearest obstacle in any of the body's layers, on a square around the body.

        Args:
            nearest: Distances in one layer, the minimum over the body's layers.
            scene_index: (B,) int64
            pose_w: (B, 3) x [m], y [m], yaw [rad]
        """
        points_w = _to_world(self._patch_b, pose_w)
        wide = scene_index[:, None].expand(points_w.shape[:2])
        return nearest.sample(wide, torch.zeros_like(wide), points_w)


def _discs(embodiment: Embodiment) -> list[tuple[float, float, float, int]]:
    """Return x, y, radius [m] and layer of every disc of the footprint."""
    discs = []
    for layer, layer_discs in enumerate(embodiment.footprint):
        discs += [(disc.x_m, disc.y_m, disc.radius_m, layer) for disc in layer_discs]
    return discs


def _to_world(points_b: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
    """Rotate and shift body points (D, 2) or (B, D, 2) by (..., B, 3) poses; (..., B, D, 2)."""
    cos, sin = pose_w[..., 2:].cos(), pose_w[..., 2:].sin()
    x, y = points_b[..., 0], points_b[..., 1]
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + pose_w[..., None, :2]
