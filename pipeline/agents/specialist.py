"""The exported specialist: base policy and residual, trained on the robot that it drives."""

from pipeline.agents.agent import AgentInfo

AGENT = AgentInfo(
    label="the base policy with what reinforcement learning on this robot added",
    kind="learned",
    order=70,
    colour="#419d78",
    on_maps=True,
    file="specialist_{embodiment}.onnx",
)
