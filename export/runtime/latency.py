"""Measure a policy on this computer: ``python -m export.runtime.latency --policy FILE``.

Start-up time, memory of the process, and how long one step takes on one core, idle and with every core loaded.
"""

import time

_BEGAN_S = time.perf_counter()  # imports are most of the start-up

import argparse  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from embodiments import registry  # noqa: E402
from embodiments.observation import from_inputs  # noqa: E402
from embodiments.spaces import CONTROL_DT_S, OBSERVATION_SHAPES  # noqa: E402
from export.runtime import policy as policies  # noqa: E402

_WARM_STEPS = 50


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.runtime.latency")
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--robot", choices=registry.names(), default="stretch3")
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args(arguments)
    robot = registry.get(options.robot)
    try:
        policy = policies.load(options.policy, robot=robot)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    start_s = time.perf_counter() - _BEGAN_S
    idle = step_ms(policy, robot.descriptor(), steps=options.steps)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kB on Linux
    cores = os.cpu_count() or 1
    busy = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(cores)]
    for process in busy:
        process.start()
    time.sleep(2.0)
    loaded = step_ms(policy, robot.descriptor(), steps=options.steps)
    for process in busy:
        process.kill()
    figures = {"cores": cores, "start_s": round(start_s, 2), "memory_mb": round(memory_mb, 1)}
    print(json.dumps(figures | {"idle_ms": idle, "loaded_ms": loaded}, indent=2))
    return 0


def step_ms(policy: policies.Policy, descriptor: np.ndarray, *, steps: int) -> dict[str, float]:
    """Return percentiles of the time of one step [ms], at no fixed rate, on random images.

    Args:
        policy: A loaded policy.
        descriptor: (E,) of the robot.
        steps: How many to time, after some that do not count.
    """
    random = np.random.default_rng(0)
    shapes = {name: shape for name, shape in OBSERVATION_SHAPES.items() if name != "embodiment"}
    times = []
    policy.reset()
    for step in range(steps + _WARM_STEPS):
        seen = {name: random.uniform(0.0, 0.3, (1, *shape)).astype(np.float32) for name, shape in shapes.items()}
        seen["depth_m"] = seen["depth_m"] * 20.0
        began_s = time.perf_counter()
        policy.step(from_inputs(seen | {"embodiment": descriptor[None]}))
        if step >= _WARM_STEPS:
            times.append(1e3 * (time.perf_counter() - began_s))
    values = np.asarray(times)
    percentiles = {"p50": 50.0, "p99": 99.0, "max": 100.0}
    late = float((values > 1e3 * CONTROL_DT_S).mean())
    return {name: round(float(np.percentile(values, rank)), 3) for name, rank in percentiles.items()} | {"late": late}


def _burn() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    sys.exit(main())
