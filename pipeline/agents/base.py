"""The exported base policy: world model and command head, trained on one robot."""

from pipeline.agents.agent import AgentInfo

AGENT = AgentInfo(
    label="the base policy, learned on one robot",
    kind="learned",
    order=60,
    colour="#e0a458",
    line_style="--",
    on_maps=True,
    file="base.onnx",
)
