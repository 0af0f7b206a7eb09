"""Two evaluations side by side: paired where both ran the same episodes, else as independent samples."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.episodes import metrics, statistics
from pipeline.evaluation.episodes.statistics import Interval
from pipeline.evaluation.episodes.summary import ALL
from pipeline.runs import manifest

STAGE = "evaluate_policy"
METRICS = ("success", "spl", "collision")
RATES = ("success", "collision")
EPISODE_KEY = ["embodiment", "scene", "scene_seed", "episode"]
"""Names an episode within a protocol, seed, split and route"""
START_FACTS = ["time_limit_s", "initial_geodesic_m"]
"""Equal in both runs if an episode is the same one"""
_READ = [*EPISODE_KEY, *START_FACTS, "protocol", "route", "agent", "success", "collision", "path_m"]
# Two machines may differ in the last bits of a distance.
_SAME_RELATIVE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A finished evaluation and the run that it belongs to."""

    name: str
    folder: Path
    episodes: pd.DataFrame
    """One row per episode, with ``spl``"""
    split: str
    seed: int
    unseen: frozenset[str]
    """Robots that nothing was trained on; they stand apart from the mean"""
    bodies: Mapping[str, Mapping[str, Any]]
    """"STAGE" or "STAGE/ROBOT" -> its manifest's document; the evaluation's own, and its run's where it lies in one"""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of one robot and agent in both runs."""

    embodiment: str
    agent: str
    route: str
    metric: str
    episodes: tuple[int, int]
    """How many of each run count"""
    first: float
    second: float
    ci95: Interval | None
    """Of second − first"""
    unpaired: str
    """Why the two could not be compared episode by episode; "" if they were"""
    is_same: bool
    """Whether they were, and no episode differs"""

    @property
    def difference(self) -> float:
        """Second − first."""
        return self.second - self.first

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.ci95 is not None and (self.ci95[0] > 0.0 or self.ci95[1] < 0.0)


def read(path: Path) -> Evaluation:
    """Read an evaluation from its own folder or from the folder of its run.

    Raises:
        ValueError: If there is no finished evaluation, or it is damaged.
    """
    folder = path / STAGE if (path / STAGE).is_dir() else path
    if not folder.is_dir():
        raise ValueError(f"{path} does not exist; give a run folder (runs/NAME) or a folder of {STAGE}.")
    try:
        body = manifest.verify(folder, stage=STAGE).body
    except manifest.ManifestError as error:
        raise ValueError(
            f"{path} holds no finished evaluation: {error}. Make it with: python -m pipeline {STAGE}."
        ) from None
    cells = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["cells"]
    episodes = pd.read_parquet(folder / "episodes.parquet", columns=_READ)
    success, shortest_m = episodes["success"].to_numpy(dtype=bool), episodes["initial_geodesic_m"].to_numpy()
    return Evaluation(
        name=str(path),
        folder=folder,
        episodes=episodes.assign(spl=metrics.spl(success, geodesic_m=shortest_m, path_m=episodes["path_m"].to_numpy())),
        split=cells[0]["split"],
        seed=cells[0]["seed"],
        unseen=frozenset(cell["embodiment"] for cell in cells if cell.get("unseen")),
        bodies={**(_stages(path) if folder != path else {}), STAGE: body},
    )


def differences(first: Evaluation, second: Evaluation) -> list[Difference]:
    """Return the differences of what both ran: per route, agent and robot, and over all robots that both trained on.

    Raises:
        ValueError: If they have nothing in common.
    """
    result = []
    for (_, route), sides in _common(first.episodes, second.episodes, ["protocol", "route"]):
        for (agent,), (one, other) in _common(*sides, ["agent"]):
            # Only scenes that both have, or the mixture of scenes would show as a difference.
            pairs = [pair for _, pair in _common(one, other, ["embodiment", "scene"])]
            if not pairs:
                continue
            both = pd.concat([a for a, _ in pairs]), pd.concat([b for _, b in pairs])
            robots = [(str(name), pair) for (name,), pair in _common(*both, ["embodiment"])]
            seen = [pair for name, pair in robots if name not in first.unseen | second.unseen]
            if len(seen) > 1:
                robots.insert(0, (ALL, (pd.concat([a for a, _ in seen]), pd.concat([b for _, b in seen]))))
            for robot, pair in robots:
                different = _why_unpaired(first, second, *pair)
                where: dict[str, Any] = {"embodiment": robot, "agent": str(agent), "route": str(route)}
                for metric in METRICS:
                    measured = _measure(*pair, metric, different)
                    result.append(Difference(**where, metric=metric, unpaired=different, **measured))
    if not result:
        raise ValueError(f"nothing to compare: {first.name} has {_has(first)}; {second.name} has {_has(second)}.")
    return result


def settings(first: Evaluation, second: Evaluation) -> list[tuple[str, str, str]]:
    """Return (name, value in the first, value in the second) of every setting, input and version that differs.

    The evaluation comes first; a stage that only one of the runs has is one row.
    """
    rows = []
    stages = dict.fromkeys([STAGE, *first.bodies, *second.bodies])
    for stage in stages:
        bodies = [evaluation.bodies.get(stage) for evaluation in (first, second)]
        if bodies[0] is None or bodies[1] is None:
            rows.append((stage, *("not there" if body is None else "finished" for body in bodies)))
            continue
        sides = [dict(_flat(body)) for body in bodies if body is not None]
        names = dict.fromkeys([*sides[0], *sides[1]])
        rows += [(f"{stage}: {name}", sides[0].get(name, "–"), sides[1].get(name, "–")) for name in names]
    return [(name, one, other) for name, one, other in rows if one != other]


def _stages(run: Path) -> dict[str, Mapping[str, Any]]:
    """Return the documents of the finished stages of a run."""
    found = {}
    for file in sorted([*run.glob(f"[!.]*/{manifest.NAME}"), *run.glob(f"[!.]*/[!.]*/{manifest.NAME}")]):
        try:
            found[file.parent.relative_to(run).as_posix()] = manifest.read(file.parent).body
        except manifest.ManifestError:  # what is not finished does not exist
            continue
    return found


def _flat(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of everything that a stage was made with."""
    yield from ((name, str(body.get(name))) for name in ("seed", "preset", "python"))
    yield "commit", str((body.get("git") or {}).get("commit"))
    yield from ((f"input {name}", str(value)) for name, value in (body.get("inputs") or {}).items())
    yield from ((f"package {name}", str(version)) for name, version in (body.get("packages") or {}).items())
    for key, value in (body.get("config") or {}).items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", str(inner)) for name, inner in value.items())
        else:
            yield key, str(value)


