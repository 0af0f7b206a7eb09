"""Take rows from a finished evaluation whose agents drove the same files through the same episodes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embodiments import registry
from pipeline.evaluation.episodes import plan
from pipeline.evaluation.episodes.comparison import START_FACTS
from pipeline.evaluation.episodes.plan import Job
from pipeline.evaluation.episodes.summary import EPISODES, FAILURES, SUMMARY, TRACES, read_episodes
from pipeline.robot_models.digest import digest
from pipeline.runs import manifest, provenance

_MAY_DIFFER = ("policy", "embodiments", "agents", "server_timeout_s", "workers", "reuse")
"""Settings on which no episode depends"""
_TAKEN, _HAD_TAKEN = "taken from ", " had taken from "
_START = ("scene_seed", *START_FACTS)
_TOLERANCE = 1e-4
"""Relative; another machine may round a start's geodesic otherwise"""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a finished evaluation holds."""

    folder: Path
    rows: pd.DataFrame
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    """File -> its columns, one row per recorded episode"""
    policy_sha256: Mapping[tuple[str, str], str | None]
    """(Robot, agent) -> hash of the file that drove; None for an agent without one"""
    robots: Mapping[str, str]
    """Robot -> digest of its definition and gait"""
    commit: str
    is_this_code: bool
    """Whether it was driven at the present commit, both without changes"""
    taken_before: tuple[str, ...]
    """What it had itself taken from earlier evaluations, as notes"""

    def agents(self, job: Job) -> tuple[str, ...]:
        """Return those of a job's agents whose episodes are here: they drove its robot as it is, by the same file.

        An agent without a file is what the code makes it: it is among them only if the code is the same. What a server
        did can be found out only by driving again.
        """
        if self.robots.get(job.embodiment) != digest(job.embodiment):
            return ()
        found = []
        for agent in job.agents:
            path, key = job.policies.get(agent), (job.embodiment, agent)
            sha256 = manifest.hash_file(Path(path)) if path else None
            is_known = sha256 or (self.is_this_code and agent not in job.servers)
            if self.policy_sha256.get(key, "") == sha256 and is_known:
                found.append(agent)
        return tuple(found)

    def notes(self, there: Mapping[str, Sequence[str]]) -> list[str]:
        """Return what is said of the agents that are taken from here, robot by robot, and of their own origin."""
        taken = "; ".join(f"{robot} {', '.join(agents)}" for robot, agents in there.items() if agents)
        if not taken:
            return [f"nothing {_TAKEN}{self.folder}"]
        earlier = [note if _HAD_TAKEN in note else f"{self.folder} had {note}" for note in self.taken_before]
        commit = f"{self.commit} or earlier" if earlier else self.commit
        return [f"{_TAKEN}{self.folder} (driven at commit {commit}): {taken}", *earlier]

    def rows_of(self, robot: str, agents: tuple[str, ...]) -> pd.DataFrame:
        """Return the rows of some agents of a robot."""
        return self.rows[(self.rows["embodiment"] == robot) & self.rows["agent"].isin(agents)]

    def arrays_of(self, file: str, robot: str, agents: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return the trajectories or last images of some agents of a robot; nothing where there are none."""
        columns = self.arrays.get(file, {})
        if not columns:
            return {}
        chosen = (columns["embodiment"] == robot) & np.isin(columns["agent"], agents)
        return {name: _of_rows(name, columns, chosen) for name in columns} if chosen.any() else {}


def read(folder: Path, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> Finished:
    """Read a finished evaluation.

    Args:
        folder: What ``evaluate_policy`` has written.
        settings: Those of the evaluation that wants to use it, as JSON has them.
        inputs: What that one reads, with hashes, as its manifest says.

    Raises:
        ValueError: If there is none, or its episodes were others.
    """
    try:
        body = manifest.verify(folder, stage="evaluate_policy").body
    except manifest.ManifestError as error:
        raise ValueError(f"--reuse: {error}.") from None
    theirs = {"conditions": "nominal"} | body["config"]  # older evaluations had no others
    ours = {name: value for name, value in settings.items() if name not in _MAY_DIFFER}
    if other := [name for name, value in ours.items() if theirs.get(name) != value]:
        differing = ", ".join(f"{name} {theirs.get(name)} there and {ours[name]} here" for name in other)
        raise ValueError(f"--reuse {folder}: other episodes were driven there ({differing}).")
    there = body["inputs"]
    # Maps and meshes; a policy's file is compared by its hash.
    files = [name for name in inputs if name.startswith("file:") and not name.endswith(".onnx")]
    if other := [name.removeprefix("file:") for name in files if there.get(name) != inputs[name]]:
        raise ValueError(f"--reuse {folder}: another {', '.join(other)} was driven in there.")
    cells = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["cells"]
    arrays = [name for name in (TRACES, FAILURES) if (folder / name).is_file()]
    return Finished(
        folder=folder,
        rows=read_episodes(folder / EPISODES),
        arrays={name: dict(np.load(folder / name)) for name in arrays},
        policy_sha256={(cell["embodiment"], cell["agent"]): cell["policy_sha256"] for cell in cells},
        robots={name.removeprefix("robot:"): value for name, value in there.items() if name.startswith("robot:")},
        commit=provenance.commit_of(body),
        is_this_code=_is_this_code(body),
        taken_before=tuple(note for note in body.get("notes", ()) if note.startswith(_TAKEN) or _HAD_TAKEN in note),
    )


def check_draw(rows: pd.DataFrame, job: Job) -> None:
    """Check, before the long work, that a job's first episodes are the ones that the finished rows hold.

    Raises:
        ValueError: If they are not.
    """
    drawn = plan.draw(job, registry.get(job.embodiment), shard=0)
    episodes = drawn.task.episodes
    facts = {name: getattr(episodes, name)[: len(drawn)] for name in START_FACTS}
    names = {"scene": drawn.scene, "scene_seed": drawn.scene_seed, "episode": drawn.number}
    first = pd.DataFrame({"embodiment": job.embodiment, **names, **facts})
    check_starts(pd.concat([rows[rows["embodiment"] == job.embodiment], first]))


def check_starts(rows: pd.DataFrame) -> None:
    """Check that rows of one embodiment, scene and episode number are the same episode.

    Raises:
        ValueError: If they are not.
    """
    facts = rows.groupby(["embodiment", "scene", "episode"], sort=False)[list(_START)]
    low, high = facts.min(), facts.max()
    differs = high - low > _TOLERANCE * high
    differs["scene_seed"] = high["scene_seed"] != low["scene_seed"]
    for key, of_episode in differs[differs.any(axis=1)].iterrows():
        which = ", ".join(f"{name} {low[name][key]:g} and {high[name][key]:g}" for name in _START if of_episode[name])
        raise ValueError(
            f"--reuse: other episodes were driven there ({', '.join(map(str, key))}: {which}): the code or data that "
            "draws them has changed since. Evaluate without --reuse."
        )


def _is_this_code(body: Mapping[str, Any]) -> bool:
    git = body.get("git")
    return bool(git) and git == provenance.describe()["git"] and not git["dirty"]


def _of_rows(name: str, columns: Mapping[str, np.ndarray], chosen: np.ndarray) -> np.ndarray:
    """Return a column's chosen rows; a trajectory's poses lie one after the other, ``length`` of them per row."""
    along_time = name == "pose_w" and "length" in columns
    return columns[name][np.repeat(chosen, columns["length"]) if along_time else chosen]
