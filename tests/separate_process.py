"""Genesis holds one scene per process: tests run each simulation in a fresh one and look at what it returns."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, computed in a process of its own; the function must be at module level.

    The process is forked from a server that has imported the simulator and has done nothing else: importing takes as
    long as building a small simulation. The server ends with the tests.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.simulation_imports"])  # without effect once the server runs
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_called, dict(os.environ), function, *arguments).result()


def _called(environment: Mapping[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it with the environment of the test; the server has that of the first one."""
    os.environ.clear()
    os.environ.update(environment)
    return function(*arguments)
