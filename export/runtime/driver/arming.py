"""Arming: the operator releases the dead-man's switch and holds it again; only then may the robot move.

The robot starts disarmed. A pause whose end no reading can show disarms it again, see ``Driver``.
"""

from export.runtime.driver.readings import OPEN


class Arming:
    """Whether the operator has armed the robot since the start and since every pause that disarms."""

    def __init__(self) -> None:
        """Begin disarmed; the switch was not yet seen released."""
        self._was_released = self._is_armed = False
        self._cause = ""

    @property
    def is_armed(self) -> bool:
        """Whether a command may be executed while the switch is held."""
        return self._is_armed

    @property
    def gate(self) -> str:
        """Gate that a disarmed robot closes: ``disarmed``, and after a pause what caused it."""
        if self._is_armed:
            return OPEN
        return f"disarmed: {self._cause}" if self._cause else "disarmed"

    def disarm(self, cause: str) -> None:
        """Require the operator to release the switch and to hold it again; a disarmed robot stays as it is.

        Args:
            cause: Name of the gate or pause.
        """
        if self._is_armed:
            self._was_released, self._is_armed, self._cause = False, False, cause

    def update(self, *, is_held: bool, is_open: bool) -> bool:
        """Take in the switch; return whether this arms the robot.

        Args:
            is_held: Whether the operator holds the switch now.
            is_open: Whether every reading may be acted on now.
        """
        self._was_released |= not is_held
        arms = self._was_released and is_held and is_open and not self._is_armed
        self._is_armed |= arms
        return arms
