"""What the demonstration data are made of."""

import torch

from embodiments.spaces import CAMERA_FIELDS
from pipeline.collect_teacher import Config, _mix, _random_mounts


def test_every_split_of_environments_holds_calm_disturbed_and_random_ones() -> None:
    config = Config()
    share, noise = torch.full((config.num_envs, 3), 0.4), torch.full((config.num_envs, 3), 0.2)
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
