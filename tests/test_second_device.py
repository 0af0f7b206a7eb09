"""What runs every step keeps to the device it was given, seen without a GPU (``second_device.py``)."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from distill.config import FitConfig
from distill.fitting import Transitions, distance, fit
from distill.generalist import Generalist, GeneralistConfig
from distill.pretraining import pretraining_loss
from embodiments import registry
from embodiments.observation import from_inputs
from export.graph import example_inputs
from pipeline.agents import registry as agents
from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.navigation.field_episodes import put_in_field
from pipeline.simulation.navigation.task import build_task
from pipeline.simulation.physics import genesis_scene
from pipeline.simulation.physics.randomisation import training
from scenes.registry import generate
from tests.pipeline.simulation.navigation.navigation_dummy import small_base
from tests.second_device import NAME, SecondDevice, Sender, is_elsewhere, second_device
from tests.separate_process import call
from tests.world_model.test_base_policy import policy
from tests.world_model.test_world_model import networks, windows
from world_model.anticipation import Anticipation
from world_model.base_policy import BasePolicy
from world_model.config import AnticipationConfig, LossWeights
from world_model.local_planner.stand_in import graph_only

ENVS = 4
AGENTS = ("zero", "random", "go_straight", "planner", "mppi", "oracle_map", "teacher")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondDevice]:
    """Let ``device="cuda"`` mean a second device."""
    with second_device(monkeypatch) as mode:
        yield mode


def test_the_second_device_refuses_what_a_gpu_does(device: SecondDevice) -> None:
    here, there = torch.zeros(3), torch.zeros(3, device=NAME)
    assert there.device.type == NAME and here.device.type == "cpu"
    assert is_elsewhere(there + 1.0) and is_elsewhere(there.new_zeros(2)) and is_elsewhere(here.to(there.device))
    assert not is_elsewhere(there.cpu()) and is_elsewhere(there)
    assert not is_elsewhere(there.to("cpu")) and is_elsewhere(torch.zeros_like(there))
    assert is_elsewhere(there + torch.tensor(1.0))  # a number may come from the CPU
    with pytest.raises(AssertionError, match="two devices"):
        there + here
    with pytest.raises(AssertionError, match="two devices"):
        torch.cat([there, here])
    with pytest.raises(AssertionError, match="numpy"):
        there.numpy()
    with pytest.raises(AssertionError, match="generator"):
        torch.rand(3, generator=torch.Generator(), device=there.device)
    assert is_elsewhere(torch.rand(3, generator=torch.Generator(device=NAME), device=NAME))


@torch.no_grad()
def test_a_step_of_the_policy(device: SecondDevice) -> None:
    """Depth, costmap, anticipation, world model and head, fed back; values as by the graph on the CPU."""
    here = policy()
    here.world_model.anticipation = Anticipation(AnticipationConfig(channels=(8, 8, 16))).eval()
    there = BasePolicy(world_model=copy.deepcopy(here.world_model).to(NAME), head=copy.deepcopy(here.head).to(NAME))
    state, other = here.initial_state(2), there.initial_state(2)
    for seed in range(2):
        observation = from_inputs(example_inputs(here.state_size, batch=2, seed=seed))
        with graph_only():
            expected, _, state = here.step(observation, state)
        found, features, other = there.step(observation.map(lambda tensor: tensor.to(NAME)), other)
        assert all(is_elsewhere(tensor) for tensor in (found, features, other))
        assert torch.equal(found.cpu(), expected)


def test_losses_and_updates(device: SecondDevice) -> None:
    """World model and base head, and the generalist from recordings in the CPU's memory."""
    world_model, base_head = (module.to(NAME).train() for module in networks())
    pretraining_loss(world_model, base_head, windows(4, 2).to(NAME), LossWeights(), decoded_share=0.5).total.backward()
    student = Generalist(GeneralistConfig(feature_size=8, hidden=(4,))).to(NAME)
    rows = Transitions(
        features=torch.randn(16, 8),
        descriptor=torch.from_numpy(registry.get("go2").descriptor()).repeat(16, 1),
        mean=torch.rand(16, 3),
        log_std=torch.zeros(16, 3),
    )
    reported: list[float] = []
    fit(student, {"go2": rows}, FitConfig(batch=8), updates=3, seed=0, report=lambda *each: reported.append(each[1]))
    assert len(reported) == 3 and all(is_elsewhere(parameter) for parameter in student.parameters())
    assert distance(student, rows)["kl"] > 0.0


def drive_elsewhere(robot: str) -> dict[str, Any]:
    """Run some steps of the training environment, people and disturbances included; only Genesis is on the CPU."""
    from pipeline.simulation.sensors import cast_kernel  # imports a compiler

    with pytest.MonkeyPatch.context() as patch, second_device(patch) as device:
        build, cast = genesis_scene.build, cast_kernel.cast

        def built(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
            with device.blind():
                scene, body = build(*args, **{**kwargs, "device": torch.device("cpu")})
            return Sender(scene, device), Sender(body, device)

        def casts(**tensors: torch.Tensor) -> None:
            assert all(is_elsewhere(tensor) for tensor in tensors.values())
            with device.blind():
                cast(**tensors)

        patch.setattr(genesis_scene, "build", built)
        patch.setattr(cast_kernel, "cast", casts)
        return _drive(robot)


def _drive(robot: str) -> dict[str, Any]:
    scenes = [generate("clutter", split="train", index=index) for index in range(2)]
    task = build_task(registry.get(robot), scenes, protocol="compass", per_scene=4, route="mixed", seed=0)
    config = NavigationConfig(randomisation=training(), disturbable=True, people=True, measures_energy=True)
    navigation = NavigationEnvironment(task, config=config, num_envs=ENVS, device=NAME, seed=0)
    put_in_field(navigation, task, seed=0, numbers=np.arange(len(task.episodes)))
    base = small_base()
    base = BasePolicy(world_model=base.world_model.to(NAME), head=base.head.to(NAME))
    teacher = agents.make("teacher", navigation.embodiment, num_envs=ENVS, device=NAME, seed=0)
    environment = LatentEnvironment(navigation, base, privileged=True, teacher=teacher, curriculum=True)
    drivers = [agents.make(name, navigation.embodiment, num_envs=ENVS, device=NAME, seed=0) for name in AGENTS]
    step = environment.reset()
    for number in range(len(AGENTS) * 2):
        driver = drivers[number % len(AGENTS)]
        driver.reset(step.first)
        step = environment.step_action(driver.act(step.observation, navigation.privileged))
    environment.assign_validation(4)
    step = environment.reset()
    vectors = ResidualVectorEnvironment(environment, reward_scale=1.0)
    vectors.step(np.zeros((ENVS, len(environment.active)), dtype=np.float32))
    given = {**step.observation.inputs(), "features": step.features, "reward": step.reward, "ended": step.terminated}
    return {
        "elsewhere": {name: is_elsewhere(value) for name, value in given.items()},
        "present": bool(navigation.people()[2].any()),
        "caster": type(navigation.camera._raycaster).__name__,
        "distance": float(step.observation.depth_m.max()),
    }


@pytest.mark.slow
def test_control_steps_of_the_navigation_environment() -> None:
    """Training's randomisation, field conditions, people, the GPU's caster, every agent that needs no file."""
    found = call(drive_elsewhere, "go2")
    assert all(found["elsewhere"].values()), found["elsewhere"]
    assert found["present"] and found["caster"] == "DeviceCaster" and found["distance"] > 1.0
