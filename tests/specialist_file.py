"""A specialist's file for tests: the shipped generalist, labelled as the specialist of one robot and sealed anew."""

import json
from pathlib import Path

import onnx

from export.contract import sealed
from export.runtime.contract import CONTRACT_KEY, HASH_KEY

GENERALIST = Path(__file__).parents[1] / "export" / "pretrained" / "generalist.onnx"


def write(folder: Path, robot: str) -> Path:
    """Write ``specialist_ROBOT.onnx`` into a folder and return it."""
    model = onnx.load(str(GENERALIST))
    entries = {entry.key: entry.value for entry in model.metadata_props if entry.key != HASH_KEY}
    contract = json.loads(entries[CONTRACT_KEY])
    contract |= {"agent": "specialist", "embodiments": {robot: contract["embodiments"][robot]}}
    file = folder / f"specialist_{robot}.onnx"
    file.write_bytes(sealed(model, entries | {CONTRACT_KEY: json.dumps(contract)}))
    return file
