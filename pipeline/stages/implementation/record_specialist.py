"""Drive a specialist under disturbances and write what it does, shard by shard."""

import numpy as np
import torch

from distill.recordings import read_shard, shard_paths, write_shard
from embodiments import registry
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment, load_base
from pipeline.simulation.navigation.latent_step import LatentStep
from pipeline.simulation.navigation.recording import Act, Noise, outcome_rates, record, specialist_action
from pipeline.stages.record_specialist import Config
from scenes.storage import load_scenes
from world_model.checkpoint import load_module
from world_model.residual_head import ResidualHead


def run(config: Config, run: StageRun) -> None:
    """Write shards ``train_NNN.h5`` and ``val_NNN.h5``; failed episodes stay in, they hold the corner cases."""
    specialist = load_module(ResidualHead, run.input("train_specialist"), "residual_head").to(config.device)
    if specialist.config.from_scratch:
        raise ValueError("a specialist trained from scratch is an ablation: it shares no base policy to distil it with")
    driven: tuple[LatentEnvironment, Act] | None = None
    with progress(config.shards * config.shard_steps * config.num_envs, f"record {config.embodiment}") as bar:
        for shard in range(config.shards):
            paths = {part: run.work / f"{part}_{shard:03d}.h5" for part in ("train", "val")}
            if not all(path.exists() for path in paths.values()):
                # After a kill other episodes follow, by the first new shard's seed.
                driven = driven or _begin(config, run, specialist, seed=config.seed + shard)
                environment, act = driven
                rows = record(environment, specialist, act, steps=config.shard_steps)
                for part, columns in _columns(config).items():
                    attributes = {"embodiment": config.embodiment, "seed": config.seed, "shard": shard}
                    chosen = {name: value[:, columns] for name, value in rows.items()}
                    write_shard(paths[part], chosen, kind="specialist", attributes=attributes)
            bar.advance(config.shard_steps * config.num_envs)
    for part in ("train", "val"):
        for shard in range(config.shards):
            run.hand_over(run.work / f"{part}_{shard:03d}.h5")
    shards = [read_shard(path, kind="specialist", fields=("outcome",)) for path in shard_paths(run.directory)]
    outcome = np.concatenate([shard.arrays["outcome"].ravel() for shard in shards])
    run.metrics.update({"rows": outcome.size, **outcome_rates(outcome)})


def _columns(config: Config) -> dict[str, slice]:
    """Return which environments are for training and which, the last ones, for validation."""
    border = config.num_envs - max(1, round(config.val_share * config.num_envs))
    return {"train": slice(0, border), "val": slice(border, config.num_envs)}


def _begin(config: Config, run: StageRun, specialist: ResidualHead, *, seed: int) -> tuple[LatentEnvironment, Act]:
    """Build the environments, the last ones in validation scenes, and begin their first episodes; return who drives."""
    folder = run.input("make_scenes")
    scenes = {part: load_scenes(folder / f"scenes_{part}.npz") for part in ("train", "val")}
    environment = training_environment.build(
        config.environment,
        registry.get(config.embodiment),
        scenes=[*scenes["train"], *scenes["val"]],
        base=load_base(run.input("pretrain_world_model"), device=config.device),
        num_envs=config.num_envs,
        seed=seed,
        device=config.device,
    )
    navigation = environment.environment
    navigation.assign(_queue(navigation.episodes.scene_index >= len(scenes["train"]), config, seed=seed))
    environment.reset()
    noise = Noise(config.disturbance, num_envs=config.num_envs, seed=seed, device=config.device)

    def act(step: LatentStep) -> torch.Tensor:
        mean, _ = specialist_action(specialist, step)
        return mean.clamp(-1.0, 1.0) + noise.next()

    return environment, act


def _queue(is_val: np.ndarray, config: Config, *, seed: int) -> torch.Tensor:
    """Return (B, K) episodes: validation scenes for the last environments, training scenes for the others.

    Args:
        is_val: (N,) bool per episode.
    """
    rng = np.random.default_rng([seed, 2])
    length = config.shards * config.shard_steps + 1  # an episode takes at least one step
    parts = []
    for part, columns in _columns(config).items():
        candidates = np.flatnonzero(is_val == (part == "val"))
        parts.append(rng.choice(candidates, size=(columns.stop - columns.start, length)))
    return torch.as_tensor(np.concatenate(parts))
