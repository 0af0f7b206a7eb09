"""Record the privileged teacher: environments step, the teacher labels, every shard is written when it is full."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from distill.recordings import OUTCOMES, depth_to_mm, read_shard, shard_paths, write_shard
from embodiments import registry
from embodiments.limits import active_dimensions
from embodiments.observation import Observation, from_inputs
from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, COMMAND_SIZE, CONTROL_DT_S
from pipeline.agents import teacher
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation import recording_quality
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.recording import next_noise, outcome_code
from pipeline.simulation.navigation.recording_quality import EpisodeEnd
from pipeline.simulation.navigation.task import Task, build_task
from pipeline.simulation.physics.randomisation import training
from pipeline.stages.collect_teacher import Config
from scenes.storage import load_scenes
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module
from world_model.collision_risk import CollisionRisk
from world_model.fixed_batches import by_rows
from world_model.local_planner.map_edge import hold_goal


def run(config: Config, run: StageRun) -> None:
    """Record shards ``train_NNN.h5`` and ``val_NNN.h5``; say and draw (``coverage.png``) what they are worth."""
    if config.steps % config.shard_steps:
        raise ValueError(f"steps ({config.steps}) must be a multiple of shard_steps ({config.shard_steps})")
    task = _task(config, run.input("make_scenes"))
    environment = NavigationEnvironment(
        task, config=NavigationConfig(randomisation=training()), num_envs=config.num_envs, seed=config.seed
    )
    network = load_module(Anticipation, run.input("train_anticipation"), "anticipation")
    risk = load_module(CollisionRisk, run.input("train_collision_risk"), "collision_risk")
    recorder = Recorder(environment, config, network, risk)
    with progress(config.steps * config.num_envs, "collect_teacher") as bar:
        for shard in range(config.steps // config.shard_steps):
            names = {part: run.work / f"{part}_{shard:03d}.h5" for part in ("train", "val")}
            if not all(path.exists() for path in names.values()):
                recorder.begin(task, seed=config.seed + shard)
                _write(names, recorder.record(), recorder.ends, config, environment)
            bar.advance(config.shard_steps * config.num_envs)
    for part in ("train", "val"):
        for shard in range(config.steps // config.shard_steps):
            run.hand_over(run.work / f"{part}_{shard:03d}.h5")
    frames = config.steps * config.num_envs * (1 + config.mounts)
    limits = registry.get(config.embodiment).limits
    covered = recording_quality.coverage(run.directory, limits)
    recording_quality.plot(run.directory / "coverage.png", covered, limits)
    figures = recording_quality.outcome_figures(recording_quality.episode_ends(run.directory))
    run.metrics.update({"frames": frames, **_outcomes(run.directory, config), **figures, **covered.visited_fractions()})


def _task(config: Config, scenes_folder: Path) -> Task:
    """Draw episodes; the validation scenes come last."""
    scenes = [scene for split in ("train", "val") for scene in load_scenes(scenes_folder / f"scenes_{split}.npz")]
    return build_task(
        registry.get(config.embodiment),
        scenes,
        protocol="compass",
        per_scene=config.goals_per_scene * config.starts_per_goal,
        starts_per_goal=config.starts_per_goal,
        route="mixed",
        seed=config.seed,
    )


def _val_envs(config: Config) -> int:
    return max(1, round(config.val_share * config.num_envs))


class Recorder:
    """Runs the teacher on through its episodes, from one shard into the next."""

    def __init__(
        self, environment: NavigationEnvironment, config: Config, network: Anticipation, risk: CollisionRisk
    ) -> None:
        self._environment, self._config = environment, config
        self._agent = teacher.TeacherAgent(num_envs=config.num_envs, device=environment.device, seed=config.seed)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._noise = torch.zeros(config.num_envs, COMMAND_SIZE)
        self._network, self._risk = network, risk
        self._maps = torch.zeros((1 + config.mounts) * config.num_envs, anticipation.STATE_SIZE)
        self._step: Step | None = None
        self._steps = 0
        self._reward = torch.zeros(config.num_envs)
        self.ends: list[tuple[int, EpisodeEnd]] = []
        """Environment and end of every episode that ended in the last shard"""

    def begin(self, task: Task, *, seed: int) -> None:
        """Draw the episodes, unless they run already; after a kill others follow, by the first new shard's seed."""
        if self._step is None:
            self._generator.manual_seed(seed)
            self._environment.assign(_queue(task, self._config, seed=seed))
            self._step = self._environment.reset()

    def record(self) -> dict[str, list[torch.Tensor]]:
        """Run one shard and return its rows, each (views, B, ...)."""
        config, environment, step = self._config, self._environment, self._step
        assert step is not None
        mounts = [_random_mounts(config.num_envs, self._generator) for _ in range(config.mounts)]
        rows: dict[str, list[torch.Tensor]] = {}
        self.ends = []
        for _ in range(config.shard_steps):
            self._agent.reset(step.first)
            share = self._agent.act(step.observation, environment.privileged)
            # Copied before the step, which may change them in place.
            row = {name: value.clone() for name, value in _row(environment, step, share, mounts).items()}
            row["plan_features"] = self._plan(row)
            self._noise = next_noise(
                self._noise, deviation=1.0, correlation=config.noise_correlation, generator=self._generator
            )
            executed = _mix(share, self._noise, config, step=self._steps)
            executed = executed * active_dimensions(environment.body.descriptor)
            self._steps += 1
            step = environment.step(executed)
            self._count(step)
            row["command"] = environment.previous_command.expand(len(mounts) + 1, -1, -1).clone()
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
        self._step = step
        return rows

    def _count(self, step: Step) -> None:
        """Add up rewards, and note the episodes that have just ended."""
        self._reward = self._reward + step.reward
        outcomes, sorts = outcome_code(step), _sorts(self._config)
        for env in torch.nonzero(step.terminated | step.truncated)[:, 0].tolist():
            self.ends.append((env, EpisodeEnd(sorts[env], OUTCOMES[outcomes[env]], round(float(self._reward[env]), 4))))
            self._reward[env] = 0.0

    def _plan(self, row: dict[str, torch.Tensor]) -> torch.Tensor:
        """Update every view's costmap with its camera's image; return the features (views, B, M)."""
        views, count = row["first"].shape
        flat = {name: value.flatten(0, 1) for name, value in row.items()}
        observation = from_inputs(flat | {"depth_m": flat["depth_m"][:, None]})
        features, self._maps = by_rows(self._plan_rows, observation, self._maps * (~flat["first"])[:, None])
        return features.unflatten(0, (views, count))

    @torch.no_grad()
    def _plan_rows(
        self, observation: Observation[torch.Tensor], state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        plan, state = collision_risk.plan(self._network, self._risk, *hold_goal(observation, state, state[:, :3]))
        return plan.features(), state


def _queue(task: Task, config: Config, *, seed: int) -> torch.Tensor:
    """Return (B, K) episodes: validation scenes only for the last environments, training scenes only for the others."""
    rng = np.random.default_rng([seed, 1])
    is_val = np.asarray([scene.name.split("/")[1] == "val" for scene in task.scenes])[task.episodes.scene_index]
    border = config.num_envs - _val_envs(config)
    pools = [np.flatnonzero(is_val == (env >= border)) for env in range(config.num_envs)]
    # No episode ends within two steps of its beginning.
    return torch.as_tensor(np.stack([rng.choice(pool, size=config.steps // 2 + 1) for pool in pools]))


def _row(
    environment: NavigationEnvironment, step: Step, share: torch.Tensor, mounts: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return one time step as every camera sees it, (views, B, ...)."""
    observation, views = step.observation, len(mounts) + 1
    pictures = [(observation.depth_m, environment.semantic), *(environment.render(mount) for mount in mounts)]
    descriptors = [observation.descriptor]
    for mount in mounts:
        descriptor = observation.descriptor.clone()
        descriptor[:, CAMERA_SLICE] = mount
        descriptors.append(descriptor)
    ended = step.terminated | step.truncated
    same = {
        "velocity_b": observation.velocity_b,
        "previous_command": observation.previous_command,
        "route_xy_b_m": observation.route_xy_b_m,
        "goal_b": observation.goal_b,
        "first": step.first,
        "outcome": outcome_code(step),
        "teacher_action": share,
        "labelled": ~ended,
    }
    return {
        "depth_m": torch.stack([depth[:, 0] for depth, _ in pictures]),
        "semantic": torch.stack([semantic for _, semantic in pictures]),
        "embodiment": torch.stack(descriptors),
        **{name: value.expand(views, *value.shape) for name, value in same.items()},
    }


def _random_mounts(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count, 7) camera mounts: 0.25-1.5 m high, pitched 0-50 degrees down, landscape or portrait."""
    uniform = torch.rand(count, len(CAMERA_FIELDS), generator=generator)
    portrait = torch.rand(count, generator=generator) < 0.25
    wide, narrow, tall = (float(np.deg2rad(angle)) for angle in (87.0, 58.0, 87.0))
    columns = {
        "camera_x_m": -0.1 + 0.4 * uniform[:, 0],
        "camera_z_m": 0.25 + 1.25 * uniform[:, 1],
        "camera_pitch_rad": float(np.deg2rad(50.0)) * uniform[:, 2],
        "camera_hfov_rad": torch.where(portrait, narrow, wide),
        "camera_vfov_rad": torch.where(portrait, tall, narrow),
        "camera_min_range_m": 0.1 + 0.3 * uniform[:, 5],
        "camera_max_range_m": torch.full((count,), 10.0),
    }
    return torch.stack([columns[name] for name in CAMERA_FIELDS], dim=1)


def _mix(share: torch.Tensor, noise: torch.Tensor, config: Config, *, step: int) -> torch.Tensor:
    """Return what is executed.

    Args:
        share: (B, 3) what the teacher would do.
        noise: (B, 3) of unit standard deviation.
        step: Control steps since the first episodes began.
    """
    period_s = config.disturbed_s + config.calm_s
    phase_s = (step * CONTROL_DT_S + torch.arange(len(share)) * 0.37 * period_s) % period_s
    disturbed = (phase_s < config.disturbed_s)[:, None]
    sorts = _sorts(config)
    random = torch.tensor([sort == "random" for sort in sorts])[:, None]
    noisy = torch.tensor([sort == "disturbed" for sort in sorts])[:, None] & disturbed
    wild = (2.0 * noise).clamp(-1.0, 1.0)
    return torch.where(random, wild, torch.where(noisy, share + config.noise_share * noise, share)).clamp(-1.0, 1.0)


def _sorts(config: Config) -> list[str]:
    """Return who drives in each environment; every split of them holds all three sorts."""
    border = config.random_share, config.random_share + config.noisy_share
    places = [(env * 0.6180339887) % 1.0 for env in range(config.num_envs)]
    return [("random", "disturbed", "teacher")[(place >= border[0]) + (place >= border[1])] for place in places]


def _write(
    names: Mapping[str, Path],
    rows: dict[str, list[torch.Tensor]],
    ends: list[tuple[int, EpisodeEnd]],
    config: Config,
    environment: NavigationEnvironment,
) -> None:
    """Write the sequences of one shard, training and validation environments apart."""
    arrays = {name: torch.stack(values).numpy() for name, values in rows.items()}  # (T, views, B, ...)
    arrays["depth_mm"] = depth_to_mm(arrays.pop("depth_m"))
    border = config.num_envs - _val_envs(config)
    for part, columns in (("train", slice(0, border)), ("val", slice(border, config.num_envs))):
        chosen = {name: value[:, :, columns] for name, value in arrays.items()}
        flat = {name: v.reshape(v.shape[0], -1, *v.shape[3:]) for name, v in chosen.items()}  # (T, views * b, ...)
        attributes = {
            "embodiment": environment.embodiment.name,
            "views": 1 + config.mounts,
            "seed": config.seed,
            "ends": [end for env, end in ends if columns.start <= env < columns.stop],
        }
        write_shard(names[part], flat, kind="teacher", attributes=attributes)


def _outcomes(folder: Path, config: Config) -> dict[str, int]:
    """Count how episodes ended, once per trajectory."""
    codes = [read_shard(path, kind="teacher", fields=("outcome",)).arrays["outcome"] for path in shard_paths(folder)]
    views = 1 + config.mounts
    return {name: int(sum((c == OUTCOMES.index(name)).sum() for c in codes)) // views for name in OUTCOMES[1:]}
