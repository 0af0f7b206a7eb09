"""PPO's settings; importing them costs no Ray."""

from dataclasses import dataclass, field

from pipeline.residual_rl.dagger_warm_up import DaggerWarmUpConfig

CURVE = "curve.json"
"""Beside a finished residual head: the figures of every iteration."""
SMOOTHING_EPISODES = 200
"""Its rates are over about this many last episodes; over fewer, ``episodes``, in the beginning."""


@dataclass(frozen=True, kw_only=True)
class PpoConfig:
    """PPO's settings; a share is a share of the robot's limits."""

    control_steps: int = 500_000
    """Control steps of one specialist, all environments together."""
    num_envs: int = 64
    """Environments per simulating process: enough to fill a core's vector units, few enough to stay on-policy."""
    horizon: int = 128
    """Control steps per environment and iteration (12.8 s): some 60 episodes end in it, of which few fail"""
    minibatch: int = 2048
    """With 4 epochs 16 updates per iteration"""
    epochs: int = 4
    gae_lambda: float = 0.95
    clip: float = 0.2
    actor_learning_rate: float = 1e-4
    """The base policy mostly arrives: what moves it far on little evidence makes it worse (ADR 0008)"""
    critic_learning_rate: float = 1e-3
    """Higher than the actor's: the critic starts from nothing, the actor from the base policy."""
    guidance: DaggerWarmUpConfig = field(default_factory=DaggerWarmUpConfig)
    """Lessons from the privileged teacher, before PPO moves the actor; none by default, see docs/adr/0008"""
    critic_warmup_steps: int = 40_000
    """Control steps in which PPO trains only the critic: a residual trained on noise forgets that zero was right.
    With guidance at least as long as that takes."""
    entropy: float = 0.001
    """Small: the base policy already explores where the goal is."""
    kl_target: float = 0.01
    reward_scale: float = 0.15
    """Brings returns (about -6 to 13) to the order of 1, where the critic learns best."""
    gradient_norm: float = 1.0
    validation_episodes: int = 256
    """In the end and without exploring, with none, half and all of what was learned; what
    arrives most often is kept. 0: all of it"""
    env_runners: int = 0
    """Extra simulating Ray workers for this one specialist; 0 simulates in the training process."""
    checkpoint_s: float = 120.0
    """Time between checkpoints: at most this much work is lost by a kill."""
