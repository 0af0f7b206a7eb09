"""Stage: improve the base policy on one robot by a bounded residual, with PPO in RLlib; several robots side by side.

Optionally the privileged teacher labels first what the residual drives (``residual_rl/dagger_warm_up.py``).
"""

from dataclasses import dataclass, field, replace

from tyro.conf import Suppress

from pipeline.residual_rl.config import PpoConfig
from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage
from pipeline.simulation.navigation.config import TrainingEnvironmentConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How one specialist is trained."""

    embodiment: Suppress[str] = "tiago"
    ppo: PpoConfig = field(default_factory=PpoConfig)
    discount_at_1_mps: float = 0.99
    """Per control step for a body of 1 m/s; raised to the power of v_max, so that slow robots see their goals"""
    residual_scale: float = 1.0
    """Largest correction in shares of the limits: 1 can undo the base policy"""
    initial_log_std: float = -2.3
    """Exploration of 0.1 of the limits at first: noise of 0.2 frees a policy whose mean, which drives the robot in
    the end, has got stuck (docs/log/2026-11.md)"""
    hidden: tuple[int, ...] = (256, 256)
    """Of actor and critic"""
    from_scratch: bool = False
    """Leave out the base policy's answer, as an ablation"""
    privileged_critic: bool = True
    """Let the critic see the distance field; what is exported never does, so `value` is not exported then"""
    curriculum: bool = False
    """Practise more often what fails; success while training then looks worse than it is. Not judged yet"""
    environment: TrainingEnvironmentConfig = field(default_factory=TrainingEnvironmentConfig)
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    iteration = 32 * SMOKE_ENVS
    ppo = replace(
        config.ppo,
        control_steps=3 * iteration,
        num_envs=SMOKE_ENVS,
        horizon=32,
        minibatch=128,
        epochs=2,
        critic_warmup_steps=iteration,
        validation_episodes=SMOKE_ENVS,
        dagger=replace(config.ppo.dagger, control_steps=iteration, updates=8, batch=64),
    )
    return replace(config, ppo=ppo, environment=replace(config.environment, goals_per_scene=1, starts_per_goal=1))


def _workstation(config: Config) -> Config:
    # COMPASS: 32 environments x 256 steps x 1000 iterations per specialist.
    ppo = replace(config.ppo, control_steps=8_192_000, num_envs=1024, horizon=32, minibatch=8192)
    return replace(config, ppo=ppo, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.train_specialist", "run"),
    run_many=Later("pipeline.stages.implementation.train_specialist", "run_many"),
    needs=("make_scenes", "pretrain_world_model"),
    per_robot=True,
    trains="specialist",
    budget="ppo.control_steps",
    not_in_key=("ppo.checkpoint_s",),
    presets={"smoke": _smoke, "workstation": _workstation},
)
