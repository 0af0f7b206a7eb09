"""Residual RL: the vector environment's contract, the module, checkpoints, learning, resume after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from pipeline.residual_rl import algorithm, checkpoints
from pipeline.residual_rl.cluster import connected
from pipeline.residual_rl.config import DaggerWarmUpConfig, PpoConfig, actor_schedule
from pipeline.residual_rl.dagger_warm_up import DaggerWarmUp
from pipeline.residual_rl.env_runner import BatchedEnvRunner, segments
from pipeline.residual_rl.module import ResidualModule
from pipeline.residual_rl.side_by_side import train_many
from pipeline.residual_rl.training import CURVE, PROGRESS, Job, dispose
from pipeline.runs import manifest
from pipeline.runs.external_loggers import RunIdentity
from tests.pipeline.residual_rl.residual_dummy import FEATURES, PointEnvironment, make
from world_model.checkpoint import load_module
from world_model.residual_head import Critic, ResidualHead

UNGUIDED = DaggerWarmUpConfig(control_steps=0)
PPO = PpoConfig(
    num_envs=32,
    horizon=32,
    minibatch=512,
    control_steps=4096,
    critic_warmup_steps=1024,
    checkpoint_s=0.0,
    dagger=UNGUIDED,
    actor_learning_rate=3e-4,
    kl_target=0.02,
)


def job(folder: Path, *, ppo: PpoConfig = PPO, name: str = "point", privileged: int = 0) -> Job:
    """Return the job of training on the dummy."""
    return Job(
        name=name,
        ppo=ppo,
        gamma=0.97,
        seed=3,
        environment=make,
        environment_config={"privileged_size": privileged, "reward_scale": ppo.reward_scale},
        module_config={
            "active": [0, 2],
            "actor": {"feature_size": FEATURES, "hidden": [64, 64]},
            "critic": {"feature_size": FEATURES, "privileged_size": privileged, "hidden": [64, 64]},
        },
        work=folder / "work",
        output=folder / "out",
        identity=RunIdentity(folder=folder, stage="train_specialist", robot=name),
    )


def run(jobs: list[Job]) -> dict[str, dict[str, Any]]:
    """Train and return the figures by name."""
    results: dict[str, dict[str, Any]] = {}
    begun: list[str] = []
    train_many(
        jobs,
        begun=lambda job: begun.append(job.name),
        done=lambda job, figures: results.update({job.name: figures}),
    )
    assert begun == [job.name for job in jobs]
    return results


def module(privileged: int = 0) -> ResidualModule:
    """Return a fresh module."""
    settings = job(Path(), privileged=privileged).module_config
    return ResidualModule(
        observation_space=gymnasium.spaces.Dict({"features": gymnasium.spaces.Box(-np.inf, np.inf, (FEATURES,))}),
        action_space=gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        model_config=settings,
    )


def test_the_vector_environment_resets_in_the_step_after_an_end() -> None:
    environment = make({"seed": 0, "worker_index": 0, "num_envs": 8, "privileged_size": 4, "reward_scale": 2.0})
    observation, _ = environment.reset()
    shapes = {name: array.shape for name, array in observation.items()}
    assert shapes == {"features": (8, FEATURES), "privileged": (8, 4), "teacher_action": (8, 3)}
    assert environment.observation_space.contains(observation)
    ended_before = np.zeros(8, dtype=bool)
    for _ in range(70):
        observation, reward, terminated, truncated, _ = environment.step(environment.action_space.sample())
        assert environment.observation_space.contains(observation)
        assert not (terminated | truncated)[ended_before].any()
        assert (reward[ended_before] == 0.0).all()
        distance = np.linalg.norm(observation["features"][:, :2], axis=1)
        assert distance[ended_before] == pytest.approx(2.0, abs=1e-5)
        ended_before = terminated | truncated
    counts = environment.pop_counts()
    assert counts["episodes"] == sum(counts[name] for name in ("success", "collision", "timeout")) > 0
    assert counts["control_steps"] == 70 * 8 - counts["episodes"] + ended_before.sum()
    assert set(environment.pop_counts().values()) == {0}


def test_actions_are_clipped_and_reach_only_active_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make({"seed": 0, "worker_index": 0, "num_envs": 2, "privileged_size": 0, "reward_scale": 1.0})
    environment.reset()
    taken: list[torch.Tensor] = []
    step = environment.environment.step
    monkeypatch.setattr(environment.environment, "step", lambda share: taken.append(share) or step(share))
    environment.step(np.asarray([[0.5, -3.0], [0.0, 0.25]], dtype=np.float32))
    assert taken[0].tolist() == [[0.5, 0.0, -1.0], [0.0, 0.0, 0.25]]


def test_a_fresh_actor_answers_zero_and_sees_nothing_privileged() -> None:
    fresh = module(privileged=4)
    sizes = {"features": FEATURES, "privileged": 4, "teacher_action": 3}
    seen = {name: torch.randn(5, size) for name, size in sizes.items()}
    inputs = fresh.forward_inference({"obs": seen})["action_dist_inputs"]
    assert inputs.shape == (5, 4)
    assert (inputs[:, :2] == 0.0).all()
    torch.nn.init.normal_(fresh.actor.layers[-1].weight)
    changed = seen | {"privileged": seen["privileged"] + 1.0}
    assert torch.equal(*(fresh.forward_inference({"obs": x})["action_dist_inputs"] for x in (seen, changed)))
    assert not torch.equal(fresh.compute_values({"obs": seen}), fresh.compute_values({"obs": changed}))
    changed = seen | {"teacher_action": seen["teacher_action"] + 1.0}  # the label is neither's
    assert torch.equal(fresh.compute_values({"obs": seen}), fresh.compute_values({"obs": changed}))


def test_the_dagger_warm_up_fits_the_active_dimensions_and_forgets_the_oldest_transitions() -> None:
    actor = module().actor
    config = DaggerWarmUpConfig(rows=300, batch=64, updates=200)
    dagger = DaggerWarmUp(config, actor, active=[0, 2], seed=0)

    def episode(action: list[float]) -> SimpleNamespace:
        features, labels = torch.rand(101, FEATURES) * 0.1, torch.tensor(action).repeat(101, 1)
        features[-1] = labels[-1] = torch.nan  # no action follows the last observation
        seen = {"features": features.numpy(), "teacher_action": labels.numpy()}
        return SimpleNamespace(get_observations=lambda: seen)

    dagger.remember([episode([-0.9, 0.0, -0.9])] * 4)  # 400 rows, of which 300 stay
    dagger.remember([episode([0.4, 0.8, -0.3])] * 3)
    before = actor.log_std.clone()
    assert dagger.teach(progress=0.0) > dagger.teach(progress=0.5) < 0.02
    features = torch.rand(16, FEATURES) * 0.1
    answered = features[:, -3:] + actor(features)[0]
    torch.testing.assert_close(answered[:, [0, 2]], torch.tensor([0.4, -0.3]).expand(16, 2), atol=0.08, rtol=0.0)
    assert (actor(features)[0][:, 1] == 0.0).all()  # a dimension that the body lacks is not taught
    assert torch.equal(actor.log_std, before)


def test_the_actor_stands_still_in_the_warm_up() -> None:
    schedule = actor_schedule(learning_rate=1e-3, warmup_steps=1000, control_steps=10_000)
    at = lambda step: float(np.interp(step, *zip(*schedule, strict=True)))  # noqa: E731
    assert at(0) == at(999) == at(1000) == 0.0
    assert at(1001) == pytest.approx(1e-3)
    assert at(10_000) == pytest.approx(1e-4)


def test_checkpoints_without_a_whole_manifest_do_not_exist(tmp_path: Path) -> None:
    def save(steps: int) -> Path:
        write = lambda path: (path / "weights").write_bytes(bytes(100))  # noqa: E731
        return checkpoints.save(tmp_path, control_steps=steps, state={"steps": steps}, write=write)

    assert checkpoints.newest(tmp_path) is None
    folders = [save(steps) for steps in (10, 200, 3000)]
    assert not folders[0].exists() and folders[1].exists()
    assert checkpoints.newest(tmp_path) == (folders[2] / "rllib", {"steps": 3000})
    (folders[2] / "rllib" / "weights").write_bytes(bytes(99) + b"x")
    assert checkpoints.newest(tmp_path) == (folders[1] / "rllib", {"steps": 200})
    (folders[1] / manifest.NAME).unlink()
    assert checkpoints.newest(tmp_path) is None


def test_a_flipped_bit_of_a_checkpoints_manifest_is_noticed(tmp_path: Path) -> None:
    folder = checkpoints.save(
        tmp_path,
        control_steps=10,
        state={"steps": 10},
        write=lambda path: (path / "weights").write_bytes(b"w") and None,
    )
    whole = (folder / manifest.NAME).read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=100).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / manifest.NAME).write_bytes(damaged)
        assert checkpoints.newest(tmp_path) is None
    (folder / manifest.NAME).write_bytes(whole)
    assert checkpoints.newest(tmp_path) == (folder / "rllib", {"steps": 10})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Specialists side by side: by PPO alone, short with a privileged critic, and by the teacher's labels alone."""
    folder = tmp_path_factory.mktemp("specialists")
    long = replace(PPO, control_steps=36_864, reward_scale=0.5, actor_learning_rate=1e-3)
    taught = replace(PPO, control_steps=12_288, dagger=DaggerWarmUpConfig(control_steps=12_288))
    jobs = [
        job(folder / "a", ppo=long, name="a"),
        job(folder / "b", ppo=replace(PPO, validation_episodes=0), name="b", privileged=4),
        job(folder / "c", ppo=taught, name="c"),
    ]
    return folder, run(jobs)


