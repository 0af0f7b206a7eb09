"""Evaluations of policies behind servers, as a user starts them."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from embodiments.observation import Observation
from export.policy_server.messages import Contract
from export.policy_server.server import PolicyServer
from pipeline import __main__ as cli
from pipeline.evaluation.report import failures, page
from pipeline.runs.provenance import ROOT

POLICY = ROOT / "export" / "pretrained" / "generalist.onnx"
EPISODES = 4
ILL_ROW = 1


class OneIsIll:
    """Drives forward; one robot of the batch gets NaN after a second."""

    def __init__(self) -> None:
        self._steps = 0

    def reset(self, mask: np.ndarray) -> None:
        """It goes on as before."""

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        self._steps += 1
        action = np.tile([0.5, 0.0, 0.1], (len(observation.goal_b), 1))
        if self._steps > 10:
            action[ILL_ROW] = np.nan
        return action


@pytest.fixture(scope="module")
def shipped() -> Iterator[str]:
    """Serve the shipped policy as its users do and return its address."""
    words = [
        sys.executable,
        "-m",
        "pipeline",
        "serve_policy",
        "--policy",
        str(POLICY),
        "--port",
        "0",
        "--name",
        "shipped",
    ]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving shipped at http://127.0.0.1:")
        yield line.split()[-1].removeprefix("server:")
        process.terminate()
        assert process.wait() == 0


@pytest.fixture(scope="module")
def ill() -> Iterator[str]:
    with PolicyServer(Contract(name="ill", output="action"), lambda message: OneIsIll(), port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def evaluated(shipped: str, ill: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Drive the shipped policy from its file and from behind a server, and an ill one; one simulation for all."""
    out = tmp_path_factory.mktemp("evaluation") / "served"
    options = {
        "policy": POLICY,
        "agents": f"generalist,server:{shipped},server:{ill}",
        "embodiments": "tiago",
        "scenes": "clutter",
        "route": "planned",
        "episodes": EPISODES,
        "num_envs": EPISODES,
        "split": "val",
        "workers": 1,
        "out": out,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    run = subprocess.run(
        [sys.executable, "-m", "pipeline", "evaluate_policy", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    rows = pd.read_parquet(out / "episodes.parquet")
    return {
        "out": out,
        "printed": run.stdout,
        "rows": rows.set_index("agent"),
        "traces": dict(np.load(out / "traces.npz")),
    }


@pytest.mark.slow
def test_a_file_behind_a_server_drives_the_same_episodes_to_the_last_bit(evaluated: dict[str, Any]) -> None:
    rows = evaluated["rows"]
    direct, served = (rows.loc[[agent]].reset_index(drop=True) for agent in ("generalist", "server:shipped"))
    assert len(direct) == EPISODES and (direct["time_s"] > 1.0).all()
    pd.testing.assert_frame_equal(direct, served, check_exact=True)
    traces = evaluated["traces"]
    ends = np.cumsum(traces["length"])
    paths: dict[str, list[np.ndarray]] = {"generalist": [], "server:shipped": [], "server:ill": []}
    for agent, end, length in zip(traces["agent"].tolist(), ends, traces["length"], strict=True):
        paths[agent].append(traces["pose_w"][end - length : end])
    assert len(paths["generalist"]) == len(paths["server:shipped"]) == EPISODES
    for first, second in zip(paths["generalist"], paths["server:shipped"], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_nan_fails_one_episode_and_leaves_the_others(evaluated: dict[str, Any]) -> None:
    rows = evaluated["rows"].loc[["server:ill"]]
    assert rows["broken"].sum() == 1 and not rows["success"][rows["broken"]].any()
    assert rows["time_s"][rows["broken"]].between(0.9, 1.3).all()
    assert (rows["path_m"][~rows["broken"]] > 0.1).all()
    assert "tiago server:ill (planned): 1 of 4 episodes broken" in evaluated["printed"]


@pytest.mark.slow
def test_tables_and_pages_have_their_names(evaluated: dict[str, Any]) -> None:
    out = evaluated["out"]
    summary = json.loads((out / "summary.json").read_text())
    cells = {cell["agent"]: cell for cell in summary["cells"]}
    assert cells["server:shipped"]["policy_sha256"] is None and cells["generalist"]["policy_sha256"]
    shown = page.evaluation(summary)
    assert list(shown["agents"]) == ["generalist", "server:ill", "server:shipped"]
    assert "server:shipped" in shown["tables"][0].frame.columns
    notes = json.loads((out / "manifest.json").read_text())["notes"]
    assert any(note.startswith("server:shipped is at http://127.0.0.1:") for note in notes)
    columns = dict(np.load(out / "failures.npz"))
    assert "server:ill" in columns["agent"] and failures.choose(columns)


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return what gives the only line of an evaluation that is refused."""

    def line_of(*words: str) -> str:
        status, printed = cli.main(["evaluate_policy", "--embodiments", "tiago", *words]), capsys.readouterr().err
        assert status == 2, printed
        (line,) = (line for line in printed.splitlines() if line.startswith("error"))
        assert "Traceback" not in printed
        return line

    return line_of


def test_a_server_that_is_not_there_is_said_before_anything_is_loaded(tmp_path: Path, refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    line = refused("--agents", f"server:http://127.0.0.1:{port}", "--out", str(tmp_path / "out"))
    assert f"no policy server answers /contract at http://127.0.0.1:{port}" in line and "start it" in line


def test_two_policies_of_one_name_are_refused(tmp_path: Path, ill: str, refused: Refused) -> None:
    with PolicyServer(Contract(name="ill", output="command"), lambda message: OneIsIll(), port=0) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        line = refused("--agents", f"server:{ill},server:{other.url}", "--out", str(tmp_path / "out"))
        other.shutdown()
    assert "both serve a policy called 'ill'" in line
