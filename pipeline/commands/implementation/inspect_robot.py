"""The page and the printed list of an inspected robot."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from embodiments import registry, robot_file
from embodiments.embodiment import Disc, Embodiment, RobotModel
from pipeline.commands.inspect_robot import Config
from pipeline.evaluation.inspection import draft, measured, picture
from pipeline.evaluation.inspection.measured import Measured
from pipeline.evaluation.inspection.model_findings import Finding, of_bare_model, of_model
from pipeline.evaluation.inspection.robot_findings import of_robot
from pipeline.evaluation.report import page
from pipeline.evaluation.report.figures import Picture, data_uri
from pipeline.simulation.physics.robot_model import neutral_angles_rad
from world_model import atomic_files

MODELS = (".urdf", ".xacro", ".xml", ".mjcf")


def main(config: Config) -> None:
    """Print findings and proposal, and write the page.

    Raises:
        FileNotFoundError: If the file or its model is not there.
        ValueError: If it cannot be read, or a link does not exist.
    """
    model = _measure(config.robot)
    discs = measured.footprint(model, slack_m=config.slack_m)
    findings = of_model(model) + (of_bare_model(model) if model.robot is None else of_robot(model, model.robot))
    proposal = _proposal(model, discs, camera_link=config.camera_link)
    config.out.mkdir(parents=True, exist_ok=True)
    target = config.out / f"{model.name}.html"
    atomic_files.write_text(target, page.render(_context(model, discs, findings, proposal), template="inspect.html.j2"))
    print(proposal)
    for finding in findings:
        print(f"{finding.kind}: {finding.text}")
    if model.robot is None and draft.wheel_pair(model) is not None:
        written = config.out / f"{model.name}.py"
        atomic_files.write_text(written, proposal)
        print(f"wrote a first robot file, {written}: move it beside the model, then inspect it")
    print(f"{_count(findings)}; wrote {target}")


def _measure(word: str) -> Measured:
    """Measure what a word names: a robot file, a model, or a robot."""
    path = Path(word)
    if path.suffix in MODELS:
        name = path.name.partition(".")[0].lower().replace("-", "_")
        return measured.measure(RobotModel(file=path.absolute()), name=name)
    robot = robot_file.load(path.absolute()) if path.suffix == ".py" else registry.get(word)
    return measured.measure(robot.model, name=robot.name, robot=robot)


def _proposal(model: Measured, discs: Sequence[tuple[Disc, ...]], *, camera_link: str) -> str:
    """Return the text for the robot's file: the measured parts, or all of it for a bare model with wheels."""
    link = camera_link or measured.camera_link(model)
    pose = measured.camera_pose(model, link) if link else None
    if model.robot is None and (text := draft.robot_file(model, discs)):
        return text
    lines = [f"# the base link stands {model.height_m:.3f} m above the ground, in the posture of posture_rad"]
    lines.append(draft.footprint_text(discs))
    return "\n".join([*lines, *(draft.camera_lines(pose) if pose else ())])


def _context(
    model: Measured, discs: Sequence[tuple[Disc, ...]], findings: Sequence[Finding], proposal: str
) -> dict[str, object]:
    above = "From above, per height layer: the body's surface grey, discs of the file blue, proposed discs dotted"
    side = "From the left, standing: the camera's vertical field of view green, height layers as bands"
    return {
        "title": f"Robot {model.name}",
        "model": str(model.file),
        "findings": findings,
        "pictures": [
            Picture(source=data_uri(picture.above(model, discs)), caption=above),
            Picture(source=data_uri(picture.side(model)), caption=side),
        ],
        "limits": [] if model.robot is None else _settings(model.robot),
        "joints": _joints(model),
        "proposal": proposal,
    }


def _settings(robot: Embodiment) -> list[tuple[str, str]]:
    """Return every value of limits, drive and camera, angles in degrees, too."""
    rows = []
    for part in (robot.limits, robot.drive, robot.camera):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            if field.name.endswith("_rad") and isinstance(value, float) and math.isfinite(value):
                text += f" ({math.degrees(value):.1f} degrees)"
            rows.append((field.name, text))
    return rows


def _joints(model: Measured) -> list[tuple[str, ...]]:
    """Return name, type, angle and limits of every joint that can move."""
    angles = {} if model.robot is None else neutral_angles_rad(model.robot)
    rows: list[tuple[str, ...]] = []
    for joint in model.urdf.findall("joint"):
        if joint.get("type") != "fixed":
            name, limit = joint.get("name", ""), joint.find("limit")
            bounds = "none" if limit is None else f"{limit.get('lower', 'none')} to {limit.get('upper', 'none')}"
            rows.append((name, joint.get("type", ""), f"{angles.get(name, 0.0):.3g}", bounds))
    return rows


def _count(findings: Sequence[Finding]) -> str:
    serious = sum(finding.kind == "wrong" for finding in findings)
    return f"{serious} wrong, {len(findings) - serious} to consider" if findings else "nothing missing or wrong"
