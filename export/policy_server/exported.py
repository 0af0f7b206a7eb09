"""An exported policy behind a policy server: the same numbers as from the file itself."""

from collections.abc import Callable

import numpy as np

from embodiments import registry
from embodiments.observation import Observation
from export.policy_server.messages import Reset
from export.runtime import contract
from export.runtime.policy import Policy


class ServedFile:
    """One session of an exported policy."""

    def __init__(self, policy: Policy) -> None:
        """Take a policy whose state is this session's alone."""
        self._policy = policy

    def reset(self, mask: np.ndarray) -> None:
        """Zero the recurrent state of the robots in ``mask`` (B,)."""
        self._policy.reset(mask)

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return admissible commands (B, 3), NaN where the policy's output was not finite."""
        command, ill = self._policy.attempt(observation)
        return np.where(ill[:, None], np.float32(np.nan), command)


def sessions_of(policy: Policy, *, where: str) -> Callable[[Reset], ServedFile]:
    """Return what makes the sessions of a loaded policy.

    Args:
        policy: What ``runtime.policy.load`` returned; all sessions use its one network.
        where: What to call it in an error.
    """

    def make(message: Reset) -> ServedFile:
        robot = registry.get(message.embodiment)
        # As in an evaluation: a specialist is one robot's, the others may be tried on any.
        contract.check_robot(policy.contract, robot, where=where, allow_unseen=policy.agent != "specialist")
        return ServedFile(policy.with_own_state())

    return make
