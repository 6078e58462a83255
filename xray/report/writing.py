"""Many short texts of a figure as few artists: matplotlib needs a millisecond to draw one text, and a grid has thousands."""

from collections import defaultdict
from functools import lru_cache
from typing import Final

from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from xray.report.style import font, text_width

MIDDLE: Final = 0.36
"""Height of a line's middle above its baseline for type of size 1: half a digit."""


class Writing:
    """Texts, each centred on its place: put them all, then draw. All glyphs of one letter and size are one artist."""

    def __init__(self) -> None:
        self._glyphs: defaultdict[tuple[str, float, str], list[tuple[float, float, str]]] = defaultdict(list)

    def put(self, text: str, x: float, y: float, size: float, ink: str, weight: str = "normal") -> None:
        """One line of text of `size` points, its middle at (x, y) inches from the figure's bottom left corner."""
        advances = [_advance(letter, weight) * size for letter in text]
        left, baseline = x - sum(advances) / 2, y - MIDDLE * size / 72
        for letter, advance in zip(text, advances, strict=True):
            if letter != " ":
                self._glyphs[letter, size, weight].append((left, baseline, ink))
            left += advance

    def draw(self, figure: Figure) -> None:
        """Add what was put to the figure, above its axes. The gid of each collection is its letter.

        No glyph is moved to whole dots, where a thin dash could vanish. So each collection names two styles, though they are
        alike: glyphs of one style would be drawn as markers, which are moved.
        """
        inks = list(dict.fromkeys(ink for glyphs in self._glyphs.values() for _, _, ink in glyphs))
        rgba, index = to_rgba_array(inks), {ink: position for position, ink in enumerate(inks)}
        for (letter, size, weight), glyphs in self._glyphs.items():
            inches = figure.dpi_scale_trans
            collection = PathCollection(
                [_outline(letter, size, weight)],
                offsets=[(x, y) for x, y, _ in glyphs],
                offset_transform=inches,
                facecolors=rgba[[index[ink] for _, _, ink in glyphs]],
                edgecolors="none",
                antialiaseds=(True, True),
                snap=False,
                gid=letter,
            )
            collection.set_transform(inches)
            figure.add_artist(collection)


@lru_cache(maxsize=512)
def _advance(letter: str, weight: str) -> float:
    """Inches from the start of a letter to the start of the next, for type of size 1; between digits."""
    return text_width(f"0{letter}0", 1, weight) - text_width("00", 1, weight)


@lru_cache(maxsize=512)
def _outline(letter: str, size: float, weight: str) -> Path:
    """The glyph's outline in inches, from its start on the baseline."""
    outline = TextPath((0, 0), letter, size=size, prop=font(size, weight))
    return Path(outline.vertices / 72, outline.codes)