@pytest.mark.slow
def test_ppo_mends_a_wrong_base_policy(trained: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, figures = trained
    curve = json.loads((folder / "a" / "out" / CURVE).read_text())
    assert curve[0]["success"] < 0.2
    assert curve[-1].items() <= figures["a"].items()
    assert figures["a"]["success"] > 0.8
    assert figures["a"]["validation/settled_0"] < 0.2 and figures["a"]["validation/scale"] > 0.0


@pytest.mark.slow
def test_the_teachers_labels_mend_it_sooner(trained: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, figures = trained
    curve = json.loads((folder / "c" / "out" / CURVE).read_text())
    assert figures["c"]["success"] > 0.8 > 0.2 > curve[0]["success"]
    assert curve[-1]["dagger_loss"] < curve[1]["dagger_loss"]
    assert "dagger_loss" not in json.loads((folder / "a" / "out" / CURVE).read_text())[-1]


@pytest.mark.slow
def test_the_outputs_are_the_heads_that_the_other_stages_load(trained: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    folder, _ = trained
    head = load_module(ResidualHead, folder / "b" / "out", "residual_head")
    critic = load_module(Critic, folder / "b" / "out", "critic")
    assert critic(torch.zeros(2, FEATURES), torch.zeros(2, 4)).shape == (2,)
    mean, log_std = head(torch.randn(2, FEATURES))
    assert (mean[:, [0, 2]] != 0.0).all() and mean.shape == (2, 3)
    unused = log_std[1].item()  # a dimension that the robot does not have is never trained
    assert unused == pytest.approx(head.config.initial_log_std)


@pytest.mark.slow
def test_nothing_is_left_running_or_lying_around(trained: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    import ray

    assert not ray.is_initialized()
    children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True).stdout
    assert "raylet" not in children and "ray::" not in children


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.pipeline.residual_rl.test_residual_rl import PPO, job, run
run([job(Path(sys.argv[1]), ppo=replace(PPO, control_steps=int(sys.argv[2]), checkpoint_s=0.2))])
"""


@pytest.mark.slow
def test_the_same_command_resumes_after_a_kill_and_after_an_interruption(tmp_path: Path) -> None:
    killed = _curve_of_a_stopped_training(tmp_path, signal.SIGKILL)
    interrupted = _curve_of_a_stopped_training(tmp_path, signal.SIGINT)
    assert interrupted[: len(killed)] == killed and len(interrupted) > len(killed) > 0
    target = interrupted[-1]["control_steps"] + 10_240
    figures = run([job(tmp_path, ppo=replace(PPO, control_steps=target))])["point"]
    curve = json.loads((tmp_path / "out" / CURVE).read_text())
    assert target <= figures["control_steps"] < target + 2048
    assert [row["iteration"] for row in curve] == list(range(1, len(curve) + 1))
    assert (np.diff([row["control_steps"] for row in curve]) > 0).all()
    assert (np.diff([row["wall_s"] for row in curve]) > 0).all()
    assert curve[: len(interrupted)] == interrupted


def _curve_of_a_stopped_training(folder: Path, number: signal.Signals) -> list[dict[str, Any]]:
    """Start a long training or go on with it, stop it after a new checkpoint, and return the curve that is left."""
    before = len(_saved_curve(folder))
    command = [sys.executable, "-c", SCRIPT, str(folder), "100000000"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120.0
        while len(_saved_curve(folder)) == before and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(number)
    _wait_until_quiet(folder / "work" / PROGRESS)
    return _saved_curve(folder)


def _saved_curve(folder: Path) -> list[dict[str, Any]]:
    """Return the curve in the newest checkpoint; empty without one, and in the first, of step 0."""
    found = checkpoints.newest(folder / "work" / "checkpoints")
    return [] if found is None else list(found[1]["curve"])


def _wait_until_quiet(file: Path) -> None:
    """Wait until workers whose driver was killed have noticed."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        before = file.stat().st_mtime_ns
        time.sleep(2.0)
        if file.stat().st_mtime_ns == before:
            return
    raise AssertionError("a worker outlived its driver")


def test_rollouts_are_cut_where_episodes_end() -> None:
    rows = np.zeros((6, 2), dtype=bool)
    first, terminated, truncated = rows.copy(), rows.copy(), rows.copy()
    terminated[1, 0], first[2, 0], truncated[5, 0] = True, True, True  # environment 0 ends twice, the second time last
    first[0, 1] = True  # environment 1 had ended before the rollout began
    cuts = [(s.env, s.begin, s.end, s.terminated, s.truncated) for s in segments(first, terminated, truncated)]
    assert cuts == [(0, 0, 2, True, False), (0, 3, 6, False, True), (1, 1, 6, False, False)]


def sampled(runner: type[SingleAgentEnvRunner], folder: Path) -> list[list[Any]]:
    """Return three rollouts of a runner, each a sorted list of episodes as plain values."""
    settings = job(folder)
    learner = algorithm.build(
        settings.ppo,
        gamma=0.97,
        seed=3,
        environment=make,
        environment_config={**settings.environment_config, "seed": 3},
        module_config=settings.module_config,
        device="cpu",
        env_runner=runner,
    )
    try:
        rollouts = []
        for seed in range(3):
            torch.manual_seed(seed)
            rollouts.append(sorted(_plain(episode) for episode in learner.env_runner.sample()))
        return rollouts
    finally:
        dispose(learner)


def _plain(episode: Any) -> Any:
    outputs = episode.get_extra_model_outputs("action_dist_inputs"), episode.get_extra_model_outputs("action_logp")
    seen = episode.get_observations()
    arrays = *(seen[name] for name in sorted(seen)), episode.get_actions(), episode.get_rewards(), *outputs
    return episode.is_terminated, episode.is_truncated, [np.asarray(a, np.float32).round(5).tolist() for a in arrays]


class OracleEnvRunner(SingleAgentEnvRunner):
    """RLlib's own runner, with the worker's index."""

    def make_env(self) -> None:
        """Build."""
        self.config.env_config["worker_index"] = 0
        super().make_env()


@pytest.mark.slow
def test_the_batched_runner_samples_what_rllibs_own_does(tmp_path: Path) -> None:
    with connected():
        ours, oracle = (sampled(runner, tmp_path) for runner in (BatchedEnvRunner, OracleEnvRunner))
    assert [len(rollout) for rollout in ours] == [len(rollout) for rollout in oracle]
    assert len(ours[1]) > 32
    assert ours == oracle


def test_environments_differ_between_workers() -> None:
    one, two = (PointEnvironment(num_envs=4, seed=seed).reset().features for seed in (0, 1))
    assert not torch.equal(one, two)
