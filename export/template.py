"""The graph of a policy, traced once for all policies of one architecture; weights are filled in afterwards.

Tracing is what an export takes long for. It happens in two parts: the base policy's step, which is nearly all of a
graph and the same for base policy, specialists and generalist, and the answer, which differs by head.
"""

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import onnx
import onnx_ir
import onnx_ir.passes.common as passes
import torch
from onnx import numpy_helper
from onnxscript.optimizer import fold_constants
from torch import Tensor, nn

from distill.generalist import Generalist
from embodiments.observation import Observation
from export.graph import STATE_OUTPUT, VALUE, PolicyGraph, answer, example_inputs, output_names
from export.kept_traces import kept
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.base_policy import BasePolicy
from world_model.config import WorldModelConfig
from world_model.residual_head import Critic, CriticConfig, ResidualHead
from world_model.rssm import WorldModel

OPSET = 18
"""The lowest that the operators need: ScatterElements with reduction "max" came with it."""
IR_VERSION = 8
"""The lowest that may hold this opset."""
_Head = tuple[type[ResidualHead | Generalist], Any]
"""Class and configuration of a head."""
_STEP_OUTPUTS = ("base_action", "features", STATE_OUTPUT)
_ANSWER_INPUTS = (*_STEP_OUTPUTS[:2], "previous_command", "embodiment")
_WEIGHTS = ("head.", "critic.")
"""The parts of the answer's weights' names."""
_ANSWER = "answer/"
"""Before the names of values and operators in the second part."""


def filled(graph: PolicyGraph) -> onnx.ModelProto:
    """Return the graph of a policy with its weights.

    The first policy of an architecture takes most of a minute, further ones a moment (``kept_traces``).

    Raises:
        RuntimeError: If the exporter did not keep a weight that it had traced.
    """
    head = None if graph.head is None else (type(graph.head), graph.head.config)
    critic = None if graph.critic is None else graph.critic.config
    model = onnx.ModelProto()
    model.CopyFrom(_template(graph.world_model.config, graph.base_head.config, head, critic))
    weights = graph.state_dict()
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            value = numpy_helper.from_array(weights[initializer.name].numpy())
            if (value.data_type, value.dims) != (initializer.data_type, initializer.dims):
                raise RuntimeError(f"'{initializer.name}' was traced with another type or shape than it has")
            initializer.raw_data = value.raw_data
    return model


@functools.cache
def _template(
    world_model: WorldModelConfig,
    base_head: BaseHeadConfig,
    head: _Head | None,
    critic: CriticConfig | None,
) -> onnx.ModelProto:
    """Return the graph of an architecture; its weights are noise."""
    size = BasePolicy(world_model=WorldModel(world_model), head=BaseHead(base_head)).feature_size
    joined = _joined(_step(world_model, base_head), _answer(head, critic, size))
    model = onnx_ir.from_proto(joined)
    # What the answer does not use, and what both parts hold. Noise is never equal, so that no weights become one.
    for simplify in (
        passes.RemoveUnusedNodesPass(),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.OutputFixPass(),
    ):
        simplify(model)
    made = onnx_ir.to_proto(model)
    made.ir_version = IR_VERSION
    _strip(made)
    return made


