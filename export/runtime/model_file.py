"""What a policy file may hold, checked on its raw bytes: no other file, no foreign operator, no absurd size.

An ONNX file is one protobuf message, ``ModelProto``. Of all its fields only those in ``LAYOUT`` are let through; a
field that is not there is refused, not skipped, because a newer onnxruntime could give it a meaning. Payloads are
stepped over, never copied.
"""

import math
from collections.abc import Mapping

import numpy as np

MAX_BYTES = 64 * 2**20
"""Of a file, and of any one tensor unpacked."""
MAX_OPSET = 20
MAX_DEPTH = 24
"""Messages within messages; a graph within a graph takes three of them."""
MAX_FIELDS = 1_000_000
"""In a whole file; a policy has some thousands."""
MAX_RANK = 16

LAYOUT: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {
        1: "int",
        2: "bytes",
        3: "bytes",
        4: "bytes",
        5: "int",
        6: "bytes",
        7: "GraphProto",
        8: "OperatorSetIdProto*",
        14: "StringStringEntryProto*",
    },
    "OperatorSetIdProto": {1: "bytes", 2: "int"},
    "StringStringEntryProto": {1: "bytes", 2: "bytes"},
    "GraphProto": {
        1: "NodeProto*",
        2: "bytes",
        5: "TensorProto*",
        10: "bytes",
        11: "ValueInfoProto*",
        12: "ValueInfoProto*",
        13: "ValueInfoProto*",
        15: "SparseTensorProto*",
        16: "StringStringEntryProto*",
    },
    "NodeProto": {
        1: "bytes*",
        2: "bytes*",
        3: "bytes",
        4: "bytes",
        5: "AttributeProto*",
        6: "bytes",
        7: "bytes",
        8: "bytes",
        9: "StringStringEntryProto*",
    },
    "AttributeProto": {
        1: "bytes",
        2: "fixed32",
        3: "int",
        4: "bytes",
        5: "TensorProto",
        6: "GraphProto",
        7: "fixed32*",
        8: "int*",
        9: "bytes*",
        10: "TensorProto*",
        11: "GraphProto*",
        13: "bytes",
        20: "int",
        22: "SparseTensorProto",
        23: "SparseTensorProto*",
    },
    "TensorProto": {
        1: "int*",
        2: "int",
        4: "fixed32*",
        5: "int*",
        7: "int*",
        8: "bytes",
        9: "bytes",
        10: "fixed64*",
        11: "int*",
        12: "bytes",
        14: "int",
        16: "StringStringEntryProto*",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto", 3: "int*"},
    "ValueInfoProto": {1: "bytes", 2: "TypeProto", 3: "bytes", 4: "StringStringEntryProto*"},
    "TypeProto": {1: "TypeProto.Tensor", 6: "bytes"},
    "TypeProto.Tensor": {1: "int", 2: "TensorShapeProto"},
    "TensorShapeProto": {1: "TensorShapeProto.Dimension*"},
    "TensorShapeProto.Dimension": {1: "int", 2: "bytes", 3: "bytes"},
}
"""Message -> field number of the public ``onnx.proto`` -> what it holds; ``*`` if it may be repeated."""

_FORBIDDEN = {
    ("ModelProto", 20): "training information",
    ("ModelProto", 25): "functions of its own",
    ("TensorProto", 3): "a tensor in segments",
    ("TensorProto", 6): "a tensor of texts",
    ("TensorProto", 13): "a tensor in another file (external data)",
}
_DOMAINS = (b"", b"ai.onnx")
_AGAIN = "export it again with the stage export_policy"

_RAW_DATA = 9
# data_type -> bytes of an element, the field that holds it when not raw
_TYPES = {
    1: (4, 4),  # float32
    2: (1, 5),  # uint8
    3: (1, 5),  # int8
    4: (2, 5),  # uint16
    5: (2, 5),  # int16
    6: (4, 5),  # int32
    7: (8, 7),  # int64
    9: (1, 5),  # bool
    10: (2, 5),  # float16
    11: (8, 10),  # float64
    12: (4, 11),  # uint32
    13: (8, 11),  # uint64
    16: (2, 5),  # bfloat16
}
_STORES = {_RAW_DATA} | {field for _, field in _TYPES.values()}

