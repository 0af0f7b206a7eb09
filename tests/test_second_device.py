"""What runs every step keeps to the device it was given, seen without a GPU (``second_device.py``)."""

from collections.abc import Iterator

import pytest
import torch

from tests.second_device import NAME, SecondDevice, is_elsewhere, second_device


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondDevice]:
    """Let ``device="cuda"`` mean a second device."""
    with second_device(monkeypatch) as mode:
        yield mode


def test_the_second_device_refuses_what_a_gpu_does(device: SecondDevice) -> None:
    here, there = torch.zeros(3), torch.zeros(3, device=NAME)
    assert there.device.type == NAME and here.device.type == "cpu"
    assert is_elsewhere(there + 1.0) and is_elsewhere(there.new_zeros(2)) and is_elsewhere(here.to(there.device))
    assert not is_elsewhere(there.cpu()) and is_elsewhere(there)
    assert not is_elsewhere(there.to("cpu")) and is_elsewhere(torch.zeros_like(there))
    assert is_elsewhere(there + torch.tensor(1.0))  # a number may come from the CPU
    with pytest.raises(AssertionError, match="two devices"):
        there + here
    with pytest.raises(AssertionError, match="two devices"):
        torch.cat([there, here])
    with pytest.raises(AssertionError, match="numpy"):
        there.numpy()
    with pytest.raises(AssertionError, match="generator"):
        torch.rand(3, generator=torch.Generator(), device=there.device)
    assert is_elsewhere(torch.rand(3, generator=torch.Generator(device=NAME), device=NAME))
