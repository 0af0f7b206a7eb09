"""The navigation environment: episodes begin, are seen, go wrong and end as they should."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from embodiments import registry
from embodiments.limits import action_to_command, command_to_action
from embodiments.spaces import OBSERVATION_SHAPES, STAND_SPEED_MPS
from tests.pipeline.simulation.navigation.navigation_dummy import small_base
from tests.separate_process import call

pytestmark = pytest.mark.slow

ENVS = 4
PRIVILEGED_WORDS = ("semantic", "clearance", "cost", "geodesic", "map", "pose", "distance")


def run_tiago() -> dict[str, Any]:
    """Run a few episodes of TIAGo and write down what the tests look at. Runs in a process of its own."""
    from pipeline.agents import teacher
    from pipeline.simulation.navigation.config import NavigationConfig
    from pipeline.simulation.navigation.environment import NavigationEnvironment
    from pipeline.simulation.navigation.task import build_task
    from scenes.registry import generate

    torch.set_num_threads(1)
    scenes = [generate("clutter", split="train", index=index) for index in range(ENVS)]
    task = build_task(registry.get("tiago"), scenes, protocol="compass", per_scene=1, route="planned", seed=3)
    environment = NavigationEnvironment(task, config=NavigationConfig(), num_envs=ENVS, seed=0)
    log: dict[str, Any] = {"start_w": task.episodes.start_w, "goal_w": task.episodes.goal_w}
    log["geodesic_m"] = task.episodes.initial_geodesic_m

    def run_through(*, poison: bool = False, speechless: bool = False) -> list[np.ndarray]:
        environment.assign(torch.arange(ENVS)[:, None])
        agent = teacher.TeacherAgent(num_envs=ENVS, device="cpu", seed=0)
        step = environment.reset()
        log.setdefault("first", step.first.numpy().copy())
        log.setdefault("first_depth", step.observation.depth_m.numpy().copy())
        log.setdefault("first_pose", environment.pose_w.numpy().copy())
        log.setdefault("shapes", {name: tuple(v.shape) for name, v in step.observation.inputs().items()})
        poses = []
        for number in range(40):
            if poison and number == 10:
                _break_environment(environment.physics, 0)
            share = agent.act(step.observation, environment.privileged)
            if speechless and number == 10:
                share[0, 1] = torch.nan
            step = environment.step(share)
            poses.append(environment.pose_w.numpy().copy())
            if bool(step.outcome.broken[0] & step.terminated[0]):
                log["speechless_at" if speechless else "broken_at"] = number
            log["finite"] = log.get("finite", True) and all(
                bool(torch.isfinite(v).all()) for v in step.observation.inputs().values()
            )
        return poses

    log["clean"] = run_through()
    log["again"] = run_through()
    log["poisoned"] = run_through(poison=True)
    log["speechless"] = run_through(speechless=True)
    log["entered"] = _enter_and_come_back(environment, task, run_through)
    log["idle_outcomes"] = _run_idle(environment)
    log["drives"] = _command_twice(environment)
    log["crept"] = _creep(environment)
    log["looks"] = _look_again(environment)
    log["shared"] = _share_a_list(environment)
    log["trials"] = _try_twice(environment)
    return log


def _try_twice(environment: Any) -> list[tuple[list[int], list[bool]]]:
    """Return episodes and successes of two trials, with something else in between."""
    from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
    from pipeline.simulation.navigation.closed_loop_validation import validate

    driven = LatentEnvironment(environment, small_base())
    found = []
    for _ in range(2):
        counts = validate(driven, lambda _: torch.zeros(ENVS, 3), episodes=3)
        found.append((driven.assign_validation(3).tolist(), counts.settled.tolist()))
        environment.assign(torch.arange(ENVS)[:, None])
        for _ in range(3):
            environment.step(torch.ones(ENVS, 3))
    return found


def _enter_and_come_back(environment: Any, task: Any, run_through: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """Return the poses of the same episodes after others in other scenes."""
    from pipeline.simulation.navigation.task import build_task
    from scenes.registry import generate

    scenes = [generate("office", split="train", index=0)]
    other = build_task(task.embodiment, scenes, protocol="compass", per_scene=ENVS, route="straight", seed=1)
    environment.enter(other)
    run_through()
    environment.enter(task)
    return run_through()


def _share_a_list(environment: Any) -> list[list[int]]:
    """Return the episodes of the environments, step by step, as one list of seven is used up."""
    environment.assign(torch.tensor([3, 1, 0, 2, 1, 3, 0]))
    environment.reset()
    seen = [environment.episode.tolist()]
    for ended in ([1, 2], [0], [1, 3]):
        environment._ended = torch.zeros(ENVS, dtype=torch.bool)
        environment._ended[ended] = True
        environment.step(torch.zeros(ENVS, 3))
        seen.append(environment.episode.tolist())
    return seen


def _look_again(environment: Any) -> list[np.ndarray]:
    """Return the first image of the same episodes: twice with the same noise, once with other noise, once unseen."""
    images = []
    for seed, sees in ((5, True), (5, True), (6, True), (5, False)):
        environment.sees = sees
        environment.assign(torch.arange(ENVS)[:, None])
        environment.reseed(seed)
        images.append(environment.reset().observation.depth_m.numpy().copy())
    return images


def _break_environment(physics: Any, index: int) -> None:
    """Write NaN into one environment's state, as a diverging solver would."""
    robot = physics._robot
    state = robot.get_qpos().clone()
    state[index] = torch.nan
    robot.set_qpos(state[index : index + 1], envs_idx=[index])


