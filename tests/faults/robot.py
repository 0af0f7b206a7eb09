"""The robot's faults on a simulated clock: how long after each one the command is zero."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from export.runtime.robots.robot import Depth
from tests.export.runtime import test_runtime_faults as faults
from tests.export.runtime.runtime_rig import Cruise, Rig, driving, frozen, frozen_scan, stuck
from tests.faults.table import Row

STOP_S = 0.3
SLOW_STOP_S = 0.5
"""At 0.1 m/s, for faults that show only in motion: 4 cm take 0.4 s"""
FALSE_STOPS = 0.01
DRIVES = {"0.2 m/s": (0.2, 0.0, 0.0), "0.1 m/s": (0.1, 0.0, 0.0), "0.5 rad/s": (0.0, 0.0, 0.5)}
_FRESH: dict[str, Callable[[], Any]] = {
    "depth frozen": frozen,
    "depth frozen under 0.1 mm of noise": lambda: frozen(noise_m=1e-4),
    "scan frozen": frozen_scan,
    "scan frozen under 0.1 mm of noise": lambda: frozen_scan(noise_m=1e-4),
    "odometry stuck, velocity zero": lambda: stuck(velocity_b=(0.0, 0.0, 0.0)),
    "odometry stuck, velocity as before": lambda: stuck(velocity_b=None),
}
"""Faults that remember their first reading: a new one for every drive"""


def run(*, small: bool) -> list[Row]:
    """Let every fault begin in every drive, and drive without a fault; a row's remark has the stop times or stops."""
    drives = dict(list(DRIVES.items())[:1]) if small else DRIVES
    rows = []
    for name, make in _all().items():
        row, times_s = Row(test="robot", what=name), {}
        for drive, command in drives.items():
            rig = driving(command)
            began_s = rig.clock.now_s
            setattr(rig.robot, f"on_{name.split()[0]}", make())
            rig.run(1.5)
            times_s[drive] = rig.time_to_stop_s(began_s)
            row.trials += 1
            limit_s = STOP_S if drive != "0.1 m/s" else SLOW_STOP_S
            row.note(f"at {drive}", silent=rig.moving() or times_s[drive] > limit_s + 1e-6, output=str(times_s))
        row.remark = "stops after " + ", ".join(f"{seconds:.2f} s ({drive})" for drive, seconds in times_s.items())
        rows.append(row)
    return rows + [
        _without_fault(name, commands, seconds=5.0 if small else 25.0) for name, commands in _clean().items()
    ]


def _clean() -> dict[str, list[tuple[float, float, float]]]:
    """Return drives without faults: what is commanded, one second each and from the beginning again."""
    rng = np.random.default_rng(0)
    random = [(float(x), 0.0, float(yaw)) for x, yaw in rng.uniform((-0.1, -0.6), (0.25, 0.6), (30, 2))]
    stops = [command if rng.random() < 0.7 else (0.0, 0.0, 0.0) for command in random]
    return {
        "circle": [(0.1, 0.0, 0.25)],
        "fast turn": [(0.0, 0.0, 0.8)],
        "slow": [(0.04, 0.0, 0.0)],
        "up to a wall": [(0.2, 0.0, 0.0)],
        "reversing": [(-0.1, 0.0, 0.1)],
        "random commands": random,
        "random commands with stops": stops,
    }


def _without_fault(name: str, commands: list[tuple[float, float, float]], *, seconds: float) -> Row:
    """Drive under 0.2 % of depth noise and count the reports in which a gate holds the armed robot."""
    policy = Cruise(commands[0])
    rig = Rig(policy, goal=(50.0, 0.0, 0.0))
    rig.navigator._retry._config = replace(rig.navigator._retry._config, patience_s=1e9, spins=1e9)
    rig.robot.on_depth = _noisy
    for second in range(round(seconds)):
        policy.command = commands[second % len(commands)]
        rig.run(1.0)
    armed = [report.gate for report in rig.reports if report.gate != "disarmed"]
    held = [gate for gate in armed if gate]
    row = Row(test="robot without a fault", what=name, trials=len(armed))
    row.note("false stops", silent=len(held) > FALSE_STOPS * len(armed), output=str(sorted(set(held))))
    row.remark = f"{len(held)} false stops"
    return row


def _noisy(reading: Depth) -> Depth:
    noise = 1.0 + 0.002 * np.random.default_rng(reading.sequence).standard_normal(reading.image_m.shape)
    return replace(reading, image_m=(reading.image_m * noise).astype(np.float32))


def _all() -> dict[str, Callable[[], Any]]:
    tables = {"depth": faults.DEPTH_FAULTS, "odometry": faults.ODOMETRY_FAULTS, "scan": faults.SCAN_FAULTS}
    found: dict[str, Callable[[], Any]] = {}
    for sensor, table in tables.items():
        found |= {f"{sensor} {name}": lambda fault=fault: fault for name, fault in table.items()}  # type: ignore[misc]
    return found | _FRESH
