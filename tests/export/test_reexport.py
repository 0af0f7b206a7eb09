"""Files exported again from their own weights: the same policy, the same metadata, a new hash."""

import json

import onnx
import pytest

from export import parity
from export.contract import sealed
from export.reexport import reexported
from export.runtime.contract import CONTRACT_KEY, HASH_KEY, verify_hash
from tests.export.test_export import build, export, exported, lively, properties


def older(model: bytes) -> bytes:
    """Return a file as version 1 wrote it."""
    loaded = onnx.load_from_string(model)
    entries = {entry.key: entry.value for entry in loaded.metadata_props if entry.key != HASH_KEY}
    contract = json.loads(entries[CONTRACT_KEY]) | {"schema_version": 1}
    return sealed(loaded, entries | {"nav.schema_version": "1", CONTRACT_KEY: json.dumps(contract, sort_keys=True)})


@pytest.mark.slow
def test_files_keep_their_weights_and_their_metadata() -> None:
    one, two = build("base"), build("base")
    lively(two.base_head)
    files = [export(one, "base"), export(two, "base")]
    again = reexported([(f"file {number}", older(file)) for number, file in enumerate(files)])
    assert again == files
    assert verify_hash(again[1], where="file") != verify_hash(older(files[1]), where="file")
    assert properties(again[0])["nav.license"] == "Apache-2.0"
    parity.require(parity.compare(two, again[1], steps=5, batches=(3,)), name="file 1")


def test_a_file_with_a_critic_is_refused() -> None:
    _, model = exported()
    with pytest.raises(ValueError, match="has a critic"):
        reexported([("file", model)])
