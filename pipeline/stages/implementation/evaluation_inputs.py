"""Files and servers that a user gives to an evaluation, checked before torch and the simulator are loaded for it."""

from dataclasses import asdict
from pathlib import Path

from export.runtime import policy
from export.runtime.viewing import rerun_viewer
from pipeline.agents import server_ids
from pipeline.runs import manifest
from pipeline.stages.evaluate_policy import Config
from scenes import mesh_file, registry


def check(config: Config) -> None:
    """Read the policy and the meshes; maps are read anyway, to tell whether they have changed.

    Raises:
        ValueError: If one of them is damaged, or not what it should be, or a view is asked for that cannot be.
        FileNotFoundError: If one does not exist.
    """
    if config.view:
        rerun_viewer.target(config.view)
    if config.policy is not None:
        policy.load(config.policy)
    for scene in config.scenes:
        if Path(scene).suffix.lower() in mesh_file.SUFFIXES:
            registry.load(scene, options=registry.file_options(config))


def served_policies(config: Config) -> dict[str, str]:
    """Return ``server:URL`` -> hash of what that server says about its policy.

    Raises:
        ValueError: If it is no policy server for this version.
        OSError: If none answers.
    """
    asked = [agent for agent in config.agents if server_ids.is_server(agent)]
    said = {agent: server_ids.served(agent, timeout_s=config.server_timeout_s) for agent in asked}
    return {agent: manifest.hash_of(asdict(contract)) for agent, contract in said.items()}
