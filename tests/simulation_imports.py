"""What a simulating process imports; nothing is built, so that processes can be forked from here."""

from pipeline.evaluation.episodes import runner  # noqa: F401
from pipeline.simulation.navigation import base_policy_environment  # noqa: F401
from pipeline.simulation.physics.genesis_scene import _imported

_imported()
