"""Our own caster, compiled for the CPU, against Open3D's, ray by ray; ``tests/gpu`` does the same on CUDA."""

from typing import Any

import pytest
import torch

from pipeline.simulation.sensors import ray_caster
from scenes.scene import OTHER
from tests.pipeline.simulation.sensors import ray_comparison
from tests.separate_process import call

DIFFERING = 1e-4
"""Largest fraction of rays that may differ: at an edge rounding decides which triangle they meet"""
TIES = 0.01
"""Largest fraction of rays with another class at the same distance: faces of two things that lie in one another"""


def compare() -> dict[str, Any]:
    """Cast in scenes of every kind, and against simple ones; as the simulator starts its compiler."""
    from pipeline.simulation.physics import genesis_scene
    from pipeline.simulation.sensors.device_caster import DeviceCaster

    torch.set_num_threads(1)
    device = torch.device("cpu")
    genesis_scene._start(device, 0)
    scenes = ray_comparison.scenes(per_kind=2)
    ours = DeviceCaster(scenes, device=device)
    theirs = ray_caster.make(scenes, device="cpu")
    assert isinstance(theirs, ray_caster.HostCaster)
    asked = ray_comparison.rays(scenes, cameras=48, seed=0)
    up = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [0.0, 0.0, -2.0]]])
    high = torch.tensor([[0.0, 0.0, 50.0]])
    distance, semantic = ours.cast(torch.zeros(1, dtype=torch.long), high, up)
    return {
        "difference": ray_comparison.difference(theirs, ours, asked),
        "shape": tuple(ours.cast(asked.scene_index, asked.origin_w_m, asked.directions_w)[0].shape),
        "distance": distance[0].tolist(),
        "semantic": semantic[0].tolist(),
        "types": (distance.dtype, semantic.dtype),
    }


@pytest.fixture(scope="module")
def compared() -> dict[str, Any]:
    """Return the comparison, made once."""
    return call(compare)


@pytest.mark.slow
def test_rays_end_where_open3ds_do(compared: dict[str, Any]) -> None:
    found: ray_comparison.Difference = compared["difference"]
    assert found.rays == 48 * 40 * 64 and 0.5 < found.hits < 1.0
    assert found.missed <= DIFFERING and found.apart <= DIFFERING and found.other_class <= TIES, found


@pytest.mark.slow
def test_misses_lengths_shapes_and_types(compared: dict[str, Any]) -> None:
    """From 50 m above the origin of a scene: nothing above, something below, in lengths of the direction."""
    above, below, twice = compared["distance"]
    assert above == float("inf") and 47.0 < below < 50.001 and twice == pytest.approx(below / 2.0, abs=1e-4)
    assert compared["semantic"][0] == OTHER
    assert compared["shape"] == (48, 40, 64)
    assert compared["types"] == (torch.float32, torch.uint8)
