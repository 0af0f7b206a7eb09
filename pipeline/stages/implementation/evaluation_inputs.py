"""Files that a user gives to an evaluation, checked before torch and the simulator are loaded for it."""

from pathlib import Path

from export.runtime import policy
from pipeline.stages.evaluate_policy import Config
from scenes import mesh_file, registry


def check(config: Config) -> None:
    """Read the policy and the meshes; maps are read anyway, to tell whether they have changed.

    Raises:
        ValueError: If one of them is damaged, or not what it should be.
        FileNotFoundError: If one does not exist.
    """
    if config.policy is not None:
        policy.load(config.policy)
    for scene in config.scenes:
        if Path(scene).suffix.lower() in mesh_file.SUFFIXES:
            registry.load(scene, options=registry.file_options(config))
