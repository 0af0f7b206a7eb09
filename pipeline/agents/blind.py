"""The generalist with its depth image zeroed: what it does without seeing."""

from pipeline.agents.agent import AgentInfo

AGENT = AgentInfo(
    label="the generalist with its depth image zeroed",
    kind="ablation",
    order=50,
    colour="#b98b5e",
    uses_depth=False,
    file="generalist.onnx",
)
