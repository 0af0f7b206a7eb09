"""The import graph is a straight line, each heavy package has one door, and our names collide with nobody's."""

import ast
import sys
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (("scenes", "embodiments"), ("world_model",), ("distill",), ("export",), ("pipeline",))
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
FILES = sorted(file for package in RANK for file in (ROOT / package).rglob("*.py"))

# The rooms of the larger packages, lowest first. A room imports from rooms before its own.
ROOMS = {
    "world_model": (("local_planner",), ("",)),
    "export": (("runtime",), ("policy_server",), ("",)),
    "export/runtime": (("robots",), ("driver",), ("recording",), ("viewing",), ("",)),
    "pipeline": (
        ("robot_models",),
        ("runs",),
        ("agents",),
        ("simulation",),
        ("residual_rl",),
        ("evaluation",),
        ("gymnasium_env", "data_formats"),
        ("learners",),
        ("stages",),
        ("commands",),
        ("",),
    ),
    "pipeline/simulation": (("physics",), ("sensors", "conditions", "gait"), ("navigation",)),
    "pipeline/evaluation": (
        ("viewing",),
        ("episodes",),
        ("video",),
        ("report",),
        ("robustness", "runtime", "inspection"),
    ),
}

# Heavy or replaceable package -> where alone it may be imported (files, or folders ending in "/").
DOORS = {
    "open3d": ("scenes/raycasting.py",),
    "onnx": ("export/",),
    "onnxruntime": ("export/",),
    "onnxscript": ("export/",),
    "genesis": ("pipeline/simulation/",),
    "quadrants": ("pipeline/simulation/sensors/cast_kernel.py",),
    "ray": ("pipeline/residual_rl/",),
    "rsl_rl": (
        "pipeline/commands/train_gait.py",
        "pipeline/simulation/gait/",
        "pipeline/simulation/physics/gait_",
        "pipeline/learners/rsl_learner.py",
    ),
    "skrl": ("pipeline/learners/skrl_learner.py",),
    "stable_baselines3": (
        "pipeline/gymnasium_env/stable_baselines_adapter.py",
        "pipeline/learners/stable_baselines_learner.py",
    ),
    "xacro": ("pipeline/robot_models/xacro_file.py",),
    "mujoco": ("pipeline/robot_models/mjcf.py",),
    "pytorch_mppi": ("pipeline/agents/mppi.py",),
    "tensordict": (
        "pipeline/commands/train_gait.py",
        "pipeline/simulation/gait/",
        "pipeline/simulation/physics/gait_",
        "pipeline/learners/rsl_learner.py",
    ),
    "mcap": ("pipeline/data_formats/bag_reading.py",),
    "mcap_ros2": ("export/runtime/recording/mcap_file.py",),
    "mlflow": ("pipeline/runs/external_loggers.py",),
    "wandb": ("pipeline/runs/external_loggers.py",),
    "rerun": ("export/runtime/viewing/rerun_viewer.py",),
    "rosbags": ("pipeline/data_formats/bag_reading.py",),
    "lerobot": ("pipeline/data_formats/lerobot_process.py",),
    "h5py": ("distill/", "pipeline/"),
    "numba": (
        "world_model/local_planner/kernels/",
        "world_model/anticipation_kernel.py",
        "pipeline/simulation/sensors/depth_noise_kernel.py",
    ),
    "torch": ("world_model/", "distill/", "export/", "pipeline/"),
}

# The robot's computer has only these, besides the standard library.
RUNTIME_MAY_IMPORT = {"numpy", "onnxruntime", "embodiments", "scenes", "export"}
RUNTIME_LAZY = {"yaml", "PIL", "pyrealsense2", "rplidar", "stretch_body", "stretch4_body"} | {
    "rclpy",
    "tf2_ros",
    "geometry_msgs",
    "nav_msgs",
    "sensor_msgs",
    "mcap_ros2",
    "rerun",
}
"""Only inside a function: the extras of ``--map``, ``--record`` and ``--view``, and the robot's own driver."""


