"""Serve an exported policy over local HTTP, for ``evaluate_policy --agents server:URL``; also an example of a server.

Other policies are served by whoever has them: docs/policy_server.md. (``serve_robot`` serves a simulated robot.)
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is served, and where."""

    policy: Path
    """Exported file"""
    port: int = 8000
    """0 chooses a free one; the first line of output says which"""
    host: str = "127.0.0.1"
    """Address to listen at. Whoever reaches it may use it: other machines only in a network that you trust"""
    name: str = ""
    """In tables, as server:NAME; by default that of the file"""


def main(config: Config) -> None:
    """Serve until interrupted.

    Raises:
        ValueError: If the file is damaged or foreign, or the name is not allowed.
        FileNotFoundError: If there is no such file.
        OSError: If the port is taken.
    """
    from export.policy_server import exported
    from export.policy_server.messages import Contract
    from export.policy_server.server import PolicyServer
    from export.runtime import policy as runtime

    if not 0 <= config.port < 1 << 16:
        raise ValueError(f"option --port is {config.port}; it must be 0 to 65535")
    policy = runtime.load(config.policy)
    contract = Contract(name=config.name or config.policy.stem, output="command", revision=policy.sha256)
    make = exported.sessions_of(policy, where=str(config.policy))
    with PolicyServer(contract, make, host=config.host, port=config.port) as server:
        print(f"serving {contract.name} at {server.url}; evaluate_policy --agents server:{server.url}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # how a server ends
            print("stopped")


COMMAND = Command(config=Config, main=main)
