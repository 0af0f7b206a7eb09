"""Discs fitted to a body cover it and hardly reach beyond it."""

import numpy as np
import pytest
import trimesh

from pipeline.simulation.physics.footprint_fit import fit_discs, layer_points

SLACK_M = 0.02


def outside_m(points: np.ndarray, discs) -> float:
    """Return how far the farthest point lies outside of all discs; negative inside."""
    table = np.asarray([(d.x_m, d.y_m, d.radius_m) for d in discs])
    return float((np.linalg.norm(points[:, None] - table[:, :2], axis=-1) - table[:, 2]).min(axis=1).max())


def test_a_cylinder_is_one_disc() -> None:
    mesh = trimesh.creation.cylinder(radius=0.2, height=0.1, sections=64)
    mesh.apply_translation((0.1, -0.05, 0.15))
    (disc,) = fit_discs(layer_points(mesh, 0.05, 0.30), slack_m=SLACK_M)
    assert (disc.x_m, disc.y_m) == pytest.approx((0.1, -0.05), abs=0.011)
    assert disc.radius_m == pytest.approx(0.2, abs=SLACK_M)


def test_a_box_is_covered_within_the_slack() -> None:
    mesh = trimesh.creation.box(extents=(0.5, 0.3, 0.2))
    mesh.apply_translation((0.0, 0.0, 0.15))
    points = layer_points(mesh, 0.05, 0.30)
    discs = fit_discs(points, slack_m=SLACK_M)
    assert outside_m(points, discs) <= 0.0
    corner = np.asarray([[0.25, 0.15]])
    assert outside_m(corner, discs) <= 0.0
    assert max(d.x_m + d.radius_m for d in discs) <= 0.25 + SLACK_M + 0.001
    assert 1 < len(discs) <= 12


def test_what_is_above_or_below_does_not_count() -> None:
    mesh = trimesh.creation.box(extents=(0.5, 0.3, 0.2))
    mesh.apply_translation((0.0, 0.0, 0.15))
    assert len(layer_points(mesh, 0.30, 0.68)) == 0


def test_points_without_an_area_are_refused() -> None:
    with pytest.raises(ValueError, match="without one"):
        fit_discs(np.zeros((5, 2)), slack_m=SLACK_M)
