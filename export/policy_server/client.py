"""The evaluation's side of a policy server: one connection per message, and a deadline for each."""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator

import numpy as np

from embodiments.observation import Observation
from export.policy_server.messages import (
    ACT,
    ARRAYS_TYPE,
    CONTRACT,
    JSON_TYPE,
    RESET,
    SESSION,
    Contract,
    Reset,
    answer_shapes,
    decode_arrays,
    encode_arrays,
)

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1 << 20
"""A batch of 4,096 commands takes 49 kB"""
_PAGE = "see docs/policy_server.md"


class Client:
    """One user of a policy server; its session holds the state of a batch of robots there."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take an address; nothing is sent yet.

        Args:
            url: Such as ``http://127.0.0.1:8000``.
            timeout_s: For an answer, from connecting to its last byte.

        Raises:
            ValueError: If the address or the timeout is none.
        """
        if not timeout_s > 0.0:
            raise ValueError(f"option --server-timeout-s is {timeout_s:g}; it must be more than 0")
        self._host, self._port = _host_and_port(url)
        self._url, self._timeout_s = url, timeout_s
        self._session = uuid.uuid4().hex
        self._contract: Contract | None = None
        self._batch = 0

    def contract(self) -> Contract:
        """Return what the server says about its policy; it is asked once.

        Raises:
            ConnectionError: If no server answers there.
            TimeoutError: If it takes too long.
            ValueError: If it is no policy server, or speaks another version of the protocol.
        """
        if self._contract is None:
            body = self._exchange("GET", CONTRACT)
            try:
                self._contract = Contract.decode(body)
            except ValueError as error:
                raise ValueError(f"{self._url} is no policy server for this version: {error}; {_PAGE}") from None
        return self._contract

    def reset(self, mask: np.ndarray, *, embodiment: str, seed: int) -> None:
        """Begin new episodes where ``mask`` (B,) says so.

        Args:
            mask: All true at first.
            embodiment: The robot's name.
            seed: For a policy that draws random numbers.

        Raises:
            ConnectionError, TimeoutError, ValueError: As ``contract``; ValueError also if the server refuses.
        """
        self._exchange("POST", RESET, Reset(mask=mask, embodiment=embodiment, seed=seed).encode(), kind=JSON_TYPE)
        self._batch = len(mask)

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return the policy's answer (B, 3) to the observation of a batch, as float32; it may hold NaN.

        Raises:
            ConnectionError, TimeoutError, ValueError: As ``reset``; ValueError also if the answer is misshapen.
        """
        shapes = answer_shapes(self.contract().output)
        body = self._exchange("POST", ACT, encode_arrays(observation.inputs()), kind=ARRAYS_TYPE)
        try:
            (answer,) = decode_arrays(body, shapes, batch=self._batch).values()
        except ValueError as error:
            raise ValueError(f"policy server {self._url} gave a wrong answer to {ACT}: {error}; {_PAGE}") from None
        return answer

    def _exchange(self, method: str, path: str, body: bytes = b"", *, kind: str = JSON_TYPE) -> bytes:
        """Return the body of the answer to one message."""
        headers = {SESSION: self._session, "Content-Type": kind, "Connection": "close"}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        deadline_s = time.monotonic() + self._timeout_s
        try:
            connection.connect()
            with _cut_after(connection.sock, deadline_s - time.monotonic()):
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                status, answer = response.status, response.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() < deadline_s:
                reason = str(error) or type(error).__name__
                raise ConnectionError(
                    f"no policy server answers {path} at {self._url} ({reason}); start it, or correct its address"
                ) from None
            answer, status = b"", 0
        finally:
            connection.close()
        if time.monotonic() >= deadline_s:
            raise TimeoutError(
                f"policy server {self._url} did not answer {path} within {self._timeout_s:g} s; "
                "read what it prints, or give it longer with --server-timeout-s"
            )
        if status != http.HTTPStatus.OK:
            raise ValueError(f"policy server {self._url} refused {path} ({status}): {_reason(answer)}")
        return answer


@contextlib.contextmanager
def _cut_after(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Shut a connection down after so long, whatever still arrives: a socket's own timeout is one of silence."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _host_and_port(url: str) -> tuple[str, int]:
    """Return where a server is.

    Raises:
        ValueError: If the address is none of ``http://HOST:PORT``.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number
        host, port = None, None
    if not host or not port or url.rstrip("/") != f"http://{parts.netloc}" or "@" in parts.netloc:
        raise ValueError(f"a policy server's address is like http://127.0.0.1:8000, not '{url}'")
    return host, port


def _reason(answer: bytes) -> str:
    """Return what a server that refuses says, in one line."""
    try:
        said = json.loads(answer)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = answer[:200].decode(errors="replace")
    return " ".join(str(said).split())[:500] or "it does not say why"
