"""Describe one training job per robot and run the jobs side by side."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embodiments import registry
from embodiments.limits import active_dimensions
from pipeline.runs import processes
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation.base_policy_environment import PRIVILEGED_SIZE, load_base
from pipeline.stages.train_specialist import Config
from world_model.residual_head import CriticConfig, ResidualHeadConfig

if TYPE_CHECKING:
    from pipeline.residual_rl.training import Job
    from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment


def run(config: Config, run: StageRun) -> None:
    """Train one robot: ``residual_head``, ``critic`` (safetensors and JSON), ``curve.json``."""
    run_many([config], [run])


def run_many(configs: Sequence[Config], runs: Sequence[StageRun], *, workers: int = 0) -> None:
    """Train several robots, so many at once (0 = one per core); each is published as soon as it is finished."""
    from pipeline.residual_rl.side_by_side import train_many

    runs_of = {config.embodiment: run for config, run in zip(configs, runs, strict=True)}
    threads = processes.threads(among=min(len(configs), workers or len(configs)))
    jobs = [_job(config, run, threads=threads) for config, run in zip(configs, runs, strict=True)]

    def done(job: "Job", figures: dict[str, Any]) -> None:
        run = runs_of[job.name]
        run.metrics.update(figures)
        run.publish()

    train_many(
        jobs,
        begun=lambda job: runs_of[job.name].begin(),
        done=done,
        note=lambda job, text: runs_of[job.name].note(text),
        workers=workers,
    )


def _job(config: Config, run: StageRun, *, threads: int) -> "Job":
    from pipeline.residual_rl.training import Job

    embodiment = registry.get(config.embodiment)
    base = load_base(run.input("pretrain_world_model"))  # here, so that a mistake shows before any worker starts
    return Job(
        name=config.embodiment,
        ppo=config.ppo,
        gamma=config.discount_at_1_mps**embodiment.limits.forward_mps,
        seed=config.seed,
        environment=make_vector_environment,
        environment_config={
            "config": config,
            "scenes": str(run.input("make_scenes").absolute()),
            "base": str(run.input("pretrain_world_model").absolute()),
        },
        module_config=_module_config(config, feature_size=base.feature_size),
        work=run.work.absolute(),
        output=run.directory.absolute(),
        identity=run.identity,
        threads=threads,
        device=config.device,
    )


def _module_config(config: Config, *, feature_size: int) -> dict[str, Any]:
    actor = ResidualHeadConfig(
        feature_size=feature_size,
        hidden=config.hidden,
        residual_scale=config.residual_scale,
        initial_log_std=config.initial_log_std,
        from_scratch=config.from_scratch,
    )
    privileged_size = PRIVILEGED_SIZE if config.privileged_critic else 0
    critic = CriticConfig(feature_size=feature_size, privileged_size=privileged_size, hidden=config.hidden)
    active = active_dimensions(registry.get(config.embodiment).descriptor())
    return {
        "actor": asdict(actor),
        "critic": asdict(critic),
        "active": [index for index, is_active in enumerate(active) if is_active],
    }


def make_vector_environment(settings: dict[str, Any]) -> "ResidualVectorEnvironment":
    """Build one worker's environments from the plain dict that RLlib hands over."""
    from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
    from pipeline.simulation.navigation import training_environment
    from scenes.storage import load_scenes

    config: Config = settings["config"]
    environment = training_environment.build(
        config.environment,
        registry.get(config.embodiment),
        scenes=load_scenes(Path(settings["scenes"]) / "scenes_train.npz"),
        base=load_base(Path(settings["base"]), device=config.device, silent=config.from_scratch),
        num_envs=int(settings["num_envs"]),
        seed=config.seed + 1000 * int(settings["worker_index"]),
        privileged=config.privileged_critic,
        labelled=config.ppo.dagger.control_steps > 0,
        curriculum=config.curriculum,
        device=config.device,
    )
    return ResidualVectorEnvironment(environment, reward_scale=config.ppo.reward_scale)
