"""Gait files: weights and card fit each other, and a changed bit in either is an error with one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from embodiments.embodiment import GaitDrive
from embodiments.registry import GAITS_FOLDER, get, names
from pipeline.simulation.physics import gait_policy, gait_weights

ROBOTS = [name for name in names() if isinstance(get(name).drive, GaitDrive)]


@pytest.fixture(params=ROBOTS)
def drive(request: pytest.FixtureRequest) -> GaitDrive:
    drive = get(request.param).drive
    assert isinstance(drive, GaitDrive)
    return drive


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A gait for Go2, just saved."""
    torch.manual_seed(0)
    path = tmp_path / "a.safetensors"
    gait_weights.save_gait(gait_weights.make_network(12), path, {"steps": 1, "limits": (0.5, 1.5)})
    return path


def test_weights_survive_saving(drive: GaitDrive, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = gait_weights.make_network(len(drive.joints))
    gait_weights.save_gait(network, tmp_path / "a.safetensors", {"steps": 1})
    loaded = gait_weights.load_gait(drive, tmp_path / "a.safetensors")
    observation = torch.randn(3, gait_policy.HISTORY * gait_policy.observation_size(len(drive.joints)))
    assert torch.equal(loaded(observation), network(observation))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_every_shipped_gait_fits_its_card(drive: GaitDrive) -> None:
    gait_weights.load_gait(drive)
    card = gait_weights.read_card(GAITS_FOLDER / drive.weights)
    assert card["weights_sha256"] == card["measured"]["weights_sha256"]  # the figures are of these weights


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
def test_no_flipped_bit_is_accepted(weights: Path, ending: str) -> None:
    file, drive = weights.with_suffix(ending), get("go2").drive
    good = file.read_bytes()
    random = np.random.default_rng(0)
    for position, bit in zip(random.integers(0, len(good), 40), random.integers(0, 8, 40), strict=True):
        flipped = bytearray(good)
        flipped[position] ^= 1 << bit
        file.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"(is|are) damaged") as error:
            gait_weights.load_gait(drive, weights)
        assert "\n" not in str(error.value)
    file.write_bytes(good)
    gait_weights.load_gait(drive, weights)


def test_a_card_can_be_completed(weights: Path) -> None:
    card = gait_weights.read_card(weights)
    gait_weights.write_card(weights, {**card, "measured": {"falls": 2}})
    assert gait_weights.read_card(weights) == {**card, "measured": {"falls": 2}}
    gait_weights.load_gait(get("go2").drive, weights)


def test_missing_and_foreign_weights_are_named(drive: GaitDrive, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="pipeline train_gait --embodiments nobody"):
        gait_weights.load_gait(drive, tmp_path / "nobody.safetensors")
    (tmp_path / "foreign.safetensors").write_bytes(b"not weights")
    with pytest.raises(FileNotFoundError, match=r"no card '.*foreign\.json'"):
        gait_weights.load_gait(drive, tmp_path / "foreign.safetensors")
    gait_weights.save_gait(torch.nn.Linear(2, 3), tmp_path / "other.safetensors", {})
    with pytest.raises(ValueError, match=r"'other\.safetensors' is not a gait for 12 joints"):
        gait_weights.load_gait(drive, tmp_path / "other.safetensors")