_VARINT, _LENGTH = 0, 2  # wire types
_WIDTHS = {1: 8, 5: 4}  # wire type -> bytes
_WIRES = {"int": _VARINT, "fixed64": 1, "fixed32": 5}

Span = tuple[int, int]
Fields = dict[int, list[Span]]


def check(data: bytes, *, where: str) -> None:
    """Refuse a model file that an exported policy cannot be. Says nothing about whether the policy is any good.

    Args:
        data: The whole file.
        where: What to call it in an error.

    Raises:
        ValueError: If it is too large, truncated or malformed, refers to another file, brings operators, functions or
            an operator set other than those of ONNX up to version 20, or a tensor's size disagrees with its data.
    """
    try:
        _check_model(data)
    except ValueError as problem:
        raise ValueError(f"{where} {problem}") from None


def _check_model(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise ValueError(f"has {len(data)} bytes, at most {MAX_BYTES} are allowed; {_AGAIN}")
    if data[4:8] == b"ORTM":  # onnxruntime would take it for its own format, however well it reads as ONNX
        raise ValueError(f"is marked as a file in ORT format, expected ONNX; {_AGAIN}")
    reader = _Reader(data)
    waiting = [("ModelProto", (0, len(data)), 1)]
    while waiting:
        message, span, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nests more than {MAX_DEPTH} messages; {_AGAIN}")
        fields = reader.fields(message, span)
        if message in _CHECKS:
            _CHECKS[message](reader, fields)
        for number, spans in fields.items():
            held = LAYOUT[message][number].rstrip("*")
            if held in LAYOUT:
                waiting += [(held, span, depth + 1) for span in spans]


class _Reader:
    """Finds the fields of protobuf messages in a file; a field is known by the span of its payload."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._fields_left = MAX_FIELDS

    def fields(self, message: str, span: Span) -> Fields:
        """Return field number -> payloads of one message."""
        (at, end), kinds = span, _KINDS[message]
        found: Fields = {}
        while at < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ValueError(f"has more than {MAX_FIELDS} fields; {_AGAIN}")
            tag, start = self._varint(at, end)
            if tag not in kinds:
                raise _unexpected(message, tag, at)
            number = tag >> 3
            start, stop = self._payload(tag & 7, start, end)
            if number not in found:
                found[number] = [(start, stop)]
            elif kinds[tag]:
                found[number].append((start, stop))
            else:
                raise _unexpected(message, tag, at)
            at = stop
        return found

    def text(self, spans: list[Span] | None) -> bytes:
        """Return a field's bytes, at most the first 40; empty if it is missing."""
        start, end = spans[0] if spans else (0, 0)
        return self.data[start : min(end, start + 40)]

    def integer(self, spans: list[Span] | None) -> int:
        """Return a single field's value, unsigned; 0 if it is missing."""
        return self._varint(*spans[0])[0] if spans else 0

    def integers(self, spans: list[Span], *, most: int) -> list[int] | None:
        """Return a repeated field's values, packed or not, unsigned; None if they are more than ``most``."""
        values: list[int] = []
        for at, end in spans:
            while at < end:
                if len(values) == most:
                    return None
                value, at = self._varint(at, end)
                values.append(value)
        return values

    def count(self, held: str, spans: list[Span]) -> int:
        """Return how many numbers a repeated field holds, packed or not."""
        return sum(self._count(held, *span) for span in spans)

    def _count(self, held: str, start: int, end: int) -> int:
        if held != "int*":
            width = _WIDTHS[_WIRES[held.rstrip("*")]]
            if (end - start) % width:
                raise ValueError(f"is damaged: {end - start} bytes of numbers at byte {start}; copy it again")
            return (end - start) // width
        if end > start and self.data[end - 1] >= 0x80:
            raise _truncated(end)
        payload = np.frombuffer(self.data, dtype=np.uint8, count=end - start, offset=start)
        return int(np.count_nonzero(payload < 0x80))

    def _payload(self, wire: int, start: int, end: int) -> Span:
        if wire == _VARINT:
            return start, self._varint(start, end)[1]
        if wire == _LENGTH:
            length, start = self._varint(start, end)
        else:
            length = _WIDTHS[wire]
        if length > end - start:
            raise _truncated(start)
        return start, start + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Return (value, where it ends)."""
        if at < end and (value := self.data[at]) < 0x80:  # nearly all of them
            return value, at + 1
        value = 0
        for index in range(min(10, end - at)):
            byte = self.data[at + index]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if value >> 64:
                    break
                return value, at + index + 1
        raise _truncated(at)


def _kinds(layout: Mapping[int, str]) -> dict[int, bool]:
    """Return tag -> whether the field may be repeated; a tag is a field's number and a wire type that it may have."""
    kinds = {}
    for number, held in layout.items():
        kinds[number << 3 | _WIRES.get(held.rstrip("*"), _LENGTH)] = held[-1] == "*"
        if held[-1] == "*":  # repeated numbers also come packed
            kinds[number << 3 | _LENGTH] = True
    return kinds


_KINDS = {message: _kinds(layout) for message, layout in LAYOUT.items()}


def _unexpected(message: str, tag: int, at: int) -> ValueError:
    number = tag >> 3
    if number in LAYOUT[message]:
        return ValueError(f"is damaged: field {number} of its {message} at byte {at}; copy it again")
    what = _FORBIDDEN.get((message, number), f"field {number} of {message}")
    return ValueError(f"holds {what}, which no policy needs; {_AGAIN}")


def _truncated(at: int) -> ValueError:
    return ValueError(f"is truncated or damaged at byte {at}; copy it again")


def _check_top(reader: _Reader, fields: Fields) -> None:
    if 7 not in fields or 8 not in fields:
        raise ValueError(f"has no graph or no operator set; {_AGAIN}")


def _check_opset(reader: _Reader, fields: Fields) -> None:
    domain, version = reader.text(fields.get(1)), reader.integer(fields.get(2))
    if domain not in _DOMAINS:
        raise ValueError(f"imports the operator set {_shown(domain)}, which no policy needs; {_AGAIN}")
    if not 1 <= version <= MAX_OPSET:
        raise ValueError(f"has operator set version {version}, expected 1 to {MAX_OPSET}; {_AGAIN}")


def _check_node(reader: _Reader, fields: Fields) -> None:
    domain, operator = reader.text(fields.get(7)), reader.text(fields.get(4))
    if domain not in _DOMAINS:
        raise ValueError(f"uses the operator {_shown(operator)} of the foreign domain {_shown(domain)}; {_AGAIN}")


def _check_tensor(reader: _Reader, fields: Fields) -> None:
    if reader.integer(fields.get(14)):
        raise ValueError(f"holds {_FORBIDDEN['TensorProto', 13]}, which no policy needs; {_AGAIN}")
    name, data_type = _shown(reader.text(fields.get(8))), reader.integer(fields.get(2))
    if data_type not in _TYPES:
        raise ValueError(f"holds the tensor {name} of type {data_type}, which no policy needs; {_AGAIN}")
    size, store = _TYPES[data_type]
    declared = _elements(reader, fields.get(1, []), size)
    if declared is None or not _matches(reader, fields, declared, size, store):
        raise ValueError(f"holds the tensor {name}, whose declared size is absurd or not that of its data; {_AGAIN}")


def _matches(reader: _Reader, fields: Fields, declared: int, size: int, store: int) -> bool:
    stores = fields.keys() & _STORES
    if stores == {_RAW_DATA}:
        start, end = fields[_RAW_DATA][0]
        return end - start == declared * size
    return stores <= {store} and reader.count(LAYOUT["TensorProto"][store], fields.get(store, [])) == declared


def _check_sparse(reader: _Reader, fields: Fields) -> None:
    if _elements(reader, fields.get(3, []), 8) is None:
        raise ValueError(f"holds a sparse tensor, whose declared size is absurd; {_AGAIN}")


def _elements(reader: _Reader, dims: list[Span], size: int) -> int | None:
    """Return the product of a tensor's dims; None if it has too many, a negative one or too large ones."""
    sizes = reader.integers(dims, most=MAX_RANK)
    if sizes is None or max(sizes, default=0) > MAX_BYTES or math.prod(sizes) * size > MAX_BYTES:
        return None
    return math.prod(sizes)


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace"))


_CHECKS = {
    "ModelProto": _check_top,
    "OperatorSetIdProto": _check_opset,
    "NodeProto": _check_node,
    "TensorProto": _check_tensor,
    "SparseTensorProto": _check_sparse,
}
