"""A policy file's form: ours passes, and what reaches beyond the file or is malformed is refused before onnxruntime."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper

from export.runtime import model_file, policy
from export.runtime.contract import HASH_KEY, seal
from export.template import OPSET

PRETRAINED = Path(__file__).parents[2] / "export" / "pretrained" / "generalist.onnx"


def graph(*nodes: onnx.NodeProto, name: str = "g") -> onnx.GraphProto:
    """Return a graph from x to y."""
    x, y = (helper.make_tensor_value_info(key, TensorProto.FLOAT, ["batch", 3]) for key in ("x", "y"))
    return helper.make_graph([*nodes], name, [x], [y])


def small() -> onnx.ModelProto:
    """Return a model with initializers of all storages, a sparse one, several attributes and a graph in a graph."""
    branch = graph(helper.make_node("Identity", ["x"], ["y"]), name="branch")
    constant = helper.make_tensor("c", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("Constant", [], ["half"], value=constant),
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1]),
        helper.make_node("Elu", ["t"], ["e"], alpha=0.5, domain="ai.onnx"),
        helper.make_node("If", ["so"], ["y"], then_branch=branch, else_branch=branch),
    ]
    body = graph(*nodes)
    body.initializer.extend(
        [
            onnx.numpy_helper.from_array(np.ones((2, 3), np.float32), "raw"),
            helper.make_tensor("so", TensorProto.BOOL, [], [True]),
            helper.make_tensor("typed_float", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0]),
            helper.make_tensor("typed_long", TensorProto.INT64, [3], [-1, 0, 1 << 40]),
            helper.make_tensor("typed_double", TensorProto.DOUBLE, [1], [2.0]),
            helper.make_tensor("empty", TensorProto.INT64, [0], []),
        ]
    )
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("where", TensorProto.INT64, [1], [2])
    body.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    helper.set_model_props(model, {"nav.agent": "generalist"})
    return model


def hide(model: onnx.ModelProto, node: onnx.NodeProto, depth: int) -> None:
    """Put a node into the first of ``depth`` graphs within graphs."""
    for _ in range(depth):
        branch = graph(node, name="branch")
        node = helper.make_node("If", ["so"], ["y"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)


def external(tensor: onnx.TensorProto, location: str = "../x") -> None:
    """Point a tensor at another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


FOREIGN = helper.make_node("Boom", ["x"], ["y"], domain="evil")


def external_initializer(model: onnx.ModelProto) -> None:
    external(model.graph.initializer[0])


def external_attribute(model: onnx.ModelProto) -> None:
    external(model.graph.node[0].attribute[0].t, "/etc/passwd")


