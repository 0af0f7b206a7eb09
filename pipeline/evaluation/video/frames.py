"""Frames of a film: the map from above, the robot from behind, and its depth image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_RANGE_M, HEIGHT_LAYERS_M
from pipeline.agents.truth import PERSON_RADIUS_M
from pipeline.evaluation.video.ground_plan import ENDING_COLOURS, KNOWN_COLOUR, UNKNOWN_COLOUR, ground_plan
from pipeline.evaluation.video.rendering import SEMANTIC_COLOURS
from scenes.scene import Scene

WIDTH_PX, HEIGHT_PX = 1280, 720
MAP_PX = 600
CHASE_PX = (660, 400)
SENSOR_PX = (324, 202)
PAGE_PX = (640, 352)
"""A small frame, for a page: multiples of 16, which every player decodes"""
PAGE_DEPTH_PX = (160, 100)
PAGE_MAP_PX = 128
PERSON_COLOUR = "#c4407f"
_GAP_PX = 10
_INK, _PAPER, _SOFT = "#1c2430", "#ffffff", "#5b6675"
PALE = {KNOWN_COLOUR: "#d5dae0", UNKNOWN_COLOUR: "#f0dfc3"}
"""Colour of what a low body may pass under"""
_SMOOTH = 2
"""The map is drawn this many times larger and shrunk, for clean edges."""
_MAP_MARGIN_M = 2.0


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What one frame shows."""

    embodiment: Embodiment
    scene: Scene
    pose_w: np.ndarray
    """(3,) x [m], y [m], yaw [rad]"""
    goal_w: np.ndarray
    """(3,)"""
    goal_radius_m: float
    trail_w_m: np.ndarray
    """(T, 2) where the robot was in this episode"""
    route_w_m: np.ndarray
    """(R, 2) route that the policy gets"""
    depth_m: np.ndarray
    """(H, W)"""
    semantic: np.ndarray
    """(H, W)"""
    people_w_m: np.ndarray
    """(K, 2) people who are there"""
    lines: tuple[str, ...]
    """Text beside the picture; the first one is the heading"""
    ending: str | None = None
    chase: np.ndarray | None = None
    """(h, w, 3) picture from behind the robot"""


class MapView:
    """A square window onto the ground that stays fixed for one episode."""

    def __init__(self, points_w_m: np.ndarray, *, size_px: int = MAP_PX) -> None:
        """Fit the window to points (N, 2) that must be seen."""
        low, high = points_w_m.min(axis=0) - _MAP_MARGIN_M, points_w_m.max(axis=0) + _MAP_MARGIN_M
        self._centre = (low + high) / 2.0
        self.size_px = size_px
        self.scale = size_px * _SMOOTH / float((high - low).max())
        """Pixels per metre"""

    def pixels(self, points_w_m: np.ndarray) -> list[tuple[float, float]]:
        """Return image positions of world points (N, 2); y up in the world is up in the image."""
        offset = (np.asarray(points_w_m)[:, :2] - self._centre) * self.scale
        half = self.size_px * _SMOOTH / 2.0
        return [(half + x, half - y) for x, y in offset]


def compose(moment: Moment, view: MapView) -> np.ndarray:
    """Return one large frame (HEIGHT_PX, WIDTH_PX, 3) uint8."""
    frame = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), _PAPER)
    frame.paste(draw_map(moment, view), (_GAP_PX, _GAP_PX))
    left = 2 * _GAP_PX + MAP_PX
    if moment.chase is not None:
        frame.paste(Image.fromarray(moment.chase), (left, _GAP_PX))
    top = CHASE_PX[1] + 2 * _GAP_PX + 22
    draw = ImageDraw.Draw(frame)
    for index, (name, picture) in enumerate(
        (
            ("depth image", depth_picture(moment.depth_m)),
            ("classes (not seen by the policy)", class_picture(moment.semantic)),
        )
    ):
        x = left + index * (SENSOR_PX[0] + _GAP_PX)
        draw.text((x, top - 20), name, fill=_SOFT, font=_font(14))
        frame.paste(Image.fromarray(picture).resize(SENSOR_PX, Image.Resampling.NEAREST), (x, top))
    _write(draw, moment, top_left=(_GAP_PX, MAP_PX + 2 * _GAP_PX))
    return np.asarray(frame)


def compose_for_page(moment: Moment, view: MapView) -> np.ndarray:
    """Return one small frame: the robot from behind, with the map and the depth image in its upper corners."""
    assert moment.chase is not None
    frame = Image.fromarray(moment.chase)
    depth = Image.fromarray(depth_picture(moment.depth_m)).resize(PAGE_DEPTH_PX, Image.Resampling.NEAREST)
    for inset, left in ((draw_map(moment, view), _GAP_PX), (depth, frame.width - depth.width - _GAP_PX)):
        frame.paste(_PAPER, (left - 2, _GAP_PX - 2, left + inset.width + 2, _GAP_PX + inset.height + 2))
        frame.paste(inset, (left, _GAP_PX))
    return np.asarray(frame)


