"""Figures and pages as files: the same bytes for the same content, and whole or not at all."""

import io
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI: Final = 200


def svg(figure: "Figure") -> bytes:
    """The figure as SVG: letters as outlines, no date, nothing from outside, always the same bytes."""
    from xray.report.style import settings

    drawn = io.BytesIO()
    with settings():
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    whole = re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", drawn.getvalue(), count=1)
    return re.sub(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]", b"", whole)  # XML has none of them, even in a comment


def png(figure: "Figure") -> bytes:
    """The figure as PNG at 200 dots per inch, without a date. The same bytes every time."""
    from xray.report.style import settings

    drawn = io.BytesIO()
    with settings():
        figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    return drawn.getvalue()


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
