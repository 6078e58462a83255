"""How figures look: fonts, colours, and the measured width of a text. Leaves no global state."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, cast

import matplotlib
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

PAGE_WIDTH: Final = 7.2
PAGE_HEIGHT: Final = 9.4
COLUMN_WIDTH: Final = 3.5
"""Inches: the text block of a journal page, and one of its two columns."""

FAMILY: Final = "DejaVu Sans"
"""Comes with matplotlib: the same on every machine."""

WHITE: Final = "#ffffff"
GREY: Final = "#d4d4d4"
HATCH: Final = "#ebebeb"
EDGE: Final = "#c4c4c4"
INK: Final = "#1a1a1a"
SOFT: Final = "#5f5f5f"

DIVERGING: Final = LinearSegmentedColormap.from_list(
    "brown-cream-blue",
    [
        "#4a1d02",
        "#993404",
        "#d95f0e",
        "#fdae61",
        "#fbeec4",
        "#abd0e6",
        "#5ba3cf",
        "#2166ac",
        "#08306b",
    ],
)
"""Brown below the centre, blue above it; the centre is cream: white and grey keep their own meaning."""

SEQUENTIAL: Final = LinearSegmentedColormap.from_list(
    "cream-blue", ["#fbeec4", "#d3e3df", "#abd0e6", "#5ba3cf", "#2166ac", "#08306b"]
)
"""From nothing (cream) to all (dark blue), for values without a chance level in their middle."""

CATEGORIES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d1f")
"""Okabe and Ito's colours, the yellow darkened so that it can be read on white; further categories repeat them."""

ARM_COLOURS: Final[dict[str, str]] = {"own": "#0072b2", "all-but-site": "#e69f00", "all": "#009e73"}
"""Okabe and Ito's blue, orange and green, which colour-blind readers tell apart."""

_DRAWING: Final = frozenset(
    (
        *("axes", "errorbar", "figure", "font", "grid", "hatch", "lines", "patch", "path"),
        *("savefig", "svg", "text", "xaxis", "xtick", "yaxis", "ytick"),
    )
)
"""Groups of settings that change what is drawn: they are taken from matplotlib's defaults, then from here."""

_SETTINGS: Final[dict[str, Any]] = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if key.split(".")[0] in _DRAWING},
    "font.family": FAMILY,
    "font.size": 7.0,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.titley": 1.0,  # no search for a place above tick labels, which are never on top
    "hatch.linewidth": 0.7,
    "text.parse_math": False,  # a "$" in a name is a dollar
    "svg.hashsalt": "xray",
    "svg.fonttype": "path",
}
_LOCK: Final = threading.RLock()


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib's settings of this module for the block, whatever the user's are; one thread at a time."""
    with _LOCK, matplotlib.rc_context(cast(Any, _SETTINGS)):
        yield


def font(size: float, weight: str = "normal") -> FontProperties:
    """The font of every figure at a size in points."""
    return FontProperties(family=FAMILY, size=size, weight=weight)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text at a size in points."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, font(size, weight), False)
    return float(width) / 72


def wrap(text: str, width: float, size: float, most: int = 3) -> str:
    """The text in at most `most` lines of `width` inches, broken after space, "_" or "-" where possible.

    What does not fit loses its middle, marked "…", so that names that share a beginning stay apart.
    """
    for length in range(len(text), 1, -1):
        shortened = (
            text if length == len(text) else f"{text[: (length + 1) // 2]}…{text[len(text) - length // 2 :]}"
        )
        lines = _lines(shortened, width, size)
        if len(lines) <= most:
            break
    else:
        lines = [text]
    return "\n".join(lines)


def fits(text: str, width: float, size: float, most: int) -> bool:
    """Whether the text fits `most` lines of `width` inches, broken after space, "_" or "-" only."""
    pieces_fit = all(text_width(piece.rstrip(), size) <= width for piece in _pieces(text))
    return pieces_fit and len(_lines(text, width, size)) <= most


def _lines(text: str, width: float, size: float) -> list[str]:
    lines = [""]
    for piece in _pieces(text):
        if text_width((lines[-1] + piece).rstrip(), size) <= width:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for letter in piece:
            if lines[-1] and text_width(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines]


def _pieces(text: str) -> list[str]:
    pieces = [""]
    for letter in text:
        pieces[-1] += letter
        if letter in " _-":
            pieces.append("")
    return [piece for piece in pieces if piece]


def contrast_ink(colour: tuple[float, float, float, float]) -> str:
    """Black or white ink, whichever contrasts more with an RGBA colour (WCAG's relative luminance)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return INK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else WHITE
