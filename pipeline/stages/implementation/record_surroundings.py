"""Drive in both conditions, and write what is measured around the body beside what is there, shard by shard."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from distill.surroundings import as_bytes
from embodiments.limits import active_dimensions
from embodiments.spaces import COMMAND_SIZE, CONTROL_HZ
from pipeline.agents.oracle_map import people_at, true_surroundings
from pipeline.agents.teacher import TeacherAgent
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation.both_conditions import both_conditions, queues
from pipeline.simulation.navigation.recording import next_noise
from pipeline.simulation.physics.randomisation import training
from pipeline.stages.implementation.shard_recording import Rows, record_shards
from pipeline.stages.record_surroundings import Config
from scenes.storage import load_scenes
from world_model import anticipation
from world_model.anticipation import FAR_M, HORIZONS_S, SIDE, TRAIL_SIZE, Anticipation, Surroundings
from world_model.checkpoint import load_module
from world_model.local_planner import planner
from world_model.local_planner.cost_to_go import distance_to_evidence_m
from world_model.local_planner.costmap import PlannedMap

_CORRELATION = 0.9
_DRIVERS = ("teacher", "truth", "measured", "measured")
"""Who drives, environment by environment: the teacher, or the planner on the true map or on the measured one."""
_LATER = tuple(round(horizon_s * CONTROL_HZ) for horizon_s in HORIZONS_S)


def run(config: Config, run: StageRun) -> None:
    """Write shards ``train_NNN.h5`` and ``val_NNN.h5``; validation scenes come only into the latter."""

    def begin(border: int, seed: int) -> Callable[[], Rows]:
        return Recorder(config, run, border=border, seed=seed).record

    shards = record_shards(config, run, kind="surroundings", begin=begin)
    run.metrics["frames"] = sum(int(rows["counted"].sum()) for rows in shards)


@dataclass
class _Frame:
    """One recorded control step."""

    step: int
    pose_w: torch.Tensor
    square: torch.Tensor
    distance_m: torch.Tensor


@dataclass
class _Past:
    """What happened in every control step of a shard; people are needed up to 1.5 s after a frame."""

    people_xy_w: list[torch.Tensor] = field(default_factory=list)
    people_present: list[torch.Tensor] = field(default_factory=list)
    first: list[torch.Tensor] = field(default_factory=list)


class Recorder:
    """Runs on through its episodes, from one shard into the next."""

    def __init__(self, config: Config, run: StageRun, *, border: int, seed: int) -> None:
        self._config = config
        folder = run.input("make_scenes")
        parts = [load_scenes(folder / f"scenes_{part}.npz") for part in ("train", "val")]
        self._environment = both_conditions(
            config.embodiment,
            [*parts[0], *parts[1]],
            field_fraction=config.field_fraction,
            goals_per_scene=config.goals_per_scene,
            randomisation=replace(
                training(), jitter_camera_m=config.camera_m, jitter_camera_pitch_rad=config.camera_pitch_rad
            ),
            num_envs=config.num_envs,
            device=config.device,
            seed=seed,
            crowded=True,  # the figures are taken where as many people walk as in evaluation; training sees more
        )
        length = config.shards * config.shard_steps // 2 + 1  # no episode ends within two steps of its beginning
        queue = queues(self._environment, val_from=border, first_val=len(parts[0]), length=length, seed=seed)
        self._environment.assign(queue)
        self._step = self._environment.reset()
        self._generator = torch.Generator(device=config.device).manual_seed(seed)
        self._teacher = TeacherAgent(num_envs=config.num_envs, device=config.device, seed=seed)
        drivers = [_DRIVERS[number % len(_DRIVERS)] for number in range(config.num_envs)]
        self._taught = torch.tensor([[driver == "teacher"] for driver in drivers], device=config.device)
        self._knowing = torch.tensor([n for n, driver in enumerate(drivers) if driver == "truth"], device=config.device)
        zeros = torch.zeros(config.num_envs, COMMAND_SIZE, device=config.device)
        self._noise, self._deviation = zeros, zeros[:, :1]
        self._state = torch.zeros(config.num_envs, planner.STATE_SIZE, device=config.device)
        self._trail = torch.zeros(config.num_envs, TRAIL_SIZE, device=config.device)
        self._network = (
            load_module(Anticipation, config.weights, "anticipation").to(config.device) if config.weights else None
        )

    @torch.no_grad()
    def record(self) -> Rows:
        """Run one shard; return its fields, each (T, B, ...)."""
        frames, past = [], _Past()
        for step in range(self._config.shard_steps):
            action, square = self._plan()
            xy_w, _, present = self._environment.people()
            past.people_xy_w.append(xy_w.clone())
            past.people_present.append(present.clone())
            past.first.append(self._step.first.clone())
            if step % self._config.every_steps == 0:
                pose_w = self._environment.pose_w.clone()
                distance_m = self._environment.distance_at(anticipation.cells_w(pose_w))
                frames.append(_Frame(step=step, pose_w=pose_w, square=square, distance_m=distance_m))
            self._noise = next_noise(self._noise, deviation=1.0, correlation=_CORRELATION, generator=self._generator)
            noisy = (action + self._deviation * self._noise).clamp(-1.0, 1.0)
            self._step = self._environment.step(noisy * active_dimensions(self._environment.body.descriptor))
        return _fields(frames, past)

    def _plan(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the action (B, 3) and what the network would see."""
        observation, first = self._step.observation, self._step.first
        amplitude = self._config.noise * torch.rand(len(first), 1, generator=self._generator, device=first.device)
        self._deviation = torch.where(first[:, None], amplitude, self._deviation)
        self._trail = self._trail.masked_fill(first[:, None], 0.0)
        measured: list[torch.Tensor] = []

        def measure(evidence: torch.Tensor, seen: torch.Tensor, pose: torch.Tensor, points: torch.Tensor) -> PlannedMap:
            self._trail = anticipation.remembered(self._trail, points, pose)
            measured.append(anticipation.square(evidence, seen, pose, self._trail))
            own = PlannedMap(distance_to_evidence_m(evidence), seen, torch.zeros_like(seen))
            if self._network is not None:
                around = anticipation.surroundings(self._network(measured[0]))
                own = anticipation.onto_costmap(around, evidence, seen, pose, descriptor=observation.descriptor)
            rows = self._knowing
            truth = anticipation.onto_costmap(
                Surroundings(*(value[rows] for value in true_surroundings(self._environment.privileged()))),
                evidence[rows],
                seen[rows],
                pose[rows],
                descriptor=observation.descriptor[rows],
                is_true=True,
            )
            return PlannedMap(*(whole.index_copy(0, rows, part) for whole, part in zip(own, truth, strict=True)))

        state = self._state.masked_fill(first[:, None], 0.0)
        planned, self._state = planner.drive_step(observation, state, anticipate=measure)
        taught = self._teacher.act(observation, self._environment.privileged)
        return torch.where(self._taught, taught, planned), measured[0]


def _fields(frames: list[_Frame], past: _Past) -> Rows:
    """Return what is written; a frame counts where its episode goes on long enough to know what follows."""
    rows: dict[str, list[np.ndarray]] = {"square": [], "distance": [], "moving": [], "counted": []}
    for frame in frames:
        last = frame.step + max(_LATER)
        if last >= len(past.first):
            break
        places = anticipation.cells_w(frame.pose_w)  # (B, SIDE^2, 2)
        moving = [
            people_at(places, past.people_xy_w[frame.step + k], past.people_present[frame.step + k]) for k in _LATER
        ]
        again = torch.stack(past.first[frame.step + 1 : last + 1]).any(dim=0)
        rows["square"].append(as_bytes(frame.square))
        rows["distance"].append(as_bytes((frame.distance_m / FAR_M).unflatten(1, (SIDE, SIDE))))
        rows["moving"].append(np.packbits(torch.stack(moving, dim=1).cpu().numpy(), axis=-1))
        rows["counted"].append((~again).cpu().numpy())
    return {name: np.stack(values) for name, values in rows.items()}
