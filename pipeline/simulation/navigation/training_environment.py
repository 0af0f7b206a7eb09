"""Where specialists and the generalist practise: training scenes, mixed routes, randomised bodies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from embodiments.embodiment import Embodiment
from pipeline.agents import teacher
from pipeline.simulation.navigation.base_policy_environment import Base, LatentEnvironment
from pipeline.simulation.navigation.environment import NavigationConfig
from pipeline.simulation.navigation.reward import RewardConfig
from pipeline.simulation.navigation.task import build_task, make_environment
from pipeline.simulation.physics.randomisation import Randomisation, training
from scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class TrainingEnvironmentConfig:
    """What episodes are practised and under which randomisation."""

    goals_per_scene: int = 2
    """Goals are what costs time to prepare (a tenth of a second each), so several starts share one"""
    starts_per_goal: int = 6
    randomisation: Randomisation = field(default_factory=training)
    """Moderate, so that gaits stay inside what they were trained for"""
    reward: RewardConfig = field(default_factory=RewardConfig)
    episode_seed: int = 0
    """Of the set of episodes; which of them run when follows the seed of the stage"""


def build(
    ground: TrainingEnvironmentConfig,
    embodiment: Embodiment,
    *,
    scenes: Sequence[Scene],
    base: Base,
    num_envs: int,
    seed: int,
    privileged: bool = False,
    guided: bool = False,
    curriculum: bool = False,
    device: str = "cpu",
) -> LatentEnvironment:
    """Draw the episodes and build the environments, one per process.

    Args:
        seed: Of what is drawn while running.
        privileged: Whether steps carry what only a privileged critic may see.
        guided: Whether steps carry what the privileged teacher would do.
        curriculum: Whether episodes that fail are drawn more often.
    """
    task = build_task(
        embodiment,
        scenes,
        protocol="compass",
        per_scene=ground.goals_per_scene * ground.starts_per_goal,
        starts_per_goal=ground.starts_per_goal,
        route="mixed",
        seed=ground.episode_seed,
    )
    config = NavigationConfig(randomisation=ground.randomisation, reward=ground.reward)
    navigation = make_environment(task, config=config, num_envs=num_envs, seed=seed, device=device)
    guide = teacher.make(num_envs=num_envs, device=device, seed=seed) if guided else None
    return LatentEnvironment(navigation, base, privileged=privileged, guide=guide, curriculum=curriculum)
