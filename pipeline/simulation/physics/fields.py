"""Scalar fields over the ground as tensors: one lookup for all environments at once, each in its own scene."""

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch

from scenes.grid import Grid


class FieldBank:
    """A stack of fields of one resolution, interpolated bilinearly; outside of a field its border value holds.

    Fields of different sizes are padded at their upper edges with their own border values.
    """

    def __init__(self, grids: Sequence[Grid], *, device: str, dtype: torch.dtype = torch.float32) -> None:
        """Stack grids whose values are (H, W) or (K, H, W), all with the same K and resolution."""
        if not grids:
            raise ValueError("a field bank needs at least one field")
        self.resolution_m = grids[0].resolution_m
        layers = [g.values[None] if g.values.ndim == 2 else g.values for g in grids]
        height = max(v.shape[-2] for v in layers)
        width = max(v.shape[-1] for v in layers)
        padded = [np.pad(v, ((0, 0), (0, height - v.shape[1]), (0, width - v.shape[2])), mode="edge") for v in layers]
        self.values = torch.as_tensor(np.stack(padded), device=device).to(dtype)  # (N, K, H, W)
        self.origin_w_m = torch.as_tensor(np.asarray([g.origin_xy_w_m for g in grids], dtype=np.float32), device=device)

    def lowest(self, layers: int) -> "FieldBank":
        """Return the same fields with one layer: the minimum of the first ``layers``."""
        bank = copy(self)
        bank.values = self.values[:, :layers].amin(dim=1, keepdim=True)
        return bank

    def sample(self, index: torch.Tensor, layer: torch.Tensor, xy_w_m: torch.Tensor) -> torch.Tensor:
        """Return interpolated values.

        Args:
            index: (...,) int64, which field.
            layer: (...,) int64, which layer of it.
            xy_w_m: (..., 2) world position [m].
        """
        layers, height, width = self.values.shape[1:]
        cell = (xy_w_m - self.origin_w_m[index]) / self.resolution_m - 0.5
        column = cell[..., 0].clamp(0.0, width - 1.001)
        row = cell[..., 1].clamp(0.0, height - 1.001)
        column_0, row_0 = column.floor(), row.floor()
        across, up = column - column_0, row - row_0
        corner = ((index * layers + layer) * height + row_0.long()) * width + column_0.long()
        flat = self.values.view(-1)
        lower = flat[corner].float() * (1.0 - across) + flat[corner + 1].float() * across
        upper = flat[corner + width].float() * (1.0 - across) + flat[corner + width + 1].float() * across
        return lower * (1.0 - up) + upper * up

    def sample_lowest(self, index: torch.Tensor, xy_w_m: torch.Tensor) -> torch.Tensor:
        """Return the minimum (B, Q) over all layers of the fields ``index`` (B,) at world points (B, Q, 2)."""
        wide = index[:, None].expand(xy_w_m.shape[:2])
        layers = range(self.values.shape[1])
        return torch.stack([self.sample(wide, torch.full_like(wide, layer), xy_w_m) for layer in layers]).amin(dim=0)

    def gradient(self, index: torch.Tensor, xy_w_m: torch.Tensor) -> torch.Tensor:
        """Return the (..., 2) central-difference gradient of layer 0 at world points (..., 2)."""
        step = self.resolution_m
        offsets = torch.tensor([[step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]], device=xy_w_m.device)
        points = xy_w_m.unsqueeze(-2) + offsets  # (..., 4, 2)
        wide = index.unsqueeze(-1).expand(points.shape[:-1])
        value = self.sample(wide, torch.zeros_like(wide), points)
        return torch.stack([value[..., 0] - value[..., 1], value[..., 2] - value[..., 3]], dim=-1) / (2.0 * step)

    def descend(self, index: torch.Tensor, xy_w_m: torch.Tensor, *, length_m: float, step_m: float) -> torch.Tensor:
        """Follow the steepest descent of layer 0 from (B, 2) for ``length_m``; return the (B, 2) end points."""
        point = xy_w_m
        for _ in range(round(length_m / step_m)):
            slope = self.gradient(index, point)
            norm = slope.norm(dim=-1, keepdim=True)
            point = point - torch.where(norm > 1e-3, slope / norm.clamp(min=1e-3), 0.0) * step_m
        return point
