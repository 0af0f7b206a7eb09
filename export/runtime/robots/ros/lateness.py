"""How late a message is, without trusting that two computers' clocks agree."""

from collections import deque

WINDOW_S = 5.0
"""The fastest message within this time counts as in time."""
CLOCK_SET_S = 1.0
"""A stamp that is older than the last one by more than this: the sender's clock was set."""


class Lateness:
    """Compares the stamps of one topic with their times of receipt."""

    def __init__(self) -> None:
        self._last_s = -float("inf")
        self._delays: deque[tuple[float, float]] = deque()
        """(time of receipt, receipt less stamp) [s], oldest first"""

    def received_s(self, stamp_s: float, now_s: float) -> float | None:
        """Return when a message would have come if it had taken no longer than the fastest one.

        So a message that waited in a queue has its true age, whatever the sender's clock shows.

        Args:
            stamp_s: Time in the message's header.
            now_s: Time of receipt, monotonic clock.

        Returns:
            Monotonic clock [s], at most ``now_s``; None for a message that is not newer than the last, or has no stamp.
        """
        if stamp_s <= 0.0 or self._last_s - CLOCK_SET_S < stamp_s <= self._last_s:
            return None
        if stamp_s < self._last_s:
            self._delays.clear()
        self._last_s = stamp_s
        delay_s = now_s - stamp_s
        self._delays.append((now_s, delay_s))
        while self._delays[0][0] < now_s - WINDOW_S:
            self._delays.popleft()
        fastest_s = min(delay for _, delay in self._delays)
        return now_s - (delay_s - fastest_s)
