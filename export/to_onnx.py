"""From torch to one ONNX file of standard operators: float32, dynamic batch, no external data."""

import onnx

from export import template
from export.graph import INPUT_NAMES, PolicyGraph
from export.template import OPSET

MAX_BYTES = 20_000_000


def to_onnx(graph: PolicyGraph) -> onnx.ModelProto:
    """Export a policy and check the result.

    Raises:
        RuntimeError: If the exporter made something else than what the contract promises.
    """
    model = template.filled(graph)
    _check(model, graph)
    return model


def _check(model: onnx.ModelProto, graph: PolicyGraph) -> None:
    onnx.checker.check_model(model, full_check=True)
    found = tuple(value.name for value in model.graph.input), tuple(value.name for value in model.graph.output)
    if found != (INPUT_NAMES, graph.output_names):
        raise RuntimeError(f"exported inputs and outputs are {found}, expected {(INPUT_NAMES, graph.output_names)}")
    for value in (*model.graph.input, *model.graph.output):
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.HasField("dim_param"):
            raise RuntimeError(f"the batch axis of '{value.name}' became {batch.dim_value}, expected a dynamic one")
    domains = {entry.domain for entry in model.opset_import} - {"", "ai.onnx"}
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if domains or version > OPSET or model.functions:
        raise RuntimeError(f"exported with opset {version} and domains {domains}, expected at most {OPSET} and none")
    if model.ByteSize() > MAX_BYTES:
        raise RuntimeError(
            f"exported model has {model.ByteSize() / 1e6:.1f} MB, at most {MAX_BYTES / 1e6:.0f} are allowed"
        )
