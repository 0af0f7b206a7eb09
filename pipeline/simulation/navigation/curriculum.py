"""Episode curriculum: episodes that the policy fails are sampled more often.

After Jiang et al. 2021, "Prioritized Level Replay", with the failure rate in place of the value error. The teacher
reaches every goal, so no episode is impossible.
"""

import torch

MIN_WEIGHT = 0.15
"""Weight of an episode that always succeeds, relative to one that always fails"""
PRIOR, PRIOR_EPISODES = 0.7, 1.0
"""Assumed success rate of an episode that has not run yet, and how many runs this prior counts for"""
DECAY = 0.7
"""Factor on the counts of an episode at each new run, because the policy changes"""


class EpisodeCurriculum:
    """Success rate of every episode of a set (N,)."""

    def __init__(self, count: int, *, device: str | torch.device = "cpu") -> None:
        """Start every episode at the prior."""
        self._runs = torch.zeros(count, device=device)
        self._successes = torch.zeros(count, device=device)

    def update(self, episode: torch.Tensor, success: torch.Tensor) -> None:
        """Count runs that ended: episodes (K,) int64, and whether each succeeded (K,) bool."""
        ended = torch.zeros_like(self._runs).index_add_(0, episode, torch.ones_like(success, dtype=torch.float32))
        succeeded = torch.zeros_like(self._runs).index_add_(0, episode, success.to(torch.float32))
        decay = torch.where(ended > 0.0, DECAY, 1.0)
        self._runs = decay * self._runs + ended
        self._successes = decay * self._successes + succeeded

    @property
    def weights(self) -> torch.Tensor:
        """(N,) sampling weight of every episode."""
        success = (self._successes + PRIOR * PRIOR_EPISODES) / (self._runs + PRIOR_EPISODES)
        return MIN_WEIGHT + (1.0 - MIN_WEIGHT) * (1.0 - success)
