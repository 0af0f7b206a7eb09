"""What a film needs inside the simulator: how the robot looks, the scene around it, and a camera.

Nothing of it can be touched: the scene stays a picture, and what the robot does is the same with and without it.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LIGHTS: tuple[dict[str, Any], ...] = (
    {"type": "directional", "dir": (-0.6, 0.45, -1.0), "color": (1.0, 0.98, 0.94), "intensity": 3.5},
    {"type": "directional", "dir": (0.7, -0.6, -0.8), "color": (0.9, 0.94, 1.0), "intensity": 1.5},
)
AMBIENT = (0.45, 0.45, 0.45)
SKY = (0.93, 0.95, 0.98)


@dataclass(frozen=True, kw_only=True)
class Prop:
    """Triangles of one colour."""

    vertices_m: np.ndarray
    """(V, 3) in the frame of ``link``"""
    triangles: np.ndarray
    """(F, 3)"""
    rgb: tuple[float, float, float]
    link: str = ""
    """The robot's link that carries it; "" stands in the world"""


class FilmSet:
    """Dresses the robot, furnishes the scene and holds the camera; a process has one scene, so one of these."""

    def __init__(self, props: Sequence[Prop], *, size_px: tuple[int, int], hfov_rad: float, folder: Path) -> None:
        """Keep what is to be shown.

        Args:
            props: The robot's looks and the scene.
            size_px: Width and height of the pictures.
            hfov_rad: Horizontal field of view.
            folder: Where the robot's meshes are put for the simulator to read; it must live as long as the scene.
        """
        self._props = tuple(props)
        self._size_px = size_px
        self._vfov_deg = float(np.degrees(2.0 * np.arctan(np.tan(hfov_rad / 2.0) * size_px[1] / size_px[0])))
        self._folder = folder
        self._camera: Any = None

    def options(self, gs: Any) -> Any:
        """Return how Genesis lights the scene."""
        lights = [dict(light) for light in LIGHTS]
        return gs.options.VisOptions(ambient_light=AMBIENT, background_color=SKY, lights=lights, rendered_envs_idx=[0])

    def dress(self, urdf: ElementTree.Element) -> None:
        """Add the robot's looks to its URDF."""
        import trimesh

        links = {link.get("name", ""): link for link in urdf.findall("link")}
        for index, prop in enumerate(prop for prop in self._props if prop.link):
            file = self._folder / f"{index:03d}.stl"
            trimesh.Trimesh(vertices=prop.vertices_m, faces=prop.triangles, process=False).export(file)
            visual = ElementTree.SubElement(links[prop.link], "visual")
            ElementTree.SubElement(ElementTree.SubElement(visual, "geometry"), "mesh", {"filename": str(file)})
            material = ElementTree.SubElement(visual, "material", {"name": f"colour_{index}"})
            rgba = " ".join(f"{value:.3f}" for value in (*prop.rgb, 1.0))
            ElementTree.SubElement(material, "color", {"rgba": rgba})

    def furnish(self, gs: Any, scene: Any) -> None:
        """Put the scene's props and the camera into a Genesis scene that is not built yet."""
        import trimesh

        for prop in self._props:
            if prop.link:
                continue
            # Every triangle its own corners: edges of walls and boxes stay sharp.
            corners = prop.vertices_m[prop.triangles].reshape(-1, 3)
            mesh = trimesh.Trimesh(vertices=corners, faces=np.arange(len(corners)).reshape(-1, 3), process=False)
            morph = gs.morphs.MeshSet(files=(mesh,), fixed=True, collision=False)
            scene.add_entity(morph, surface=gs.surfaces.Rough(color=prop.rgb))
        self._camera = scene.add_camera(res=self._size_px, fov=self._vfov_deg, GUI=False)

    def picture(self, *, eye_w_m: tuple[float, float, float], target_w_m: tuple[float, float, float]) -> np.ndarray:
        """Return a picture (h, w, 3) uint8 of the present moment of the first environment."""
        self._camera.set_pose(pos=eye_w_m, lookat=target_w_m, up=(0.0, 0.0, 1.0))
        picture: np.ndarray = np.asarray(self._camera.render(force_render=True)[0], dtype=np.uint8)
        return picture