def depth_picture(depth_m: np.ndarray) -> np.ndarray:
    """Return depth (H, W) as colours (H, W, 3) uint8: near is bright, invalid is black."""
    near = 1.0 - np.sqrt(np.clip(depth_m / DEPTH_RANGE_M, 0.0, 1.0))
    colours = matplotlib.colormaps["magma"](near)[..., :3]
    colours[depth_m <= 0.0] = 0.0
    return (colours * 255.0).astype(np.uint8)


def class_picture(semantic: np.ndarray) -> np.ndarray:
    """Return classes (H, W) as colours (H, W, 3) uint8."""
    return (SEMANTIC_COLOURS[semantic] * 255.0).astype(np.uint8)


def draw_map(moment: Moment, view: MapView) -> Image.Image:
    """Return the map from above: the scene, the route, the goal, where the robot was and is."""
    side_px = view.size_px * _SMOOTH
    image = Image.new("RGB", (side_px, side_px), "#fbfbf9")
    draw = ImageDraw.Draw(image)
    for colour, is_low, polygons in ground_plan(moment.scene):
        for polygon in polygons:
            draw.polygon(view.pixels(polygon), fill=colour if is_low else PALE[colour])
    for point in view.pixels(moment.route_w_m):
        _dot(draw, point, 0.04 * view.scale, "#2b59c3")
    _goal(draw, moment, view)
    if len(moment.trail_w_m) > 1:
        colour = ENDING_COLOURS.get(moment.ending or "", "#0b7a75")
        draw.line(view.pixels(moment.trail_w_m), fill=colour, width=3 * _SMOOTH, joint="curve")
    for point in view.pixels(moment.people_w_m):
        _dot(draw, point, PERSON_RADIUS_M * view.scale, PERSON_COLOUR)
    _robot(draw, moment, view)
    return image.resize((view.size_px, view.size_px), Image.Resampling.LANCZOS)


def _goal(draw: ImageDraw.ImageDraw, moment: Moment, view: MapView) -> None:
    (x, y), radius = view.pixels(moment.goal_w[None])[0], moment.goal_radius_m * view.scale
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline="#0b7a75", width=2 * _SMOOTH)
    tip = moment.goal_w[:2] + 0.5 * np.asarray([np.cos(moment.goal_w[2]), np.sin(moment.goal_w[2])])
    draw.line([(x, y), view.pixels(tip[None])[0]], fill="#0b7a75", width=2 * _SMOOTH)
    _dot(draw, view.pixels(tip[None])[0], 0.07 * view.scale, "#0b7a75")


def _robot(draw: ImageDraw.ImageDraw, moment: Moment, view: MapView) -> None:
    """Draw the footprint's discs of all height layers, and the heading."""
    x_w, y_w, yaw = moment.pose_w
    cos, sin = np.cos(yaw), np.sin(yaw)
    for layer in range(len(HEIGHT_LAYERS_M)):
        for disc in moment.embodiment.footprint[layer]:
            centre = np.asarray([[x_w + cos * disc.x_m - sin * disc.y_m, y_w + sin * disc.x_m + cos * disc.y_m]])
            _dot(draw, view.pixels(centre)[0], disc.radius_m * view.scale, "#3a4657")
    nose = np.asarray([[x_w, y_w], [x_w + 0.35 * cos, y_w + 0.35 * sin]])
    draw.line(view.pixels(nose), fill="#ffffff", width=3 * _SMOOTH)


def _write(draw: ImageDraw.ImageDraw, moment: Moment, *, top_left: tuple[int, int]) -> None:
    x, y = top_left
    for index, line in enumerate(moment.lines):
        draw.text((x, y), line, fill=_INK if index == 0 else _SOFT, font=_font(20 if index == 0 else 15))
        y += 28 if index == 0 else 21
    if moment.ending is not None:
        text_width = draw.textlength(moment.ending, font=_font(28))
        draw.text(
            (x + MAP_PX - text_width, top_left[1]), moment.ending, fill=ENDING_COLOURS[moment.ending], font=_font(28)
        )


def _dot(draw: ImageDraw.ImageDraw, centre: Sequence[float], radius_px: float, colour: str) -> None:
    x, y = centre
    draw.ellipse((x - radius_px, y - radius_px, x + radius_px, y + radius_px), fill=colour)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
