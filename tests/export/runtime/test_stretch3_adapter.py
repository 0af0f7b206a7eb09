"""Stretch 3's adapter: held against the vendor's real source, against geometry worked out by hand, and a double."""

import ast
import inspect
import io
import math
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_RANGE_M
from embodiments.stretch3 import EMBODIMENT
from export.runtime.driver.driver import Driver, DriverConfig
from export.runtime.robots import lidar, stretch3
from export.runtime.robots.d435i import upright
from export.runtime.robots.depth_image import Pinhole, canonical_depth
from export.runtime.robots.lidar import LIDAR_HEIGHT_M, LIDAR_X_M, rplidar_turns, scan_points_b_m, scans
from export.runtime.robots.robot import Depth
from export.runtime.robots.stretch3 import Stretch3

VENDOR = "hello-robot-stretch-body==0.7.31"
SOURCE = Path(stretch3.__file__).read_text(encoding="utf-8")
CAMERA = EMBODIMENT.camera
LYING = Pinhole(fx_px=425.0, fy_px=425.5, cx_px=424.2, cy_px=238.7)
"""Intrinsics of a typical D435i at 848 x 480."""
RATES = np.asarray([0.3, 0.3 / 0.15765])

# ---------------------------------------------------------------- against the vendor's source


class MismatchError(Exception):
    """Something that the vendor's source does not have."""


# What the vendor looks up by name in its parameters at run time, and so cannot be read off an assignment.
DYNAMIC_ATTRIBUTES = {("Robot", "end_of_arm"): "EndOfArm"}
DYNAMIC_RETURNS = {"get_joint": "DynamixelHelloXL430"}
ROOTS = {"robot": "Robot", "gamepad": "GamePadController"}
"""What the adapter calls the vendor's objects, as a name or as ``self._name``."""


