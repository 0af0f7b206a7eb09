"""Hostile and odd input to the commands: one line, exit status 2, at most 5 s and 500 MB."""

import os
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from pipeline.__main__ import dispatch
from pipeline.runs.provenance import ROOT
from tests.faults import child
from tests.faults.table import Row

MOST_S, MOST_MB = 5.0, 500.0
PRETRAINED = ROOT / "export" / "pretrained"
_KEYS = {
    "image": "map.png",
    "resolution": "0.05",
    "origin": "[0, 0, 0]",
    "negate": "0",
    "occupied_thresh": "0.65",
    "free_thresh": "0.25",
}


class Bomb:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._mark),)


def run() -> list[Row]:
    """Try all; a row per kind of input."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as outside:
        folder = Path(outside)
        kinds = {"maps": _maps, "scenes": _scenes, "policies": _policies, "adopt": _adopt, "other": _other}
        rows = [_row(name, make(folder), folder) for name, make in kinds.items()]
        if (folder / "mark").exists():
            rows[0].note("a pickle", silent=True, output="a file ran code")
        return rows


def _row(name: str, commands: dict[str, list[str]], folder: Path) -> Row:
    row, longest_s, most_mb = Row(test="hostile input", what=name), 0.0, 0.0
    for fault, arguments in commands.items():
        ended = child.run(partial(dispatch, arguments))
        longest_s, most_mb = max(longest_s, ended.seconds), max(most_mb, ended.megabytes)
        row.trials += 1
        refused = ended.status == 2 and len([x for x in ended.output.splitlines() if x.startswith("error: ")]) == 1
        row.note(
            fault,
            silent=not refused or ended.seconds > MOST_S or ended.megabytes > MOST_MB,
            traceback=ended.has_traceback,
            output=f"status {ended.status}, {ended.seconds:.1f} s, {ended.megabytes:.0f} MB\n{ended.output}",
        )
    row.remark = f"at most {longest_s:.1f} s and {most_mb:.0f} MB"
    return row


def _evaluate(folder: Path, *, scene: str | Path = "office", policy: Path | None = None) -> list[str]:
    agents = ["--policy", str(policy)] if policy else ["--agents", "go_straight"]
    shared = ["--embodiments", "tiago", "--episodes", "1", "--workers", "1", "--out", str(folder / "out")]
    return ["evaluate_policy", "--preset", "smoke", "--scenes", str(scene), *agents, *shared]


def _yaml(**changes: str) -> str:
    return "".join(f"{name}: {value}\n" for name, value in (_KEYS | changes).items())


def _maps(folder: Path) -> dict[str, list[str]]:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)]
    texts = {
        "alias bomb": "a0: &a0 [x]\n" + "".join(levels) + _yaml(mode="*a8"),
        "duplicate key": _yaml() + "resolution: 0.2\n",
        "deep nesting": _yaml() + "extra: " + "[" * 5000 + "]" * 5000,
        "large": _yaml() + "# " + "x" * 10_000_000,
        "python object": _yaml(mode=f"!!python/object/apply:os.mkdir ['{folder / 'mark'}']"),
        "empty": "",
        "not UTF-8": "image: \udcff",
        **{
            f"resolution {value}": _yaml(resolution=value)
            for value in ("true", "1" + "0" * 5000, ".nan", "-1", "0", "x")
        },
        "origin inf": _yaml(origin="[.inf, 0, 0]"),
        "no image": _yaml(image="gone.png"),
        "image outside": _yaml(image="/dev/zero"),
        **{f"image {kind}": _yaml(image=name) for kind, name in _images(folder).items()},
    }
    commands = {}
    for number, (name, text) in enumerate(texts.items()):
        path = folder / f"map{number}.yaml"
        path.write_bytes(text.encode(errors="surrogateescape"))
        commands[name] = _evaluate(folder, scene=path)
    return commands


def _images(folder: Path) -> dict[str, str]:
    Image.new("L", (8, 8), 254).save(folder / "map.png")
    Image.new("1", (9000, 9000)).save(folder / "compressed.png")
    for name, data in {
        "declared.pgm": b"P5 2000000000 2000000000 255\n0",
        "psd.png": b"8BPS\x00\x01" + bytes(30),
        "cut.png": (folder / "map.png").read_bytes()[:40],
        "empty.png": b"",
    }.items():
        (folder / name).write_bytes(data)
    Image.new("L", (8, 8)).save(folder / "eps.png", format="eps")
    names = ("compressed.png", "declared.pgm", "psd.png", "cut.png", "empty.png", "eps.png")
    return {name.partition(".")[0]: name for name in names}


def _scenes(folder: Path) -> dict[str, list[str]]:
    trimesh.creation.box().export(folder / "box.stl")
    trimesh.PointCloud(np.random.default_rng(0).random((50, 3))).export(folder / "points.ply")
    trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (3, 0, 0)], [(0, 1, 2)], process=False).export(folder / "flat.obj")
    trimesh.creation.box().apply_scale(1e6).export(folder / "huge.glb")
    (folder / "nan.obj").write_text("v nan 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n")
    (folder / "broken.glb").write_bytes(b"glTF and nothing else")
    (folder / "empty.ply").write_bytes(b"")
    names = ("box.stl", "points.ply", "flat.obj", "huge.glb", "nan.obj", "broken.glb", "empty.ply", "gone.glb", "x.dae")
    words = ("$\\frac{$", "map.pgm", "..", "", "/", "officee", "\u2603")
    return {name: _evaluate(folder, scene=folder / name) for name in names} | {
        f"scene '{word}'": _evaluate(folder, scene=word) for word in words
    }


def _bad_policies(folder: Path) -> dict[str, bytes]:
    whole = (PRETRAINED / "base.onnx").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    return {
        "empty": b"",
        "text": b"no model\n" * 100,
        "cut": whole[: len(whole) // 2],
        "flipped": bytes(flipped),
        "longer": whole + b"x",
        "pickle": pickle.dumps(Bomb(folder / "mark")),
        "zeros": bytes(1000),
    }


def _policies(folder: Path) -> dict[str, list[str]]:
    commands = {}
    for name, data in _bad_policies(folder).items():
        (folder / f"{name}.onnx").write_bytes(data)
        commands[name] = _evaluate(folder, policy=folder / f"{name}.onnx")
    return commands | {
        "missing": _evaluate(folder, policy=folder / "gone.onnx"),
        "folder": _evaluate(folder, policy=folder),
    }


def _adopt(folder: Path) -> dict[str, list[str]]:
    commands = {}
    for name, data in _bad_policies(folder).items():
        policies = folder / f"adopt_{name}"
        policies.mkdir()
        (policies / "base.onnx").write_bytes(data)
        commands[name] = ["adopt", "--policies", str(policies), "--run", str(folder / "adopted")]
    commands["generalist as base"] = [*commands["empty"][:2], str(folder / "swapped"), "--run", str(folder / "adopted")]
    (folder / "swapped").mkdir()
    (folder / "swapped" / "base.onnx").write_bytes((PRETRAINED / "generalist.onnx").read_bytes())
    return commands


def _other(folder: Path) -> dict[str, list[str]]:
    (folder / "log.jsonl").write_text("{no log\n")
    return {
        "report of a typo": ["report", "--run", str(folder / "typo")],
        "a log that is none": ["plot_drive", "--log", str(folder / "log.jsonl")],
        "compare nothing": ["compare", str(folder / "a"), str(folder / "b")],
        "no such stage": ["evaluate"],
        "no such robot": ["evaluate_policy", "--embodiments", "go3"],
        "no episodes": ["evaluate_policy", "--episodes", "-1", "--out", str(folder / "out")],
        "a word for a number": ["collect_teacher", "--steps", "many"],
        "out is a file": [*_evaluate(folder)[:-1], str(folder / "map.png")],
    }
