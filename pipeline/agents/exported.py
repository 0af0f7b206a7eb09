"""Agents that are exported ONNX files: base, specialist and generalist as a robot would run them, and ``blind``."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from embodiments.embodiment import Embodiment
from export.runtime import policy as runtime
from pipeline.agents.agent import Privileged
from pipeline.simulation.sensors.observation import Observation


class ExportedAgent:
    """A batch of the robot-side policies; carries their recurrent state."""

    output: Literal["command"] = "command"

    def __init__(
        self, file: Path, embodiment: Embodiment, *, device: str, blind: bool = False, allow_unseen: bool = False
    ) -> None:
        """Load and check an exported policy.

        Args:
            file: The ONNX file.
            embodiment: The robot that it will drive.
            blind: Zero the depth image: what the policy does without its eyes.
            allow_unseen: Accept a robot that it was not trained on, to see how far it carries.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file is damaged or does not fit the robot.
        """
        self._policy = runtime.load(file, robot=embodiment, allow_unseen=allow_unseen, threads=torch.get_num_threads())
        self._device = device
        self._blind = blind

    def reset(self, mask: torch.Tensor) -> None:
        """Zero the recurrent state of the environments in ``mask`` (B,)."""
        self._policy.reset(mask.cpu().numpy())

    def act(self, observation: Observation, privileged: Privileged) -> torch.Tensor:
        """Return commands (B, 3), already admissible; one inference for the whole batch. NaN where it answered NaN."""
        inputs = {name: tensor.cpu().numpy() for name, tensor in observation.policy_inputs().items()}
        if self._blind:
            inputs["depth_m"] = 0.0 * inputs["depth_m"]
        command, ill = self._policy.attempt(inputs)
        return torch.as_tensor(np.where(ill[:, None], np.float32(np.nan), command), device=self._device)