def _run_idle(environment: Any) -> int:
    """Return how many episodes end in environments that have none left."""
    environment.assign(torch.full((ENVS, 1), -1))
    environment.reset()
    steps = [environment.step(torch.ones(ENVS, 3)) for _ in range(5)]
    return sum(int((step.terminated | step.truncated).sum()) for step in steps)


def _command_twice(environment: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the commands executed for shares, and for the admissible command that those shares gave."""
    share = torch.tensor([[0.5, 0.0, 0.1]]).expand(ENVS, 3)
    executed = []
    for as_command in (False, True):
        environment.assign(torch.arange(ENVS)[:, None])
        environment.reset()
        for _ in range(3):
            if as_command:
                environment.step_command(action_to_command(share, environment.body.descriptor))
            else:
                environment.step(share)
        executed.append(environment.previous_command.numpy().copy())
    return executed[0], executed[1]


def _creep(environment: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the commands executed for a crawl below the stand thresholds: projected already, and as shares."""
    crawl = torch.tensor([[0.8 * STAND_SPEED_MPS, 0.0, 0.0]]).expand(ENVS, 3)
    share = command_to_action(crawl, environment.body.descriptor)
    executed = []
    for step in (lambda: environment.step_command(crawl), lambda: environment.step(share)):
        environment.assign(torch.arange(ENVS)[:, None])
        environment.reset()
        step()
        executed.append(environment.previous_command.numpy().copy())
    return executed[0], executed[1]


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    """Return the log of one simulation, shared by all tests here."""
    found: dict[str, Any] = call(run_tiago)
    return found


def test_a_reset_gives_the_first_observation_of_the_episode(log: dict[str, Any]) -> None:
    assert log["first"].all()
    assert np.abs(log["first_pose"][:, :2] - log["start_w"][:, :2]).max() < 0.03
    seen = log["first_depth"]
    # TIAGo's camera fills 41 % of the canonical image.
    assert (seen > 0.0).mean() > 0.35, "the first image after a reset is mostly empty"
    assert seen.std() > 0.1


def test_observations_have_the_shapes_of_the_contract_and_nothing_else(log: dict[str, Any]) -> None:
    assert log["shapes"] == {name: (ENVS, *shape) for name, shape in OBSERVATION_SHAPES.items()}
    assert not [name for name in log["shapes"] if any(word in name for word in PRIVILEGED_WORDS)]


def test_the_same_episodes_and_actions_give_the_same_trajectories(log: dict[str, Any]) -> None:
    assert np.array_equal(np.stack(log["clean"]), np.stack(log["again"]))


def test_one_broken_environment_ends_alone(log: dict[str, Any]) -> None:
    assert log["broken_at"] == 10
    assert log["finite"]
    clean, poisoned = np.stack(log["clean"]), np.stack(log["poisoned"])
    assert np.array_equal(clean[:, 1:], poisoned[:, 1:])
    assert np.isfinite(poisoned).all()


def test_a_policy_that_answers_nan_ends_its_own_episode_alone(log: dict[str, Any]) -> None:
    assert log["speechless_at"] == 10
    clean, speechless = np.stack(log["clean"]), np.stack(log["speechless"])
    assert np.array_equal(clean[:, 1:], speechless[:, 1:]) and np.isfinite(speechless).all()


def test_other_scenes_in_between_change_nothing(log: dict[str, Any]) -> None:
    assert np.array_equal(np.stack(log["clean"]), np.stack(log["entered"]))


def test_who_is_free_takes_the_next_of_a_shared_list(log: dict[str, Any]) -> None:
    assert log["shared"] == [[3, 1, 0, 2], [3, 1, 3, 2], [0, 1, 3, 2], [0, -1, 3, -1]]


def test_noise_follows_the_seed_and_who_does_not_look_sees_nothing(log: dict[str, Any]) -> None:
    same, again, other, unseen = log["looks"]
    assert same.any() and (same == again).all() and (same != other).any()
    assert unseen.shape == same.shape and not unseen.any()


def test_an_environment_without_episodes_idles(log: dict[str, Any]) -> None:
    assert log["idle_outcomes"] == 0


def test_shares_and_the_command_they_stand_for_drive_alike(log: dict[str, Any]) -> None:
    by_share, by_command = log["drives"]
    assert np.allclose(by_share, by_command, atol=1e-6)
    assert by_share[:, 0].min() > 0.2


def test_a_projected_command_is_not_projected_again(log: dict[str, Any]) -> None:
    """A slow robot's first command of a start is below the stand thresholds: taken for a wish, it would never start."""
    by_command, by_share = log["crept"]
    assert np.allclose(by_command, [0.8 * STAND_SPEED_MPS, 0.0, 0.0], atol=1e-6)
    assert not by_share.any()


def test_a_trial_drives_the_same_episodes_the_longest_first(log: dict[str, Any]) -> None:
    first, second = log["trials"]
    assert first == second
    numbers, succeeded = first
    assert len(set(numbers)) == len(succeeded) == 3 and any(succeeded)
    assert (np.diff(log["geodesic_m"][numbers]) <= 0).all()