def external_attribute_list(model: onnx.ModelProto) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32))
    external(tensor)
    attribute = model.graph.node[0].attribute.add(name="list", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(tensor)


def external_sparse(model: onnx.ModelProto) -> None:
    external(model.graph.sparse_initializer[0].values)


def external_without_a_location(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def foreign_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(FOREIGN)


def foreign_node_in_a_graph(model: onnx.ModelProto) -> None:
    hide(model, FOREIGN, 3)


def foreign_node_in_a_list_of_graphs(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add(name="list", type=onnx.AttributeProto.GRAPHS)
    attribute.graphs.append(graph(FOREIGN))


def extension_of_onnxruntime(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft"))


def foreign_opset(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil", 1))


def foreign_function(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", OPSET)]
    model.functions.append(helper.make_function("evil", "Boom", ["x"], ["y"], [FOREIGN], opsets))


def own_function(model: onnx.ModelProto) -> None:
    node, opsets = helper.make_node("Relu", ["x"], ["y"]), [helper.make_opsetid("", OPSET)]
    model.functions.append(helper.make_function("", "Mine", ["x"], ["y"], [node], opsets))


def huge_dims(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def negative_dims(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-2, -3]


def many_dims(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2, 3] + [1] * 100


def dims_beyond_the_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2, 4]


def dims_beyond_the_typed_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[3].dims[:] = [4]


def dims_without_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].ClearField("raw_data")


def data_of_another_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].data_type = TensorProto.INT64


def data_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.extend([1.0] * 6)


def huge_sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer[0].dims[:] = [1 << 26]


def texts(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"x"]))


def newer_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = model_file.MAX_OPSET + 1


def negative_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = -1


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(graph())


def too_deep(model: onnx.ModelProto) -> None:
    hide(model, helper.make_node("Relu", ["x"], ["y"]), 12)


def devices(model: onnx.ModelProto) -> None:
    model.configuration.add(name="gpu")


def ort_format(model: onnx.ModelProto) -> None:
    model.producer_name = "ORTM"


BAD: list[tuple[Callable[[onnx.ModelProto], None], str]] = [
    (external_initializer, "another file"),
    (external_attribute, "another file"),
    (external_attribute_list, "another file"),
    (external_sparse, "another file"),
    (external_without_a_location, "another file"),
    (foreign_node, "operator 'Boom' of the foreign domain 'evil'"),
    (foreign_node_in_a_graph, "operator 'Boom' of the foreign domain 'evil'"),
    (foreign_node_in_a_list_of_graphs, "operator 'Boom' of the foreign domain 'evil'"),
    (extension_of_onnxruntime, "foreign domain 'com.microsoft'"),
    (foreign_opset, "operator set 'evil'"),
    (foreign_function, "functions of its own"),
    (own_function, "functions of its own"),
    (huge_dims, "'raw', whose declared size"),
    (negative_dims, "'raw', whose declared size"),
    (many_dims, "'raw', whose declared size"),
    (dims_beyond_the_data, "'raw', whose declared size"),
    (dims_beyond_the_typed_data, "'typed_long', whose declared size"),
    (dims_without_data, "'raw', whose declared size"),
    (data_of_another_type, "'typed_float', whose declared size"),
    (data_twice, "'raw', whose declared size"),
    (huge_sparse, "sparse tensor"),
    (texts, "tensor of texts"),
    (newer_opset, "operator set version 21, expected 1 to 20"),
    (negative_opset, "operator set version"),
    (no_opset, "no operator set"),
    (no_graph, "no graph"),
    (training, "training information"),
    (too_deep, "nests more than"),
    (devices, "field 26 of ModelProto"),
    (ort_format, "ORT format"),
]


def messages(message: Message) -> Iterator[Message]:
    """Yield a message and all those within, as the ``onnx`` package reads them."""
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for child in [value] if isinstance(value, Message) else value:
                yield from messages(child)


def require_harmless(data: bytes) -> None:
    """Fail if data that passed the check reaches beyond the file in the eyes of another parser."""
    try:
        model = onnx.load_from_string(data)
    except DecodeError:
        return
    assert not model.functions and not model.training_info
    for message in messages(model):
        if isinstance(message, onnx.TensorProto):
            assert message.data_location == TensorProto.DEFAULT and not message.external_data
        if isinstance(message, (onnx.NodeProto, onnx.OperatorSetIdProto)):
            assert message.domain in ("", "ai.onnx")


def passes(data: bytes) -> bool:
    """Say whether the check lets data through; it may raise nothing else than a ``ValueError`` of one line."""
    try:
        model_file.check(data, where="x.onnx")
    except ValueError as problem:
        text = str(problem)
    else:
        return True
    assert text.startswith("x.onnx ") and "\n" not in text
    assert "copy it again" in text or "export it again" in text
    return False


def test_our_policy_passes_in_a_third_of_the_time_that_opening_it_takes() -> None:
    data = PRETRAINED.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def check() -> None:
        model_file.check(data, where=str(PRETRAINED))

    def open_file() -> None:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    assert least_seconds(check) < least_seconds(open_file) / 3.0


def least_seconds(call: Callable[[], None]) -> float:
    """Return the processor time of the fastest of three calls [s]."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def test_a_small_model_of_standard_operators_passes() -> None:
    assert passes(small().SerializeToString())
    assert OPSET <= model_file.MAX_OPSET


@pytest.mark.parametrize(("change", "message"), BAD, ids=[change.__name__ for change, _ in BAD])
def test_what_reaches_beyond_the_file_is_refused(change: Callable[[onnx.ModelProto], None], message: str) -> None:
    model = small()
    change(model)
    data = model.SerializeToString()
    with pytest.raises(ValueError, match=message):
        model_file.check(data, where="x.onnx")
    assert not passes(data)


def test_field_numbers_are_those_of_onnx() -> None:
    scalars = {
        "int": {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64}
        | {FieldDescriptor.TYPE_ENUM},
        "bytes": {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES},
        "fixed32": {FieldDescriptor.TYPE_FLOAT},
        "fixed64": {FieldDescriptor.TYPE_DOUBLE},
    }
    for name, layout in model_file.LAYOUT.items():
        descriptor = descriptor_of(name)
        for number, held in layout.items():
            field = descriptor.fields_by_number[number]
            assert field.is_repeated == held.endswith("*"), (name, field.name)
            kind = held.rstrip("*")
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                assert field.message_type.full_name == f"onnx.{kind}", (name, field.name)
            else:
                assert field.type in scalars[kind], (name, field.name)


def descriptor_of(name: str) -> Descriptor:
    """Return ``onnx``'s own description of a message such as ``TypeProto.Tensor``."""
    outer, *inner = name.split(".")
    descriptor: Descriptor = getattr(onnx, outer).DESCRIPTOR
    for part in inner:
        descriptor = descriptor.nested_types_by_name[part]
    return descriptor


def test_every_truncation_is_refused_or_harmless() -> None:
    data = small().SerializeToString()
    assert not passes(b"")
    passed = [size for size in range(len(data)) if passes(data[:size])]
    assert len(passed) <= 2  # between two entries at the very end
    for size in passed:
        require_harmless(data[:size])


def test_flipped_bytes_raise_nothing_else_and_let_nothing_through() -> None:
    data, rng = small().SerializeToString(), np.random.default_rng(0)
    refused = 0
    for place, value in zip(rng.integers(len(data), size=2000), rng.integers(1, 256, size=2000), strict=True):
        damaged = bytearray(data)
        damaged[place] ^= int(value)
        if passes(bytes(damaged)):
            require_harmless(bytes(damaged))
        else:
            refused += 1
    assert refused > 500


def test_noise_raises_nothing_else() -> None:
    rng = np.random.default_rng(1)
    for size in rng.integers(200, size=500):
        assert not passes(rng.bytes(int(size)))


@pytest.mark.parametrize(
    "end",
    [
        b"\x08\x01",  # ir_version a second time
        b"\x3a\x00",  # graph a second time: parsers merge the two
        b"\x0d\x00\x00\x00\x00",  # ir_version as four bytes
        b"\x3b\x3c",  # a group
        b"\x00\x00",  # field 0
        b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2**64 - 1
        b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # more than 64 bits
        b"\x72" + b"\x80" * 11 + b"\x00",  # a length without an end
        b"\xf2\x80\x00\x7f",  # a tag of three bytes
        b"\xa2\x1f\x00",  # field 500
    ],
)
def test_malformed_fields_are_refused(end: bytes) -> None:
    assert not passes(small().SerializeToString() + end)


def test_dims_may_come_packed() -> None:
    tensor = b"\x0a\x02\x02\x03\x10\x01\x4a\x18" + bytes(24)  # dims [2, 3], float32, raw data
    model = helper.make_model(graph(), opset_imports=[helper.make_opsetid("", OPSET)])
    model.graph.initializer.add().ParseFromString(tensor)
    assert list(model.graph.initializer[0].dims) == [2, 3]
    rest = onnx.ModelProto(opset_import=model.opset_import).SerializeToString()
    for size, expected in ((3, True), (4, False)):
        packed = tensor.replace(b"\x02\x03", bytes([2, size]), 1)
        held = b"\x2a" + bytes([len(packed)]) + packed
        assert passes(b"\x3a" + bytes([len(held)]) + held + rest) == expected


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = small().SerializeToString()
    monkeypatch.setattr(model_file, "MAX_FIELDS", 20)
    with pytest.raises(ValueError, match="more than 20 fields"):
        model_file.check(data, where="x.onnx")
    monkeypatch.setattr(model_file, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"x\.onnx has \d+ bytes, at most 100"):
        model_file.check(data, where="x.onnx")


@pytest.mark.parametrize("change", [foreign_node, external_initializer, foreign_opset, ort_format])
def test_a_well_sealed_foreign_file_never_reaches_onnxruntime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.ModelProto], None]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("onnxruntime saw a foreign file")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    model = onnx.load(PRETRAINED)
    change(model)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, entries | {HASH_KEY: "0" * 64})
    path = tmp_path / "x.onnx"
    path.write_bytes(seal(model.SerializeToString()))
    with pytest.raises(ValueError, match=r"x\.onnx (uses|holds|imports|is marked as).*export it again"):
        policy.load(path)
    monkeypatch.undo()
    path.write_bytes(PRETRAINED.read_bytes())
    assert policy.load(path).agent == "generalist"
