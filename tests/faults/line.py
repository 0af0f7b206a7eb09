"""The line's stages with everything that reads and writes files, and stand-ins for the long computations between.

The simulator is a plane without physics, PPO a learner that moves its weights at random, an export the shipped file.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save

from distill.config import FitConfig
from embodiments import registry
from export import parity
from pipeline.agents import teacher
from pipeline.commands import train_gait
from pipeline.evaluation.episodes import shards
from pipeline.evaluation.episodes.plan import Job
from pipeline.residual_rl import algorithm, side_by_side, training
from pipeline.residual_rl.module import ResidualModule
from pipeline.residual_rl.vector_environment import OUTCOMES
from pipeline.runs import run_folder
from pipeline.runs.provenance import ROOT
from pipeline.simulation.gait import environment as gait_environment
from pipeline.simulation.gait import ppo
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.physics.gait_weights import make_network
from pipeline.stages import (
    collect_teacher,
    distill_generalist,
    evaluate_policy,
    export_policy,
    make_scenes,
    pretrain_world_model,
    record_drives,
    record_specialist,
    record_surroundings,
    report,
    train_anticipation,
    train_collision_risk,
    train_specialist,
)
from pipeline.stages.implementation import collect_teacher as collecting
from pipeline.stages.implementation import distill_generalist as distilling
from pipeline.stages.implementation import evaluate_policy as evaluating
from pipeline.stages.implementation import export_policy as exporting
from pipeline.stages.implementation import pretrain_world_model as pretraining
from pipeline.stages.implementation import record_drives as driving
from pipeline.stages.implementation import record_specialist as recording
from pipeline.stages.implementation import record_surroundings as surveying
from tests.pipeline.evaluation.episodes.test_evaluation import rows
from tests.pipeline.simulation.gait.test_gait_checkpoints import learn as gait_learn
from tests.pipeline.simulation.gait.test_gait_checkpoints import runner as gait_runner
from tests.pipeline.simulation.navigation.navigation_dummy import plane, small_base
from tests.pipeline.stages.test_collect_teacher import SeenPlane
from tests.pipeline.stages.test_distill_generalist import InProcess
from world_model.config import AnticipationConfig, CollisionRiskConfig

ROBOTS = ("tiago", "go2")
_PARITY = parity.Parity(command=0.0, state=0.0, learned_state=0.0)
AGENTS = ("zero", "go_straight", "random")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the line."""

    name: str
    folder: str
    """Where its result is, below the run"""
    run: Callable[[Path], Any]
    """Makes the result in a run folder, or what is left of it"""
    again: Callable[[Path], Any] | None
    """Makes another result, by another seed, in the same place"""
    same: tuple[str, ...]
    """Files that are the same to the last bit whether the command was interrupted or not"""


def steps() -> tuple[Step, ...]:
    """Return all steps in order; each needs those before it."""
    found = [
        _stage("make_scenes", make_scenes, same=("scenes_*.npz", "hardness.json"), **_SCENES),
        _stage("record_surroundings", record_surroundings, robot="tiago", **_SURROUNDINGS),
        _stage("train_anticipation", train_anticipation, same=("*.safetensors",), **_ANTICIPATION),
        _stage("record_drives", record_drives, robot="tiago", **_DRIVES),
        _stage("train_collision_risk", train_collision_risk, same=("*.safetensors",), **_RISK),
        _stage("collect_teacher", collect_teacher, **_COLLECT),
        _stage("pretrain_world_model", pretrain_world_model, same=("*.safetensors",), **_PRETRAIN),
        *(_stage("train_specialist", train_specialist, robot=r, same=("*.safetensors",), **_PPO) for r in ROBOTS),
        *(_stage("record_specialist", record_specialist, robot=r, **_RECORD) for r in ROBOTS),
        _stage("distill_generalist", distill_generalist, same=("*.safetensors",), **_DISTIL),
        _stage("export_policy", export_policy, same=("*.onnx",), parity_steps=1),
        _stage("evaluate_policy", evaluate_policy, same=("episodes.parquet", "summary.json"), **_EVALUATE),
        _stage("report", report, same=("tables.md",), films=False),
    ]
    gait = Step(name="train_gait", folder="train_gait", run=_train_gait, again=None, same=("go2/go2.safetensors",))
    return (*found, gait)


