"""The environment that specialists and the generalist train in: training scenes, mixed routes, randomised bodies."""

from collections.abc import Sequence

from embodiments.embodiment import Embodiment
from pipeline.agents import teacher
from pipeline.runs.precision import is_bfloat16
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.config import NavigationConfig, TrainingEnvironmentConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.navigation.task import build_task
from scenes.scene import Scene
from world_model.base_policy import BasePolicy


def build(
    config: TrainingEnvironmentConfig,
    embodiment: Embodiment,
    *,
    scenes: Sequence[Scene],
    base: BasePolicy,
    num_envs: int,
    seed: int,
    privileged: bool = False,
    labelled: bool = False,
    curriculum: bool = False,
    device: str = "cpu",
) -> LatentEnvironment:
    """Sample the episodes and build the batch of environments; one per process.

    Args:
        seed: Of randomness while running.
        privileged: Whether steps carry what only a privileged critic may see.
        labelled: Whether steps carry the privileged teacher's action.
        curriculum: Whether episodes that fail are sampled more often.
    """
    task = build_task(
        embodiment,
        scenes,
        protocol="compass",
        per_scene=config.goals_per_scene * config.starts_per_goal,
        starts_per_goal=config.starts_per_goal,
        route="mixed",
        seed=config.episode_seed,
    )
    settings = NavigationConfig(randomisation=config.randomisation, reward=config.reward)
    navigation = NavigationEnvironment(task, config=settings, num_envs=num_envs, seed=seed, device=device)
    if is_bfloat16(config.precision, device=device):
        base = base.in_bfloat16()
    labels = teacher.TeacherAgent(num_envs=num_envs, device=device, seed=seed) if labelled else None
    return LatentEnvironment(navigation, base, privileged=privileged, teacher=labels, curriculum=curriculum)
