"""A task for one body: scenes, their fields and their episodes, ready for a navigation environment."""

from collections.abc import Sequence
from dataclasses import dataclass

from embodiments.embodiment import Embodiment
from pipeline.simulation.navigation.episodes import (
    EpisodeSet,
    Protocol,
    RouteKind,
    SceneFields,
    build_episodes,
    scene_fields,
)
from scenes.scene import Scene


@dataclass(frozen=True, kw_only=True)
class Task:
    """Scenes and episodes of one body."""

    embodiment: Embodiment
    scenes: tuple[Scene, ...]
    fields: tuple[SceneFields, ...]
    episodes: EpisodeSet


def build_task(
    embodiment: Embodiment,
    scenes: Sequence[Scene],
    *,
    protocol: Protocol,
    per_scene: int,
    route: RouteKind,
    seed: int,
    starts_per_goal: int = 1,
) -> Task:
    """Sample ``per_scene`` episodes in every scene; takes about a tenth of a second per scene and per goal.

    Raises:
        ValueError: If a scene has no start and goal that this body can reach.
    """
    fields = tuple(scene_fields(scene) for scene in scenes)
    episodes = build_episodes(
        embodiment,
        scenes,
        fields,
        protocol=protocol,
        per_scene=per_scene,
        route=route,
        seed=seed,
        starts_per_goal=starts_per_goal,
    )
    return Task(embodiment=embodiment, scenes=tuple(scenes), fields=fields, episodes=episodes)
