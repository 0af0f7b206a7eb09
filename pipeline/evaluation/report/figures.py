"""Figures of the report, each a small SVG that reads on a phone and prints."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from embodiments import registry as robots
from pipeline.agents import registry as agents
from pipeline.evaluation.video.ground_plan import ENDING_COLOURS, KNOWN_COLOUR, ground_plan
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.simulation.navigation.config import Protocol
from pipeline.simulation.navigation.episodes import SUCCESS_RADIUS_M
from scenes.scene import Scene

ENDING_MARKERS = {"success": "o", "collision": "X", "fall": "v", "timeout": "s", "broken": "D"}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "savefig.dpi": 150,
    "svg.hashsalt": "report",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "text.parse_math": False,  # a dollar in a scene's name is a dollar
}
_LINE_NAMES = {"-": "solid", "--": "dashed", ":": "dotted", "-.": "dash-dotted"}

Window = tuple[float, float, float, float]
"""x and y of the lower left corner, then of the upper right one [m]"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture inside the page."""

    source: str
    """A ``data:`` URI"""
    caption: str


@dataclass(frozen=True, kw_only=True)
class Track:
    """The path of one agent in one episode."""

    agent: str
    ending: str
    pose_w: np.ndarray
    """(T, 3) x [m], y [m], yaw [rad]"""
    start_w: np.ndarray
    goal_w: np.ndarray


def data_uri(figure: Figure) -> str:
    """Return a figure as the source of an ``<img>``: isolated from the page and from other figures."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure)).decode()


def svg(figure: Figure) -> bytes:
    """Return a figure as a file of its own."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


def map_of_tracks(scene: Scene, tracks: Sequence[Track], *, protocol: Protocol = "compass") -> Figure:
    """Return one episode seen from above: what every agent did, coloured by how it ended."""
    figure, axes = new_figure(width=3.0, height=3.0)
    points = np.concatenate([track.pose_w[:, :2] for track in tracks] + [tracks[0].goal_w[None, :2]])
    draw_scene(axes, scene, window=frame(axes, points, margin_m=1.5))
    for track in tracks:
        colour = ENDING_COLOURS[track.ending]
        style = agents.get(track.agent).line_style
        width = 2.2 if track.agent in ("generalist", "specialist") else 1.4
        xy = track.pose_w[:, :2]
        axes.plot(xy[:, 0], xy[:, 1], color=colour, linestyle=style, linewidth=width, solid_capstyle="round")
        axes.plot(*xy[-1], ENDING_MARKERS[track.ending], color=colour, markersize=6, markeredgecolor="white")
    draw_start(axes, tracks[0].start_w)
    draw_goal(axes, tracks[0].goal_w, protocol=protocol)
    return figure


def robot_colour(name: str) -> str:
    """Return a robot's colour, the same in every figure."""
    names = [*DEFAULT_ROBOTS, *(robot for robot in robots.names() if robot not in DEFAULT_ROBOTS)]
    return f"C{names.index(name) % 10}" if name in names else "#666666"


def draw_scene(axes: Axes, scene: Scene, *, window: Window | None = None, as_pixels: bool = False) -> None:
    """Draw a scene from above: what the known map shows in grey, what it does not in ochre, table tops paler.

    Args:
        window: What lies outside of it is left out.
        as_pixels: Draw the many rectangles of a map as one image.
    """
    for colour, is_low, polygons in ground_plan(scene):
        shown = [polygon for polygon in polygons if window is None or _meets(polygon, window)]
        if shown:
            alpha = 0.85 if is_low else 0.4
            filled = PolyCollection(shown, facecolor=colour, edgecolor="none", alpha=alpha, rasterized=as_pixels)
            axes.add_collection(filled)
    x_min, y_min, x_max, y_max = scene.extent_w_m
    axes.plot([x_min, x_max, x_max, x_min, x_min], [y_min, y_min, y_max, y_max, y_min], color=KNOWN_COLOUR)


def draw_start(axes: Axes, start_w: np.ndarray) -> None:
    """Draw a start as a ring."""
    axes.plot(*start_w[:2], "o", color="white", markeredgecolor="black", markersize=5)


def draw_goal(axes: Axes, goal_w: np.ndarray, *, protocol: Protocol) -> None:
    """Draw a goal as its tolerance circle, with an arrow along its heading where that counts."""
    radius_m = SUCCESS_RADIUS_M[protocol]
    angle = np.linspace(0.0, 2.0 * np.pi, 40)
    axes.plot(goal_w[0] + radius_m * np.cos(angle), goal_w[1] + radius_m * np.sin(angle), color="black", linewidth=0.8)
    if protocol != "compass":
        return
    tip = 0.6 * np.asarray([np.cos(goal_w[2]), np.sin(goal_w[2])])
    axes.annotate("", xy=goal_w[:2] + tip, xytext=goal_w[:2], arrowprops={"arrowstyle": "-|>", "color": "black"})


def new_figure(*, width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches and its axes, in the report's style."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots()


def frame(axes: Axes, points: np.ndarray, *, margin_m: float) -> Window:
    """Fit a square window with a thin frame around points (N, 2) and return it."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    half = float((points.max(axis=0) - points.min(axis=0)).max()) / 2.0 + margin_m
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cccccc")
    return (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)


def line_legend(driven: Iterable[str] = ()) -> str:
    """Return in words which line on a map is whose; of policies behind servers, those that were driven."""
    by_style: dict[str, list[str]] = {}
    for name in dict.fromkeys([*agents.names(), *driven]):
        info = agents.get(name)
        if info.on_maps:
            by_style.setdefault(_LINE_NAMES[str(info.line_style)], []).append(name)
    return ", ".join(f"{' and '.join(names)} {style}" for style, names in by_style.items())


def _meets(polygon: np.ndarray, window: Window) -> bool:
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    return bool(low[0] < window[2] and high[0] > window[0] and low[1] < window[3] and high[1] > window[1])
