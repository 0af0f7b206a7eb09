"""Drive a robot to a goal: ``python -m export.runtime --policy FILE --robot fake --goal X Y YAW``.

Exit codes: 0 the goal was reached, or a dry run found nothing wrong; 1 neither; 2 something was wrong before the first
command; 3 the driver died.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import numpy as np

from embodiments import registry
from embodiments.embodiment import Embodiment
from export.runtime import drive_recording
from export.runtime import policy as policies
from export.runtime.drive_recording import DriveRecording, Listener, RecordedDriver
from export.runtime.drive_view import DriveView
from export.runtime.driver import cycle_log
from export.runtime.driver.depth_gate import DepthGateConfig
from export.runtime.driver.driver import DriverConfig
from export.runtime.driver.gates import GateConfig
from export.runtime.driver.messages import Order
from export.runtime.driver.process import DriverGoneError, DriverProcess, DriverTask, robot_names
from export.runtime.goals import Ros2Goals
from export.runtime.navigator import NO_GOAL, Navigator
from export.runtime.route import Route, plan, to_body
from export.runtime.serve import ReportingDriver, Server, reports, serve
from export.runtime.viewing import local_map, rerun_viewer, view
from export.runtime.viewing.rerun_viewer import RerunViewer

REACHED, MISSED, REFUSED, DRIVER_DIED = 0, 1, 2, 3
ON_BLOCKS_MPS = 0.1
_DRY = "dry run: "
_ROS_ARGUMENTS = "--ros-args"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    own = given[: given.index(_ROS_ARGUMENTS)] if _ROS_ARGUMENTS in given else given
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = _options(own)
        options.ros_arguments = tuple(given[len(own) + 1 :])
        _check(options)
        return _run(options)
    except (OSError, ValueError) as error:
        _print(f"error: {error}", sys.stderr)
        return REFUSED
    except KeyboardInterrupt:  # before the first command
        _print("interrupted", sys.stderr)
        return MISSED


def _options(arguments: list[str]) -> argparse.Namespace:
    """Read the options, the robot files first: they say which embodiments there are."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_robot_file(first)
    registry.add_files(first.parse_known_args(arguments)[0].robot_file)
    return _parser().parse_args(arguments)