class VendorSource:
    """The vendor's classes as parsed, never imported."""

    def __init__(self, folder: Path) -> None:
        self.texts = {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.py")}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}
        self.classes = {
            node.name: (node, module)
            for module, tree in self.trees.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        }

    def lineage(self, name: str) -> list[ast.ClassDef]:
        """Return a class and those of its bases that the vendor wrote."""
        node = self.classes[name][0]
        bases = [base for base in map(last_name, node.bases) if base in self.classes]
        return [node, *(ancestor for base in bases for ancestor in self.lineage(base))]

    def method(self, name: str, attribute: str) -> ast.FunctionDef | None:
        for node in self.lineage(name):
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == attribute:
                    return item
        return None

    def assigned(self, name: str, attribute: str) -> list[ast.expr]:
        """Return all that is ever assigned to ``self.attribute``."""
        return [
            node.value
            for ancestor in self.lineage(name)
            for node in ast.walk(ancestor)
            if isinstance(node, ast.Assign)
            and any(ast.unparse(target) == f"self.{attribute}" for target in node.targets)
        ]

    def keys(self, name: str, attribute: str) -> set[str]:
        """Return the keys that ``self.attribute`` has: its literal's, or those of the parameters it is copied from."""
        found: set[str] = set()
        for value in self.assigned(name, attribute):
            if isinstance(value, ast.Dict):
                found |= literal_keys(value)
            elif (text := ast.unparse(value)).startswith("self.params['"):
                section = text.split("'")[1]
                found |= {
                    key
                    for node in ast.walk(self.trees["robot_params_SE3"])
                    if isinstance(node, ast.Dict)
                    for name_of, inner in zip(node.keys, node.values, strict=True)
                    if isinstance(name_of, ast.Constant) and name_of.value == section and isinstance(inner, ast.Dict)
                    for key in literal_keys(inner)
                }
        return found

    def foreign(self, name: str, attribute: str) -> bool:
        """Return whether a base from elsewhere has it: a thread's, or one of a package that the vendor uses so."""
        bases = {ast.unparse(base) for node in self.lineage(name) for base in node.bases}
        unknown = {base for base in bases if base.rpartition(".")[2] not in self.classes} - {"threading.Thread"}
        if "threading.Thread" in bases and hasattr(threading.Thread, attribute):
            return True
        return bool(unknown and re.search(rf"\.{attribute}\b", self.texts[self.classes[name][1]]))


def last_name(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def literal_keys(node: ast.Dict) -> set[str]:
    return {key.value for key in node.keys if isinstance(key, ast.Constant)}


def signature(function: ast.FunctionDef) -> inspect.Signature:
    """Return a method's signature without ``self``; defaults are stand-ins."""
    given = function.args
    required = len(given.args) - len(given.defaults)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        inspect.Parameter(argument.arg, kind, default=inspect.Parameter.empty if i < required else None)
        for i, argument in enumerate(given.args)
        if argument.arg != "self"
    )


class Usage:
    """Follows vendor objects through a source text and compares every use with the vendor's classes."""

    def __init__(self, source: str, vendor: VendorSource) -> None:
        self.vendor = vendor
        self.seen: set[str] = set()
        tree = ast.parse(source)
        self.known: dict[str, tuple[str, ...]] = {name: ("object", kind) for name, kind in ROOTS.items()}
        self.known |= {f"self._{name}": ("object", kind) for name, kind in ROOTS.items()}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stretch_body"):
                self._import(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._bind(node.targets[0].id, node.value)
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple):
                self._bind(node.target.id, node.iter.elts[0])
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
                self.kind(node)

    def _import(self, node: ast.ImportFrom) -> None:
        module = (node.module or "").rpartition(".")[2]
        for alias in node.names:
            if self.vendor.classes.get(alias.name, (None, ""))[1] != module:
                raise MismatchError(f"no class {alias.name} in {node.module}")
            self.known[alias.name] = ("class", alias.name)

    def _bind(self, name: str, value: ast.expr) -> None:
        kind = self.kind(value)
        if kind is not None and kind[0] in ("object", "mapping"):
            if self.known.get(name, kind) != kind:
                raise MismatchError(f"'{name}' stands for two vendor objects, rename one")
            self.known[name] = kind

    def kind(self, node: ast.expr) -> tuple[str, ...] | None:
        """Return what an expression is to the vendor, None if nothing; remember it as seen."""
        text = ast.unparse(node)
        if text in self.known:
            return self.known[text]
        if isinstance(node, ast.Attribute):
            return self._attribute(self.kind(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._call(self.kind(node.func), node)
        if isinstance(node, ast.Subscript):
            return self._key(self.kind(node.value), node.slice)
        return None

    def _attribute(self, owner: tuple[str, ...] | None, name: str) -> tuple[str, ...] | None:
        if owner is None or owner[0] != "object":
            return None
        self.seen.add(f"{owner[1]}.{name}")
        if self.vendor.method(owner[1], name) is not None:
            return ("method", owner[1], name)
        if dynamic := DYNAMIC_ATTRIBUTES.get((owner[1], name)):
            return ("object", dynamic)
        values = self.vendor.assigned(owner[1], name)
        for value in values:
            if isinstance(value, ast.Call) and last_name(value.func) in self.vendor.classes:
                return ("object", last_name(value.func))
        if values:
            return ("mapping", owner[1], name)
        if self.vendor.foreign(owner[1], name):
            return ("foreign", name)
        raise MismatchError(f"{owner[1]} has no '{name}'")

    def _call(self, owner: tuple[str, ...] | None, node: ast.Call) -> tuple[str, ...] | None:
        if owner is None or owner[0] not in ("method", "class"):
            return None
        function = self.vendor.method(owner[1], "__init__" if owner[0] == "class" else owner[2])
        assert function is not None
        try:
            signature(function).bind(*node.args, **{str(word.arg): word.value for word in node.keywords})
        except TypeError as error:
            raise MismatchError(f"{ast.unparse(node)}: {error}") from None
        if owner[0] == "class":
            return ("object", owner[1])
        if returned := DYNAMIC_RETURNS.get(owner[2]):
            return ("object", returned)
        returned_keys = {
            key for value in ast.walk(function) if isinstance(value, ast.Dict) for key in literal_keys(value)
        }
        return ("keys", owner[1], owner[2], *sorted(returned_keys))

    def _key(self, owner: tuple[str, ...] | None, index: ast.expr) -> tuple[str, ...] | None:
        if owner is None or owner[0] not in ("mapping", "keys") or not isinstance(index, ast.Constant):
            return None
        keys = set(owner[3:]) if owner[0] == "keys" else self.vendor.keys(owner[1], owner[2])
        self.seen.add(f"{owner[1]}.{owner[2]}[{index.value}]")
        if index.value not in keys:
            raise MismatchError(f"{owner[1]}.{owner[2]} has no key '{index.value}'")
        return ("value",)


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> VendorSource:
    """Download and unpack the vendor's package; nothing of it is installed, imported or run."""
    folder = tmp_path_factory.mktemp("vendor")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", VENDOR]
    try:
        subprocess.run([*command, "--dest", str(folder)], check=True, capture_output=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        pytest.skip(f"{VENDOR} cannot be downloaded here ({type(error).__name__}): the adapter is not held against it")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder)
    return VendorSource(folder / "stretch_body")


def test_every_use_of_the_vendor_exists_in_its_source(vendor: VendorSource) -> None:
    seen = Usage(SOURCE, vendor).seen
    assert {"Base.set_velocity", "Robot.push_command", "Robot.startup", "Robot.stop", "Robot.is_homed"} <= seen
    assert {"Pimu.status[runstop_event]", "Base.status[pose_time_s]", "Stepper.gains[enable_vel_watchdog]"} <= seen
    assert {"Lift.status[pos]", "Arm.status[pos]", "DynamixelHelloXL430.status[pos]", "EndOfArm.get_joint"} <= seen
    assert {"GamePadController.get_state[left_shoulder_button_pressed]", "GamePadController.is_alive"} <= seen
    assert len(seen) >= 35


@pytest.mark.parametrize(
    "use",
    [
        "robot.base.set_velocity(v_m=0.1, w_r=0.0, a_m=0.3)",
        "robot.base.set_velocity(0.1)",
        "robot.base.set_speed(0.1, 0.0)",
        "self._robot.omnibase.push_command()",
        "robot.pimu.status['run_stop']",
        "robot.base.left_wheel.gains['watchdog']",
        "joint = robot.head.get_joint('head_pan')\njoint.status['position']",
        "for wheel in (robot.base.left_wheel,):\n    wheel.speed",
        "gamepad.get_state()['shoulder']",
        "from stretch_body.lidar import Lidar",
    ],
)
def test_a_use_that_the_vendor_does_not_have_is_found(use: str, vendor: VendorSource) -> None:
    with pytest.raises(MismatchError):
        Usage(use, vendor)


def test_what_the_manual_tells_to_type_exists_too(vendor: VendorSource) -> None:
    manual = (Path(stretch3.__file__).parents[3] / "docs" / "deploy_stretch.md").read_text(encoding="utf-8")
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", manual, re.DOTALL | re.MULTILINE)
    ]
    seen = set().union(*(Usage(block, vendor).seen for block in blocks))
    assert {"Robot.stow", "Head.move_to"} <= seen
    assert "disable_torque_on_stop" in vendor.texts["dynamixel_hello_XL430"]


def test_the_vendor_is_as_the_docstring_says(vendor: VendorSource) -> None:
    assert not [name for name in vendor.classes if "lidar" in name.lower()]
    defaults = vendor.method("PimuBase", "__init__")
    assert defaults is not None and ast.unparse(defaults.args.defaults[0]) == "False"  # event_reset
    startup = vendor.method("Robot", "startup")
    assert startup is not None and "signal.signal(signal.SIGTERM" in ast.unparse(startup)
    pushed = vendor.method("Stepper", "startup")
    assert pushed is not None and "self._dirty_gains = True" in ast.unparse(pushed)
    sentry = ast.unparse(vendor.trees["robot_params_SE3"])
    assert "'min_wrist_yaw_rad': 2.54" in sentry and "'max_arm_extension_m': 0.03" in sentry


def test_the_run_stop_is_never_cleared_from_here() -> None:
    used = {node.attr for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Attribute)}
    assert not {"runstop_event_reset", "runstop_event_trigger", "board_reset", "home", "stow", "move_to"} & used


# ---------------------------------------------------------------- geometry


def standing() -> Pinhole:
    return upright(np.zeros((480, 848)), LYING)[1]


def slopes(pinhole: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes to the right and down of the pixels of an upright 848 x 480 image."""
    right = (np.arange(480) - pinhole.cx_px) / pinhole.fx_px
    down = (np.arange(848) - pinhole.cy_px) / pinhole.fy_px
    return right[None, :], down[:, None]


def canonical_slopes() -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(64)[None, :] - 31.5) / DEPTH_FOCAL_PX, (np.arange(40)[:, None] - 19.5) / DEPTH_FOCAL_PX


def canonical(image_m: np.ndarray) -> np.ndarray:
    return canonical_depth(image_m.astype(np.float32), standing(), camera=CAMERA)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, 0.0, 1.0), (0.0, 0.55, 1.0), (-0.4, 0.35, 1.0)])
def test_a_tilted_plane_has_its_analytic_depth(normal: tuple[float, float, float]) -> None:
    """Planar depth z of the plane n . p = 2 m is 2 / (n_x right + n_y down + n_z); half a source pixel may be lost."""
    pinhole = standing()
    right, down = slopes(pinhole)
    found = canonical(2.0 / (normal[0] * right + normal[1] * down + normal[2]))
    right, down = canonical_slopes()
    expected = 2.0 / (normal[0] * right + normal[1] * down + normal[2])
    half_pixel = expected**2 / 2.0 * (abs(normal[0]) + abs(normal[1])) * 0.5 / 425.0
    inside = np.broadcast_to(np.abs(right) <= math.tan(CAMERA.hfov_rad / 2.0), found.shape)
    assert (np.abs(found - expected) <= 1.05 * half_pixel + 1e-5)[inside].all()
    assert not found[~inside].any()


def test_what_the_portrait_camera_cannot_see_is_zero() -> None:
    found = canonical(np.full((848, 480), 3.0))
    assert found.shape == (40, 64) and found.dtype == np.float32
    assert (found[:, 13:51] == 3.0).all()
    assert not found[:, :13].any() and not found[:, 51:].any()


def test_the_image_is_turned_upright() -> None:
    """By the URDF the lying image's right is the world's down, and its down is the robot's left."""
    right, down = 0.21, -0.35
    lying = np.full((480, 848), 4.0)
    row, column = LYING.cy_px + LYING.fy_px * -right, LYING.cx_px + LYING.fx_px * down
    lying[round(row) - 8 : round(row) + 9, round(column) - 8 : round(column) + 9] = 1.5
    image_m, pinhole = upright(lying, LYING)
    assert image_m.shape == (848, 480)
    there = np.argwhere(image_m == 1.5).mean(axis=0)
    assert there == pytest.approx(
        [pinhole.cy_px + pinhole.fy_px * down, pinhole.cx_px + pinhole.fx_px * right], abs=0.6
    )
    found = canonical(image_m)
    assert found[round(19.5 + DEPTH_FOCAL_PX * down), round(31.5 + DEPTH_FOCAL_PX * right)] == 1.5


def test_the_top_of_the_world_is_row_zero() -> None:
    """Right of a lying image is down: what is far there is the ceiling on its left."""
    lying = np.full((480, 848), 1.0)
    lying[:, :424] = 5.0
    found = canonical(upright(lying, LYING)[0])
    assert (found[0, 13:51] == 5.0).all() and (found[-1, 13:51] == 1.0).all()


def test_no_reading_is_averaged_over_an_edge() -> None:
    image_m = np.full((848, 480), 1.0)
    image_m[:, 237:] = 3.0
    image_m[::7] = 0.0
    assert set(np.unique(canonical(image_m))) == {0.0, 1.0, 3.0}


def test_holes_are_bridged_only_where_most_is_measured() -> None:
    image_m = np.full((848, 480), 2.0)
    image_m[np.random.default_rng(0).random(image_m.shape) < 0.2] = 0.0
    image_m[400:480, 200:280] = np.nan
    found = canonical(image_m)
    assert found[2, 20] == 2.0 and found[20, 32] == 0.0


@pytest.mark.parametrize(("measured_m", "reported_m"), [(0.2, 0.0), (0.3, 0.3), (9.9, 9.9), (14.0, DEPTH_RANGE_M)])
def test_ranges_are_the_simulations(measured_m: float, reported_m: float) -> None:
    assert canonical(np.full((848, 480), measured_m))[20, 32] == pytest.approx(reported_m)


@pytest.mark.parametrize(
    ("shape", "pinhole"),
    [
        ((480, 848), LYING),  # forgotten to turn
        ((640, 480), Pinhole(fx_px=385.0, fy_px=385.0, cx_px=239.5, cy_px=319.5)),  # 640 x 480 is cropped
        ((848, 480), Pinhole(fx_px=650.0, fy_px=650.0, cx_px=239.5, cy_px=423.5)),  # a D455 or a colour stream
        ((848, 480), Pinhole(fx_px=float("nan"), fy_px=425.0, cx_px=239.5, cy_px=423.5)),
    ],
)
def test_another_camera_is_refused_in_one_line(shape: tuple[int, int], pinhole: Pinhole) -> None:
    with pytest.raises(ValueError, match=r"degrees (wide|high), expected") as refusal:
        canonical_depth(np.ones(shape, dtype=np.float32), pinhole, camera=CAMERA)
    assert "\n" not in str(refusal.value)


def test_the_lidar_sits_where_the_urdf_says() -> None:
    files = metadata.files(EMBODIMENT.model.package) or []
    path = next(file for file in files if file.as_posix().endswith(EMBODIMENT.model.path))
    root = ElementTree.fromstring(path.read_text())
    joint = next(joint for joint in root.findall("joint") if joint.get("name") == "joint_laser")
    origin, parent = joint.find("origin"), joint.find("parent")
    assert origin is not None and parent is not None and parent.get("link") == "base_link"
    assert [float(value) for value in (origin.get("xyz") or "").split()] == [LIDAR_X_M, 0.0, 0.1664]
    assert pytest.approx(0.1664, abs=0.005) == LIDAR_HEIGHT_M
    assert [float(value) for value in (origin.get("rpy") or "").split()] == pytest.approx([0, 0, math.pi], abs=1e-4)


def test_the_lidar_turns_clockwise_from_straight_ahead() -> None:
    turn = [(15.0, 0.0, 2000.0), (15.0, 90.0, 1000.0), (15.0, 180.0, 3000.0), (15.0, 270.0, 1000.0)]
    points = scan_points_b_m(turn, EMBODIMENT)
    assert points == pytest.approx(np.asarray([[2.004, 0.0], [0.004, -1.0], [-2.996, 0.0], [0.004, 1.0]]), abs=1e-9)


def test_misses_and_the_robots_own_mast_are_left_out() -> None:
    mast_deg, mast_mm = math.degrees(-math.atan2(0.152, -0.048)), 1000.0 * math.hypot(0.048, 0.152)
    turn = [(0.0, 10.0, 0.0), (9.0, 20.0, 40_000.0), (9.0, mast_deg % 360.0, mast_mm), (9.0, 0.0, 400.0)]
    assert scan_points_b_m(turn, EMBODIMENT) == pytest.approx(np.asarray([[0.404, 0.0]]))
    assert scan_points_b_m([], EMBODIMENT).shape == (0, 2)


# ---------------------------------------------------------------- against a double


class Joint:
    def __init__(self, pos: float) -> None:
        self.status = {"pos": pos}


class Chain:
    def __init__(self, **angles_rad: float) -> None:
        self.motors = {name: Joint(angle) for name, angle in angles_rad.items()}

    def get_joint(self, joint_name: str) -> Joint | None:
        return self.motors.get(joint_name)


class Wheel:
    def __init__(self, name: str) -> None:
        self.name = name
        self.gains = {"enable_vel_watchdog": 1}


class Base:
    def __init__(self) -> None:
        self.left_wheel, self.right_wheel = Wheel("hello-motor-left-wheel"), Wheel("hello-motor-right-wheel")
        self.status = {"x": 0.0, "y": 0.0, "theta": 0.0, "x_vel": 0.0, "theta_vel": 0.0, "pose_time_s": 0.0}
        self.queued: list[tuple[float, float, float | None]] = []

    def set_velocity(self, v_m, w_r, a=None, stiffness=None, contact_thresh_N=None, contact_thresh=None):  # type: ignore[no-untyped-def]
        self.queued.append((v_m, w_r, a))


class Double:
    """The parts of ``stretch_body.robot.Robot`` that the adapter touches: homed, stowed, charged."""

    starts = True

    def __init__(self) -> None:
        self.base = Base()
        self.pimu = types.SimpleNamespace(
            status={
                "runstop_event": False,
                "voltage": 12.6,
                "low_voltage_alert": False,
                "charger_connected": False,
                "timestamp": 0.0,
            },
            runstop_event_reset=lambda: pytest.fail("the run-stop was cleared"),
        )
        self.lift, self.arm = Joint(0.301), Joint(0.001)
        self.end_of_arm = Chain(wrist_yaw=3.0, wrist_pitch=-0.62, wrist_roll=0.0)
        self.head = Chain(head_pan=0.0, head_tilt=-0.52)
        self.homed, self.silent = True, False
        self.pushed: list[tuple[float, float, float | None]] = []
        self.stopped = False

    def startup(self, start_non_dxl_thread=True, start_dxl_thread=True, start_sys_mon_thread=True):  # type: ignore[no-untyped-def]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return self.starts

    def stop(self) -> None:
        self.stopped = True
        self.speed_when_stopped = self.base.status["x_vel"]

    def is_homed(self) -> bool:
        self.pimu.status["timestamp"] += 0.0 if self.silent else 0.04
        return self.homed

    def push_command(self) -> None:
        self.pushed += self.base.queued[-1:]
        if self.pushed[-1][:2] == (0.0, 0.0):
            self.base.status["x_vel"] = max(0.0, self.base.status["x_vel"] - 0.05)


class Gamepad:
    def __init__(self, print_events: bool = False, print_dongle_status: bool = True) -> None:
        self.devices = types.SimpleNamespace(gamepads=[object()])
        self.is_gamepad_dongle = True
        self.shutdown_flag = threading.Event()
        self.pressed = False

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def is_alive(self) -> bool:
        return not self.shutdown_flag.is_set()

    def get_state(self) -> dict[str, bool]:
        return {"left_shoulder_button_pressed": self.pressed}


class Camera:
    """The calls of pyrealsense2 that the adapter makes, with one device whose pictures come at will."""

    def __init__(self, name: str = "Intel RealSense D435I", *, fx: float = 425.0) -> None:
        self.names, self.fx = ["Intel RealSense D405", name], fx
        self.frames: list[tuple[int, np.ndarray]] = []
        self.breaks = self.stopped = False

    def module(self) -> types.ModuleType:
        found = types.ModuleType("pyrealsense2")
        pipeline = types.SimpleNamespace(start=self._start, stop=self._stop, try_wait_for_frames=self._wait)
        devices = [types.SimpleNamespace(get_info=lambda kind, name=name: name) for name in self.names]
        chosen = types.SimpleNamespace(enable_device=lambda serial: None, enable_stream=lambda *stream: None)
        found.__dict__.update(
            camera_info=types.SimpleNamespace(name="name", serial_number="serial"),
            stream=types.SimpleNamespace(depth="depth"),
            format=types.SimpleNamespace(z16="z16"),
            context=lambda: types.SimpleNamespace(query_devices=lambda: devices),
            config=lambda: chosen,
            pipeline=lambda: pipeline,
        )
        return found

    def _start(self, config: Any) -> Any:
        found = types.SimpleNamespace(width=848, height=480, fx=self.fx, fy=425.5, ppx=424.2, ppy=238.7)
        stream = types.SimpleNamespace(
            as_video_stream_profile=lambda: types.SimpleNamespace(get_intrinsics=lambda: found)
        )
        sensor = types.SimpleNamespace(get_depth_scale=lambda: 0.001)
        device = types.SimpleNamespace(first_depth_sensor=lambda: sensor)
        return types.SimpleNamespace(get_stream=lambda kind: stream, get_device=lambda: device)

    def _stop(self) -> None:
        self.stopped = True

    def _wait(self, timeout_ms: int) -> tuple[bool, Any]:
        if self.breaks:
            raise RuntimeError("device disconnected")
        if not self.frames:
            time.sleep(0.002)
            return False, None
        number, image = self.frames.pop(0)
        frame = types.SimpleNamespace(get_frame_number=lambda: number, get_data=lambda: image)
        return True, types.SimpleNamespace(get_depth_frame=lambda: frame)


@pytest.fixture
def camera() -> Camera:
    return Camera()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Camera], None]:
    """Return what puts the doubles where the adapter imports the vendors' packages."""

    def put(camera: Camera) -> None:
        robot, gamepad = types.ModuleType("stretch_body.robot"), types.ModuleType("stretch_body.gamepad_controller")
        robot.__dict__["Robot"], gamepad.__dict__["GamePadController"] = Double, Gamepad
        monkeypatch.setitem(sys.modules, "stretch_body", types.ModuleType("stretch_body"))
        monkeypatch.setitem(sys.modules, robot.__name__, robot)
        monkeypatch.setitem(sys.modules, gamepad.__name__, gamepad)
        monkeypatch.setitem(sys.modules, "pyrealsense2", camera.module())

    return put


