"""CUDA against the CPU: collected only when this folder is named (`make test-gpu`)."""

import os
from collections.abc import Iterator

import pytest
import torch

DEVICE = os.environ.get("CROSSBODY_TEST_DEVICE", "cuda")
"""``cpu`` tries the tests themselves where there is no GPU."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here; end in one line where there is nothing to test."""
    for item in items:
        if "tests/gpu" in item.path.as_posix():
            item.add_marker(pytest.mark.gpu)
    if DEVICE.startswith("cuda") and not torch.cuda.is_available():
        pytest.exit("error: no GPU, or a torch without CUDA; see docs/gpu_and_clusters.md", returncode=1)


@pytest.fixture(scope="session")
def device() -> str:
    """Return the device that is compared with the CPU."""
    return DEVICE


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Calculate convolutions in float32 and not in TF32, which has ten bits of mantissa: that is what is compared."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
