"""Whole episodes end alike, whether the policy's step is computed by the graph or by compiled kernels."""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.episodes import runner
from pipeline.evaluation.episodes.shards import rollouts
from tests.pipeline.evaluation.episodes.test_evaluation import _job
from tests.separate_process import call
from world_model.local_planner.stand_in import graph_only

pytestmark = pytest.mark.slow  # two evaluations of one robot, each in a process with a simulation

ENDS = ["success", "success_settled", "collision", "fall", "timeout"]


def ends(folder: str, by_graph: bool) -> pd.DataFrame:
    """Drive the same episodes and return how each ended."""
    job = _job(folder, agents=("planner", "anticipating"), scenes=("clutter", "office"), episodes=4, num_envs=8)
    Path(folder).mkdir()
    with graph_only() if by_graph else contextlib.nullcontext():
        runner.evaluate(job)
    return pd.concat([rollout.read_rows() for rollout in rollouts(job)], ignore_index=True)


def test_episodes_end_alike(tmp_path: Path) -> None:
    graph, kernels = (call(ends, str(tmp_path / str(by_graph)), by_graph) for by_graph in (True, False))
    assert len(graph) == 2 * 2 * 8 and graph["success"].any()
    assert graph[ENDS].equals(kernels[ENDS])
    # The last bit of a command grows in closed loop. Noise of 1e-6 on the graph's own actions moves most episodes by no
    # more than a control step of 0.1 s, and one or two of 32 by 0.7 to 0.8 s.
    time, path = (np.abs(kernels[name] - graph[name]) for name in ("time_s", "path_m"))
    assert np.median(time) <= 0.05 and np.median(path) <= 0.02
    assert (time > 0.5).mean() <= 0.1 and time.max() <= 1.5
    assert (path > 0.1).mean() <= 0.1 and path.max() <= 0.5
