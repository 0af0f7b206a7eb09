"""Drive in both conditions, and write what the collision risk network sees beside how episodes end, shard by shard."""

from collections.abc import Callable

import numpy as np
import torch

from distill.surroundings import as_bytes
from embodiments.limits import active_dimensions
from embodiments.observation import Observation
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation.both_conditions import both_conditions, queues
from pipeline.simulation.navigation.recording import outcome_code, outcome_rates
from pipeline.simulation.physics.randomisation import training
from pipeline.stages.implementation.shard_recording import Rows, record_shards
from pipeline.stages.record_drives import Config
from scenes.storage import load_scenes
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module
from world_model.collision_risk import CollisionRisk
from world_model.fixed_batches import by_rows
from world_model.local_planner.map_edge import hold_goal

_FACTORS = (1.0, 1.0, 0.6, 0.3, 0.0)
"""On the forward action; full speed twice as often"""
_TURNS = (0.0, 0.0, 0.0, -0.3, 0.3)
"""Added to the yaw action; the plan's direction three times as often"""


def run(config: Config, run: StageRun) -> None:
    """Write shards ``train_NNN.h5`` and ``val_NNN.h5``; validation scenes come only into the latter."""

    def begin(border: int, seed: int) -> Callable[[], Rows]:
        return Recorder(config, run, border=border, seed=seed).record

    shards = record_shards(config, run, kind="drives", begin=begin)
    run.metrics.update(outcome_rates(np.concatenate([np.zeros(0, np.uint8), *(s["outcome"].ravel() for s in shards)])))


class Recorder:
    """Runs on through its episodes, from one shard into the next."""

    def __init__(self, config: Config, run: StageRun, *, border: int, seed: int) -> None:
        self._config = config
        folder = run.input("make_scenes")
        train, val = (load_scenes(folder / f"scenes_{part}.npz") for part in ("train", "val"))
        self._environment = both_conditions(
            config.embodiment,
            [*train, *val],
            field_fraction=config.field_fraction,
            goals_per_scene=config.goals_per_scene,
            randomisation=training(),
            num_envs=config.num_envs,
            device=config.device,
            seed=seed,
        )
        length = config.shards * config.shard_steps // 2 + 1
        queue = queues(self._environment, val_from=border, first_val=len(train), length=length, seed=seed)
        self._environment.assign(queue)
        self._step = self._environment.reset()
        weights = config.anticipation or run.input("train_anticipation")
        self._network = load_module(Anticipation, weights, "anticipation").to(config.device)
        self._risk = None
        if config.risk is not None:
            self._risk = load_module(CollisionRisk, config.risk, "collision_risk").to(config.device)
        self._state = torch.zeros(config.num_envs, anticipation.STATE_SIZE, device=config.device)
        self._generator = torch.Generator(device=config.device).manual_seed(seed)
        # Counted from the last one, so that a held-out environment drives as planned, however few there are.
        place = (torch.arange(config.num_envs, device=config.device).flip(0) * 0.6180339887) % 1.0
        self._changed = place >= 1.0 - config.changed_envs
        self._change = collision_risk.no_change(self._state)

    @torch.no_grad()
    def record(self) -> Rows:
        """Run one shard; return its fields, each (T, B, ...)."""
        rows: dict[str, list[np.ndarray]] = {}
        for _ in range(self._config.shard_steps):
            step = self._step
            state = self._state.masked_fill(step.first[:, None], 0.0)
            action, crop, vector, self._state = by_rows(self._plan, step.observation, state)
            self._draw_change(step.first)
            row = {
                "crop": as_bytes(crop),
                "vector": vector.cpu().numpy(),
                "change": self._change.cpu().numpy().copy(),
                "first": step.first.cpu().numpy().copy(),
            }
            executed = collision_risk.changed(action, self._change)
            self._step = self._environment.step(executed * active_dimensions(self._environment.body.descriptor))
            row["outcome"] = outcome_code(self._step).cpu().numpy()
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
        return {name: np.stack(values) for name, values in rows.items()}

    def _plan(
        self, observation: Observation[torch.Tensor], state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the plan's action, what the risk network sees, and the next state."""
        observation, state = hold_goal(observation, state, state[:, :3])
        found, state, maps = anticipation.plan_on(self._network, observation, state)
        crop = collision_risk.crop(maps, observation, state)
        vector = collision_risk.vector(found, observation)
        if self._risk is not None:
            found = collision_risk.slowed(self._risk, found, crop, vector, descriptor=observation.descriptor)
        return found.action, crop, vector, state

    def _draw_change(self, first: torch.Tensor) -> None:
        """Draw what changes anew, now and then, and where an episode begins."""
        chance = torch.rand(len(first), 3, generator=self._generator, device=first.device)
        factors, turns = (torch.tensor(values, device=first.device) for values in (_FACTORS, _TURNS))
        fresh = torch.stack(
            [values[(chance[:, k] * len(values)).long()] for k, values in ((1, factors), (2, turns))], dim=-1
        )
        again = self._changed & (first | (chance[:, 0] < self._config.change_again))
        self._change = torch.where(again[:, None], fresh, self._change)
