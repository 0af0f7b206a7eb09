"""Names and ages of readings, shared by all gates.

Ages are taken on the monotonic clock from the time of receipt; wall clocks and sensors' own stamps play no part.
"""

from export.runtime.robots.robot import Depth, Odometry, Scan

OPEN = ""
"""Name of no gate: everything may be acted on."""
FUTURE_S = 0.005
"""A reading from further ahead than this has another clock."""


def age_gate(name: str, reading: Depth | Odometry | Scan | None, *, limit_s: float, now_s: float) -> str:
    """Return the gate that a missing, late or future reading closes."""
    if reading is None:
        return f"{name}_missing"
    age_s = now_s - reading.received_s
    if age_s < -FUTURE_S:
        return f"{name}_from_the_future"
    return f"{name}_stale" if age_s > limit_s else OPEN
