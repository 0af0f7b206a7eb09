"""What has to be said of an evaluation besides its figures, a line each."""

import pandas as pd

from pipeline.evaluation.episodes.plan import MIN_SCENES, gave_way

_NAMED = 3
"""How many broken episodes a line names."""


def broken_lines(episodes: pd.DataFrame) -> list[str]:
    """Return a line per robot, agent and route with episodes in which physics failed or the policy answered NaN."""
    lines = []
    for (robot, agent, route), rows in episodes.groupby(["embodiment", "agent", "route"], sort=False):
        found = rows[rows["broken"]]
        if len(found):
            first = found.head(_NAMED)
            named = [f"{scene} {number}" for scene, number in zip(first["scene"], first["episode"], strict=True)]
            named += ["…"] * (len(found) > _NAMED)
            lines.append(
                f"{robot} {agent} ({route}): {len(found)} of {len(rows)} episodes broken, counted as failed: physics "
                f"failed or the policy answered NaN ({', '.join(named)})"
            )
    return lines


def room_lines(episodes: pd.DataFrame) -> list[str]:
    """Return a line per robot with the generated scenes that stand in for others without room for it."""
    lines = []
    moved = episodes[gave_way(episodes["scene"].to_numpy(), episodes["scene_seed"].to_numpy())]
    for robot, rows in moved.groupby("embodiment", sort=False):
        found = rows[["scene", "scene_seed"]].drop_duplicates()
        named = [f"{scene} {index % MIN_SCENES} (now {index})" for scene, index in found.itertuples(index=False)]
        lines.append(f"{robot}: scenes without room for it gave way to others: {', '.join(named)}")
    return lines