@pytest.fixture
def stretch(install: Callable[[Camera], None], camera: Camera) -> Iterator[Stretch3]:
    install(camera)
    adapter = stretch3.make(EMBODIMENT)
    adapter.start()
    yield adapter
    adapter.stop()


def newest_depth(stretch: Stretch3, sequence: int) -> Depth:
    ends_s = time.monotonic() + 5.0
    while time.monotonic() < ends_s:
        depth = stretch.depth()
        if depth is not None and depth.sequence == sequence:
            return depth
        time.sleep(0.002)
    raise AssertionError(f"no image {sequence}")


def test_a_command_goes_out_with_an_explicit_acceleration(stretch: Stretch3) -> None:
    double = stretch._robot
    stretch.drive(np.asarray([0.15, 0.0, -0.4]), acceleration=RATES)
    stretch.drive(np.zeros(3), acceleration=np.asarray([0.3, 0.5]))
    assert double.pushed == [(0.15, -0.4, pytest.approx(0.3)), (0.0, 0.0, pytest.approx(0.5 * 0.15765))]


@pytest.mark.parametrize(
    ("command", "acceleration", "words"),
    [
        ([0.1, 0.05, 0.0], RATES, "lateral"),
        ([float("nan"), 0.0, 0.0], RATES, "finite"),
        ([0.1, 0.0, float("inf")], RATES, "finite"),
        ([0.1, 0.0], RATES, "three"),
        ([0.25, 0.0, 0.5], RATES, "wheel"),
        ([0.1, 0.0, 0.0], [0.3, float("nan")], "acceleration"),
        ([0.1, 0.0, 0.0], [0.0, 1.0], "acceleration"),
    ],
)
def test_what_the_base_cannot_do_is_refused(stretch: Stretch3, command: Any, acceleration: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stretch.drive(np.asarray(command), acceleration=np.asarray(acceleration))
    assert not stretch._robot.base.queued and not stretch._robot.pushed


def test_a_command_that_gets_lost_is_an_error_of_the_robot(stretch: Stretch3, monkeypatch: pytest.MonkeyPatch) -> None:
    class TransportError(Exception):
        pass

    def lose() -> None:
        raise TransportError

    monkeypatch.setattr(stretch._robot, "push_command", lose)
    with pytest.raises(OSError, match="TransportError"):
        stretch.drive(np.zeros(3), acceleration=RATES)


def test_it_brakes_before_the_motors_go_off(stretch: Stretch3) -> None:
    double = stretch._robot
    double.base.status["x_vel"] = 0.12
    stretch.stop()
    assert double.stopped and double.speed_when_stopped == 0.0
    assert double.pushed == [(0.0, 0.0, pytest.approx(0.3))] * 3


def test_a_base_that_does_not_answer_is_let_go(stretch: Stretch3, monkeypatch: pytest.MonkeyPatch) -> None:
    double = stretch._robot
    double.base.status["x_vel"] = 0.12
    monkeypatch.setattr(double, "push_command", lambda: (_ for _ in ()).throw(RuntimeError("silent")))
    stretch.stop()
    assert double.stopped and double.speed_when_stopped == 0.12


def test_a_ready_robot_has_no_hindrance(stretch: Stretch3) -> None:
    health = stretch.health()
    assert not health.run_stopped and health.hindrance == ""


def test_the_run_stop_is_reported_and_left_alone(stretch: Stretch3) -> None:
    stretch._robot.pimu.status["runstop_event"] = True
    assert stretch.health().run_stopped
    stretch.drive(np.zeros(3), acceleration=RATES)
    assert stretch.health().run_stopped


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda robot: setattr(robot, "homed", False), "not homed: run"),
        (lambda robot: robot.lift.status.update(pos=0.5), "lift is at 0.50 m, expected 0.30"),
        (lambda robot: robot.lift.status.update(pos=float("nan")), "lift"),
        (lambda robot: robot.arm.status.update(pos=0.1), "arm is out by 0.10 m"),
        (lambda robot: robot.end_of_arm.motors["wrist_yaw"].status.update(pos=0.0), "wrist_yaw is at 0.00 rad"),
        (lambda robot: robot.end_of_arm.motors["wrist_pitch"].status.update(pos=0.0), "wrist_pitch is at 0.00 rad"),
        (lambda robot: robot.end_of_arm.motors.pop("wrist_pitch"), "there is no wrist_pitch"),
        (lambda robot: robot.head.motors["head_tilt"].status.update(pos=0.0), "is at 0.00 rad, expected -0.52"),
        (lambda robot: robot.head.motors["head_pan"].status.update(pos=0.5), "head_pan is at 0.50 rad, expected 0.00"),
        (lambda robot: robot.pimu.status.update(voltage=10.8), "battery low: 10.8 V"),
        (lambda robot: robot.pimu.status.update(low_voltage_alert=True), "battery low"),
        (lambda robot: robot.pimu.status.update(charger_connected=True), "charger"),
        (
            lambda robot: robot.base.right_wheel.gains.update(enable_vel_watchdog=0),
            "right-wheel has no velocity watchdog",
        ),
    ],
)
def test_a_hindrance_is_named_with_its_mend(stretch: Stretch3, change: Callable[[Double], object], words: str) -> None:
    change(stretch._robot)
    hindrance = stretch.health().hindrance
    assert words in hindrance and "\n" not in hindrance


