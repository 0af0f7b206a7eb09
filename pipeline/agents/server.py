"""A policy behind a policy server as an agent (``docs/policy_server.md``); ``server_ids.py`` has its ids."""

import colorsys
import zlib

import torch

from embodiments.embodiment import Embodiment
from embodiments.observation import Observation
from export.policy_server.client import Client
from export.policy_server.messages import Output
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.agents.server_ids import PREFIX


class ServerAgent:
    """A policy behind a server, for a batch of robots; its state is there."""

    def __init__(self, url: str, embodiment: Embodiment, *, device: str, seed: int, timeout_s: float) -> None:
        """Ask the server what it serves.

        Args:
            url: Such as ``http://127.0.0.1:8000``.
            embodiment: The robot that it will drive.
            seed: For a policy that draws random numbers.
            timeout_s: For every answer.

        Raises:
            ConnectionError: If no server answers there.
            TimeoutError: If it takes too long.
            ValueError: If it is no policy server for this version.
        """
        self._client = Client(url, timeout_s=timeout_s)
        self._robot, self._device, self._seed = embodiment.name, device, seed
        self.output: Output = self._client.contract().output

    def reset(self, mask: torch.Tensor) -> None:
        """Tell the server where (B,) new episodes begin; it keeps the state."""
        if bool(mask.any()):
            self._client.reset(mask.cpu().numpy(), embodiment=self._robot, seed=self._seed)

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return what the server answers (B, 3); a row with anything that is not finite is NaN as a whole."""
        answer = torch.as_tensor(self._client.act(observation.map(lambda tensor: tensor.cpu().numpy())))
        ill = ~torch.isfinite(answer).all(dim=1, keepdim=True)
        return answer.masked_fill(ill, torch.nan).to(self._device)


def info(agent: str) -> AgentInfo:
    """Return how reports show a policy behind a server; each name has a colour of its own."""
    hue = zlib.crc32(agent.encode()) / 2**32
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.4, 0.6))
    return AgentInfo(
        label=f"somebody's policy '{agent.removeprefix(PREFIX)}', behind a policy server",
        kind="learned",
        order=82,
        colour=f"#{red:02x}{green:02x}{blue:02x}",
        line_style="-.",
        on_maps=True,
        by_default=False,
    )
