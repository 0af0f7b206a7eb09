"""Which episodes are practised next: the ones that the policy fails at come more often.

In the manner of Jiang et al. 2021, "Prioritized Level Replay", with success in place of the value error: the teacher
reaches every goal, so that no episode is hopeless.
"""

import torch

LEAST = 0.15
"""Chance of an episode that always succeeds, relative to one that always fails"""
PRIOR, PRIOR_EPISODES = 0.7, 1.0
"""Success rate of an episode that has not run yet, and how many runs this guess is worth"""
MEMORY = 0.7
"""How much every further run of an episode leaves of what the earlier ones said: the policy changes"""


class EpisodeCurriculum:
    """Measured success of every episode of a set (N,)."""

    def __init__(self, count: int, *, device: str | torch.device = "cpu") -> None:
        """Start with the prior for all of them."""
        self._runs = torch.zeros(count, device=device)
        self._successes = torch.zeros(count, device=device)

    def update(self, episode: torch.Tensor, success: torch.Tensor) -> None:
        """Take in runs that ended: episodes (K,) int64, and whether each succeeded (K,) bool."""
        ended = torch.zeros_like(self._runs).index_add_(0, episode, torch.ones_like(success, dtype=torch.float32))
        reached = torch.zeros_like(self._runs).index_add_(0, episode, success.to(torch.float32))
        keep = torch.where(ended > 0.0, MEMORY, 1.0)
        self._runs = keep * self._runs + ended
        self._successes = keep * self._successes + reached

    @property
    def weights(self) -> torch.Tensor:
        """(N,) relative chance of every episode to be drawn."""
        success = (self._successes + PRIOR * PRIOR_EPISODES) / (self._runs + PRIOR_EPISODES)
        return LEAST + (1.0 - LEAST) * (1.0 - success)