def _add_robot_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--robot-file", type=Path, action="append", default=[], metavar="FILE.py", help="a robot of your own"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export.runtime", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--policy", type=Path, required=True, help="exported .onnx file")
    parser.add_argument("--robot", choices=robot_names(), required=True, help="adapter that drives")
    _add_robot_file(parser)
    parser.add_argument("--embodiment", choices=registry.names(), help="which robot it is (default stretch3)")
    parser.add_argument(
        "--goal",
        type=float,
        nargs=3,
        metavar=("X", "Y", "YAW"),
        help="pose [m, m, rad]; without it --robot ros2 takes goals from the topics goal_pose and plan",
    )
    parser.add_argument("--map", type=Path, help="Nav2 map; the goal is then a pose on it, and the route is planned")
    parser.add_argument(
        "--start", type=float, nargs=3, metavar=("X", "Y", "YAW"), help="where on the map the robot stands now"
    )
    parser.add_argument("--max-speed", type=float, default=0.15, metavar="V", help="m/s (default 0.15, for first runs)")
    parser.add_argument("--max-seconds", type=float, default=180.0, metavar="S", help="give up after this time")
    parser.add_argument("--log", type=Path, help="a line per control cycle (default runs/runtime/TIME-PID.jsonl)")
    parser.add_argument(
        "--log-megabytes", type=_megabytes, default=64.0, metavar="MB", help="size limit of the log (default 64)"
    )
    parser.add_argument("--record", type=Path, metavar="FILE.mcap", help="record depth, odometry and commands, too")
    parser.add_argument("--view", metavar="rerun[:FILE.rrd]", help="show the drive in a window, or keep it in a file")
    parser.add_argument("--without-lidar", action="store_true", help="no stop zone, no reversing, no obstacle is felt")
    parser.add_argument("--on-blocks", action="store_true", help="wheels off the ground: images need not show motion")
    parser.add_argument("--dry-run", action="store_true", help="check everything, ask the policy once, move nothing")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ValueError: With the mend.
    """
    if options.on_blocks and options.max_speed > ON_BLOCKS_MPS:
        raise ValueError(f"--on-blocks needs --max-speed {ON_BLOCKS_MPS:g} or less: it leaves a check out")
    if options.record is not None:
        if options.dry_run:
            raise ValueError("--dry-run moves nothing, so there is nothing to --record; leave one out")
        drive_recording.refuse(options.record)
    if options.view is not None:
        options.view = _view_target(options.view, dry_run=options.dry_run)
    if options.robot == "ros2":
        if options.embodiment is None:
            raise ValueError(f"--robot ros2 needs --embodiment, one of {', '.join(registry.names())}")
        if options.goal is None and (options.map or options.dry_run):
            raise ValueError("--map and --dry-run need --goal X Y YAW")
        return
    if options.ros_arguments:
        raise ValueError(f"{_ROS_ARGUMENTS} needs --robot ros2")
    if options.goal is None:
        raise ValueError(f"--robot {options.robot} needs --goal X Y YAW")


def _view_target(text: str, *, dry_run: bool) -> view.Target:
    """Return where the view goes, refused before anything else begins if it cannot."""
    target = rerun_viewer.target(text)
    if dry_run:
        raise ValueError("--dry-run moves nothing, so there is nothing to --view; leave one out")
    if target.file is not None and target.file.exists():
        raise FileExistsError(f"--view {text}: the file exists already; choose another name or remove it")
    return target


def _megabytes(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 1000000")
    return value


def _run(options: argparse.Namespace) -> int:
    log = options.log or Path("runs/runtime") / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
    cycle_log.refuse_existing(log)
    robot = registry.get(options.embodiment or "stretch3")
    policy = _policy(options, robot)
    route = None if options.goal is None else _route(options, robot)
    task = _task(options, policy, robot, route, log=log)
    driver = DriverProcess(task)
    _print(f"the driver is process {driver.process.pid}")
    navigator = Navigator(policy, robot, route, announce=_print)
    recording: DriveRecording | None = None
    shown: DriveView | None = None
    heard: ReportingDriver = driver
    try:
        if options.record is not None:
            recording = DriveRecording(options.record, robot, facts=task.header)
        if options.view is not None:
            shown = _drive_view(options.view, policy, robot)
        listeners: list[Listener] = [listener for listener in (recording, shown) if listener is not None]
        if listeners:
            heard = RecordedDriver(driver, listeners, lambda: _followed(navigator))
        if route is None:
            outcome = _serve(heard, navigator, options)
        else:
            outcome = _loop(heard, navigator, seconds=options.max_seconds, dry_run=options.dry_run)
    except KeyboardInterrupt:
        outcome = "interrupted"
    except DriverGoneError:
        _print("the driver process died; the robot's own time-out is all that stops it now", sys.stderr)
        return DRIVER_DIED
    finally:
        driver.close()
        if recording is not None:
            recording.close()
            _print(recording.failure or f"recorded {options.record}")
        if shown is not None:
            shown.close()
    _print(f"{outcome}; log: {log}")
    return REACHED if outcome == "reached" or outcome.startswith(_DRY) else MISSED


def _task(
    options: argparse.Namespace, policy: policies.Policy, robot: Embodiment, route: Route | None, *, log: Path
) -> DriverTask:
    """Return what the driver process is to do; its header is the first line of the log."""
    gates = GateConfig(depth=DepthGateConfig(follows_motion=not options.on_blocks))
    config = DriverConfig(max_speed_mps=options.max_speed, needs_scan=not options.without_lidar, gates=gates)
    header = {
        "policy": str(options.policy),
        "sha256": policy.sha256,
        "nav_sha256": policy.nav_sha256,
        "robot": options.robot,
        "embodiment": robot.name,
        "goal": None if route is None else route.goal.tolist(),
        "max_speed_mps": config.max_speed_mps,
        "needs_scan": config.needs_scan,
        "on_blocks": options.on_blocks,
    }
    return DriverTask(
        robot=options.robot,
        embodiment=robot.name,
        arguments=options.ros_arguments,
        config=config,
        log=log,
        log_max_bytes=int(options.log_megabytes * 2**20),
        header=header,
    )


def _drive_view(target: view.Target, policy: policies.Policy, robot: Embodiment) -> DriveView:
    """Open the view of this drive."""
    viewer = RerunViewer(target, robot, name=f"{robot.name} {time.strftime('%H:%M:%S')}")
    return DriveView(
        view.View(viewer, announce=_print, waits=False), policy, map_at=local_map.begins_at(policy.metadata)
    )


def _followed(navigator: Navigator) -> Route | None:
    """Return the route that the policy follows, if it has a goal."""
    return None if navigator.outcome == NO_GOAL else navigator.route


def _serve(driver: ReportingDriver, navigator: Navigator, options: argparse.Namespace) -> str:
    """Drive to the goals that come over ROS, until it is interrupted or latched; return how the last one ended."""
    goals = Ros2Goals(options.ros_arguments, announce=_print)
    server = Server(navigator, goals, seconds=options.max_seconds, announce=_print)
    _print("waiting for a goal")
    try:
        return serve(driver, server)
    except KeyboardInterrupt:
        return server.last or "interrupted"
    finally:
        goals.close()


def _loop(driver: ReportingDriver, navigator: Navigator, *, seconds: float, dry_run: bool) -> str:
    """Answer reports until it has ended; return how. The goal counts from where the first odometry is."""
    order = None
    is_located = False
    for report in reports(driver, ends_s=time.monotonic() + seconds):
        if not is_located and "odometry" in report.ages_s:
            navigator.route.origin, is_located = np.asarray(report.pose), True
        order = navigator.step(report)
        if dry_run and not navigator.outcome:
            if report.depth_m is not None:
                return f"{_DRY}the policy would ask for {np.round(order.command, 3).tolist()}; nothing was moved"
            continue
        driver.send(order)
        if navigator.outcome:
            break
    else:
        navigator.outcome = f"out of time after {seconds:g} s"
    if order is not None:
        driver.send(Order(sequence=order.sequence + 1, basis=order.basis, command=(0.0, 0.0, 0.0), mode="quit"))
    return navigator.outcome


def _policy(options: argparse.Namespace, robot: Embodiment) -> policies.Policy:
    """Load the policy; one for many bodies also drives a robot of the user's own, whose descriptor its file gives.

    Raises:
        ValueError: If it does not fit the robot.
    """
    if not options.robot_file:
        return policies.load(options.policy, robot=robot)
    policy = policies.load(options.policy, robot=robot, allow_unseen=True)
    if robot.name not in policy.contract["embodiments"]:
        if policy.agent != "generalist":
            raise ValueError(
                f"{options.policy} is a {policy.agent} of another robot; '{robot.name}' needs a generalist"
            )
        _print(f"'{robot.name}' was not trained on; the policy knows it by the numbers of its robot file")
    return policy


def _route(options: argparse.Namespace, robot: Embodiment) -> Route:
    """Return the route to the goal, along a planned path if there is a map, in the frame of where the robot stands."""
    goal = np.asarray(options.goal)
    if not np.isfinite(goal).all():
        raise ValueError("--goal must be finite")
    if options.map is None:
        if options.start is not None:
            raise ValueError("--start is a pose on a map: give --map, too; without one the goal counts from the robot")
        return Route(goal)
    if options.start is None:
        raise ValueError("--map needs --start X Y YAW: where on the map the robot stands now")
    from scenes import nav2_map

    start = np.asarray(options.start)
    occupied = nav2_map.around_free_space(nav2_map.load(options.map, say=_print))
    path = plan(occupied, start[:2], goal[:2], robot)
    turned = np.arctan2(np.sin(goal[2] - start[2]), np.cos(goal[2] - start[2]))
    return Route(np.append(to_body(goal[:2], start), turned), path_xy_m=to_body(path, start))


def _print(line: str, stream: TextIO | None = None) -> None:
    """Print a line for the operator; a closed terminal must not end a drive."""
    stream = stream or sys.stdout
    try:
        print(line, file=stream, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # nor fail again when the program ends


if __name__ == "__main__":
    sys.exit(main())
