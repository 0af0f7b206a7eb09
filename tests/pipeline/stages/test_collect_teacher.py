"""What the demonstration data are made of."""

from types import SimpleNamespace

import torch

from embodiments.spaces import CAMERA_FIELDS, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX
from pipeline.stages.collect_teacher import Config
from pipeline.stages.implementation.collect_teacher import Recorder, _mix, _random_mounts
from tests.pipeline.simulation.navigation.navigation_dummy import PlaneNavigation
from world_model.anticipation import Anticipation
from world_model.collision_risk import CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig


def test_every_split_of_environments_holds_calm_disturbed_and_random_ones() -> None:
    config = Config()
    share, noise = torch.full((config.num_envs, 3), 0.4), torch.full((config.num_envs, 3), 0.2 / config.noise_share)
    steps = torch.stack([_mix(share, noise, config, step=step) for step in range(60)])  # one period of 6 s
    for part in (steps[:, :56], steps[:, 56:]):
        calm_share = (part == 0.4).all(dim=-1).float().mean(dim=0)  # per environment
        assert (calm_share == 1.0).any(), "nobody follows the teacher"
        assert ((calm_share > 0.5) & (calm_share < 1.0)).any(), "nobody is disturbed for a part of the time"
        assert (calm_share == 0.0).any(), "nobody acts at random"
    assert steps.abs().max() <= 1.0


def test_random_mounts_cover_the_cameras_of_other_bodies() -> None:
    mounts = dict(zip(CAMERA_FIELDS, _random_mounts(4000, torch.Generator().manual_seed(0)).T, strict=True))
    assert 0.25 <= mounts["camera_z_m"].min() < 0.3 and 1.45 < mounts["camera_z_m"].max() <= 1.5
    assert mounts["camera_pitch_rad"].min() < 0.02 and 0.85 < mounts["camera_pitch_rad"].max() < 0.875
    assert (mounts["camera_hfov_rad"] < mounts["camera_vfov_rad"]).float().mean() > 0.2  # portrait, as on Stretch


class SeenPlane(PlaneNavigation):
    """The plane with what the recorder asks of the real environment."""

    semantic = torch.zeros(6, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX, dtype=torch.uint8)

    @property
    def body(self) -> SimpleNamespace:
        """Return the bodies."""
        return SimpleNamespace(descriptor=self._descriptor)

    def render(self, mount: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what every camera sees."""
        return self.observe().depth_m, self.semantic


def test_every_row_keeps_the_command_before_it_the_last_of_an_episode_too() -> None:
    config = Config(num_envs=6, mounts=1, shard_steps=40)
    network = Anticipation(AnticipationConfig(channels=(4, 4, 4))).eval()
    risk = CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4))).eval()
    recorder = Recorder(SeenPlane(num_envs=6), config, network, risk)  # type: ignore[arg-type]
    recorder._agent = SimpleNamespace(  # type: ignore[assignment]
        reset=lambda first: None, act=lambda observation, privileged: torch.full((6, 3), 0.7)
    )
    recorder._step = recorder._environment.reset()
    rows = {name: torch.stack(values) for name, values in recorder.record().items()}  # (T, views, B, ...)
    ended = rows["outcome"] != 0
    assert ended.sum() > 6
    follows = ~rows["first"][1:]
    assert (rows["previous_command"][1:][follows] == rows["command"][:-1][follows]).all()
    assert (rows["previous_command"][ended].abs().sum(dim=-1) > 0.0).any()
