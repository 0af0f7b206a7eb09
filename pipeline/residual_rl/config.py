"""PPO's settings; importing them costs no Ray."""

from dataclasses import dataclass, field

Schedule = list[list[float]]
"""Pairs of control steps and a learning rate, in RLlib's form; linear in between."""
CURVE = "curve.json"
"""Beside a finished residual head: the figures of every iteration."""
LEARNER_CPUS, RUNNER_CPUS = 0.01, 0.9
"""Parts of a core that a learner with environment runners and one of these runners ask Ray for. They take turns, so
that together they need one core per runner. The learner's part keeps it off nodes that lend no cores."""
SMOOTHING_EPISODES = 200
"""Its rates are over about this many last episodes; over fewer, ``episodes``, in the beginning."""


@dataclass(frozen=True, kw_only=True)
class DaggerWarmUpConfig:
    """How the residual learns from the teacher before PPO takes over."""

    control_steps: int = 0
    """In which the actor learns from the teacher, and the critic for PPO; 0 = PPO from the start"""
    updates: int = 64
    """Per PPO iteration; with the default horizon every transition is used about 8 times"""
    batch: int = 1024
    learning_rate: float = 1e-3
    rows: int = 250_000
    """Transitions remembered"""


@dataclass(frozen=True, kw_only=True)
class PpoConfig:
    """Settings of PPO; actions are normalised by the limits of the robot."""

    control_steps: int = 350_000
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
    dagger: DaggerWarmUpConfig = field(default_factory=DaggerWarmUpConfig)
    """The privileged teacher labels what the residual drives, before PPO moves the actor; none by default (ADR 0008)"""
    critic_warmup_steps: int = 40_000
    """Control steps in which PPO trains only the critic: a residual trained on noise forgets that zero was right.
    With a DAgger warm-up at least as long as that takes."""
    entropy: float = 0.001
    """Small: the base policy already explores where the goal is."""
    kl_target: float = 0.01
    reward_scale: float = 0.15
    """Brings returns (about -6 to 13) to the order of 1, where the critic learns best."""
    gradient_norm: float = 1.0
    validation_episodes: int = 256
    """After training, without exploration, the correction is scaled by 0, 0.5 and 1; whichever settles most often is
    used. 0 episodes: always 1."""
    env_runners: int = 0
    """Ray workers that simulate for this one specialist, a core each; 0 simulates in the training process."""
    checkpoint_s: float = 120.0
    """Time between checkpoints: at most this much work is lost by a kill."""


def actor_rates(config: PpoConfig) -> Schedule:
    """Return the actor's learning rates: 0 while only the critic or the DAgger warm-up learns, then PPO's."""
    return actor_schedule(
        learning_rate=config.actor_learning_rate,
        warmup_steps=max(config.critic_warmup_steps, config.dagger.control_steps),
        control_steps=config.control_steps,
    )


def actor_schedule(*, learning_rate: float, warmup_steps: int, control_steps: int) -> Schedule:
    """Return RLlib's piecewise-linear schedule: 0 while PPO trains only the critic, then down to a tenth at the end."""
    end = max(control_steps, warmup_steps + 2)
    return [[0, 0.0], [warmup_steps, 0.0], [warmup_steps + 1, learning_rate], [end, 0.1 * learning_rate]]
