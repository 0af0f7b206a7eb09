"""The protocol of policy servers: what is sent arrives, and what goes wrong is named, in time."""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from embodiments.observation import Observation, from_inputs
from embodiments.spaces import OBSERVATION_SHAPES
from export.policy_server import server as servers
from export.policy_server.client import Client
from export.policy_server.messages import (
    ACT,
    CONTRACT,
    RESET,
    SESSION,
    Contract,
    Reset,
    decode_arrays,
    encode_arrays,
)
from export.policy_server.server import PolicyServer
from pipeline.runs.provenance import ROOT

BATCH = 3
CONTRACT_OF_TESTS = Contract(name="counting", output="command", revision="a1")
EVERYWHERE = np.ones(BATCH, dtype=bool)


class Counting:
    """Answers how often it was asked since the reset, and what it saw."""

    def __init__(self, message: Reset) -> None:
        self.message = message
        self.count = np.zeros(len(message.mask), dtype=np.float32)

    def reset(self, mask: np.ndarray) -> None:
        self.count[mask] = 0.0

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        self.count += 1.0
        return np.stack([self.count, observation.goal_b[:, 0], observation.depth_m[:, 0, 39, 63]], axis=1)


@contextmanager
def serving(make: servers.Make = Counting, contract: Contract = CONTRACT_OF_TESTS) -> Iterator[str]:
    with PolicyServer(contract, make, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server that reads a request and then does as it pleases."""

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                connection.recv(1 << 16)
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def says(body: bytes, status: int = 200) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.0 {status} Said\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return lambda connection: connection.sendall(head + body)


def observation(batch: int = BATCH) -> Observation[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = OBSERVATION_SHAPES.items()
    return from_inputs({name: random.random((batch, *shape), dtype=np.float32) for name, shape in shapes})


def begin(client: Client, mask: np.ndarray = EVERYWHERE) -> None:
    client.reset(mask, embodiment="tiago", seed=7)


def test_answers_are_those_of_the_policy_row_by_row() -> None:
    made = []
    seen = observation()
    with serving(lambda message: made.append(message) or Counting(message)) as url:
        client = Client(url)
        assert client.contract() == CONTRACT_OF_TESTS
        begin(client)
        client.act(seen)
        begin(client, np.asarray([False, True, False]))
        answer = client.act(seen)
    assert answer.dtype == np.float32
    np.testing.assert_array_equal(answer[:, 0], [2.0, 1.0, 2.0])
    np.testing.assert_array_equal(answer[:, 1:], np.stack([seen.goal_b[:, 0], seen.depth_m[:, 0, 39, 63]], axis=1))
    assert [(message.embodiment, message.seed, message.mask.tolist()) for message in made] == [("tiago", 7, [True] * 3)]


def test_two_evaluations_do_not_share_a_state() -> None:
    with serving() as url:
        first, second = Client(url), Client(url)
        begin(first)
        begin(second)
        assert first.act(observation())[0, 0] == 1.0
        assert first.act(observation())[0, 0] == 2.0
        assert second.act(observation())[0, 0] == 1.0


def test_states_that_nobody_uses_are_dropped_and_their_users_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "MAX_SESSIONS", 2)
    with serving() as url:
        clients = [Client(url) for _ in range(3)]
        for client in clients:
            begin(client)
        assert clients[2].act(observation())[0, 0] == 1.0
        with pytest.raises(ValueError, match=r"refused /act \(400\): unknown session; begin it with /reset"):
            clients[0].act(observation())


def test_nothing_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionError, match=rf"no policy server answers /contract at http://127\.0\.0\.1:{port}"):
        Client(f"http://127.0.0.1:{port}").contract()


def test_a_server_that_dies_in_the_middle_is_named() -> None:
    with serving() as url:
        client = Client(url)
        client.contract()
        begin(client)
    with pytest.raises(ConnectionError, match="no policy server answers /act"):
        client.act(observation())


def drip(connection: socket.socket) -> None:
    """Send a byte now and then: never silent, never done."""
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100):
        try:
            connection.sendall(b"x")
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("slowly", [lambda connection: time.sleep(2.0), drip], ids=["silent", "dripping"])
def test_a_slow_server_is_left_after_the_timeout(slowly: Callable[[socket.socket], None]) -> None:
    with answering(slowly) as url:
        began_s = time.monotonic()
        with pytest.raises(TimeoutError, match=r"did not answer /contract within 0\.3 s;.* --server-timeout-s"):
            Client(url, timeout_s=0.3).contract()
        assert time.monotonic() - began_s < 1.5


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            says(b'{"protocol": 2, "name": "a", "output": "command"}'),
            "protocol is 2; this version of crossbody speaks 1",
        ),
        (says(b'{"protocol": 1, "name": "../a", "output": "command"}'), "name is '../a'"),
        (says(b'{"protocol": 1, "name": "a", "output": "torque"}'), "output is 'torque'"),
        (says(b"<html>hello</html>"), "is no policy server .* the body is no JSON object"),
        (says(b"[1]"), "no JSON object"),
        (says(b"nothing here", status=404), r"refused /contract \(404\): nothing here"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"), "no policy server answers /contract"),
        (lambda connection: None, "no policy server answers /contract"),
    ],
)
def test_what_is_no_policy_server_is_said(answer: Callable[[socket.socket], None], message: str) -> None:
    with answering(answer) as url, pytest.raises((ValueError, ConnectionError), match=message):
        Client(url).contract()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((BATCH, 2)), r"'command' is float32 \(3, 2\), expected float32 \(3, 3\)"),
        (np.zeros((BATCH + 1, 3)), r"'command' is float32 \(4, 3\), expected float32 \(3, 3\)"),
        (ValueError("only for go2"), r"refused /act \(400\): only for go2"),
        (KeyError("weights"), r"refused /act \(500\): KeyError: 'weights'"),
    ],
)
def test_a_wrong_answer_is_named(answer: np.ndarray | Exception, message: str) -> None:
    class Wrong(Counting):
        def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
            if isinstance(answer, Exception):
                raise answer
            return answer

    with serving(Wrong) as url:
        client = Client(url)
        begin(client)
        with pytest.raises(ValueError, match=message):
            client.act(observation())


def test_an_answer_in_other_words_or_numbers_is_named() -> None:
    shapes = {"command": (3,)}
    with pytest.raises(ValueError, match="no array 'command', only: action"):
        decode_arrays(encode_arrays({"action": np.zeros((1, 3))}), shapes, batch=1)
    wide = encode_arrays({"command": np.zeros((1, 3))}).replace(b"F32", b"I32")
    with pytest.raises(ValueError, match=r"'command' is int32 \(1, 3\), expected float32 \(1, 3\)"):
        decode_arrays(wide, shapes, batch=1)
    for broken in (b"", b"0.1,0.2,0.3", encode_arrays({"command": np.zeros((1, 3))})[:-1]):
        with pytest.raises(ValueError, match="no safetensors message"):
            decode_arrays(broken, shapes, batch=1)


def test_nan_passes_through_in_its_row() -> None:
    class Ill(Counting):
        def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
            return np.asarray([[0.1, 0.0, 0.0], [np.nan, 0.0, 0.0], [0.0, 0.0, 0.2]])

    with serving(Ill) as url:
        client = Client(url)
        begin(client)
        assert np.isnan(client.act(observation())).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("path", "body", "session", "reason"),
    [
        (RESET, b'{"mask": [true], "embodiment": "tiago", "seed": 0}', "", "the header 'Session' is missing"),
        (RESET, b'{"mask": [1], "embodiment": "tiago", "seed": 0}', "a", "mask must be a list"),
        (RESET, b'{"mask": [true]}', "a", "embodiment must be a text"),
        (RESET, b'{"mask": [true, false], "embodiment": "tiago", "seed": 0}', "b", "unknown session"),
        (ACT, b"", "b", "unknown session"),
        ("/drive", b"", "a", "there is GET /contract"),
    ],
)
def test_a_server_refuses_what_it_does_not_understand(path: str, body: bytes, session: str, reason: str) -> None:
    with serving() as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5.0)
        connection.request("POST", path, body, {SESSION: session})
        response = connection.getresponse()
        assert response.status >= 400 and reason in json.loads(response.read())["error"]
        connection.close()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "https://127.0.0.1:8000", "http://127.0.0.1", "http://a:b", "http://a:1/x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"a policy server's address is like http://127\.0\.0\.1:8000"):
        Client(url)


def test_the_example_of_the_page_is_a_complete_server(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "policy_server.md").read_text(encoding="utf-8")
    (example,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if CONTRACT in block
    )
    assert len(example.splitlines()) <= 40
    file = tmp_path / "example.py"
    file.write_text(example)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(file), str(port)], cwd=tmp_path) as process:
        try:
            client = _when_up(f"http://127.0.0.1:{port}")
            seen = observation()
            seen.goal_b[:, :2] = [[3.0, 0.0], [0.0, 2.0], [0.1, 0.0]]
            begin(client)
            command = client.act(seen)
        finally:
            process.terminate()
    assert command[0, 0] > 0.0 and command[0, 2] == 0.0  # ahead: straight on
    assert command[1, 2] > 0.0  # to the left: turns left
    assert not command[2].any()  # there: stands


def test_the_page_names_every_array_with_its_shape() -> None:
    page = (ROOT / "docs" / "policy_server.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \| \(B, ([\d, ]+)\) \|", page, re.MULTILINE)
    assert {name: tuple(map(int, shape.split(", "))) for name, shape in named} == OBSERVATION_SHAPES


def _when_up(url: str) -> Client:
    deadline_s = time.monotonic() + 60.0
    while True:
        try:
            client = Client(url)
            client.contract()
            return client
        except ConnectionError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
