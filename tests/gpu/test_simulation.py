"""The simulation on CUDA: rays against Open3D's, and some steps of one robot against the same steps on the CPU."""

from typing import Any

import torch

from tests.pipeline.simulation.sensors import ray_comparison
from tests.separate_process import call

STEPS = 20
POSE_M = 0.02
"""Largest difference of a pose in ``STEPS`` control steps of the teacher: contacts are rounded otherwise [m, rad]"""
DEPTH_M = 0.05
"""Difference of two images at most, in nine of ten pixels"""
DIFFERING, TIES = 1e-4, 0.01
"""As in ``tests/pipeline/simulation/sensors/test_device_caster.py``"""


def cast(device: str) -> ray_comparison.Difference:
    """Cast rays in scenes of every kind by both casters."""
    from pipeline.simulation.physics import genesis_scene
    from pipeline.simulation.sensors import ray_caster
    from pipeline.simulation.sensors.device_caster import DeviceCaster

    genesis_scene._start(torch.device(device), 0)
    scenes = ray_comparison.scenes(per_kind=4)
    ours, theirs = DeviceCaster(scenes, device=torch.device(device)), ray_caster.make(scenes, device="cpu")
    return ray_comparison.difference(theirs, ours, ray_comparison.rays(scenes, cameras=256, seed=1), device=device)


def test_rays_end_where_open3ds_do(device: str) -> None:
    found = call(cast, device)
    print(found)
    assert found.hits > 0.5
    assert found.missed <= DIFFERING and found.apart <= DIFFERING and found.other_class <= TIES, found


def drive(device: str) -> dict[str, Any]:
    """Drive one robot forwards for some steps without noise; return where it was and what it saw."""
    from embodiments import registry
    from pipeline.agents.teacher import TeacherAgent
    from pipeline.simulation.navigation.config import NavigationConfig
    from pipeline.simulation.navigation.environment import NavigationEnvironment
    from pipeline.simulation.navigation.task import build_task
    from scenes.registry import generate

    scenes = [generate("office", split="train", index=0)]
    task = build_task(registry.get("tiago"), scenes, protocol="compass", per_scene=1, route="planned", seed=3)
    environment = NavigationEnvironment(task, config=NavigationConfig(), num_envs=1, seed=0, device=device)
    environment.assign(torch.zeros(1, 1, dtype=torch.long))
    teacher = TeacherAgent(num_envs=1, device=device, seed=0)
    step = environment.reset()
    poses = []
    for _ in range(STEPS):
        step = environment.step(teacher.act(step.observation, environment.privileged))
        poses.append(environment.pose_w[0].cpu())
    seen = step.observation.inputs()
    places = {name: value.device.type for name, value in seen.items()} | {"reward": step.reward.device.type}
    return {
        "poses": torch.stack(poses).numpy(),
        "depth_m": step.observation.depth_m.cpu().numpy(),
        "places": places,
        "finite": all(bool(value.isfinite().all()) for value in seen.values()),
        "caster": type(environment.camera._raycaster).__name__,
    }


def test_one_robot_drives_as_on_the_cpu(device: str) -> None:
    here, there = call(drive, "cpu"), call(drive, device)
    kind = torch.device(device).type
    assert set(there["places"].values()) == {kind} and there["finite"]
    assert there["caster"] == ("HostCaster" if kind == "cpu" else "DeviceCaster")
    assert abs(here["poses"][-1] - here["poses"][0]).max() > 0.1  # it did drive
    assert abs(there["poses"] - here["poses"]).max() < POSE_M
    assert (abs(there["depth_m"] - here["depth_m"]) < DEPTH_M).mean() > 0.9
