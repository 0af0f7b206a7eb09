"""Agents that are exported ONNX files: base, specialist and generalist, run as on a robot, and ``blind``."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from embodiments.embodiment import Embodiment
from embodiments.observation import Observation
from export.runtime import policy as runtime
from export.runtime.viewing import local_map
from pipeline.agents.agent import Privileged
from world_model.anticipation import Anticipation


class ExportedAgent:
    """One exported policy for a batch of robots; carries their recurrent state."""

    output: Literal["command"] = "command"

    def __init__(
        self, file: Path, embodiment: Embodiment, *, device: str, blind: bool = False, allow_unseen: bool = False
    ) -> None:
        """Load and check an exported policy.

        Args:
            file: The ONNX file.
            embodiment: The robot that it will drive.
            blind: Zero the depth image, to measure what the policy does without it.
            allow_unseen: Accept a robot that it was not trained on.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is damaged or does not fit the robot.
        """
        self._policy = runtime.load(file, robot=embodiment, allow_unseen=allow_unseen, threads=torch.get_num_threads())
        self._file = file
        self._device = device
        self._blind = blind

    def reset(self, mask: torch.Tensor) -> None:
        """Zero the recurrent state of the environments in ``mask`` (B,)."""
        self._policy.reset(mask.cpu().numpy())

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return admissible commands (B, 3), NaN where the policy's output was not finite; one inference per batch."""
        arrays = observation.map(lambda tensor: tensor.cpu().numpy())
        if self._blind:
            arrays = replace(arrays, depth_m=0.0 * arrays.depth_m)
        command, ill = self._policy.attempt(arrays)
        return torch.as_tensor(np.where(ill[:, None], np.float32(np.nan), command), device=self._device)

    def costmap_state(self, row: int) -> np.ndarray | None:
        """Return the local planner's state of one environment and what is remembered behind it, (S,)."""
        state, start = self._policy.state, local_map.begins_at(self._policy.metadata)
        return None if state is None or start is None else state[row, start:].copy()

    def anticipation(self) -> Anticipation | None:
        """Return the network in the file, if it has one and says so."""
        if local_map.begins_at(self._policy.metadata) is None:
            return None
        from export import networks  # slow to import

        return networks.read(self._file.read_bytes(), where=str(self._file)).graph.world_model.anticipation
