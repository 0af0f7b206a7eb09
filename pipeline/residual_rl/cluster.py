"""Ray: join a cluster that runs already, or start Ray for this machine alone."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray._private import ray_constants

from embodiments.registry import ROBOT_FILES
from pipeline.runs.processes import ROOT, cores, python_path

ADDRESS = "RAY_ADDRESS"
"""Environment variable that names the cluster"""
OBJECT_STORE_BYTES = 200 * 2**20
"""Rollouts stay inside their process; what crosses processes are weights of a few megabytes."""
_STARTS = 4


@contextmanager
def connected(*, slots: int = 0) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start Ray for this machine alone; shut it down in the end.

    Args:
        slots: Without a cluster: processes of one core each that fit at once; 0 = as many as there are cores.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")  # its default, 15, starves workers beside anything else
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    on_terminate = signal.getsignal(signal.SIGTERM)
    if ADDRESS in os.environ:
        robot_files = {ROBOT_FILES: os.environ[ROBOT_FILES]} if ROBOT_FILES in os.environ else {}
        environment = {"env_vars": {"PYTHONPATH": str(ROOT), **robot_files}}
        ray.init(logging_level="ERROR", log_to_driver=False, runtime_env=environment)
    else:
        _start(slots or cores())
    if on_terminate is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)  # Ray's own prints its stack and aborts
    try:
        yield
    finally:
        ray.shutdown()


def _start(slots: int) -> None:
    """Start Ray here; again if a busy machine keeps it from coming up within the 30 s that it grants itself."""
    os.environ["PYTHONPATH"] = python_path()  # its workers inherit it
    listen_on_loopback_only()
    for attempt in range(_STARTS):
        try:
            ray.init(
                address="local",  # not a cluster that somebody else has started on this machine
                include_dashboard=False,
                num_cpus=slots,
                object_store_memory=OBJECT_STORE_BYTES,
                logging_level="ERROR",
                log_to_driver=False,
            )
            return
        except Exception as error:
            ray.shutdown()
            if "timed out" not in str(error) or attempt == _STARTS - 1:
                raise


def listen_on_loopback_only() -> None:
    """Keep Ray's servers off the network: whoever reaches their ports can run code here.

    Ray replaces ``_node_ip_address="127.0.0.1"`` by the machine's address. Without clusters it keeps the loopback.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for the processes that Ray starts
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which read the variable when it imported Ray
