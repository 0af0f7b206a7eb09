"""A robot as inspection sees it: from above per height layer with its discs, and from the side with its camera."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from embodiments.embodiment import DepthCamera, Disc
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.evaluation.inspection.measured import Measured
from pipeline.evaluation.report.figures import STYLE

CONE_M = 1.5
"""Length of the cone of the camera in the picture."""
_OWN, _PROPOSED, _CAMERA = "#2b59c3", "#c78a00", "#0b7a75"
_MOST_TRIANGLES = 8000


def above(model: Measured, proposal: Sequence[tuple[Disc, ...]]) -> Figure:
    """Return the body from above, one panel per height layer: discs of the file in blue, proposed ones in ochre."""
    points = model.layers
    everything = np.concatenate([*points, np.zeros((1, 2))])
    half_m = float(np.abs(everything).max()) + 0.15
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 2.7), layout="constrained")
        panels = figure.subplots(1, len(HEIGHT_LAYERS_M))
    for layer, (axes, (low_m, high_m)) in enumerate(zip(panels, HEIGHT_LAYERS_M, strict=True)):
        axes.plot(points[layer][:, 0], points[layer][:, 1], ",", color="#888888")
        _discs(axes, proposal[layer], _PROPOSED, ":")
        if model.robot is not None:
            _discs(axes, model.robot.footprint[layer] if layer < len(model.robot.footprint) else (), _OWN, "-")
            _cone_above(axes, model.robot.camera)
        axes.annotate("", xy=(0.15, 0.0), xytext=(0.0, 0.0), arrowprops={"arrowstyle": "-|>"})
        axes.set(title=f"{low_m}–{high_m} m", xlim=(-half_m, half_m), ylim=(-half_m, half_m), aspect="equal")
        axes.set_xlabel("x forward [m]")
    panels[0].set_ylabel("y left [m]")
    return figure


def side(model: Measured) -> Figure:
    """Return the standing body from its left: height layers as bands, the camera's cone in green."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 4.0), layout="constrained")
        axes = figure.subplots()
    faces = model.body.triangles[:: max(1, len(model.body.faces) // _MOST_TRIANGLES)][..., [0, 2]]
    axes.add_collection(PolyCollection(list(faces), facecolor="#c9ced6", edgecolor="#9aa3af", linewidth=0.2))
    for low_m, high_m in HEIGHT_LAYERS_M:
        axes.axhspan(low_m, high_m, color=_OWN, alpha=0.05 if HEIGHT_LAYERS_M.index((low_m, high_m)) % 2 else 0.1)
    axes.axhline(0.0, color="black", linewidth=1.0)
    if model.robot is not None:
        camera = model.robot.camera
        rays = [camera.pitch_rad + side * camera.vfov_rad / 2.0 for side in (-1.0, 1.0)]
        ends = [(camera.x_m + CONE_M * math.cos(a), camera.z_m - CONE_M * math.sin(a)) for a in rays]
        axes.add_patch(Polygon([(camera.x_m, camera.z_m), *ends], color=_CAMERA, alpha=0.2))
        axes.plot(camera.x_m, camera.z_m, "o", color=_CAMERA)
    low, high = model.body.bounds
    axes.set(xlim=(low[0] - 0.3, max(high[0] + 0.3, CONE_M)), ylim=(-0.1, max(float(high[2]) + 0.2, 0.5)))
    axes.set(xlabel="x forward [m]", ylabel="height [m]", aspect="equal")
    return figure


def _discs(axes: Axes, discs: Sequence[Disc], colour: str, style: str) -> None:
    for disc in discs:
        axes.add_patch(Circle((disc.x_m, disc.y_m), disc.radius_m, fill=False, color=colour, linestyle=style))


def _cone_above(axes: Axes, camera: DepthCamera) -> None:
    angles = (-camera.hfov_rad / 2.0, camera.hfov_rad / 2.0)
    ends = [(camera.x_m + CONE_M * math.cos(angle), CONE_M * math.sin(angle)) for angle in angles]
    axes.add_patch(Polygon([(camera.x_m, 0.0), *ends], color=_CAMERA, alpha=0.12))
