"""From torch to one ONNX file of standard operators: float32, dynamic batch, no external data."""

import contextlib
import io
import logging
import warnings

import onnx
import onnx_ir
import onnx_ir.passes.common as passes
import torch
from onnxscript.optimizer import fold_constants

from export.graph import INPUT_NAMES, PolicyGraph, example_inputs

OPSET = 18
"""The lowest that the operators need: ScatterElements with reduction "max" came with it."""
IR_VERSION = 8
"""The lowest that may hold this opset."""
MAX_BYTES = 20_000_000


def to_onnx(graph: PolicyGraph) -> onnx.ModelProto:
    """Export a policy and check the result.

    Raises:
        RuntimeError: If the exporter made something else than what the contract promises.
    """
    graph = graph.eval()
    inputs = example_inputs(graph.state_size, batch=4)
    batch = torch.export.Dim("batch", min=1)
    # The exporter prints its steps and warns about its own internals; neither is news for whoever runs a stage.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            tuple(inputs[name] for name in INPUT_NAMES),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUT_NAMES),
            output_names=list(graph.output_names),
            dynamic_shapes={name: {0: batch} for name in INPUT_NAMES},
            external_data=False,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        _simplify(program.model)
    model = program.model_proto
    model.ir_version = IR_VERSION
    _strip(model)
    _check(model, graph)
    return model


def _simplify(model: onnx_ir.Model) -> None:
    """Fold constants and remove what is unused or there twice, in place.

    The exporter's own optimiser also tries to fuse patterns, which takes two thirds of an export. It finds few here,
    and ONNX Runtime fuses again when it loads a file.
    """
    fold_constants(model, onnx_shape_inference=True)
    for simplify in (
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.LiftSubgraphInitializersToMainGraphPass(),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    ):
        simplify(model)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for debugging: stack traces with paths of the exporting machine."""
    del model.metadata_props[:]
    model.doc_string = ""
    graphs = [model.graph]
    holders = [*model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        holders += [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
        graphs += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    for holder in holders:
        holder.doc_string = ""
        del holder.metadata_props[:]


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
