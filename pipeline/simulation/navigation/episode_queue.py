"""Which episode every environment runs: sampled at random, or taken from a list."""

import torch

from pipeline.simulation.navigation.episodes import EpisodeSet

IDLE = -1

_FIELDS = ("scene_index", "goal_index", "start_w", "goal_w", "stop_xy_w_m", "route_w_m", "planned", "time_limit_s")


class Assignment:
    """The episodes of one batch; ``now`` holds the running ones.

    Attributes:
        episode: (B,) int64 number of the running episode, ``IDLE`` where none is left.
        now: Field of the episode set -> its values (B, ...) for the running episodes; also ``spacing_m`` (B,), the
            distance between points of the route.
    """

    def __init__(self, episodes: EpisodeSet, *, num_envs: int, generator: torch.Generator, device: str) -> None:
        """Sample episodes at random until ``assign`` is called."""
        self._generator = generator
        self._table = {name: torch.as_tensor(getattr(episodes, name), device=device) for name in _FIELDS}
        steps = self._table["route_w_m"].diff(dim=1).norm(dim=-1)  # (N, P - 1)
        self._table["spacing_m"] = steps.mean(dim=1)
        self._weights = torch.ones(len(episodes), device=device)
        self._queue: torch.Tensor | None = None
        self._next = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.episode = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.now = self._running()

    @property
    def idle(self) -> torch.Tensor:
        """(B,) bool: no episode left for this environment."""
        return self.episode == IDLE

    def assign(self, queue: torch.Tensor) -> None:
        """Give every environment its own list of episodes instead of random ones.

        Args:
            queue: (B, K) int64 indices into the episode set, padded with -1; an environment idles at the
                end of its list. Or (N,): one list for all; an environment takes the next one when it is free.
        """
        self._queue = queue.to(self.episode.device)
        self._next = torch.zeros_like(self._next)

    def weigh(self, weights: torch.Tensor) -> None:
        """Set the weights (N,) with which episodes are sampled at random."""
        self._weights = weights.to(self.episode.device)

    def begin(self, mask: torch.Tensor) -> None:
        """Give the masked environments (B,) their next episode."""
        self.episode = torch.where(mask, self._next_episode(mask), self.episode)
        self.now = self._running()

    def _running(self) -> dict[str, torch.Tensor]:
        index = self.episode.clamp(min=0)
        return {name: values[index] for name, values in self._table.items()}

    def _next_episode(self, mask: torch.Tensor) -> torch.Tensor:
        if self._queue is None:
            return torch.multinomial(self._weights, len(mask), replacement=True, generator=self._generator)
        length = self._queue.shape[-1]
        if self._queue.ndim == 1:
            place = self._next + mask.long().cumsum(0) - 1
            chosen = self._queue[place.clamp(0, length - 1)]
            self._next = self._next + mask.sum()
        else:
            place = self._next
            chosen = self._queue.gather(1, place.clamp(max=length - 1)[:, None])[:, 0]
            self._next = self._next + mask.long()
        return torch.where(place < length, chosen, IDLE)
