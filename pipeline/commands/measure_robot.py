"""Measure a robot's model for its file: standing height, footprint discs, and the pose of its camera."""

import math
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from embodiments import registry
from embodiments.embodiment import Disc
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which robot is measured."""

    embodiment: Annotated[str, arg(name="embodiments")]
    """Robot whose file names model, drive and posture; its footprint and camera may still be wrong"""
    camera_link: str = ""
    """Link of the model's camera, with the optical axis along z if its name ends in ``optical_frame``, else along x"""
    slack_m: float = 0.02
    """How far a disc may reach beyond the body's convex hull; less takes more discs"""


def main(config: Config) -> None:
    """Print what belongs into ``embodiments/NAME.py``.

    Raises:
        ValueError: If the robot or the link does not exist.
        FileNotFoundError: If its model is not installed.
    """
    from pipeline.evaluation.video import robot_meshes  # geometry, which the command line's help does not need
    from pipeline.simulation.physics import footprint_fit, robot_model

    robot = registry.get(config.embodiment)
    parts = robot_meshes.load_parts(robot)
    poses = robot_model.link_poses(parts.urdf, robot_model.neutral_angles_rad(robot))
    if config.camera_link and config.camera_link not in poses:
        raise ValueError(f"{robot.model.path} has no link '{config.camera_link}'; its links: {', '.join(poses)}.")
    height_m = robot_model.standing_height_m(robot)
    print(f"# the base link stands {height_m:.3f} m above the ground, in the posture of posture_rad")
    mesh = footprint_fit.body_mesh(parts.links, parts.vertices_l_m, parts.triangles, poses=poses, height_m=height_m)
    print("footprint=(")
    for low_m, high_m in HEIGHT_LAYERS_M:
        points = footprint_fit.layer_points(mesh, low_m, high_m)
        discs = footprint_fit.fit_discs(points, slack_m=config.slack_m) if len(points) else ()
        print(_layer(discs, low_m=low_m, high_m=high_m))
    print("),")
    if config.camera_link:
        pose = poses[config.camera_link]
        axis = pose[:3, 2] if config.camera_link.endswith("optical_frame") else pose[:3, 0]
        pitch_rad, yaw_rad = math.atan2(-axis[2], math.hypot(axis[0], axis[1])), math.atan2(axis[1], axis[0])
        print(f"x_m={pose[0, 3]:.3f},  # {pose[1, 3]:+.3f} m to the left, turned {math.degrees(yaw_rad):+.1f} degrees")
        print(f"z_m={pose[2, 3] + height_m:.3f},\npitch_rad=math.radians({math.degrees(pitch_rad):.1f}),")


def _layer(discs: tuple[Disc, ...], *, low_m: float, high_m: float) -> str:
    lines = [f"        Disc(x_m={d.x_m}, y_m={d.y_m}, radius_m={d.radius_m})," for d in discs]
    return (
        "\n".join([f"    (  # {low_m} to {high_m} m", *lines, "    ),"])
        if discs
        else f"    (),  # {low_m} to {high_m} m"
    )


COMMAND = Command(config=Config, main=main)
