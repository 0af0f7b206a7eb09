"""A cluster of several nodes on this machine: who works where, what the loss of nodes costs, and who sees the files."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from pipeline.residual_rl import cluster
from pipeline.residual_rl.side_by_side import train_many
from pipeline.residual_rl.training import CURVE, PROGRESS, Job
from pipeline.runs import manifest
from pipeline.runs.run_folder import StageRun
from tests.pipeline.residual_rl.held_dummy import ALLOWED, NotedJob, make, noted
from tests.pipeline.residual_rl.test_residual_rl import PPO
from tests.pipeline.residual_rl.test_residual_rl import job as good_job
from world_model import atomic_files

pytestmark = pytest.mark.slow
STEPS, ITERATION = 10_240, 1024
WAIT_S = 600.0


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Yield a cluster of three nodes with a core each, and this process's own, which lends none."""
    with pytest.MonkeyPatch.context() as patch:
        for step in ("gcs_server_port", "raylet_start"):  # also beside other work
            patch.setenv(f"RAY_{step}_wait_time_s", "120")
        patch.setenv("RAY_worker_niceness", "0")
        cluster.listen_on_loopback_only()
        found = Cluster()
        try:
            found.add_node(num_cpus=0, include_dashboard=False)
            for _ in range(3):
                found.add_node(num_cpus=1)
            patch.setenv(cluster.ADDRESS, found.address)
            yield found
        finally:
            found.shutdown()


@dataclass
class Training:
    """Two specialists while nodes are lost: "wide" has two environment runners, "narrow" simulates by itself."""

    folder: Path
    before: list[dict[str, Any]] = field(default_factory=list)
    """What began before the first loss"""
    iterations: list[int] = field(default_factory=list)
    """How far "wide" was when its nodes were killed: one with a runner, then that of its learner"""
    notes: list[str] = field(default_factory=list)

    @property
    def marks(self) -> Path:
        """Where processes note where they are."""
        return self.folder / "marks"

    def allow(self, steps: int) -> None:
        """Let every environment make so many steps in its process."""
        atomic_files.write_text(self.marks / ALLOWED, str(steps))

    def iteration(self) -> int:
        """Return how many iterations "wide" has made."""
        file = self.folder / ".work" / "train_specialist" / "wide" / PROGRESS
        return int(json.loads(file.read_text())["iteration"]) if file.exists() else 0

    def curve(self, robot: str) -> list[dict[str, Any]]:
        """Return a published specialist's figures, iteration by iteration."""
        return list(json.loads((self.folder / "train_specialist" / robot / CURVE).read_text()))


