"""The world model: shapes, reset, determinism, learning, budget, files."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.pretraining import judge, pretraining_loss
from distill.recordings import write_shard
from distill.sequences import Windows
from embodiments.spaces import DEPTH_RANGE_M, DESCRIPTOR_SIZE
from pipeline.runs.run_folder import StageRun
from pipeline.stages.implementation import pretrain_world_model as pretrain
from scenes.scene import SEMANTIC_CLASSES
from tests.distill.test_recordings import teacher_arrays
from world_model.anticipation import Anticipation
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.checkpoint import load_module, save_module
from world_model.collision_risk import CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig, LossWeights, WorldModelConfig
from world_model.descriptor import normalise_descriptor
from world_model.image import SEMANTIC_CLASS_COUNT, depth_from_log, log_depth, without_holes
from world_model.local_planner import planner
from world_model.losses import balanced_kl, depth_error_m, reconstruction
from world_model.residual_head import ResidualHead, ResidualHeadConfig
from world_model.rssm import Gaussians, Prediction, WorldModel
from world_model.training_state import restore_state, save_state

SMALL = WorldModelConfig(
    deterministic=32, stochastic=8, hidden=32, encoder_channels=(4, 8, 8), decoder_channels=(8, 8, 8)
)


def windows(steps: int = 12, batch: int = 4, *, seed: int = 0) -> Windows:
    """Return sequences of a wall that comes nearer, each with its own start and speed."""
    generator = torch.Generator().manual_seed(seed)
    speed = torch.rand(batch, generator=generator)
    away = 5.0 + torch.rand(batch, generator=generator) - torch.arange(steps)[:, None] * speed * 0.1
    depth = away[:, :, None, None, None].expand(steps, batch, 1, 40, 64).clone()
    depth[..., :4] = 0.0
    velocity = torch.zeros(steps, batch, 3)
    velocity[..., 0] = speed
    first = torch.zeros(steps, batch, dtype=torch.bool)
    first[0] = True
    goal = torch.stack([away, 0 * away, 0 * away + 1.0, 0 * away], dim=-1)
    return Windows(
        depth_m=depth,
        semantic=torch.full((steps, batch, 40, 64), 1, dtype=torch.uint8),
        velocity_b=velocity,
        previous_command=velocity.clone(),
        route_xy_b_m=goal[..., None, :2].expand(steps, batch, 10, 2).clone(),
        goal_b=goal,
        plan_features=torch.zeros(steps, batch, planner.FEATURE_SIZE),
        descriptor=torch.full((steps, batch, DESCRIPTOR_SIZE), 0.5),
        first=first,
        teacher_action=velocity.clone(),
        labelled=torch.ones(steps, batch, dtype=torch.bool),
    )


def plan(seen: Windows) -> None:
    """Fill in the features of the local plans, as ``collect_teacher`` does."""
    state = torch.zeros(seen.first.shape[1], planner.STATE_SIZE)
    for t, first in enumerate(seen.first):
        found, state = planner.step(seen.observation.rows(t), state.masked_fill(first[:, None], 0.0))
        seen.plan_features[t] = found.features()


def networks(seed: int = 0) -> tuple[WorldModel, BaseHead]:
    """Return small networks."""
    torch.manual_seed(seed)
    world_model = WorldModel(SMALL)
    return world_model, BaseHead(BaseHeadConfig(latent_size=world_model.latent_size, hidden=(32,)))


def test_class_count_and_weights_match_the_scenes() -> None:
    assert len(SEMANTIC_CLASSES) == SEMANTIC_CLASS_COUNT == len(LossWeights().semantic_classes)


def test_default_size_keeps_the_budget() -> None:
    world_model = WorldModel(WorldModelConfig())
    assert sum(p.numel() for p in world_model.parameters()) <= 2_000_000
    assert world_model.dynamic_size == 256 + 32


def test_log_depth_by_hand() -> None:
    assert log_depth(torch.tensor(DEPTH_RANGE_M)).item() == pytest.approx(1.0)
    assert log_depth(torch.tensor(1.0)).item() == pytest.approx(math.log(2.0) / math.log(11.0))
    torch.testing.assert_close(
        depth_from_log(log_depth(torch.tensor([0.0, 0.5, 10.0]))), torch.tensor([0.0, 0.5, 10.0])
    )


def test_scattered_holes_are_filled_and_whole_ones_are_not() -> None:
    truth = torch.linspace(1.0, 4.0, 40)[:, None].expand(1, 1, 40, 64).clone()
    lost = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    filled = without_holes(truth.masked_fill(lost, 0.0))
    inner = torch.zeros_like(lost)
    inner[..., 1:-1, 1:-1] = True
    assert (filled[lost & inner] > 0.0).float().mean() > 0.99
    seen = lost & (filled > 0.0)
    assert (filled - truth)[seen].abs().max() < 0.12  # at most about the step from one row to the next
    torch.testing.assert_close(filled[~lost], truth[~lost])
    near = truth.clone()
    near[..., 10:30, 20:40] = 0.0
    assert (without_holes(near)[..., 12:28, 22:38] == 0.0).all()


def test_descriptor_constants_cover_every_robot() -> None:
    from embodiments import registry

    for name in registry.names():
        normalised = normalise_descriptor(torch.from_numpy(registry.get(name).descriptor()))
        assert normalised.abs().max() < 4.0, name


def test_observing_step_by_step_equals_observing_the_sequence() -> None:
    world_model, _ = networks()
    world_model.eval()
    seen = windows()
    seen.first[5, 1] = True
    plan(seen)
    whole = world_model.observe_sequence(seen.observation, seen.plan_features, first=seen.first).latent
    state = world_model.initial_state(4)
    for t in range(len(whole)):
        state = state.masked_fill(seen.first[t][:, None], 0.0)
        state, latent = world_model.observe_step(seen.observation.rows(t), state)
        torch.testing.assert_close(latent, whole[t])


def test_a_reset_forgets_and_leaves_the_others_alone() -> None:
    world_model, _ = networks()
    world_model.eval()
    seen, other = windows(seed=1), windows(seed=2)
    now = seen.observation.rows(0)
    past, _ = world_model.observe_step(other.observation.rows(0), world_model.initial_state(4))
    fresh, _ = world_model.observe_step(now, world_model.initial_state(4))
    remembered, _ = world_model.observe_step(now, past)
    masked, _ = world_model.observe_step(now, past * torch.tensor([[0.0], [1.0], [1.0], [1.0]]))
    torch.testing.assert_close(masked[0], fresh[0])
    torch.testing.assert_close(masked[1:], remembered[1:])
    assert (remembered[0] - fresh[0]).abs().max() > 1e-4


def test_without_recurrence_the_history_is_forgotten_and_the_sample_is_not() -> None:
    seen = windows()
    for recurrent in (True, False):
        torch.manual_seed(0)
        world_model = WorldModel(replace(SMALL, recurrent=recurrent)).eval()
        fresh = world_model.initial_state(4)
        history, sample = fresh.clone(), fresh.clone()
        history[:, : SMALL.deterministic] = 1.0
        sample[:, SMALL.deterministic : world_model.dynamic_size] = 1.0
        first, second, third = (
            world_model.observe_step(seen.observation.rows(0), state)[1][:, : world_model.dynamic_size]
            for state in (fresh, history, sample)
        )
        assert torch.equal(first, second) != recurrent
        assert not torch.equal(first, third)


def test_gradients_reach_the_first_frame_through_time() -> None:
    world_model, _ = networks()
    seen = windows()
    seen.depth_m.requires_grad_(True)
    latent = world_model.observe_sequence(seen.observation, seen.plan_features, first=seen.first).latent
    (gradient,) = torch.autograd.grad(latent[-1, 0].sum(), seen.depth_m)
    assert gradient[0, 0].abs().sum() > 0.0
    assert gradient[0, 1].abs().sum() == 0.0


def test_kl_by_hand_and_its_free_nats() -> None:
    left = Gaussians(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    right = Gaussians(torch.tensor([[0.0]]), torch.tensor([[2.0]]))
    expected = 0.5 * (0.25 + 0.25 - 1.0 + math.log(4.0))
    assert balanced_kl(left, right, balance=0.8, free_nats=0.0).item() == pytest.approx(expected)
    assert balanced_kl(left, right, balance=0.8, free_nats=1.0).item() == pytest.approx(1.0)


def test_invalid_pixels_and_foreign_classes_do_not_count() -> None:
    depth = torch.full((1, 40, 64), 2.0)
    depth[:, :, :32] = 0.0
    logits = torch.zeros(1, 7, 40, 64)
    logits[:, 3] = 50.0
    prediction = Prediction(
        log_depth(torch.full((1, 40, 64), 2.0)), torch.where(depth > 0, -50.0, 50.0), logits, depth[:, 0, :3]
    )
    semantic = torch.full((1, 40, 64), 3, dtype=torch.uint8)
    semantic[:, 0] = 255
    terms = reconstruction(
        prediction,
        prediction.velocity_b,
        depth_m=depth,
        semantic=semantic,
        velocity_b=depth[:, 0, :3],
        weights=LossWeights(),
    )
    assert all(term.item() == pytest.approx(0.0, abs=1e-5) for term in terms)
    assert depth_error_m(torch.full((1, 40, 64), 5.0), depth).item() == pytest.approx(3.0)


def test_the_loss_falls_on_one_batch_and_judgement_improves() -> None:
    world_model, base_head = networks()
    batch = windows()
    optimiser = torch.optim.Adam([*world_model.parameters(), *base_head.parameters()], lr=3e-3)
    before = judge(world_model.eval(), base_head.eval(), batch)
    losses = []
    for _ in range(80):
        loss = pretraining_loss(world_model.train(), base_head.train(), batch, LossWeights(), decoded_share=0.5)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    after = judge(world_model.eval(), base_head.eval(), batch)
    assert losses[-1] < 0.4 * losses[0]
    assert after.share_error < 0.5 * before.share_error
    assert after.depth_error_m[0] < 0.5 * before.depth_error_m[0]


def test_imagination_decides_without_looking() -> None:
    world_model, _ = networks()
    future = world_model.eval().imagine(
        torch.zeros(4, 40), torch.zeros(10, 4, 3), torch.full((4, DESCRIPTOR_SIZE), 0.5)
    )
    assert future.shape == (10, 4, 40)


def test_saved_and_loaded_networks_are_the_same(tmp_path: Path) -> None:
    world_model, base_head = networks()
    for module, name in ((world_model, "world_model"), (base_head, "base_head")):
        save_module(module, tmp_path, name, notes={"robots": ["tiago"]})
        loaded = load_module(type(module), tmp_path, name)
        assert loaded.config == module.config
        for key, value in module.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "json", "missing"])
def test_damaged_networks_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    save_module(networks()[0], tmp_path, "world_model")
    weights, card = tmp_path / "world_model.safetensors", tmp_path / "world_model.json"
    data = bytearray(weights.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    elif damage in ("truncate", "empty"):
        weights.write_bytes(data[: len(data) // 2 if damage == "truncate" else 0])
    elif damage == "json":
        card.write_text(card.read_text()[:100])
    else:
        weights.unlink()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load_module(WorldModel, tmp_path, "world_model")
    assert "\n" not in str(caught.value) and "world_model" in str(caught.value)


def test_another_network_is_refused(tmp_path: Path) -> None:
    save_module(ResidualHead(ResidualHeadConfig(feature_size=4)), tmp_path, "world_model")
    with pytest.raises(ValueError, match="holds a ResidualHead, expected a WorldModel"):
        load_module(WorldModel, tmp_path, "world_model")


def test_a_resumed_training_gives_the_same_weights(tmp_path: Path) -> None:
    batch = windows(steps=4, batch=2)

    def build() -> tuple[dict[str, torch.nn.Module], torch.optim.Optimizer]:
        world_model, head = networks()
        modules: dict[str, torch.nn.Module] = {"world_model": world_model, "base_head": head}
        return modules, torch.optim.AdamW([p for m in modules.values() for p in m.parameters()], lr=1e-2)

    def step(modules: dict[str, torch.nn.Module], optimiser: torch.optim.Optimizer, number: int) -> None:
        torch.manual_seed(number)
        loss = pretraining_loss(modules["world_model"], modules["base_head"], batch, LossWeights())  # type: ignore[arg-type]
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()

    straight, optimiser = build()
    for number in range(4):
        step(straight, optimiser, number)
        if number == 1:
            save_state(tmp_path, straight, optimiser, step=2, extra={"elapsed_s": 1.5})
    resumed, optimiser = build()
    assert restore_state(tmp_path, resumed, optimiser) == (2, {"elapsed_s": 1.5})
    for number in (2, 3):
        step(resumed, optimiser, number)
    for name, module in straight.items():
        for key, value in module.state_dict().items():
            torch.testing.assert_close(resumed[name].state_dict()[key], value, rtol=0, atol=0)


class Interrupted(StageRun):
    """A stage's run outside of a run folder."""

    def __init__(self, recordings: Path, work: Path) -> None:
        work.mkdir(exist_ok=True)
        self.recordings, self.work, self.directory = recordings, work, work / "out"
        self.directory.mkdir(exist_ok=True)
        self.name, self.robot, self.target = "pretrain_world_model", None, work / "target"
        self.metrics: dict[str, Any] = {}
        self.body: dict[str, Any] = {}
        self.notes: list[str] = []

    def input(self, name: str, robot: str | None = None) -> Path:
        return self.recordings

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_stage_goes_on_after_an_interruption_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val"):
        write_shard(
            tmp_path / f"{part}_000.h5", teacher_arrays(16, 3), kind="teacher", attributes={"embodiment": "tiago"}
        )
    anticipation = Anticipation(AnticipationConfig(channels=(4, 4, 8)))
    save_module(anticipation, tmp_path, "anticipation", notes={})
    save_module(CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4))), tmp_path, "collision_risk", notes={})
    config = pretrain.Config(
        steps=5,
        batch_sequences=2,
        sequence_steps=4,
        val_sequences=2,
        world_model=SMALL,
        base_hidden=(16,),
        validation_episodes=0,
    )
    straight, stopped = Interrupted(tmp_path, tmp_path / "a"), Interrupted(tmp_path, tmp_path / "b")
    pretrain.run(config, straight)
    update, calls = pretrain._update, []

    def stop_once(*arguments: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        update(*arguments, **named)

    monkeypatch.setattr(pretrain, "_update", stop_once)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(config, stopped)
    assert not list(stopped.directory.iterdir())
    pretrain.run(config, stopped)
    assert any("starting at step 3" in note for note in stopped.notes)
    for name in ("world_model.safetensors", "base_head.safetensors"):
        assert (straight.directory / name).read_bytes() == (stopped.directory / name).read_bytes()
    made = load_module(WorldModel, straight.directory, "world_model")
    assert made.anticipation is not None and made.collision_risk is not None
    for name, value in anticipation.state_dict().items():
        assert value.equal(made.anticipation.state_dict()[name])  # trained before, and frozen
    assert {path.name for path in straight.directory.iterdir()} >= {"predictions.png", "figures.json", "base_head.json"}
    assert {"share_error", "depth_error_m/10", "repeat_depth_error_m/10", "steps"} <= straight.metrics.keys()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    world_model, _ = networks()
    optimiser = torch.optim.AdamW(world_model.parameters())
    for number in (1, 2, 3):
        save_state(tmp_path, {"world_model": world_model}, optimiser, step=number)
    newest = sorted(tmp_path.iterdir())[-1]
    assert len(list(tmp_path.iterdir())) == 2
    newest.write_bytes(newest.read_bytes()[:-7])
    assert restore_state(tmp_path, {"world_model": world_model}, optimiser)[0] == 2
