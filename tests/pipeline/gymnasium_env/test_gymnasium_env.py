"""The gymnasium interface on an empty plane without physics: spaces, infos, wrong options, and who learns with it."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from embodiments.spaces import OBSERVATION_SHAPES
from pipeline.commands.implementation import ppo_example
from pipeline.commands.ppo_example import Config
from pipeline.evaluation.episodes.runner import OUTCOME_COLUMNS, START_COLUMNS
from pipeline.gymnasium_env import evaluation, register
from pipeline.gymnasium_env.options import make_job
from pipeline.gymnasium_env.vector_environment import NavigationVectorEnv
from tests.pipeline.gymnasium_env.doc_examples import example
from tests.pipeline.simulation.navigation.navigation_dummy import PlaneNavigation, small_base

ENVS = 6
TRAINING, EVALUATION = (f"{register.__name__}:crossbody/Navigation{kind}-v0" for kind in ("", "Evaluation"))


def plane(*, limit: int = 12, base: bool = False) -> NavigationVectorEnv:
    """Return the plane as a gymnasium environment."""

    def begin(navigation: Any, seed: int | None, options: Mapping[str, Any]) -> Any:
        if seed is not None:
            navigation.reseed(seed)
        return plan

    navigation: Any = PlaneNavigation(num_envs=ENVS, limit=limit)
    plan: Any = range(ENVS)
    return NavigationVectorEnv(
        navigation, plan, begin=begin, base=small_base() if base else None, rollouts=({"route": "straight"},)
    )


def forward(turn: float = 0.0) -> np.ndarray:
    return np.tile(np.asarray([1.0, 0.0, turn], dtype=np.float32), (ENVS, 1))


def test_raw_observations_have_the_names_shapes_and_bounds_of_the_contract() -> None:
    envs = plane()
    assert {name: space.shape for name, space in envs.single_observation_space.items()} == OBSERVATION_SHAPES
    assert (envs.single_observation_space["depth_m"].high == 10.0).all()
    assert envs.single_action_space == gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    observation, infos = envs.reset(seed=0)
    assert envs.observation_space.contains(observation) and infos == {}
    assert all(value.dtype == np.float32 for value in observation.values())
    assert envs.observation_space.contains(envs.step(envs.action_space.sample())[0])


def test_with_a_base_policy_observations_are_its_features_and_actions_are_added_to_its_own() -> None:
    envs = plane(base=True)
    observation, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observation) and observation.shape[1] == small_base().feature_size
    navigation: Any = envs.navigation
    envs.step(np.full((ENVS, 3), -0.25, dtype=np.float32))
    torch.testing.assert_close(navigation.actions[-1], torch.from_numpy(observation[:, -3:] - 0.25).clamp(-1.0, 1.0))


def test_infos_say_how_episodes_ended_and_the_next_step_begins_the_next_ones() -> None:
    envs = plane()
    envs.reset(seed=0)
    ended, ends = np.zeros(ENVS, dtype=bool), 0
    for _ in range(40):
        before = ended
        observation, reward, terminated, truncated, infos = envs.step(forward())
        assert (reward[before] == 0.0).all() and not (terminated | truncated)[before].any()
        assert not observation["previous_command"][before].any(), "a new episode begins at rest"
        ended = terminated | truncated
        if not ended.any():
            assert infos == {}
            continue
        names = {"episode_index", *OUTCOME_COLUMNS, *START_COLUMNS}
        assert set(infos) == names | {f"_{name}" for name in names}
        assert all((infos[f"_{name}"] == ended).all() for name in names)
        assert (infos["timeout"] == truncated).all()
        assert ((infos["success"] | infos["collision"]) == terminated).all()
        assert (infos["time_s"][ended] > 0.0).all() and not infos["time_s"][~ended].any()
        rows = infos["episode_index"][ended]
        assert (infos["initial_geodesic_m"][ended] == envs.navigation.episodes.initial_geodesic_m[rows]).all()
        ends += int(ended.sum())
    assert ends > ENVS


def test_wrappers_of_gymnasium_count_the_same_episodes() -> None:
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(plane())
    envs.reset(seed=0)
    lengths: list[int] = []
    for _ in range(30):
        *_, infos = envs.step(forward(turn=1.0))
        if "_episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert lengths and max(lengths) <= 12


def test_actions_of_another_shape_are_refused() -> None:
    envs = plane()
    envs.reset()
    with pytest.raises(ValueError, match=r"actions have the shape \(3,\); expected \(6, 3\)"):
        envs.step(np.zeros(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embodiment": "tiagoo"}, "no robot 'tiagoo'; did you mean 'tiago'?"),
        ({"scenes": ("offfice",)}, "no scene kind 'offfice'; did you mean 'office'?"),
        ({"scenes": "office"}, "scenes is 'office'; give a tuple"),
        ({"split": "tests"}, "no split 'tests'; did you mean 'test'?"),
        ({"protocol": "compas"}, "no protocol 'compas'; did you mean 'compass'?"),
        ({"conditions": "fields"}, "no conditions 'fields'; did you mean 'field'?"),
        ({"episodes": 0}, "episodes is 0; at least 1 is needed"),
        ({"base": "nowhere"}, "nowhere"),
    ],
)
@pytest.mark.parametrize("name", [TRAINING, EVALUATION])
def test_a_wrong_option_is_said_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        gymnasium.make_vec(name, num_envs=2, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "route", "message"),
    [
        (TRAINING, "plan", "no route 'plan'; did you mean 'planned'?"),
        (EVALUATION, "planned", "route is 'planned'; give a tuple"),
        (EVALUATION, ("mixed",), "no route 'mixed'. Known: straight, planned"),
    ],
)
def test_a_wrong_route_is_said_in_one_line(name: str, route: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"route") as caught:
        gymnasium.make_vec(name, route=route)
    assert message in str(caught.value)


def test_an_evaluation_enters_the_scenes_of_another_shard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(evaluation, "draw", lambda job, embodiment, shard: f"plan {shard}")
    monkeypatch.setattr(evaluation, "enter", lambda navigation, plan, job, config: calls.append(plan))
    monkeypatch.setattr(evaluation, "begin_rollout", lambda *_, route, shard: calls.append((route, shard)))
    job = make_job(  # 20 episodes; a shard has at most 4 rounds of 2
        embodiment="tiago",
        scenes=("office",),
        split="val",
        episodes=20,
        routes=("straight", "planned"),
        protocol="compass",
        conditions="nominal",
        seed=0,
        num_envs=2,
        device="cpu",
    )
    rollouts, navigation = evaluation._Rollouts(job), SimpleNamespace(config=None)
    assert rollouts.every_options()[1:3] == [{"route": "planned", "shard": 0}, {"route": "straight", "shard": 1}]
    plans = [rollouts.begin(navigation, None, options) for options in rollouts.every_options()[:4]]  # type: ignore[arg-type]
    assert plans == ["plan 0", "plan 0", "plan 1", "plan 1"]
    assert calls == [("straight", 0), ("planned", 0), "plan 1", ("straight", 1), ("planned", 1)]


def test_the_example_of_an_evaluation_drives_every_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium, "make_vec", lambda *_, **__: plane())
    names: dict[str, Any] = {}
    exec(example("evaluation", num_envs=ENVS, episodes=ENVS), names)
    assert len(names["successes"]) >= ENVS and names["left"] <= 0


def test_the_example_of_stable_baselines_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (requirements-dev.txt)")
    monkeypatch.setattr(gymnasium, "make_vec", lambda *_, **__: plane())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example("stable_baselines3", n_steps=8, batch_size=24, total_timesteps=96), names)
    assert names["model"].num_timesteps == 96 and list(tmp_path.rglob("*.zip"))


def test_stable_baselines_sees_a_blank_start_and_how_the_last_episode_ended() -> None:
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (requirements-dev.txt)")
    from pipeline.gymnasium_env.stable_baselines_adapter import StableBaselinesVecEnv

    adapted, envs = StableBaselinesVecEnv(plane()), plane()
    adapted.seed(0)
    first, (other, _) = adapted.reset(), envs.reset(seed=0)
    assert all(np.array_equal(first[name], other[name]) for name in other)
    ends = 0
    for _ in range(30):
        seen, rewards, ended, infos = adapted.step(forward())
        expected, reward, terminated, truncated, columns = envs.step(forward())
        assert (ended == (terminated | truncated)).all() and (rewards == reward).all()
        for name, values in expected.items():
            assert not seen[name][ended].any() and (seen[name][~ended] == values[~ended]).all()
            assert all((infos[row]["terminal_observation"][name] == values[row]).all() for row in np.flatnonzero(ended))
        for row in np.flatnonzero(ended):
            assert infos[row]["is_success"] == columns["success"][row]
        assert not any(infos[row] for row in np.flatnonzero(~ended))
        ends += int(ended.sum())
    assert ends > 0


def test_advantages_are_those_computed_by_hand() -> None:
    rollout = {
        "reward": torch.tensor([[1.0], [2.0], [0.0], [3.0]]),
        "value": torch.tensor([[0.5], [1.0], [9.0], [2.0]]),
        "ended": torch.tensor([[False], [True], [False], [False]]),
    }
    found = ppo_example.advantages(rollout, torch.tensor([4.0]), discount=0.5, gae_lambda=0.5)
    # errors: 1 + 0.5 * 1 - 0.5 = 1, 2 - 1 = 1 at the end, 0 + 0.5 * 2 - 9 = -8, 3 + 0.5 * 4 - 2 = 3
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0 + 0.25 * 1.0, 1.0, -8.0 + 0.25 * 3.0, 3.0]))


def test_the_ppo_example_learns_on_one_batch_and_from_what_counts_only(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(control_steps=2 * 20 * ENVS, horizon=20, epochs=1, minibatch=64)
    network = ppo_example.train(plane(), config)
    assert capsys.readouterr().out.count("control steps: ") == 2
    torch.manual_seed(0)
    observation, _ = plane().reset(seed=1)
    batch = {name: torch.as_tensor(value) for name, value in observation.items()}
    with torch.no_grad():
        policy, _ = network(batch)
        action = policy.sample()
        batch |= {"action": action, "log_prob": policy.log_prob(action).sum(1)}
    batch |= {"advantage": torch.linspace(-1.0, 1.0, ENVS), "target": torch.ones(ENVS)}
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=1e-3), []
    for _ in range(20):
        optimizer.zero_grad()
        value = ppo_example.loss(network, batch, config)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert losses[-1] < losses[0] - 0.05


def test_the_ppo_example_writes_a_network_that_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gymnasium, "make_vec", lambda *_, **__: plane())
    config = Config(control_steps=4 * ENVS, horizon=4, epochs=1, out=tmp_path / "runs" / "network.safetensors")
    ppo_example.main(config)
    network, (observation, _) = ppo_example.ActorCritic(), plane().reset(seed=0)
    network.load_state_dict(load_file(config.out))
    policy, value = network({name: torch.as_tensor(array) for name, array in observation.items()})
    assert policy.mean.shape == (ENVS, 3) and value.shape == (ENVS,)


def test_the_ppo_example_leaves_out_actions_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(transitions: Mapping[str, torch.Tensor], config: Config) -> list[dict[str, torch.Tensor]]:
        sizes.append(len(transitions["reward"]))
        return []

    monkeypatch.setattr(ppo_example, "_minibatches", counted)
    ppo_example.train(plane(limit=3), Config(control_steps=12 * ENVS, horizon=12))
    # Nobody gets anywhere in 3 steps: each fourth one begins the next episode, in every environment.
    assert sizes == [9 * ENVS]
