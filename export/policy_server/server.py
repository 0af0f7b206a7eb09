"""A policy server in Python's standard library: sessions, HTTP and errors; the policy itself is whatever is put in."""

import http.server
import json
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import numpy as np

from embodiments.observation import Observation, from_inputs
from embodiments.spaces import OBSERVATION_SHAPES
from export.policy_server.messages import (
    ACT,
    ARRAYS_TYPE,
    CONTRACT,
    JSON_TYPE,
    RESET,
    SESSION,
    Contract,
    Reset,
    decode_arrays,
    encode_arrays,
)

MAX_SESSIONS = 64
"""States that are kept: one per process of an evaluation that drives at the time. The one unused longest is dropped."""
MAX_MESSAGE_BYTES = 1 << 28
"""The observation of 4,096 robots takes 43 MB"""
_SILENCE_S = 60.0
"""After so long without a byte of a message its connection is closed"""


class ServedPolicy(Protocol):
    """The policy of one session: its state for a batch of B robots."""

    def reset(self, mask: np.ndarray) -> None:
        """Forget the past of the robots in ``mask`` (B,) bool."""

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return commands or actions (B, 3), as the contract says; NaN fails the episode of that robot alone."""


Make = Callable[[Reset], ServedPolicy]
"""Makes a session's policy from its first message; a ValueError refuses the robot"""


class _Session:
    def __init__(self, policy: ServedPolicy, *, batch: int) -> None:
        self.policy, self.batch = policy, batch


class PolicyServer(http.server.ThreadingHTTPServer):
    """Serves a policy; call ``serve_forever``."""

    daemon_threads = True
    request_queue_size = 128
    """Connections that wait to be accepted: every process of an evaluation may open one at the same time"""

    def __init__(self, contract: Contract, make: Make, *, host: str = "127.0.0.1", port: int) -> None:
        """Listen.

        Args:
            contract: What ``GET /contract`` answers.
            make: Makes the policy of a session. Load weights once, outside of it.
            host: The loopback by default. Nobody has to prove who they are.
            port: 0 chooses a free one.

        Raises:
            OSError: If the port is taken.
        """
        self.contract = contract
        self._make = make
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """The address for ``--agents server:URL``."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say in one line that an evaluation hung up, as an interrupted one does; show what else went wrong."""
        error = sys.exception()
        if isinstance(error, OSError):
            print(f"an evaluation hung up: {error}", file=sys.stderr, flush=True)
        else:
            traceback.print_exc()

    def reset(self, session: str, message: Reset) -> None:
        """Begin episodes; a mask that is all true begins the session anew.

        Raises:
            ValueError: If the session is unknown and the mask is not all true, or its batch was another.
        """
        if message.mask.all():
            policy = self._make(message)
            with self._lock:
                self._sessions[session] = _Session(policy, batch=len(message.mask))
                self._sessions.move_to_end(session)
                while len(self._sessions) > MAX_SESSIONS:
                    self._sessions.popitem(last=False)
            return
        found = self._find(session)
        if len(message.mask) != found.batch:
            raise ValueError(f"the mask has {len(message.mask)} rows, the session {found.batch}")
        found.policy.reset(message.mask)

    def act(self, session: str, body: bytes) -> bytes:
        """Return the answer to the observation of a session's batch.

        Raises:
            ValueError: If the session is unknown, or the observation is not what it should be.
        """
        found = self._find(session)
        observation = from_inputs(decode_arrays(body, OBSERVATION_SHAPES, batch=found.batch))
        return encode_arrays({self.contract.output: found.policy.act(observation)})

    def _find(self, session: str) -> _Session:
        with self._lock:
            if session not in self._sessions:
                raise ValueError("unknown session; begin it with /reset and a mask that is all true")
            self._sessions.move_to_end(session)
            return self._sessions[session]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PolicyServer
    timeout = _SILENCE_S

    def do_GET(self) -> None:
        if self.path != CONTRACT:
            return self._refuse(HTTPStatus.NOT_FOUND, f"there is GET {CONTRACT}, POST {RESET} and POST {ACT}")
        self._answer(HTTPStatus.OK, JSON_TYPE, self.server.contract.encode())

    def do_POST(self) -> None:
        if self.path not in (RESET, ACT):
            return self._refuse(HTTPStatus.NOT_FOUND, f"there is GET {CONTRACT}, POST {RESET} and POST {ACT}")
        try:
            answer = self._act() if self.path == ACT else self._reset()
        except ValueError as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:  # the policy is somebody else's: whatever it raises is said to the evaluation
            traceback.print_exc()
            return self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")
        self._answer(HTTPStatus.OK, ARRAYS_TYPE, answer)

    def _reset(self) -> bytes:
        self.server.reset(self._session(), Reset.decode(self._body()))
        return b""

    def _act(self) -> bytes:
        return self.server.act(self._session(), self._body())

    def _session(self) -> str:
        session: str = self.headers.get(SESSION, "")
        if not session:
            raise ValueError(f"the header '{SESSION}' is missing")
        return session

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_MESSAGE_BYTES:
            raise ValueError(f"Content-Length is '{length}'; it must be 0 to {MAX_MESSAGE_BYTES}")
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        print(f"refused {self.command} {self.path}: {why}", file=sys.stderr, flush=True)
        self._answer(status, JSON_TYPE, json.dumps({"error": why}).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of messages that went well: there are ten per simulated second."""