def test_a_silent_power_board_is_a_hindrance(stretch: Stretch3, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep its last run-stop for ever."""
    monkeypatch.setattr(stretch3, "SILENT_S", 0.05)
    assert stretch.health().hindrance == ""
    stretch._robot.silent = True
    time.sleep(0.06)
    assert stretch.health().hindrance.startswith("the power board is silent")
    stretch._robot.silent = False
    assert stretch.health().hindrance == ""


def test_odometry_is_new_only_when_both_wheels_have_answered(stretch: Stretch3) -> None:
    status = stretch._robot.base.status
    assert stretch.odometry() is None
    status |= {"pose_time_s": 0.04, "x": 1.0, "theta": 1.5 * math.pi, "x_vel": 0.1, "theta_vel": 0.2}
    before_s = time.monotonic()
    first = stretch.odometry()
    assert first is not None and before_s <= first.received_s <= time.monotonic()
    assert first.pose == pytest.approx([1.0, 0.0, -0.5 * math.pi]) and first.velocity_b == pytest.approx([0.1, 0, 0.2])
    status["x"] = 2.0
    assert stretch.odometry() is first
    status["pose_time_s"] = 0.08
    second = stretch.odometry()
    assert second is not None and second.sequence > first.sequence and second.pose[0] == 2.0


def test_the_dead_mans_switch_is_the_left_shoulder_button(stretch: Stretch3) -> None:
    gamepad = stretch._gamepad
    assert not stretch.held()
    gamepad.pressed = True
    assert stretch.held()
    gamepad.is_gamepad_dongle = False
    assert not stretch.held()


def test_images_come_without_waiting_and_are_counted(stretch: Stretch3, camera: Camera) -> None:
    assert stretch.depth() is None and stretch.scan() is None
    lying = np.full((480, 848), 1000, dtype=np.uint16)
    lying[:, :424] = 5000
    camera.frames.append((7, lying))
    first = newest_depth(stretch, 1)
    assert first.image_m[0, 32] == pytest.approx(5.0) and first.image_m[-1, 32] == pytest.approx(1.0)
    camera.frames += [(7, lying), (8, lying)]  # the first of them is the same picture again
    second = newest_depth(stretch, 2)
    assert first.received_s < second.received_s <= time.monotonic()


def test_a_broken_camera_is_a_hindrance(stretch: Stretch3, camera: Camera) -> None:
    camera.breaks = True
    ends_s = time.monotonic() + 5.0
    while not stretch.health().hindrance and time.monotonic() < ends_s:
        time.sleep(0.002)
    assert "the camera stopped: RuntimeError: device disconnected" in stretch.health().hindrance
    assert camera.stopped


def test_a_lidar_that_is_passed_in_is_read_and_closed(install: Callable[[Camera], None], camera: Camera) -> None:
    closed = threading.Event()

    def turns():  # type: ignore[no-untyped-def]
        try:
            while True:
                time.sleep(0.002)
                yield [(15.0, 0.0, 1000.0)]
        finally:
            closed.set()

    install(camera)
    stretch = Stretch3(lidar=turns)
    stretch.start()
    ends_s = time.monotonic() + 5.0
    while (scan := stretch.scan()) is None or scan.sequence < 3:
        assert time.monotonic() < ends_s
    assert scan.points_b_m == pytest.approx(np.asarray([[1.004, 0.0]]))
    stretch.stop()
    assert closed.is_set() and camera.stopped


@pytest.mark.parametrize("needs_scan", [True, False])
def test_a_lidar_that_stops_keeps_standing_only_who_needs_it(
    install: Callable[[Camera], None], camera: Camera, monkeypatch: pytest.MonkeyPatch, needs_scan: bool
) -> None:
    def foreign():  # type: ignore[no-untyped-def]
        yield [(15.0, 0.0, 1000.0)]
        raise RuntimeError("Incorrect descriptor starting bytes")

    written = io.StringIO()  # pytest's own capture may lose what a thread writes while it is read
    monkeypatch.setattr(sys, "stderr", written)
    install(camera)
    stretch = Stretch3(lidar=foreign)
    stretch.start()
    ends_s = time.monotonic() + 5.0
    while not written.getvalue().endswith("\n") and time.monotonic() < ends_s:
        time.sleep(0.002)
    assert written.getvalue() == "the lidar stopped: RuntimeError: Incorrect descriptor starting bytes\n"
    assert stretch.scan() is None and stretch.health().hindrance == ""
    slope = np.tile(np.linspace(800.0, 1200.0, 848).astype(np.uint16), (480, 1))
    camera.frames.append((1, slope))
    newest_depth(stretch, 1)
    stretch._robot.base.status["pose_time_s"] = 0.04
    report = Driver(stretch, DriverConfig(needs_scan=needs_scan)).tick([])
    assert report is not None and report.latched == ""
    assert report.gate == ("scan_missing" if needs_scan else "disarmed")
    stretch.stop()


def test_a_lidar_that_a_killed_program_left_sending_is_stopped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """rplidar-roboticia 0.9.5 asks for its health at the start, and takes what is still coming for the answer."""
    calls: list[str] = []

    class RPLidar:
        def __init__(self, port: str) -> None: ...

        def iter_scans(self):  # type: ignore[no-untyped-def]
            calls.append("start")
            yield [(15.0, 0.0, 1000.0)]

        def __getattr__(self, name: str) -> Callable[[], None]:
            return lambda: calls.append(name)

    module = types.ModuleType("rplidar")
    module.__dict__["RPLidar"] = RPLidar
    monkeypatch.setitem(sys.modules, "rplidar", module)
    turns = rplidar_turns()
    assert next(turns) == [(15.0, 0.0, 1000.0)]
    turns.close()
    assert calls == ["stop", "start", "stop", "stop_motor", "disconnect"]


def failing_opens(failures: int, closed: list[int]) -> Callable[[], Any]:
    """Return how to open a lidar that breaks off before its first turn this many times, then turns twice."""
    opened: list[int] = []

    def open_lidar():  # type: ignore[no-untyped-def]
        number = len(opened)
        opened.append(number)
        try:
            if number < failures:
                raise RuntimeError("Incorrect descriptor starting bytes")
            yield [(15.0, 0.0, 1000.0)]
            yield [(15.0, 0.0, 1100.0)]
        finally:
            closed.append(number)

    return open_lidar


def test_a_lidar_that_starts_badly_is_opened_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lidar, "REOPEN_S", 0.0)
    closed: list[int] = []
    assert [scan.sequence for scan in scans(failing_opens(1, closed), EMBODIMENT)] == [1, 2]
    assert closed == [0, 1]
    assert "it is opened once more" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="Incorrect descriptor"):
        next(scans(failing_opens(2, closed), EMBODIMENT))
    assert closed == [0, 1, 0, 1]


def test_a_lidar_that_breaks_off_later_is_not_opened_again() -> None:
    opened: list[int] = []

    def breaks_off():  # type: ignore[no-untyped-def]
        opened.append(1)
        yield [(15.0, 0.0, 1000.0)]
        raise RuntimeError("cable")

    turns = scans(breaks_off, EMBODIMENT)
    next(turns)
    with pytest.raises(RuntimeError, match="cable"):
        next(turns)
    assert opened == [1]


def test_starting_leaves_the_signal_handlers_and_the_robot_alone(stretch: Stretch3) -> None:
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN
    assert not stretch._robot.base.queued and not stretch._robot.pushed


@pytest.mark.parametrize(
    ("camera", "words"),
    [(Camera("Intel RealSense D405"), "found 0 D435i"), (Camera(fx=610.0), "degrees high, expected 87")],
    ids=["gripper camera only", "another lens"],
)
def test_what_cannot_be_reached_is_said_in_one_line(
    install: Callable[[Camera], None], camera: Camera, words: str
) -> None:
    install(camera)
    stretch = Stretch3()
    with pytest.raises(OSError, match=words) as refusal:
        stretch.start()
    assert "\n" not in str(refusal.value)


def test_a_robot_that_does_not_start_is_let_go(
    install: Callable[[Camera], None], camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(camera)
    monkeypatch.setattr(Double, "starts", False)
    with pytest.raises(OSError, match=r"stretch_free_robot_process\.py"):
        Stretch3().start()


def test_without_the_vendors_package_it_says_where_to_run() -> None:
    with pytest.raises(OSError, match="run this on the Stretch"):
        Stretch3().start()
