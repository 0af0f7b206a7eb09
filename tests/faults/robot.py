"""The robot's faults on a simulated clock: how long after each one the command is zero."""

from collections.abc import Callable
from typing import Any

from tests.export.runtime import test_runtime_faults as faults
from tests.export.runtime.runtime_rig import driving, frozen, frozen_scan, stuck
from tests.faults.table import Row

STOP_S = 0.3
SLOW_STOP_S = 0.5
"""At 0.1 m/s, for faults that show only in motion: 4 cm take 0.4 s"""
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
    """Let every fault begin in every drive; the row's remark is the longest time to a stop."""
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
    return rows


def _all() -> dict[str, Callable[[], Any]]:
    tables = {"depth": faults.DEPTH_FAULTS, "odometry": faults.ODOMETRY_FAULTS, "scan": faults.SCAN_FAULTS}
    found: dict[str, Callable[[], Any]] = {}
    for sensor, table in tables.items():
        found |= {f"{sensor} {name}": lambda fault=fault: fault for name, fault in table.items()}  # type: ignore[misc]
    return found | _FRESH
