"""A small animated picture of several films, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

TILE_PX = (280, 154)
FRAMES = 52
"""Per picture; each film is spread over them, so that all end together"""
FRAME_MS = 130
END_MS = 1800
COLOURS = {Image.Quantize.MEDIANCUT: 44, Image.Quantize.MAXCOVERAGE: 20}
"""How many of the frequent and of the most different colours; few, and no dithering: still areas compress well"""
_GAP_PX = 4


def write(videos: Sequence[Path], out: Path) -> None:
    """Write the animated picture (GIF) of films that play side by side."""
    tiles = [_frames(video) for video in videos]
    width = len(tiles) * (TILE_PX[0] + _GAP_PX) - _GAP_PX
    sheets = []
    for index in range(FRAMES):
        sheet = Image.new("RGB", (width, TILE_PX[1]), "white")
        for column, frames in enumerate(tiles):
            sheet.paste(frames[index], (column * (TILE_PX[0] + _GAP_PX), 0))
        sheets.append(sheet)
    palette = _palette(sheets[:: max(1, FRAMES // 6)])
    images = [sheet.quantize(palette=palette, dither=Image.Dither.NONE) for sheet in sheets]
    out.parent.mkdir(parents=True, exist_ok=True)
    durations_ms = [FRAME_MS] * (FRAMES - 1) + [END_MS]
    images[0].save(out, save_all=True, append_images=images[1:], duration=durations_ms, loop=0, optimize=True)


def _palette(sheets: Sequence[Image.Image]) -> Image.Image:
    """Return the colours for all sheets; rare but vivid ones, such as the goal's, are among them."""
    width, height = sheets[0].size
    together = Image.new("RGB", (width, height * len(sheets)))
    for row, sheet in enumerate(sheets):
        together.paste(sheet, (0, row * height))
    colours: list[int] = []
    for method, count in COLOURS.items():
        colours += (together.quantize(count, method=method).getpalette() or [])[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette


def _frames(video: Path) -> list[Image.Image]:
    """Return ``FRAMES`` frames of a film, evenly spaced from its first to its last."""
    import imageio.v2 as imageio

    with imageio.get_reader(video) as reader:
        frames = [np.asarray(frame) for frame in reader]  # type: ignore[attr-defined]
    chosen = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    return [Image.fromarray(frames[index]).resize(TILE_PX, Image.Resampling.LANCZOS) for index in chosen]