def _common(
    first: pd.DataFrame, second: pd.DataFrame, keys: list[str]
) -> Iterator[tuple[tuple[Any, ...], tuple[pd.DataFrame, pd.DataFrame]]]:
    """Yield (values of the keys, rows of either) of the groups that both have."""
    groups = dict(iter(second.groupby(keys, sort=False)))
    for values, group in first.groupby(keys, sort=False):
        if values in groups:
            yield values, (group, groups[values])


def _why_unpaired(first: Evaluation, second: Evaluation, one: pd.DataFrame, other: pd.DataFrame) -> str:
    for name in ("seed", "split"):
        values = getattr(first, name), getattr(second, name)
        if values[0] != values[1]:
            return f"{name} {values[0]} and {values[1]}"
    one, other = (side.set_index(EPISODE_KEY)[START_FACTS] for side in (one, other))
    common = one.index.intersection(other.index)
    if not len(common):
        return "no episode in common"
    if not np.allclose(one.loc[common], other.loc[common], rtol=_SAME_RELATIVE, atol=0.0, equal_nan=True):
        return "episodes of the same number start or end elsewhere"
    return ""


def _measure(one: pd.DataFrame, other: pd.DataFrame, metric: str, different: str) -> dict[str, Any]:
    """Return counts, means and the interval of one metric."""
    if not different:
        one, other = (side.set_index(EPISODE_KEY) for side in (one, other))
        common = one.index.intersection(other.index)
        one, other = one.loc[common].reset_index(), other.loc[common].reset_index()
    values = [side[metric].to_numpy(dtype=float) for side in (one, other)]
    scenes = [_scene_labels(side) for side in (one, other)]
    if not different:
        found = statistics.paired_difference(values[1], values[0], clusters=scenes[0])
        interval = found[1] if found else None
    else:
        interval = statistics.independent_difference(values[1], values[0], clusters=(scenes[1], scenes[0]))
        if metric in RATES:
            counts = [int(side.sum()) for side in values]
            newcombe = statistics.rate_difference(counts[1], counts[0], totals=(len(values[1]), len(values[0])))
            interval = statistics.wider(interval, newcombe)
    means = [float(np.nanmean(side)) for side in values]
    is_same = not different and np.array_equal(values[0], values[1], equal_nan=True)
    counts_of = (len(one), len(other))
    return {"episodes": counts_of, "first": means[0], "second": means[1], "ci95": interval, "is_same": is_same}


def _scene_labels(episodes: pd.DataFrame) -> np.ndarray:
    return (episodes["scene"].astype(str) + "/" + episodes["scene_seed"].astype(str)).to_numpy(dtype=str)


def _has(evaluation: Evaluation) -> str:
    parts = []
    for name in ("protocol", "route", "agent", "embodiment", "scene"):
        parts.append(f"{name} {', '.join(map(str, evaluation.episodes[name].unique()))}")
    return "; ".join(parts)
