"""As ``anticipating``, and slower where a network has learned that a collision is near.

The network's weights lie beside the shipped policies; ``record_drives`` and ``train_collision_risk`` made them.
"""

from functools import partial

from pipeline.agents.agent import AgentInfo
from pipeline.agents.anticipating import AnticipatingAgent

AGENT = AgentInfo(
    label="planner on a map that a network completes, slower where another one expects a collision",
    kind="learned",
    order=47,
    colour="#2f7f7f",
    by_default=False,
    make=partial(AnticipatingAgent, slows=True),
)