@cache
def imports(file: Path) -> tuple[tuple[str, bool], ...]:
    """Return (dotted name, whether at the top level) of everything that a file imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.relative_to(ROOT)}: relative import"
            found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
    return tuple(found)


def packages(file: Path) -> set[str]:
    return {name.partition(".")[0] for name, _ in imports(file)}


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_imports_point_down(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    upward = {name for name in packages(file) if name != package and RANK.get(name, -1) >= RANK[package]}
    assert not upward, f"{package} must not import {sorted(upward)}"


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_from_lower_rooms(package: str) -> None:
    folder = ROOT / package
    ranks = {room: rank for rank, level in enumerate(ROOMS[package]) for room in level}
    for file in sorted(folder.rglob("*.py")):
        own = room_of(file, folder)
        for name, _ in imports(file):
            for target in module_files(name):
                if target.is_relative_to(folder) and (other := room_of(target, folder)) != own:
                    assert ranks[other] < ranks[own], f"{relative(file)} must not import {name}"


def room_of(file: Path, folder: Path) -> str:
    """Return the folder inside ``folder`` that a file lies in; empty for a file of ``folder`` itself."""
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_heavy_packages_have_one_door(file: Path) -> None:
    name = relative(file)
    astray = {package for package in packages(file) & DOORS.keys() if not name.startswith(DOORS[package])}
    assert not astray, f"{name} must not import {sorted(astray)}"


def test_scenes_and_embodiments_need_only_numpy_and_light_packages() -> None:
    """Scenes know nothing of embodiments; embodiments need numpy alone."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "embodiments"}
    for file in sorted((ROOT / "embodiments").glob("*.py")):
        assert packages(file) <= allowed, relative(file)
    for file in sorted((ROOT / "scenes").glob("*.py")):
        assert "embodiments" not in packages(file), relative(file)


def runtime_files() -> list[Path]:
    """Return the files of the robot's side and the files of ours that they import, followed to the end."""
    found: list[Path] = []
    waiting = sorted((ROOT / "export" / "runtime").rglob("*.py"))
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.append(file)
        for name, _ in imports(file):
            if name.partition(".")[0] in RANK:
                waiting += [path for path in module_files(name) if path not in found]
    return sorted(found)


@cache
def module_files(name: str) -> list[Path]:
    """Return the file of ``package.module`` or of ``package.module.attribute``."""
    for parts in (name.split("."), name.split(".")[:-1]):
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file():
            return [path.with_suffix(".py")]
        if (path / "__init__.py").is_file():
            return [path / "__init__.py"]
    return []


def test_the_robots_side_needs_numpy_and_onnxruntime_only() -> None:
    """Neither ``export/runtime`` nor anything it imports, however far down, imports more."""
    for file in runtime_files():
        for name, at_top in imports(file):
            package = name.partition(".")[0]
            allowed = set(sys.stdlib_module_names) | RUNTIME_MAY_IMPORT | (set() if at_top else RUNTIME_LAZY)
            assert package in allowed, f"{relative(file)} imports {name}"
        assert relative(file).partition("/")[0] != "export" or relative(file).startswith(
            ("export/runtime/", "export/__")
        )
        ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))  # the Python of a Stretch 3


def test_init_files_are_empty() -> None:
    filled = [relative(file) for file in FILES if file.name == "__init__.py" and file.read_text().strip()]
    assert not filled


def test_no_top_level_name_collides_with_an_installed_package() -> None:
    """Our packages are called as the folders are; none of the names exists elsewhere on the path."""
    elsewhere = [path for path in sys.path if path and Path(path).resolve() != ROOT]
    for package in (*RANK, "tests"):
        found = PathFinder.find_spec(package, elsewhere)
        assert found is None, f"'{package}' is also at {found.origin}"


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_no_module_is_called_like_a_package_it_could_shadow(file: Path) -> None:
    """Run as a script, ``export/onnx.py`` would hide ``onnx`` from itself."""
    assert file.stem not in DOORS
    assert file.stem not in ("utils", "common", "misc", "helpers")


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_nothing_loads_code_from_data(file: Path) -> None:
    """No pickle between stages: a checkpoint or a shard must not be able to run code."""
    assert not {"pickle", "cloudpickle", "joblib", "dill"} & packages(file)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert named.get("allow_pickle", "False") == "False"
            assert ast.unparse(node.func) != "torch.load" or named.get("weights_only") == "True"