_SCENES: dict[str, Any] = {"kinds": ("office",), "train_scenes_per_kind": 1, "val_scenes_per_kind": 1}
_SCENES["hardness_episodes"] = 1
_SURROUNDINGS: dict[str, Any] = {"num_envs": 8, "shards": 2, "shard_steps": 32, "every_steps": 4}
_ANTICIPATION: dict[str, Any] = {
    "steps": 6,
    "batch_frames": 4,
    "val_frames": 4,
    "judge_every_steps": 3,
    "save_every_s": 0.0,
    "anticipation": AnticipationConfig(channels=(4, 4, 4)),
}
_DRIVES: dict[str, Any] = {"num_envs": 8, "shards": 2, "shard_steps": 32, "goals_per_scene": 2}
_RISK: dict[str, Any] = {
    "steps": 6,
    "batch": 4,
    "judge_every_steps": 3,
    "save_every_s": 0.0,
    "collision_risk": CollisionRiskConfig(channels=(4, 4, 4)),
}
_COLLECT: dict[str, Any] = {"num_envs": 8, "steps": 64, "shard_steps": 32, "mounts": 1}
_PRETRAIN: dict[str, Any] = {
    "steps": 6,
    "batch_sequences": 2,
    "val_sequences": 2,
    "sequence_steps": 8,
    "judge_every_steps": 3,
    "save_every_s": 0.0,
    "validation_episodes": 0,
    "base_hidden": (16,),
    "world_model": small_base().world_model.config,
}
_PPO: dict[str, Any] = {
    "ppo": replace(
        train_specialist.Config().ppo,
        control_steps=4000,
        num_envs=8,
        horizon=8,
        checkpoint_s=0.0,
        validation_episodes=0,
    ),
    "hidden": (8,),
}
_RECORD: dict[str, Any] = {"num_envs": 8, "shards": 2, "shard_steps": 4}
_DISTIL: dict[str, Any] = {
    "hidden": (16,),
    "fit": FitConfig(batch=64),
    "offline_updates": 10,
    "rounds": 1,
    "round_updates": 10,
    "round_steps": 6,
    "num_envs": 8,
}
_EVALUATE: dict[str, Any] = {
    "agents": AGENTS,
    "embodiments": ("tiago",),
    "scenes": ("office",),
    "episodes": 2,
    "workers": 1,
}


def _stage(name: str, module: Any, *, robot: str = "", same: tuple[str, ...] = (), **settings: Any) -> Step:
    config = module.Config(**settings, **({"embodiment": robot} if robot else {}))
    other = dataclasses.replace(config, seed=1) if hasattr(config, "seed") else None

    def execute(one: Any) -> Callable[[Path], Any]:
        return lambda root: run_folder.execute_many(name, [one], root, preset="smoke")

    return Step(
        name=f"{name} {robot}" if robot else name,
        folder=f"{name}/{robot}" if robot else name,
        run=execute(config),
        again=execute(other) if other is not None else None,
        same=same,
    )


@contextmanager
def stand_ins() -> Iterator[None]:
    """Replace what computes for long, for the duration of the block."""
    scenes = [SimpleNamespace(name=f"office/{split}/0") for split in ("train", "val")]
    with ExitStack() as stack:
        change = lambda target, name, value: stack.enter_context(patch.object(target, name, value))  # noqa: E731
        for module in (surveying, driving):
            change(module, "load_scenes", lambda path: scenes)
            change(module, "both_conditions", lambda embodiment, scenes, num_envs, **_: _Seen(num_envs=num_envs))
            change(module, "queues", lambda environment, length, **_: torch.zeros(environment.num_envs, length))
        change(surveying, "TeacherAgent", _teacher)
        change(surveying, "_LATER", (0, 1, 2, 3))  # episodes on the plane are short
        change(collecting, "_task", lambda config, folder: None)
        change(collecting, "_queue", lambda task, config, seed: torch.zeros(config.num_envs, 1))
        change(collecting, "NavigationEnvironment", lambda task, **named: _Seen(num_envs=named["num_envs"]))
        change(teacher, "TeacherAgent", _teacher)
        change(side_by_side, "train_many", _train_many)
        change(algorithm, "build", lambda ppo, **named: Learner(named["module_config"]))
        change(training, "dispose", lambda learner: None)
        change(training_environment, "build", _plane)
        change(recording, "load_scenes", lambda path: scenes)
        change(distilling, "load_scenes", lambda path: scenes)
        change(distilling, "spawned", InProcess)
        change(exporting, "spawned", InProcess)
        data = (ROOT / "export" / "pretrained" / "base.onnx").read_bytes()
        change(exporting, "_export", lambda item, config, commit: data)
        change(exporting, "_check_on_the_robots_side", lambda path, item: None)
        change(parity, "compare", lambda graph, data, steps: _PARITY)
        change(evaluating, "evaluate", _evaluate)
        change(pretraining, "_keep_what_helps", lambda *_, **__: None)
        change(
            gait_environment,
            "GaitEnvironment",
            lambda robot, **_: SimpleNamespace(
                embodiment=robot, curriculum=SimpleNamespace(push_fraction=0.5, level=1.0), last_log=_GAIT_LOG
            ),
        )
        change(ppo, "make_runner", _gait_runner)
        change(ppo, "learn", lambda runner, directory, **_: gait_learn(runner))
        change(ppo, "actor_network", _gait_network)
        change(train_gait, "_measure", lambda env, runner: {"by_command": {}})
        change(train_gait, "_film", lambda name, directory: None)
        yield


