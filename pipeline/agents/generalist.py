"""The exported generalist: one policy for all robots."""

from pipeline.agents.agent import AgentInfo

AGENT = AgentInfo(
    label="one policy for all robots, distilled from the specialists",
    kind="learned",
    order=80,
    colour="#2b59c3",
    on_maps=True,
    file="generalist.onnx",
)
