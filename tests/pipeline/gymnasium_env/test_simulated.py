"""The gymnasium environments in simulation: what is seen and sampled again, and the evaluation's own episodes."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from tests.pipeline.gymnasium_env.doc_examples import example
from tests.separate_process import call

pytestmark = pytest.mark.slow

ENVS, EPISODES = 4, 5
OPTIONS: dict[str, Any] = {"embodiment": "tiago", "scenes": ("clutter",), "episodes": EPISODES, "num_envs": ENVS}
EVALUATION = "pipeline.gymnasium_env.register:crossbody/NavigationEvaluation-v0"


def train_on_the_page() -> dict[str, Any]:
    """Run the page's random loop at its smallest size and write down what the tests look at."""
    torch.set_num_threads(1)
    names: dict[str, Any] = {}
    exec(example("random", num_envs=ENVS, scenes=("clutter",), episodes=2, steps=5), names)
    envs = names["envs"].unwrapped
    log: dict[str, Any] = {"mode": envs.metadata["autoreset_mode"], "observations": [], "runs": []}
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(6)]
    for seed in (3, 3, 4):
        seen = [envs.reset(seed=seed)[0]]
        first = {name: value.copy() for name, value in seen[0].items()}
        seen += [envs.step(action)[0] for action in actions]
        log["runs"].append({name: np.stack([one[name] for one in seen]) for name in first})
        log.setdefault("unchanged", all(np.array_equal(first[name], seen[0][name]) for name in first))
    log["contained"] = all(envs.observation_space.contains(one) for one in seen)
    log["alone"] = envs.single_observation_space.contains({name: value[0] for name, value in seen[-1].items()})
    log["second"] = _error(lambda: gymnasium.make_vec(envs.spec.id, **OPTIONS))
    log["options"] = _error(lambda: envs.reset(options={"route": "planned"}))
    return log


def evaluate_twice() -> dict[str, Any]:
    """Drive an evaluation's episodes with its own ``drive``, then by gymnasium's interface."""
    from embodiments.observation import from_inputs
    from pipeline.agents import registry as agents
    from pipeline.evaluation.episodes.runner import OUTCOME_COLUMNS, begin_rollout, drive
    from pipeline.gymnasium_env.options import make_job

    torch.set_num_threads(1)
    envs: Any = gymnasium.make_vec(EVALUATION, **OPTIONS, split="val", route=("planned",), seed=5)
    job = make_job(
        **OPTIONS, split="val", routes=("planned",), protocol="compass", conditions="nominal", seed=5, device="cpu"
    )

    def planner() -> Any:
        return agents.make("planner", envs.navigation.embodiment, num_envs=ENVS, device="cpu", seed=0)

    rows = begin_rollout(envs.navigation, envs.plan, job, route="planned", shard=0)
    expected = drive(envs.navigation, planner(), rows, title="test")

    agent, found = planner(), {name: np.zeros(len(rows), dtype=value.dtype) for name, value in expected.items()}
    observations, _ = envs.reset(options=envs.rollouts[0])
    first, ended, left = np.ones(ENVS, dtype=bool), np.zeros(ENVS, dtype=bool), len(envs.plan)
    while left:
        agent.reset(torch.as_tensor(first))  # with the last observation of an episode its memory is not over yet
        seen = from_inputs({name: torch.as_tensor(value) for name, value in observations.items()})
        observations, _, terminated, truncated, infos = envs.step(agent.act(seen, None).numpy())
        first, ended = ended, terminated | truncated
        left -= int(ended.sum())
        for name in found:
            if ended.any():
                assert np.array_equal(infos[f"_{name}"], ended)
                found[name][infos["episode_index"][ended]] = infos[name][ended]
    return {
        "expected": expected,
        "found": found,
        "columns": OUTCOME_COLUMNS,
        "rollouts": envs.rollouts,
        "seed": _error(lambda: envs.reset(seed=6)),
        "rollout": _error(lambda: envs.reset(options={"shard": 1})),
    }


def _error(function: Any) -> str:
    try:
        function()
    except ValueError as error:
        return str(error)
    return "nothing was wrong"


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    found: dict[str, Any] = call(train_on_the_page)
    return found


@pytest.fixture(scope="module")
def evaluated() -> dict[str, Any]:
    found: dict[str, Any] = call(evaluate_twice)
    return found


def test_the_spaces_contain_what_is_seen(trained: dict[str, Any]) -> None:
    assert trained["mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    assert trained["contained"] and trained["alone"]


def test_the_same_seed_gives_the_same_episodes_noise_and_bodies(trained: dict[str, Any]) -> None:
    first, again, other = trained["runs"]
    for name in first:
        assert np.array_equal(first[name], again[name]), name
        assert not np.array_equal(first[name], other[name]), name


def test_an_observation_stays_as_it_was(trained: dict[str, Any]) -> None:
    assert trained["unchanged"]


def test_what_does_not_fit_is_said_in_one_line(trained: dict[str, Any], evaluated: dict[str, Any]) -> None:
    assert "one robot batch per process" in trained["second"]
    assert "takes no options; found route" in trained["options"]
    assert "an evaluation has one seed, 5" in evaluated["seed"]
    assert "no rollout {'route': 'planned', 'shard': 1}" in evaluated["rollout"]


def test_an_evaluations_episodes_end_as_in_the_evaluation_itself(evaluated: dict[str, Any]) -> None:
    expected, found = evaluated["expected"], evaluated["found"]
    assert set(found) == set(evaluated["columns"])
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert expected["success"].any() and len(np.unique(expected["time_s"])) > 1
    assert evaluated["rollouts"] == ({"route": "planned", "shard": 0},)