class _Seen(SeenPlane):
    """The plane, for as many environments as asked for; nobody walks there, and nothing stands."""

    def __init__(self, *, num_envs: int) -> None:
        super().__init__(num_envs=num_envs)
        self.semantic = torch.zeros(num_envs, *SeenPlane.semantic.shape[1:], dtype=torch.uint8)

    @property
    def pose_w(self) -> torch.Tensor:
        """Return the poses (B, 3)."""
        return self.privileged().pose_w

    def distance_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return a metre everywhere."""
        return self.privileged().distance_at(xy_w)

    def people(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return nobody."""
        truth = self.privileged()
        return truth.people_xy_w, truth.people_velocity_w, truth.people_present


def _teacher(*, num_envs: int, **_: Any) -> Any:
    act = lambda observation, privileged: torch.full((num_envs, 3), 0.5)  # noqa: E731
    return SimpleNamespace(reset=lambda first: None, act=act)


def _plane(_: Any, embodiment: Any, *, num_envs: int, seed: int, **__: Any) -> Any:
    return plane(robot=embodiment.name, num_envs=num_envs, seed=seed)


def _train_many(jobs: Any, *, begun: Any, done: Any, note: Any, workers: int = 0) -> None:
    for job in jobs:
        begun(job)
        done(job, training.train(job))


class Learner:
    """What a training asks of RLlib's PPO: every iteration moves the weights, by its number alone."""

    def __init__(self, module_config: dict[str, Any]) -> None:
        torch.manual_seed(0)
        self._module = ResidualModule(observation_space=None, action_space=None, model_config=module_config)
        self._iteration = 0
        self.env_runner_group = SimpleNamespace(foreach_env_runner=lambda *_, **__: [self._counts()])
        self.learner_group = SimpleNamespace(foreach_learner=lambda function: None)

    def get_module(self, name: str) -> ResidualModule:
        """Return the module."""
        return self._module

    def train(self) -> dict[str, Any]:
        """Move the weights."""
        self._iteration += 1
        generator = torch.Generator().manual_seed(self._iteration)
        with torch.no_grad():
            for value in self._module.parameters():
                value += 0.01 * torch.randn(value.shape, generator=generator)
        names = ("mean_kl_loss", "entropy", "vf_loss", "vf_explained_var", "total_loss")
        timers = {"env_runner_sampling_timer": 0.1, "learner_update_timer": 0.1}
        return {"learners": {"default_policy": dict.fromkeys(names, 0.5)}, "env_runners": {}, "timers": timers}

    def save_to_path(self, path: str) -> None:
        """Write files as RLlib does: some, in folders."""
        (Path(path) / "learner").mkdir()
        state = {name: value.contiguous() for name, value in self._module.state_dict().items()}
        (Path(path) / "learner" / "weights.safetensors").write_bytes(save(state))
        (Path(path) / "iteration").write_text(str(self._iteration))

    def restore_from_path(self, path: str) -> None:
        """Read them."""
        self._module.load_state_dict(load_file(Path(path) / "learner" / "weights.safetensors"))
        self._iteration = int((Path(path) / "iteration").read_text())

    def _counts(self) -> dict[str, int]:
        return {"episodes": 10, "control_steps": 1000, **dict.fromkeys(OUTCOMES, 2)}


def _evaluate(job: Job) -> None:
    for number, rollout in enumerate(shards.rollouts(job)):
        if rollout.take():
            table = rows(rollout.agent, [bool(number % 2), True]).assign(
                embodiment=job.embodiment, scene="office", route=rollout.route
            )
            rollout.write(table, traces=_trace(rollout))


def _trace(rollout: shards.Rollout) -> dict[str, np.ndarray]:
    """Return the trajectory of one episode."""
    words = {"embodiment": rollout.embodiment, "agent": rollout.agent, "route": rollout.route, "scene": "office"}
    words |= {"scene_name": "office/test/0", "ending": "success"}
    ends = {"goal_w": np.ones((1, 3)), "start_w": np.zeros((1, 3)), "pose_w": np.zeros((2, 3), dtype=np.float32)}
    numbers = {"episode": np.zeros(1, dtype=np.int64), "length": np.full(1, 2)}
    return {name: np.asarray([word]) for name, word in words.items()} | ends | numbers


_GAIT_LOG = dict.fromkeys(("level", "falls", "error/linear_mps", "error/yaw_radps", "error/stand_mps"), 0.1)


def _gait_runner(env: Any, **_: Any) -> Any:
    made = gait_runner()
    made.env = env
    return made


def _gait_network(runner: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    network = make_network(12)
    with torch.no_grad():
        for value in network.parameters():
            value += float(runner.alg.actor.weight.sum())
    return network


def _train_gait(root: Path) -> int:
    config = train_gait.Config(
        embodiments=("go2",),
        out=root / "train_gait",
        num_envs=1,
        steps=3 * train_gait.CHUNK_ITERATIONS * ppo.ROLLOUT_STEPS,
    )
    train_gait.main(config)
    return 0


def clear(root: Path, step: Step) -> None:
    """Remove a step's result and all that an interrupted one left."""
    folder = root / step.folder
    for path in (folder, *(folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))):
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(root / ".work", ignore_errors=True)


assert all(robot in registry.names() for robot in ROBOTS)
