"""The rollouts of a robot's evaluation: one agent on one route through one shard, run and written as a whole.

Several processes may work on the same job. A process claims a rollout before it runs it. A claim ends with its process:
another one then takes the rollout over. A rollout whose rows exist is finished.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from pipeline.agents import registry as agents
from pipeline.agents.server_ids import in_file_names
from pipeline.evaluation.episodes.plan import Job, shards
from pipeline.runs import manifest, owner
from world_model import atomic_files

_ENDING_S = 10.0
"""The kernel ends the children of a killed process at once; freeing a simulation's memory takes moments."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One agent on one route through one shard: its rows, and its arrays in other files."""

    embodiment: str
    agent: str
    route: str
    shard: int
    folder: Path

    @property
    def rows(self) -> Path:
        """Where the rows are; it exists only when the rollout is finished."""
        return self._file("parquet")

    @property
    def traces(self) -> Path:
        """Where the trajectories are; written before ``rows``."""
        return self._file("traces.npz")

    @property
    def failures(self) -> Path:
        """Where the last images of failed episodes are; written before ``rows``, by agents that use depth."""
        return self._file("failures.npz")

    @property
    def claim(self) -> Path:
        """File with the name of the process that runs the rollout."""
        return self._file("claim")

    @property
    def is_open(self) -> bool:
        """Whether the rollout is not finished and no running process has claimed it."""
        return not (self.rows.exists() or owner.is_alive(self.claimed_by()))

    def claimed_by(self) -> str:
        """Return the name of the process that claimed the rollout, "" if none did."""
        try:
            return self.claim.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return ""

    def take(self) -> bool:
        """Claim the rollout; False if another process was faster or has finished it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "claims.lock"):  # one at a time: two must not take over the same dead claim
            if not self.is_open:
                return False
            atomic_files.write_text(self.claim, owner.own_name())
            return True

    def write(self, rows: pd.DataFrame, **arrays: Mapping[str, np.ndarray]) -> None:
        """Write the rollout, ``traces`` and ``failures``; the rows last and atomically: they mark it as finished."""
        for name, columns in arrays.items():
            np.savez_compressed(self._file(f"{name}.npz"), **dict(columns))  # type: ignore[arg-type]
        hashes = {name: manifest.hash_file(self._file(f"{name}.npz")) for name in arrays}
        with atomic_files.replacing(self.rows) as temporary:
            rows.to_parquet(temporary, index=False)
            hashes["rows"] = manifest.hash_file(temporary)
            atomic_files.write_text(self._hashes, json.dumps(hashes))

    def read_rows(self) -> pd.DataFrame:
        """Return the rows of a finished rollout.

        Raises:
            FileNotFoundError: If it is not finished.
            ValueError: If one of its files is damaged.
        """
        if self.rows.exists() and not self.is_whole():
            raise ValueError(f"{self.rows} is damaged; the same command drives it again")
        return pd.read_parquet(self.rows)

    def is_whole(self) -> bool:
        """Whether all files of a finished rollout are the ones that were written."""
        try:
            hashes = json.loads(self._hashes.read_text(encoding="utf-8"))
            files = {"rows": self.rows, "traces": self.traces, "failures": self.failures}
            there = {name for name, file in files.items() if file.exists()}
            return there == set(hashes) and all(manifest.hash_file(files[name]) == hashes[name] for name in there)
        except (OSError, ValueError, TypeError):
            return False

    @property
    def _hashes(self) -> Path:
        return self._file("sha256.json")

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self.embodiment}.{in_file_names(self.agent)}.{self.route}.{self.shard}.{suffix}"


def rollouts(job: Job) -> Iterator[Rollout]:
    """Yield the rollouts, shard by shard; an agent that ignores the route drives on the first one only.

    A robustness evaluation has one rollout for everything that it disturbs, over all episodes.
    """
    for shard in range(len(job.disturbances.rollouts() if job.disturbances else shards(job))):
        for agent in job.agents:
            for route in job.routes if agents.get(agent).uses_route else job.routes[:1]:
                yield Rollout(embodiment=job.embodiment, agent=agent, route=route, shard=shard, folder=Path(job.folder))


def forget_claims(job: Job) -> None:
    """Drop the claims of ended processes and damaged rollouts.

    Raises:
        ValueError: If a process of a killed evaluation still runs.
    """
    no_room(job).unlink(missing_ok=True)
    for rollout in rollouts(job):
        _wait_for_the_end_of(rollout.claimed_by(), rollout)
        rollout.claim.unlink(missing_ok=True)
        if rollout.rows.exists() and not rollout.is_whole():
            print(f"{rollout.rows} is damaged: its SHA-256 is not the one beside it; driving it again", flush=True)
            for file in (rollout.rows, rollout.traces, rollout.failures):
                file.unlink(missing_ok=True)


def _wait_for_the_end_of(name: str, rollout: Rollout) -> None:
    """Wait for a process that the kernel is ending because its parent was killed."""
    deadline_s = time.monotonic() + _ENDING_S
    while owner.is_alive(name) and name != owner.own_name():
        if time.monotonic() > deadline_s:
            raise ValueError(f"process {name.split()[0]} still drives {rollout.rows.stem}; wait for it or stop it")
        time.sleep(0.05)


def no_room(job: Job) -> Path:
    """Return the file that says why a scene has no room for the robot, if that has stopped a process."""
    return Path(job.folder) / f"{job.embodiment}.no_room"


def rows(job: Job) -> pd.DataFrame:
    """Return the rows of a finished job: by agent, route, scene and number.

    Raises:
        FileNotFoundError: If a rollout is not finished.
        ValueError: If a rollout is damaged.
    """
    tables = []
    for rollout in rollouts(job):
        table = rollout.read_rows()
        tables += [table.assign(route=route) for route in _routes(rollout, job)]
    found = pd.concat(tables, ignore_index=True)
    order = {
        "agent": {name: place for place, name in enumerate(job.agents)},
        "route": {name: place for place, name in enumerate(job.routes)},
        "scene": {name: place for place, name in enumerate(job.scenes)},
    }
    keys = found[[*order, "episode"]].assign(**{name: found[name].map(places) for name, places in order.items()})
    return found.loc[keys.sort_values([*order, "episode"], kind="stable").index].reset_index(drop=True)


def traces(job: Job) -> dict[str, np.ndarray]:
    """Return the trajectories of a finished job."""
    columns = []
    for rollout in rollouts(job):
        found = dict(np.load(rollout.traces))
        columns += [found | {"route": np.full(len(found["route"]), route)} for route in _routes(rollout, job)]
    return join(columns)


def failures(job: Job, *, at_most: int) -> dict[str, np.ndarray]:
    """Return the last images of failed episodes, ``at_most`` per agent and route, the lowest numbers of all scenes."""
    columns: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}
    for rollout in rollouts(job):
        found = dict(np.load(rollout.failures)) if rollout.failures.exists() else {}
        if found:
            columns.setdefault((rollout.agent, rollout.route), []).append(found)
    chosen = []
    for group in map(join, columns.values()):
        scene = np.asarray([job.scenes.index(str(name)) for name in group["scene"]], dtype=int)
        first = np.lexsort((scene, group["episode"]))[:at_most]
        chosen.append({name: values[first] for name, values in group.items()})
    return join(chosen)


def join(columns: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Put tables of arrays one after the other, leaving out those that are empty; nothing of nothing."""
    filled = [column for column in columns if column]
    return {name: np.concatenate([column[name] for column in filled]) for name in filled[0]} if filled else {}


def _routes(rollout: Rollout, job: Job) -> tuple[str, ...]:
    """Return the routes that a rollout stands for."""
    return (rollout.route,) if agents.get(rollout.agent).uses_route else job.routes