class _Step(nn.Module):
    """The base policy's step; its attributes are named as those of ``PolicyGraph``, and so are its weights."""

    def __init__(self, world_model: WorldModelConfig, base_head: BaseHeadConfig) -> None:
        super().__init__()
        self.world_model = WorldModel(world_model)
        self.base_head = BaseHead(base_head)

    def forward(
        self,
        depth_m: Tensor,
        velocity_b: Tensor,
        previous_command: Tensor,
        route_xy_b_m: Tensor,
        goal_b: Tensor,
        embodiment: Tensor,
        state_input: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return base action, features and state."""
        observation = Observation(
            depth_m=depth_m,
            velocity_b=velocity_b,
            previous_command=previous_command,
            route_xy_b_m=route_xy_b_m,
            goal_b=goal_b,
            descriptor=embodiment,
        )
        return BasePolicy(world_model=self.world_model, head=self.base_head).step(observation, state_input)


class _Answer(nn.Module):
    """What makes a command of the base policy's step."""

    def __init__(self, head: _Head | None, critic: CriticConfig | None) -> None:
        super().__init__()
        self.head = None if head is None else head[0](head[1])
        self.critic = None if critic is None else Critic(critic)

    def forward(
        self, base_action: Tensor, features: Tensor, previous_command: Tensor, embodiment: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the command and, with a critic, the value."""
        return answer(self.head, self.critic, base_action, features, previous_command, embodiment)[1:]


@functools.cache
def _step(world_model: WorldModelConfig, base_head: BaseHeadConfig) -> onnx.ModelProto:
    def trace() -> onnx.ModelProto:
        with _noisy():
            part = _Step(world_model, base_head)
        return _traced(part, example_inputs(part.world_model.state_size, batch=4), _STEP_OUTPUTS)

    return kept(f"step {world_model} {base_head}", trace)


@functools.cache
def _answer(head: _Head | None, critic: CriticConfig | None, feature_size: int) -> onnx.ModelProto:
    with _noisy():
        part = _Answer(head, critic)
    known = example_inputs(1, batch=4)
    inputs = {"base_action": torch.zeros(4, 3), "features": torch.zeros(4, feature_size)}
    inputs |= {name: known[name] for name in _ANSWER_INPUTS[2:]}
    names = [name for name in output_names(value=critic is not None) if name != STATE_OUTPUT]
    return _traced(part, inputs, names)


@contextlib.contextmanager
def _noisy() -> Iterator[None]:
    """Leave the caller's random numbers alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _traced(part: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    """Return the graph of one part, with noise as weights."""
    part = part.eval()
    weights = dict(part.named_parameters())
    with torch.no_grad(), _noisy():
        for value in weights.values():
            value.normal_()
    batch = torch.export.Dim("batch", min=1)
    # The exporter prints its steps and warns about its own internals; neither is news for whoever runs a stage.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            part,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes={name: {0: batch} for name in inputs},
            external_data=False,
            optimize=False,
            verbose=False,
        )
        assert program is not None
        _simplify(program.model, weights=frozenset(weights))
    return program.model_proto


def _simplify(model: onnx_ir.Model, *, weights: Collection[str]) -> None:
    """Fold constants and remove what is unused or there twice, in place.

    The exporter's own optimiser also tries to fuse patterns, which takes two thirds of an export. It finds few here,
    and ONNX Runtime fuses again when it loads a file.
    """

    def keeps_weights(node: onnx_ir.Node) -> bool | None:
        """Refuse to fold what depends on a weight; None leaves the rest to the usual rules."""
        return False if any(value is not None and value.name in weights for value in node.inputs) else None

    fold_constants(model, onnx_shape_inference=True, should_fold=keeps_weights)
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


def _joined(step: onnx.ModelProto, answered: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph of both parts: the first's inputs, the command, the state, and the value if there is one."""
    model = onnx.ModelProto()
    model.CopyFrom(step)
    whole, second = model.graph, answered.graph
    kept = {value.name for value in (*second.input, *second.output)}
    kept |= {initializer.name for initializer in second.initializer if initializer.name.startswith(_WEIGHTS)}
    rename = lambda name: name if name in kept or not name else _ANSWER + name  # noqa: E731
    state = next(value for value in whole.output if value.name == STATE_OUTPUT)
    outputs = {value.name: value for value in (state, *second.output)}
    names = output_names(value=VALUE in outputs)
    del whole.output[:]
    whole.output.extend(outputs[name] for name in names)
    for node in second.node:
        added = whole.node.add()
        added.CopyFrom(node)
        added.name = _ANSWER + node.name
        added.input[:] = map(rename, node.input)
        added.output[:] = map(rename, node.output)
    for value in (*second.initializer, *second.value_info):
        collection = whole.initializer if isinstance(value, onnx.TensorProto) else whole.value_info
        entry = collection.add()
        entry.CopyFrom(value)
        entry.name = rename(value.name)
    return model
