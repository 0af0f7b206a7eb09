"""Ray for this machine alone: no other machine can reach it."""

from collections.abc import Iterator
from ipaddress import ip_address

import psutil
import pytest
import ray

from embodiments import registry
from pipeline.residual_rl.cluster import connected
from tests import own_robot


def listening() -> Iterator[tuple[str, str]]:
    """Yield process name and address of every server that this process and its children run."""
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                yield process.name(), connection.laddr.ip.removeprefix("::ffff:")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start Ray on this machine, once for all tests; a robot of the user's own counts."""
    with pytest.MonkeyPatch.context() as patch, own_robot.no_robot_files():
        patch.delenv("RAY_ADDRESS", raising=False)
        registry.add_files([own_robot.write(tmp_path_factory.mktemp("robots"))])
        with connected():
            yield


@pytest.mark.slow
def test_a_worker_knows_a_robot_from_outside(started: None) -> None:
    assert ray.get(ray.remote(registry.get).remote("cart")) == registry.get("cart")


@pytest.mark.slow
def test_ray_listens_on_the_loopback_only(started: None) -> None:
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    found = list(listening())
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert not [(name, address) for name, address in found if not ip_address(address).is_loopback]