def wait(condition: Callable[[], Any]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing happened")
        time.sleep(0.2)


def places(noted: list[dict[str, Any]], robot: str, what: str) -> list[str]:
    """Return the nodes where something of a robot began."""
    return [each["node"] for each in noted if each["robot"] == robot and each["what"].startswith(what)]


def lose_nodes(training: Training, nodes: Cluster) -> None:
    """Kill the node of a runner, let the training go on, then kill the node of the learner and the other runner."""

    def kill(node_id: str) -> None:
        training.iterations.append(training.iteration())
        nodes.remove_node(next(n for n in nodes.worker_nodes if n.node_id == node_id), allow_graceful=False)

    wait(lambda: training.iteration() == 2 and places(noted(training.marks), "narrow", "environment"))
    training.before = noted(training.marks)
    (learner,) = places(training.before, "wide", "learner")
    kill(next(node for node in places(training.before, "wide", "environment") if node != learner))
    training.allow(100)
    wait(lambda: training.iteration() >= 4)
    kill(learner)
    training.allow(10**9)


def jobs(training: Training, runs: dict[str, StageRun]) -> Iterator[Job]:
    """Yield the trainings of ten iterations and of three."""
    wide = replace(PPO, control_steps=STEPS, env_runners=2, validation_episodes=32)
    for name, ppo in {"wide": wide, "narrow": replace(wide, control_steps=3 * ITERATION, env_runners=0)}.items():
        whole = good_job(training.folder, ppo=ppo, name=name)
        settings = {**whole.environment_config, "robot": name, "marks": str(training.marks)}
        folders = {"work": runs[name].work, "output": runs[name].directory}
        yield NotedJob(**{**vars(whole), **folders, "environment": make, "environment_config": settings})


def train(training: Training) -> None:
    """Train both from run folders to manifests, as the stage does."""
    runs = {}
    for name in ("wide", "narrow"):
        target = training.folder / "train_specialist" / name
        runs[name] = StageRun(name="train_specialist", robot=name, target=target, inputs={}, work_key="key")
        runs[name].body = {"stage": "train_specialist", "key": "key"}
        runs[name].open()
    train_many(
        list(jobs(training, runs)),
        begun=lambda job: runs[job.name].begin(),
        done=lambda job, figures: runs[job.name].publish(),
        note=lambda job, text: training.notes.append(f"{job.name}: {text}"),
    )


@pytest.fixture(scope="module")
def trained(nodes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train both specialists while nodes are lost."""
    training = Training(folder=tmp_path_factory.mktemp("cluster"))
    training.marks.mkdir()
    training.allow(40)  # in the third iteration of "wide"
    with ThreadPoolExecutor(1) as pool:
        losing = pool.submit(lose_nodes, training, nodes)
        losing.add_done_callback(lambda _: training.allow(10**9))
        train(training)
        losing.result()
    return training


class Local(type(Path())):
    """A path that one node has on another disk than the others: there is nothing."""

    node_id = ""

    def __reduce__(self) -> Any:
        return _local, (str(self), self.node_id)


def _local(path: str, node_id: str) -> Path:
    return Path(path) / "elsewhere" if ray.get_runtime_context().get_node_id() == node_id else Path(path)


def test_a_node_that_does_not_see_the_run_folder_is_named_before_anything_begins(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Local, "node_id", next(iter(nodes.worker_nodes)).node_id)
    begun: list[str] = []
    whole = replace(good_job(tmp_path), work=Local(tmp_path / "work"))
    with pytest.raises(ValueError, match=r"does not see the run folder .*/elsewhere: .*one file system") as found:
        train_many([whole], begun=lambda job: begun.append(job.name), done=lambda job, figures: None)
    assert begun == [] and "\n" not in str(found.value)


def test_a_node_without_the_project_is_named(nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "ROOT", tmp_path)
    message = (
        r"node 127.0.0.1 cannot load this project \(ModuleNotFoundError: .*\): the repository and its .venv must lie at"
    )
    with pytest.raises(ValueError, match=message) as found:
        train_many([good_job(tmp_path)], begun=lambda job: None, done=lambda job, figures: None)
    assert "\n" not in str(found.value)


def test_robots_and_runners_are_spread_over_the_nodes(trained: Training) -> None:
    wide, narrow = (places(trained.before, robot, "environment") for robot in ("wide", "narrow"))
    assert len(set(wide)) == 2 and len(narrow) == 1
    assert len({*wide, *narrow}) == 3
    assert places(trained.before, "narrow", "learner") == narrow


def test_a_training_goes_on_without_the_node_of_a_runner(trained: Training) -> None:
    at_first, at_second = trained.iterations
    assert at_first == 2 < 4 <= at_second < len(trained.curve("wide"))


def test_a_robot_whose_node_is_lost_goes_on_from_its_checkpoint_on_what_is_left(trained: Training) -> None:
    rows = trained.curve("wide")
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))
    steps = np.asarray([row["control_steps"] for row in rows])
    assert (np.diff(steps) > 0).all() and STEPS <= steps[-1] < STEPS + 2 * ITERATION
    left = places(trained.before, "narrow", "environment")
    began = noted(trained.marks)
    assert places(began, "wide", "learner")[1:] == left
    resumed = [each for each in began if each["robot"] == "wide" and each["what"] != "learner"][-1]
    assert resumed["node"] == left[0]
    done = trained.iterations[1]  # the checkpoint of this iteration may not have been whole yet
    assert resumed["seed"] - 3 in steps[done - 2 : done + 1]
    assert trained.notes == [
        "wide: node 127.0.0.1 was lost; going on from the last checkpoint on another one",
        "wide: environment runners from now on: 1, one per core that is left",
    ]


def test_both_robots_end_with_a_valid_manifest(trained: Training) -> None:
    for robot in ("wide", "narrow"):
        found = manifest.verify(trained.folder / "train_specialist" / robot, stage="train_specialist")
        assert {CURVE, "residual_head.safetensors", "critic.safetensors"} <= set(found.outputs)
