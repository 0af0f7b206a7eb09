"""Pictures of scenes from above."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scenes.scene import SEMANTIC_CLASSES, Scene

HEAD_HEIGHT_M = 1.8
"""Solids that begin above this height are not drawn: lintels, upper decks of racks."""
_COLOURS = ("white", "black", "tab:brown", "tab:orange", "tab:green", "tab:red", "tab:purple")


def save(path: Path, scenes: Sequence[Scene], *, columns: int) -> None:
    """Draw scenes from above into one picture.

    Colours are the semantic classes. Solids that the known map does not show have a red edge; those with space below
    them are pale.
    """
    from matplotlib.figure import Figure  # no pyplot: no window, no global state
    from matplotlib.patches import Patch, Polygon

    rows = -(-len(scenes) // columns)
    figure = Figure(figsize=(4.0 * columns, 4.0 * rows + 0.4), layout="constrained")
    for axes, scene in zip(np.ravel(figure.subplots(rows, columns, squeeze=False)), scenes, strict=False):
        for solid in sorted(scene.solids, key=lambda solid: solid.z_max_m):
            if solid.z_min_m < HEAD_HEIGHT_M:
                axes.add_patch(
                    Polygon(
                        solid.polygon_xy_w_m,
                        facecolor=_COLOURS[solid.semantic],
                        edgecolor="black" if solid.known else "red",
                        alpha=0.35 if solid.z_min_m > 0.3 else 0.85,
                        linewidth=0.4,
                    )
                )
        x_min, y_min, x_max, y_max = scene.extent_w_m
        axes.set(xlim=(x_min - 0.3, x_max + 0.3), ylim=(y_min - 0.3, y_max + 0.3), aspect="equal", title=scene.name)
    names = [Patch(color=colour, label=name) for colour, name in zip(_COLOURS, SEMANTIC_CLASSES, strict=True)][1:]
    figure.legend(handles=names, loc="outside lower center", ncols=len(names))
    figure.savefig(path, dpi=80)
