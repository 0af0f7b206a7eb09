"""What a model's file lacks or has wrong, each in one line with the mend."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Literal

from pipeline.evaluation.inspection.measured import Measured, camera_link, wheel_pair, wheels
from pipeline.robot_models.model_file import missing_meshes

_PLANAR = ("planar", "floating")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line about a robot: what is so, and what mends it."""

    kind: Literal["wrong", "missing", "note"]
    """wrong: it will not drive as commanded; missing: something cannot be checked or used; note: may be meant"""
    text: str


def wrong(text: str) -> Finding:
    """Return a finding that stops the robot from driving as commanded."""
    return Finding(kind="wrong", text=text)


def missing(text: str) -> Finding:
    """Return a finding about something that is not there."""
    return Finding(kind="missing", text=text)


def note(text: str) -> Finding:
    """Return a finding that may be meant."""
    return Finding(kind="note", text=text)


def of_model(model: Measured) -> list[Finding]:
    """Return the findings of a model's file alone."""
    root = model.urdf
    found = [wrong(line) for line in missing_meshes(root, model.file)]
    if root.find("link/visual") is None:
        found.append(note("no visual meshes: the footprint is measured on the collision shapes"))
    if root.find("link/collision") is None:
        found.append(wrong("no collision shapes: nothing can stand on the ground; add <collision> or contact_shapes"))
    planar = [joint.get("name", "") for joint in root.findall("joint") if joint.get("type") in _PLANAR]
    if planar:
        found.append(
            wrong(f"joint {planar[0]} is {_PLANAR[0]}: the simulation moves the base itself; remove the joint")
        )
    return [*found, *_inertia(root), *_camera(model)]


def of_bare_model(model: Measured) -> list[Finding]:
    """Return what a model without a robot file says about the drive and the limits."""
    found = []
    turning = wheels(model)
    if not turning:
        found.append(
            wrong(
                "no wheels: no joint near the ground is continuous with its axis to the left; give the wheels' joints "
                'type="continuous" and axis 0 1 0, or write a GaitDrive if it walks'
            )
        )
    elif wheel_pair(model) is None:
        names = ", ".join(wheel.joint for wheel in turning)
        found.append(
            wrong(f"no pair of wheels: {names} have no equal on the other side at the same x; mend the joints")
        )
    loose = [joint.get("name", "") for joint in model.urdf.findall("joint") if _lacks_limits(joint)]
    if loose:
        found.append(missing(f"limits of joints {', '.join(loose)}: add <limit lower=... upper=...> where they move"))
    return found


def _inertia(root: ElementTree.Element) -> list[Finding]:
    """Return findings about masses: the simulator takes what the file says."""
    masses = [mass for mass in root.findall("link/inertial/mass") if float(mass.get("value", 0.0)) > 0.0]
    without = [
        link.get("name", "")
        for link in root.findall("link")
        if link.find("collision") is not None and link.find("inertial") is None
    ]
    if not masses:
        return [missing("masses: no link has <inertial>; the simulator guesses them from the shapes; add yours")]
    if without:
        return [note(f"no <inertial> in {', '.join(without)}: the simulator guesses the mass from the shape")]
    return []


def _camera(model: Measured) -> list[Finding]:
    if camera_link(model):
        return []
    return [
        missing("a camera link: no link is named camera or depth; write x_m, z_m, pitch_rad of DepthCamera by hand")
    ]


def _lacks_limits(joint: ElementTree.Element) -> bool:
    limit = joint.find("limit")
    has_limits = limit is not None and limit.get("lower") is not None and limit.get("upper") is not None
    return joint.get("type") in ("revolute", "prismatic") and not has_limits
