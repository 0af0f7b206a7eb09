"""Ids of policies behind policy servers: ``server:URL`` says where one is, ``server:NAME`` which one it is.

``--agents`` takes ``server:http://127.0.0.1:8000``. Tables, reports and files have ``server:NAME`` with the name that
the server gives its policy: results must not depend on a port.
"""

from export.policy_server.client import Client
from export.policy_server.messages import Contract

PREFIX = "server:"
_COLON_IN_FILES = "-"
"""No id of another agent has one: those are names of Python files"""


def is_server(agent: str) -> bool:
    """Return whether an agent's id means a policy behind a server."""
    return agent.startswith(PREFIX)


def url_of(agent: str) -> str:
    """Return the address in ``server:URL``."""
    return agent.removeprefix(PREFIX)


def served(agent: str, *, timeout_s: float) -> Contract:
    """Ask the server of ``server:URL`` what it serves.

    Raises:
        ConnectionError: If no server answers there.
        TimeoutError: If it takes too long.
        ValueError: If it is no policy server for this version.
    """
    return Client(url_of(agent), timeout_s=timeout_s).contract()


def result_id(contract: Contract) -> str:
    """Return the id of a served policy in results: ``server:NAME``."""
    return PREFIX + contract.name


def in_file_names(agent: str) -> str:
    """Return an agent's id as a part of a file name on every system."""
    return agent.replace(":", _COLON_IN_FILES)
