"""An exported policy on the robot: verified file, checked inputs, carried state. Needs numpy and onnxruntime only."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from embodiments.embodiment import Embodiment
from embodiments.observation import Observation
from embodiments.spaces import (
    COMMAND_SIZE,
    DEPTH_RANGE_M,
    OBSERVATION_SHAPES,
)
from export.runtime import contract as contracts
from export.runtime import inference, model_file

ROWS_AT_ONCE = 16
"""Of a batch: their maps stay in the processor's cache, while 64 at once take a quarter longer"""


class Policy:
    """A loaded policy for a batch of robots of one type; carries the recurrent state."""

    def __init__(
        self, session: onnxruntime.InferenceSession, *, contract: Mapping[str, Any], sha256: str, nav_sha256: str
    ) -> None:
        """Take a verified session; use ``load``."""
        self.contract = contract
        self.sha256 = sha256
        """Of the whole file, as model cards and evaluations name it."""
        self.nav_sha256 = nav_sha256
        """The one that the file carries, see ``export.runtime.contract``."""
        self.agent: str = contract["agent"]
        self._session = session
        self._outputs = [output["name"] for output in contract["outputs"]]
        self._state_size = int(contract["inputs"][-1]["shape"][1])
        self._state: np.ndarray | None = None
        self.value: np.ndarray | None = None
        """(B,) of the last step, where the policy has one."""

    @property
    def state(self) -> np.ndarray | None:
        """(B, S) recurrent state after the last step, not to be changed; None after a reset."""
        return self._state

    @property
    def metadata(self) -> Mapping[str, str]:
        """The entries ``nav.*`` of the file."""
        found: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def with_own_state(self) -> "Policy":
        """Return the same policy without a past, for another batch of robots; the loaded network is shared."""
        return Policy(self._session, contract=self.contract, sha256=self.sha256, nav_sha256=self.nav_sha256)

    def reset(self, mask: np.ndarray | None = None) -> None:
        """Forget the past: new goal, gap in the images, odometry jump, arming.

        Args:
            mask: (B,) bool, which of the batch; all by default.
        """
        if mask is None or self._state is None:
            self._state = None
        else:
            self._state[np.asarray(mask, dtype=bool)] = 0.0

    def step(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return the command for one control step.

        Args:
            observation: Of every robot of the batch.

        Returns:
            (B, 3) vx [m/s], vy [m/s], yaw rate [rad/s], body frame, admissible.

        Raises:
            ValueError: If an input is misshapen, not finite or out of range, or the command is not finite.
        """
        command, ill = self.attempt(observation)
        if ill.any():
            self._state = None
            raise ValueError("the policy answered NaN or Inf; its state has been reset, stop the robot")
        return command

    def attempt(self, observation: Observation[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the commands (B, 3), and which of them (B,) bool came with anything that is not finite.

        Those robots' states are zeroed; the others of the batch go on. Everything else is as in ``step``.
        """
        feed = _checked(observation)
        batch = len(feed["depth_m"])
        if self._state is None:
            self._state = np.zeros((batch, self._state_size), dtype=np.float32)
        if len(self._state) != batch:
            raise ValueError(f"batch changed from {len(self._state)} to {batch}; call reset() first")
        results = self._run(feed | {"state_input": self._state})
        finite = [np.isfinite(result).reshape(batch, -1).all(axis=1) for result in results.values()]
        ill = ~np.logical_and.reduce(finite)
        self._state = np.where(ill[:, None], np.float32(0.0), results["state_output"])
        self.value = results["value"][:, 0] if "value" in results else None
        command: np.ndarray = results["command"]
        return command, ill

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = []
        for low in range(0, max(1, len(feed["state_input"])), ROWS_AT_ONCE):
            rows = {name: array[low : low + ROWS_AT_ONCE] for name, array in feed.items()}
            answers.append(self._session.run(self._outputs, rows))
        return {name: np.concatenate(parts) for name, *parts in zip(self._outputs, *answers, strict=True)}


def load(path: Path, *, robot: Embodiment | None = None, allow_unseen: bool = False, threads: int = 1) -> Policy:
    """Load an exported policy, after checking its hash, its form, its contract and the robot.

    Args:
        path: An ``.onnx`` file.
        robot: Whom it shall drive; None skips that check (for a batch of descriptors in an evaluation).
        allow_unseen: Accept a robot that the policy was not trained on.
        threads: onnxruntime's; one is fastest for a single robot.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, foreign, or does not fit this version or the robot.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no policy {path}; make it with the stage export_policy")
    where = str(path)
    if path.stat().st_size > model_file.MAX_BYTES:
        raise ValueError(
            f"{where} is larger than {model_file.MAX_BYTES // 2**20} MiB; it was not exported by this project"
        )
    data = path.read_bytes()  # what is hashed is what is run
    session, nav_sha256 = _opened(data, where, threads)
    contract = contracts.parse(session.get_modelmeta().custom_metadata_map, where=where)
    _check_session(session, contract, where=where)
    if robot is not None:
        contracts.check_robot(contract, robot, where=where, allow_unseen=allow_unseen)
    return Policy(session, contract=contract, sha256=hashlib.sha256(data).hexdigest(), nav_sha256=nav_sha256)


@functools.lru_cache(maxsize=2)
def _opened(data: bytes, where: str, threads: int) -> tuple[onnxruntime.InferenceSession, str]:
    """Check a file's bytes and return its session and hash; the same bytes get the same one, which carries no state."""
    nav_sha256 = contracts.verify_hash(data, where=where)
    model_file.check(data, where=where)
    return inference.open_session(data, where=where, threads=threads), nav_sha256


def _checked(observation: Observation[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the file's inputs as contiguous float32 after checking them."""
    feed = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in observation.inputs().items()}
    batch = feed["depth_m"].shape[0] if feed["depth_m"].ndim else 0
    for name, shape in OBSERVATION_SHAPES.items():
        array = feed[name]
        if array.shape != (batch, *shape):
            raise ValueError(f"{name} has shape {array.shape}, expected {(batch, *shape)}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or Inf")
    low, high = float(feed["depth_m"].min(initial=0.0)), float(feed["depth_m"].max(initial=0.0))
    if low < 0.0 or high > DEPTH_RANGE_M * 1.001:
        raise ValueError(f"depth_m lies in {low:g} to {high:g}, expected metres in 0 to {DEPTH_RANGE_M:g}")
    return feed


def _check_session(session: onnxruntime.InferenceSession, contract: Mapping[str, Any], *, where: str) -> None:
    """Refuse a graph that is not what its own contract says."""
    for kind, tensors in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        found = {tensor.name: tuple(tensor.shape[1:]) for tensor in tensors}
        promised = {entry["name"]: tuple(entry["shape"][1:]) for entry in contract[kind]}
        if found != promised or any(tensor.type != "tensor(float)" for tensor in tensors):
            raise ValueError(f"{where}: its {kind} are {found}, its contract promises {promised}; export it again")
    if next(o for o in contract["outputs"] if o["name"] == "command")["shape"][1] != COMMAND_SIZE:
        raise ValueError(f"{where}: command has another size than {COMMAND_SIZE}")
